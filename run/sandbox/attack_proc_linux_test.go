package sandbox_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/zavhoz/zavhoz/run/sandbox"
	"github.com/zavhoz/zavhoz/vault/policy"
)

const canary = "ZAVHOZ_CANARY=c4n4ry-of-the-sibling"

func init() {
	children["child:hunt"] = func([]string) { hunt() }
	children["child:trace"] = func(pids []string) { // each is tried as a number of the machine's
		for _, p := range pids {
			pid, _ := strconv.Atoi(p)
			trace(p, pid)
		}
		trace("parent", os.Getppid())
	}
	children["child:read"] = func(paths []string) {
		for _, p := range paths {
			b, err := os.ReadFile(p)
			if err == nil && len(b) == 0 {
				err = errors.New("nothing")
			}
			say(p, err)
		}
	}
	children["child:kill"] = func(pids []string) {
		for _, p := range pids {
			pid, _ := strconv.Atoi(p)
			say(p, unix.Kill(pid, 0))
		}
		say("parent", unix.Kill(os.Getppid(), unix.SIGKILL))
		_ = unix.Kill(1, unix.SIGKILL)
		fmt.Println("still here")
	}
	children["child:namespaces"] = func([]string) {
		for name, flag := range map[string]int{"user": unix.CLONE_NEWUSER, "mount": unix.CLONE_NEWNS, "net": unix.CLONE_NEWNET, "pid": unix.CLONE_NEWPID, "uts": unix.CLONE_NEWUTS} {
			say("unshare "+name, unix.Unshare(flag))
			_, _, errno := unix.RawSyscall(unix.SYS_CLONE, uintptr(flag)|uintptr(unix.SIGCHLD), 0, 0)
			say("clone "+name, errnoError(errno))
		}
		_, _, errno := unix.Syscall(unix.SYS_CLONE3, 0, 0, 0)
		say("clone3", errnoError(errno))
		fd, err := unix.Open("/proc/self/ns/user", unix.O_RDONLY, 0)
		say("open", err)
		say("setns", unix.Setns(fd, 0))
		say("mount", unix.Mount("x", "/tmp", "tmpfs", 0, ""))
		say("chroot", unix.Chroot("/"))
	}
	children["child:crash"] = func([]string) {
		var l unix.Rlimit
		_ = unix.Getrlimit(unix.RLIMIT_CORE, &l)
		fmt.Println("core", l.Cur, l.Max)
		say("raise", unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 1 << 30, Max: 1 << 30}))
		_ = syscall.Kill(os.Getpid(), syscall.SIGSEGV)
		runtime.Gosched()
	}
	children["child:terminal"] = func([]string) {
		_, err := os.Open("/dev/tty")
		sid, _ := unix.Getsid(0)
		say("tty", err)
		fmt.Println("leader:", sid == os.Getpid())
		push("stdin", 0)
	}
	children["child:push"] = func([]string) { push("pushed", 0) }
}

func errnoError(e syscall.Errno) error {
	if e != 0 {
		return e
	}
	return nil
}

func push(name string, fd int) {
	c := [1]byte{'x'}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCSTI, uintptr(unsafe.Pointer(&c)))
	say(name+" sti", errnoError(errno))
	c[0] = 2
	_, _, errno = unix.Syscall(unix.SYS_IOCTL, uintptr(fd), 0x541c, uintptr(unsafe.Pointer(&c))) // TIOCLINUX
	say(name+" linux", errnoError(errno))
}

// hunt reads the environment of every process that it sees, other than its own.
func hunt() {
	list, _ := filepath.Glob("/proc/[0-9]*")
	found, seen := 0, 0
	for _, p := range list {
		if filepath.Base(p) == strconv.Itoa(os.Getpid()) {
			continue
		}
		seen++
		b, _ := os.ReadFile(p + "/environ")
		if bytes.Contains(b, []byte(canary)) {
			found++
		}
	}
	fmt.Println("found:", found)
	fmt.Fprintln(os.Stderr, "seen", seen)
}

