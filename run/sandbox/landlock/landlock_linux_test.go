package landlock

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zavhoz/zavhoz/run/sandbox/walltest"
)

func TestMain(m *testing.M) {
	walltest.Main(m, walltest.Children{"try": try, "victim": victim})
}

// order is what a child does: its rules, then the attempts, each a name with arguments.
type order struct {
	Rules Rules
	Steps [][]string
}

// try confines itself and prints how each attempt ended, a line each.
func try(args []string) {
	var o order
	if err := json.Unmarshal([]byte(args[0]), &o); err != nil {
		walltest.Fail("%v", err)
	}
	for _, name := range args[1:] { // files that are open before
		f, err := os.Open(name)
		if err != nil {
			walltest.Fail("%v", err)
		}
		o.Rules.Inodes = append(o.Rules.Inodes, int(f.Fd()))
		defer runtime.KeepAlive(f)
	}
	runtime.LockOSThread()
	// as the shim does before: with CAP_PERFMON the kernel shows memory past Landlock
	var none [2]unix.CapUserData
	if err := unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0]); err != nil {
		walltest.Fail("%v", err)
	}
	if err := restrict(o.Rules); err != nil {
		fmt.Println("restrict:", err)
		return
	}
	for _, s := range o.Steps {
		var errno syscall.Errno
		switch err := attempts[s[0]](s[1:]); {
		case err == nil:
			fmt.Println("worked")
		case errors.As(err, &errno):
			fmt.Println(unix.ErrnoName(errno))
		default:
			fmt.Println(err)
		}
	}
}

// victim is a process of the same user that waits to be ended.
func victim([]string) { _, _ = io.Copy(io.Discard, os.Stdin) }

var attempts = map[string]func([]string) error{
	"read":     func(a []string) error { _, err := os.ReadFile(a[0]); return err },
	"follow":   func(a []string) error { _, err := os.Readlink(a[0]); return err },
	"list":     func(a []string) error { _, err := os.ReadDir(a[0]); return err },
	"write":    func(a []string) error { return os.WriteFile(a[0], []byte("changed"), 0o644) },
	"append":   open(unix.O_WRONLY | unix.O_APPEND),
	"truncate": func(a []string) error { return os.Truncate(a[0], 0) },
	"remove":   func(a []string) error { return os.Remove(a[0]) },
	"mkdir":    func(a []string) error { return os.Mkdir(a[0], 0o755) },
	"rename":   func(a []string) error { return os.Rename(a[0], a[1]) },
	"link":     func(a []string) error { return os.Link(a[0], a[1]) },
	"symlink":  func(a []string) error { return os.Symlink(a[0], a[1]) },
	"exec":     func(a []string) error { return exec.Command(a[0], a[1:]...).Run() },
	"kill":     func(a []string) error { return syscall.Kill(number(a[0]), 0) },
	"attach":   func(a []string) error { return unix.PtraceSeize(number(a[0])) },
	"peek": func(a []string) error {
		var b [8]byte
		_, err := unix.ProcessVMReadv(number(a[0]), []unix.Iovec{{Base: &b[0], Len: 8}}, []unix.RemoteIovec{{Base: 0x400000, Len: 8}}, 0)
		if errors.Is(err, unix.EFAULT) { // it might look, and there is nothing at that address
			return nil
		}
		return err
	},
	"connect": func(a []string) error { return dial(unix.SOCK_STREAM, number(a[0])) },
	"send":    func(a []string) error { return dial(unix.SOCK_DGRAM, number(a[0])) },
	"bind": func(a []string) error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrInet4{Port: number(a[0]), Addr: [4]byte{127, 0, 0, 1}})
	},
	"unix": func(a []string) error {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		if err != nil {
			return err
		}
		return unix.Connect(fd, &unix.SockaddrUnix{Name: a[0]})
	},
	"terminal size": func(a []string) error {
		f, err := os.OpenFile(a[0], os.O_RDWR, 0)
		if err != nil {
			return err
		}
		_, err = unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
		return err
	},
}