func trace(name string, pid int) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	say(name+" attach", unix.PtraceAttach(pid))
	say(name+" seize", unix.PtraceSeize(pid))
	buf := make([]byte, 8)
	_, err := unix.ProcessVMReadv(pid, []unix.Iovec{{Base: &buf[0], Len: 8}}, []unix.RemoteIovec{{Base: 0x400000, Len: 8}}, 0)
	say(name+" readv", err)
	fd, err := unix.PidfdOpen(pid, 0)
	if err == nil {
		_, err = unix.PidfdGetfd(fd, 0, 0)
	}
	say(name+" getfd", err)
	at := fmt.Sprintf("/proc/%d/", pid)
	for _, f := range []string{"environ", "maps", "task/" + strconv.Itoa(pid) + "/environ"} {
		_, err = os.ReadFile(at + f)
		say(name+" "+f, err)
	}
	_, err = os.OpenFile(at+"mem", os.O_RDWR, 0)
	say(name+" mem", err)
	for _, f := range []string{"cwd", "root"} {
		_, err = os.ReadDir(at + f + "/")
		say(name+" "+f, err)
	}
	say(name+" fd", openAny(at+"fd"))
}

// openAny wants one of the descriptors; their numbers alone are no secret, and whoever has the same user sees them.
func openAny(dir string) error {
	list, err := os.ReadDir(dir)
	for _, e := range list {
		if _, lerr := os.Readlink(filepath.Join(dir, e.Name())); lerr == nil {
			return nil
		}
		f, oerr := os.Open(filepath.Join(dir, e.Name()))
		if oerr == nil {
			return f.Close()
		}
		err = oerr
	}
	if err == nil {
		err = errors.New("none")
	}
	return err
}

var traced = []string{"attach", "seize", "readv", "getfd", "environ", "mem", "maps", "fd", "cwd", "root"}

// sibling is another run with a secret in its environment; its number is the machine's.
func sibling(t *testing.T, level policy.Level) (pid int) {
	t.Helper()
	b := newBox(t, newSandbox(t, sandbox.Options{}), level)
	_, out := start(t, b, sandbox.Spec{Argv: []string{"sh", "-c", "echo up; sleep 1000; :"}, Env: append(environment(b), canary)})
	out.await(t, "up")
	list, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, p := range list {
		if e, err := os.ReadFile(p); err == nil && bytes.Contains(e, []byte(canary)) {
			pid, _ = strconv.Atoi(filepath.Base(filepath.Dir(p)))
		}
	}
	if pid == 0 {
		t.Fatal("the sibling is not to be found")
	}
	return pid
}

func TestAttack17_ASiblingsEnvironmentIsNotRead(t *testing.T) {
	at(t, func(t *testing.T, b *sandbox.Box) {
		sibling(t, b.Level())
		if err := os.Setenv("ZAVHOZ_OF_THE_DAEMON", canary); err != nil {
			t.Fatal(err)
		}
		if out := child(t, b, func(s *sandbox.Spec) { s.Env = environment(b) }, "child:hunt"); !strings.Contains(out, "found: 0\n") {
			t.Error(out)
		}
	})
}

func TestAttack18_ASiblingIsNotTraced(t *testing.T) {
	at(t, func(t *testing.T, b *sandbox.Box) {
		pid := strconv.Itoa(sibling(t, b.Level()))
		want := map[string]string{}
		for _, what := range traced {
			want[pid+" "+what] = ""
		}
		expect(t, child(t, b, nil, "child:trace", pid), want)
	})
}

// The daemon, the launcher and the box's own first process: none of their memory, descriptors or environment.
func TestAttack19_NothingOfTheDaemonIsRead(t *testing.T) {
	at(t, func(t *testing.T, b *sandbox.Box) {
		shell(t, b, "true", nil) // so that there is a launcher
		args, want := []string{"child:trace", strconv.Itoa(os.Getpid()), strconv.Itoa(launcherPID(t))}, map[string]string{}
		for _, who := range append(args[1:], "parent") {
			for _, what := range traced {
				want[who+" "+what] = ""
			}
		}
		expect(t, child(t, b, nil, args...), want)
	})
}

// The agent's own shell, outside of every box and with the daemon's user: the launcher holds, for a moment, descriptors of what may be secret.
func TestAttack21_TheLauncherIsNotTracedFromOutside(t *testing.T) {
	at(t, func(t *testing.T, b *sandbox.Box) {
		shell(t, b, "true", nil)
		pid := strconv.Itoa(launcherPID(t))
		pids := []string{pid}
		tasks, _ := filepath.Glob("/proc/" + pid + "/task/*/children") // main may run on any thread, and a child is listed under the one that forked it
		for _, f := range tasks {
			children, _ := os.ReadFile(f)
			pids = append(pids, strings.Fields(string(children))...)
		}
		if len(pids) < 2 {
			t.Fatal("the launcher has no server")
		}
		c := exec.Command(program, append([]string{"child:trace"}, pids...)...)
		if os.Geteuid() == 0 {
			c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		}
		out, err := c.Output()
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{}
		for _, p := range pids {
			for _, what := range traced {
				want[p+" "+what] = ""
			}
		}
		expect(t, string(out), want)
	})
}

// Row 20 says no at basic and sealed where a run shares the daemon's user: whoever has that user reads the run's environment, which is why it
// holds stand-ins. With a user of its own, as root's runs have at every level, others read nothing.
func TestAttack20_TheAgentsOwnShellOutside(t *testing.T) {
	at(t, func(t *testing.T, b *sandbox.Box) {
		pid := sibling(t, b.Level())
		c := exec.Command(program, "child:read", fmt.Sprintf("/proc/%d/environ", pid))
		if os.Geteuid() == 0 {
			c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		}
		out, err := c.Output()
		if err != nil {
			t.Fatal(err)
		}
		want := "ok"
		if os.Geteuid() == 0 {
			want = "permission denied"
		}
		expect(t, string(out), map[string]string{fmt.Sprintf("/proc/%d/environ", pid): want})
	})
}

func TestAttack23_TheEnvironmentIsExact(t *testing.T) {
	at(t, func(t *testing.T, b *sandbox.Box) {
		for _, name := range []string{"LD_PRELOAD", "BASH_ENV", "ENV", "NODE_OPTIONS", "PYTHONPATH", "GIT_SSH_COMMAND", "PERL5OPT"} {
			t.Setenv(name, "/tmp/evil")
		}
		out, _ := shell(t, b, "env", func(s *sandbox.Spec) { s.Env, s.Argv = []string{"A=1", "PATH=/usr/bin:/bin"}, []string{"env"} })
		if out != "A=1\nPATH=/usr/bin:/bin\n" {
			t.Errorf("got %q", out)
		}
	})
}

func TestAttack24_NoCoreFiles(t *testing.T) {
	at(t, func(t *testing.T, b *sandbox.Box) {
		out := child(t, b, nil, "child:crash")
		if !strings.Contains(out, "core 1 1\n") || !strings.Contains(out, "raise: operation not permitted\n") { // the trace of the crash comes by another pipe, at any time
			t.Errorf("got %q", out)
		}
		if out, _ := shell(t, b, "sh -c 'kill -SEGV $$'; ls -A", nil); strings.Contains(out, "core") {
			t.Errorf("got %q", out)
		}
	})
}

func TestAttack26_NoInheritedDescriptors(t *testing.T) {
	at(t, func(t *testing.T, b *sandbox.Box) {
		leak := filepath.Join(t.TempDir(), "leak")
		fd, err := unix.Open(leak, unix.O_CREAT|unix.O_RDWR, 0o600) // without O_CLOEXEC
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		// a launcher that starts while the leak is open
		fresh := newBox(t, newSandbox(t, sandbox.Options{}), b.Level())
		for _, box := range []*sandbox.Box{b, fresh} {
			out, _ := shell(t, box, `ls -l /proc/self/fd | sed -n 's/.* \([0-9]* -> \)/\1/p'`, nil)
			for line := range strings.Lines(out) {
				n, link, _ := strings.Cut(strings.TrimSpace(line), " -> ")
				if i, _ := strconv.Atoi(n); i > 2 && !strings.HasPrefix(link, "/proc/") { // ls itself reads /proc
					t.Errorf("descriptor %s → %s", n, link)
				}
			}
			if !strings.Contains(out, "0 -> /dev/null") {
				t.Errorf("got %q", out)
			}
		}
	})
}