func open(flags int) func([]string) error {
	return func(a []string) error {
		fd, err := unix.Open(a[0], flags|unix.O_CLOEXEC, 0)
		if err == nil {
			_ = unix.Close(fd)
		}
		return err
	}
}

func dial(kind, port int) error {
	fd, err := unix.Socket(unix.AF_INET, kind, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		walltest.Fail("%v", err)
	}
	return n
}

// tree is a user's files: ro, rw, work and other, with a file in each, a script, and links.
type tree struct {
	t    *testing.T
	user walltest.User
	root string
}

func grow(t *testing.T, u walltest.User) tree {
	w := tree{t, u, u.Dir(t)}
	for _, dir := range []string{"ro", "rw", "rw/sub", "work", "other"} {
		w.own(os.Mkdir(w.at(dir), 0o755), dir)
		w.own(os.WriteFile(w.at(dir, "file"), []byte("text\n"), 0o644), dir+"/file")
		w.own(os.WriteFile(w.at(dir, "script"), []byte("#!/bin/sh\nexit 0\n"), 0o755), dir+"/script")
	}
	for name, to := range map[string]string{"ro/out": "other/file", "link": "other"} {
		if err := os.Symlink(w.at(to), w.at(name)); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func (w tree) at(parts ...string) string { return filepath.Join(append([]string{w.root}, parts...)...) }

func (w tree) own(err error, name string) {
	if err == nil {
		err = os.Chown(w.at(name), w.user.UID(), -1)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// system is what any program needs to start.
var system = []string{"/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc/ld.so.cache"}

// rules are the ones that most tests use.
func (w tree) rules() Rules {
	return Rules{Read: []string{w.at("ro"), "/proc"}, Exec: system, Work: []string{w.at("work")}, Write: []string{w.at("rw")},
		Devices: []string{"/dev/null"}}
}

// step is an attempt and how it must end.
type step struct {
	want string
	do   []string
}

func does(want string, do ...string) step { return step{want, do} }

// expect runs the steps in one child of the user. Files are open descriptors that its rules name.
func expect(t *testing.T, u walltest.User, r Rules, files []string, steps ...step) {
	t.Helper()
	got := outcome(t, u, r, files, steps)
	if len(got) != len(steps) {
		t.Fatalf("%d answers to %d attempts: %q", len(got), len(steps), got)
	}
	for i, s := range steps {
		if got[i] != s.want {
			t.Errorf("%s: %s, not %s", strings.Join(s.do, " "), got[i], s.want)
		}
	}
}

func outcome(t *testing.T, u walltest.User, r Rules, files []string, steps []step) []string {
	t.Helper()
	o := order{Rules: r}
	for _, s := range steps {
		o.Steps = append(o.Steps, s.do)
	}
	b, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	out, state, err := u.Output("try", append([]string{string(b)}, files...)...)
	if err != nil || !state.Success() {
		t.Fatalf("%v %v: %s", err, state, out)
	}
	return strings.Split(strings.TrimSuffix(out, "\n"), "\n")
}

// has tells whether the kernel has what a test is about. Where it does not, the floor must refuse.
func has(t *testing.T, u walltest.User, abi int) bool {
	t.Helper()
	if ABI() >= abi {
		return true
	}
	got := outcome(t, u, Rules{Floor: abi, Read: []string{"/"}}, nil, []step{does("", "list", "/")})
	want := fmt.Sprintf("restrict: %v: %d, not %d", ErrFloor, ABI(), abi)
	if ABI() == 0 {
		want = "restrict: " + ErrUnsupported.Error()
	}
	if !slices.Equal(got, []string{want}) {
		t.Errorf("on a kernel without it: %q, not %q", got, want)
	}
	return false
}

func TestFilesOutsideTheRulesAreShut(t *testing.T) {
	walltest.Each(t, func(t *testing.T, u walltest.User) {
		if !has(t, u, ABITruncate) {
			return
		}
		w := grow(t, u)
		expect(t, u, w.rules(), nil,
			does("worked", "read", w.at("ro/file")), does("worked", "list", w.at("ro")), does("EACCES", "write", w.at("ro/file")),
			does("EACCES", "append", w.at("ro/file")),
			does("EACCES", "truncate", w.at("ro/file")), does("EACCES", "remove", w.at("ro/file")), does("EACCES", "write", w.at("ro/new")),
			does("EACCES", "exec", w.at("ro/script")), does("EACCES", "read", w.at("ro/out")),
			does("worked", "read", w.at("rw/file")), does("worked", "append", w.at("rw/file")), does("worked", "truncate", w.at("rw/file")),
			does("worked", "write", w.at("rw/new")),
			does("worked", "mkdir", w.at("rw/dir")), does("worked", "symlink", "file", w.at("rw/ln")),
			does("worked", "rename", w.at("rw/new"), w.at("rw/sub/new")),
			does("worked", "link", w.at("rw/sub/new"), w.at("rw/hard")), does("worked", "remove", w.at("rw/sub/new")),
			does("EACCES", "exec", w.at("rw/script")),
			does("worked", "read", w.at("work/file")), does("worked", "exec", w.at("work/script")), does("EACCES", "write", w.at("work/file")),
			does("EACCES", "read", w.at("other/file")), does("EACCES", "list", w.at("other")), does("EACCES", "write", w.at("other/file")),
			does("EACCES", "list", w.root),
			does("EACCES", "read", w.at("link/file")), does("EACCES", "symlink", "x", w.at("s")), does("worked", "exec", "/bin/true"),
			does("worked", "write", "/dev/null"),
			does("EACCES", "read", "/dev/zero"))
	})
}

// A file cannot be taken from where it may be read to where it may be written and run, nor linked out.
func TestAttack06_NothingIsCarriedOver(t *testing.T) {
	walltest.Each(t, func(t *testing.T, u walltest.User) {
		if !has(t, u, ABIRefer) {
			return
		}
		w := grow(t, u)
		expect(t, u, w.rules(), nil,
			does("EACCES", "rename", w.at("rw/file"), w.at("other/planted")), does("EACCES", "rename", w.at("other/file"), w.at("rw/stolen")),
			does("EXDEV", "link", w.at("ro/file"), w.at("rw/hard")), does("EACCES", "link", w.at("rw/file"), w.at("other/hard")),
			does("worked", "symlink", w.at("other/file"), w.at("rw/way")), does("EACCES", "read", w.at("rw/way")), does("EACCES", "write", w.at("rw/way")))
	})
}

func TestAttack07_NoHooksForOthersToRun(t *testing.T) {
	walltest.Each(t, func(t *testing.T, u walltest.User) {
		w := grow(t, u)
		expect(t, u, w.rules(), nil, does("EACCES", "write", w.at(".bashrc")), does("EACCES", "mkdir", w.at("work/.git")),
			does("EACCES", "write", w.at("work/Makefile")),
			does("EACCES", "write", w.at("other/script")), does("EACCES", "rename", w.at("rw"), w.at("elsewhere")))
	})
}

// Whoever can write beside an allowed folder could put a link in its place: then there is no run.
func TestALinkInTheWayOfAWorkingFolderRefuses(t *testing.T) {
	walltest.Each(t, func(t *testing.T, u walltest.User) {
		w := grow(t, u)
		for name, r := range map[string]Rules{
			"write": {Write: []string{w.at("link")}}, "work": {Work: []string{w.at("link")}}, "devices": {Devices: []string{w.at("link")}},
			"beneath": {Write: []string{w.at("link", "file")}}, "relative": {Read: []string{"proc"}}, "empty": {Write: []string{""}},
		} {
			got := outcome(t, u, r, nil, []step{does("", "list", "/")})
			if len(got) != 1 || !strings.HasPrefix(got[0], "restrict: "+ErrPath.Error()) {
				t.Errorf("%s: %q", name, got)
			}
		}
		r := w.rules()
		r.Read, r.Write = append(r.Read, w.at("link"), w.at("gone"), w.at("ro/file/beneath")), append(r.Write, w.at("gone"))
		expect(t, u, r, nil, does("worked", "read", w.at("other/file")), does("EACCES", "write", w.at("gone")))
	})
}

// A descriptor names a file wherever it lies, and that file only: a binary that was checked before.
func TestInodesAreAllowedByDescriptor(t *testing.T) {
	walltest.Each(t, func(t *testing.T, u walltest.User) {
		w := grow(t, u)
		expect(t, u, w.rules(), []string{w.at("other/script")}, does("worked", "exec", w.at("other/script")),
			does("worked", "read", w.at("other/script")),
			does("EACCES", "read", w.at("other/file")), does("EACCES", "write", w.at("other/script")))
		expect(t, u, w.rules(), []string{w.at("other")}, does("worked", "exec", w.at("other/script")), does("worked", "read", w.at("other/file")))
	})
}

// A kernel is asked for what its version has, and no more: it would refuse the whole.
func TestHandledByVersion(t *testing.T) {
	for abi, want := range map[int]Attributes{
		1: {Files: 0x1fff}, 2: {Files: 0x3fff}, 3: {Files: 0x7fff}, 4: {Files: 0x7fff, Net: 3}, 5: {Files: 0xffff, Net: 3},
		6: {Files: 0xffff, Net: 3, Scoped: 3}, 8: {Files: 0xffff, Net: 3, Scoped: 3}, 9: {Files: 0x1ffff, Net: 3, Scoped: 3},
		10: {Files: 0x1ffff, Net: 15, Scoped: 3}, 99: {Files: 0x1ffff, Net: 15, Scoped: 3},
	} {
		if got := Handled(abi, true); got != want {
			t.Errorf("ABI %d: %+v", abi, got)
		}
		want.Net = 0
		if got := Handled(abi, false); got != want {
			t.Errorf("ABI %d without the network: %+v", abi, got)
		}
	}
}

func TestAFloorAboveTheKernelRefuses(t *testing.T) {
	walltest.Each(t, func(t *testing.T, u walltest.User) { has(t, u, 1000) })
	if ABI() < 1 {
		t.Log("this kernel has no Landlock: that is what was asserted")
	}
}

// start runs a victim of the user until the test ends.
func start(t *testing.T, u walltest.User) string {
	t.Helper()
	c := u.Command("victim")
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close(); _ = c.Wait() })
	pid := strconv.Itoa(c.Process.Pid)
	for range 500 { // until it is itself: between fork and exec it has other rights
		if env, err := os.ReadFile("/proc/" + pid + "/environ"); err == nil && strings.Contains(string(env), "victim") {
			return pid
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the victim does not come up")
	return ""
}

// The rules let /proc be read; another process's part of it that holds secrets stays shut.
func TestAttack17_NoEnvironmentOfASibling(t *testing.T) {
	walltest.Each(t, func(t *testing.T, u walltest.User) {
		w, pid := grow(t, u), start(t, u)
		expect(t, u, w.rules(), nil, does("worked", "read", "/proc/self/environ"), does("worked", "read", "/proc/"+pid+"/stat"),
			does("EACCES", "read", "/proc/"+pid+"/environ"),
			does("EACCES", "follow", "/proc/"+pid+"/fd/0"), does("EACCES", "follow", "/proc/"+pid+"/cwd"), does("EACCES", "read", "/proc/"+pid+"/maps"))
	})
}

func TestAttack18_NoTracingOfASibling(t *testing.T) {
	walltest.Each(t, func(t *testing.T, u walltest.User) {
		w, pid := grow(t, u), start(t, u)
		expect(t, u, w.rules(), nil, does("EPERM", "attach", pid), does("EPERM", "peek", pid))
	})
}

// The test stands for the broker: even root's command cannot look into it.
func TestAttack19_NoBrokerMemory(t *testing.T) {
	walltest.Each(t, func(t *testing.T, u walltest.User) {
		w, pid := grow(t, u), strconv.Itoa(os.Getpid())
		expect(t, u, w.rules(), nil, does("EPERM", "attach", pid), does("EPERM", "peek", pid), does("EACCES", "read", "/proc/"+pid+"/mem"),
			does("EACCES", "read", "/proc/"+pid+"/environ"))
	})
}

func TestAttack28_NoSignalsToOthers(t *testing.T) {
	walltest.Each(t, func(t *testing.T, u walltest.User) {
		if !has(t, u, ABIScope) {
			return
		}
		w, pid := grow(t, u), start(t, u)
		expect(t, u, w.rules(), nil, does("EPERM", "kill", pid), does("EPERM", "kill", strconv.Itoa(os.Getpid())))
	})
}

func TestAttack15_NoAbstractSockets(t *testing.T) {
	name := fmt.Sprintf("@zavhoz-test-%d", os.Getpid())
	l, err := net.Listen("unix", name)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	walltest.Each(t, func(t *testing.T, u walltest.User) {
		if !has(t, u, ABIScope) {
			return
		}
		expect(t, u, grow(t, u).rules(), nil, does("EPERM", "unix", name))
	})
}

func TestAttack16_NoPathnameSockets(t *testing.T) {
	walltest.Each(t, func(t *testing.T, u walltest.User) {
		w := grow(t, u)
		l, err := net.Listen("unix", w.at("rw/socket"))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		w.own(os.Chmod(w.at("rw/socket"), 0o777), "rw/socket")
		if has(t, u, ABIUnix) {
			expect(t, u, w.rules(), nil, does("EACCES", "unix", w.at("rw/socket")))
			return
		}
		expect(t, u, w.rules(), nil, does("worked", "unix", w.at("rw/socket"))) // lost below ABI 9: the filter denies unix sockets there
	})
}

func TestAttack08_OnlyNamedPorts(t *testing.T) {
	port := func() string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	}
	good, bad := port(), port()
	walltest.Each(t, func(t *testing.T, u walltest.User) {
		if !has(t, u, ABINet) {
			return
		}
		r := grow(t, u).rules()
		expect(t, u, r, nil, does("worked", "connect", good), does("worked", "bind", "0"))
		r.DenyNet = true
		expect(t, u, r, nil, does("EACCES", "connect", good), does("EACCES", "bind", "0"), does("EACCES", "bind", "18099"))
		r.ConnectPorts, r.BindPorts = []uint16{uint16(number(good))}, []uint16{0}
		expect(t, u, r, nil, does("worked", "connect", good), does("EACCES", "connect", bad), does("worked", "bind", "0"),
			does("EACCES", "bind", "18099"))
		if has(t, u, ABIUDP) {
			expect(t, u, r, nil, does("worked", "send", good), does("EACCES", "send", bad))
			return
		}
		expect(t, u, r, nil, does("worked", "send", bad)) // lost below ABI 10: the filter denies datagram sockets there
	})
}

func TestDevicesAreDrivenWhereNamed(t *testing.T) {
	walltest.Each(t, func(t *testing.T, u walltest.User) {
		if !has(t, u, ABIDevices) {
			return
		}
		w := grow(t, u)
		r := w.rules()
		expect(t, u, r, nil, does("EACCES", "terminal size", "/dev/ptmx"))
		r.Write = append(r.Write, "/dev/ptmx") // to write is not to drive
		expect(t, u, r, nil, does("EACCES", "terminal size", "/dev/ptmx"))
		r.Devices = append(r.Devices, "/dev/ptmx", "/dev/pts")
		expect(t, u, r, nil, does("worked", "terminal size", "/dev/ptmx"))
	})
}