func TestAttack27_NoTerminalToPushInto(t *testing.T) {
	at(t, func(t *testing.T, b *sandbox.Box) {
		out := child(t, b, nil, "child:terminal")
		expect(t, out, map[string]string{"tty": "no such device", "leader": "true", "stdin sti": "not permitted", "stdin linux": "not permitted"})
		spec := childSpec(t, "child:push")
		spec.Terminal = &sandbox.Terminal{Rows: 24, Cols: 80}
		spec.Env = environment(b)
		p, err := b.Start(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		tty, _ := p.Terminal()
		got := &sink{}
		copied := make(chan struct{})
		go func() { defer close(copied); _, _ = got.readFrom(tty) }()
		if err := p.Run(); err != nil {
			t.Fatal(err)
		}
		p.Wait()
		<-copied
		expect(t, got.String(), map[string]string{"pushed sti": "not permitted", "pushed linux": "not permitted"})
	})
}

func TestAttack28_NobodyElseIsSignalled(t *testing.T) {
	at(t, func(t *testing.T, b *sandbox.Box) {
		other := sibling(t, b.Level())
		shell(t, b, "true", nil)
		args, want := []string{"child:kill", strconv.Itoa(os.Getpid()), strconv.Itoa(launcherPID(t)), strconv.Itoa(other), "1"}, map[string]string{}
		for _, p := range args[1:4] {
			want[p] = ""
		}
		out := child(t, b, nil, args...)
		expect(t, out, want)
		if !strings.Contains(out, "still here") {
			t.Errorf("it could end its own box's first process: %s", out)
		}
		// all that may be signalled, at once
		if _, exit := shell(t, b, "trap '' TERM; kill -TERM -1; kill -KILL -1; exit 7", nil); exit.Code != 7 && exit.Code != 137 {
			t.Errorf("%+v", exit)
		}
		if err := unix.Kill(other, 0); err != nil {
			t.Errorf("the sibling is gone: %v", err)
		}
		launcherPID(t)
	})
}

func TestAttack31_NoNestedNamespaces(t *testing.T) {
	at(t, func(t *testing.T, b *sandbox.Box) {
		want := map[string]string{"clone3": unix.ENOSYS.Error(), "setns": "not permitted", "mount": "not permitted", "chroot": "not permitted"}
		for _, n := range []string{"user", "mount", "net", "pid", "uts"} {
			want["unshare "+n], want["clone "+n] = "not permitted", "not permitted"
		}
		expect(t, child(t, b, nil, "child:namespaces"), want)
	})
}

// At basic the table says weak: without Landlock's scope or a user of its own, a process that is orphaned at the last moment may be missed.
func TestAttack33_NothingOutlivesTheRun(t *testing.T) {
	at(t, func(t *testing.T, b *sandbox.Box) {
		mark := "31" + strconv.Itoa(os.Getpid()) + "000"
		script := "for i in 1 2 3 4 5; do setsid sh -c 'trap \"\" TERM HUP; (setsid sleep " + mark + " &) ; setsid sleep " + mark + " & sleep " + mark + "' >/dev/null 2>&1 & done; sleep 0.1; exit 3"
		if _, exit := shell(t, b, script, nil); exit.Code != 3 || exit.PipesCut {
			t.Errorf("%+v", exit)
		}
		list, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, p := range list {
			if line, _ := os.ReadFile(p); bytes.Contains(line, []byte(mark)) {
				t.Errorf("still there: %q", line)
			}
		}
	})
}
