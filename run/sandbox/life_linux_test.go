package sandbox_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zavhoz/zavhoz/run/sandbox"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

func serve(t *testing.T, l net.Listener, text string) {
	t.Helper()
	if l == nil {
		t.Fatal("no listener")
	}
	var wg sync.WaitGroup
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, text) })}
	wg.Go(func() { _ = srv.Serve(l) })
	t.Cleanup(func() { _ = srv.Close(); wg.Wait() })
}

// At basic what a command said last is heard though it had ended before anybody accepted the connection; and nothing is left to accept after that.
func TestTheLastWordsAreHeard(t *testing.T) {
	at(t, func(t *testing.T, b *sandbox.Box) {
		if b.Named() { // there the kernel's own listener ends with the box
			return
		}
		p, _ := start(t, b, sandbox.Spec{Argv: []string{"bash", "-c", "echo bye >/dev/tcp/127.0.0.1/3128"}, Listen: []sandbox.Listen{{Name: "egress", Addr: "127.0.0.1:3128"}}})
		if exit := p.Wait(); exit.Code != 0 {
			t.Fatalf("%+v", exit)
		}
		c, err := p.Listener("egress").Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if said, err := io.ReadAll(c); string(said) != "bye\n" || err != nil {
			t.Errorf("%q, %v", said, err)
		}
		if _, err := p.Listener("egress").Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("after the end: %v", err)
		}
	})
}

func TestListenersAreServedByTheDaemon(t *testing.T) {
	at(t, func(t *testing.T, b *sandbox.Box) {
		out := &sink{}
		listen := []sandbox.Listen{{Name: "egress", Addr: "127.0.0.1:3128"}, {Name: "other", Addr: "127.0.0.2:3129"}, {Name: "six", Addr: "[::1]:3130"}}
		if b.Named() {
			listen = append(listen, sandbox.Listen{Name: "low", Addr: "127.0.0.3:443"})
		}
		script := `for u in 127.0.0.1:3128 127.0.0.2:3129 "[::1]:3130"; do curl -sS -g "http://$u/"; done; curl -s 127.0.0.1:3129 || echo nobody; curl -s 127.0.0.3:443`
		p, err := b.Start(t.Context(), sandbox.Spec{Argv: []string{"sh", "-c", script}, Env: environment(b), Stdout: out, Stderr: out, Listen: listen})
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range listen {
			serve(t, p.Listener(l.Name), l.Name+"\n")
		}
		if p.Listener("none") != nil {
			t.Error("a listener nobody asked for")
		}
		if err := p.Run(); err != nil {
			t.Fatal(err)
		}
		p.Wait()
		want := "egress\nother\nsix\nnobody\n"
		if b.Named() {
			want += "low\n"
		}
		if out.String() != want {
			t.Errorf("got %q, want %q", out, want)
		}
		twice := []sandbox.Listen{{Name: "x", Addr: "127.0.0.1:81"}, {Name: "x", Addr: "127.0.0.1:82"}}
		if _, err := b.Start(t.Context(), sandbox.Spec{Argv: []string{"true"}, Env: environment(b), Listen: twice}); fault.CodeOf(err) != fault.InvalidArgument {
			t.Errorf("two of a name: %v", err)
		}
		for _, bad := range []string{"192.0.2.1:80", "0.0.0.0:80", "127.0.0.1:0", "localhost:80", "[::ffff:127.0.0.1]:80", "127.0.0.1"} {
			if _, err := b.Start(t.Context(), sandbox.Spec{Argv: []string{"true"}, Env: environment(b), Listen: []sandbox.Listen{{Name: "x", Addr: bad}}}); err == nil {
				t.Errorf("listens at %s", bad)
			}
		}
	})
}

func TestTerminals(t *testing.T) {
	at(t, func(t *testing.T, b *sandbox.Box) {
		p, err := b.Start(t.Context(), sandbox.Spec{Argv: []string{"sh", "-c", "test -t 0 && test -t 1 && test -t 2 && tty; stty size; read x; echo \"got $x\"; stty size; trap 'echo interrupted; exit 4' INT; echo waiting; while :; do sleep 0.01; done"},
			Env: environment(b), Terminal: &sandbox.Terminal{Rows: 33, Cols: 99}})
		if err != nil {
			t.Fatal(err)
		}
		tty, resize := p.Terminal()
		if tty == nil {
			t.Fatal("no terminal")
		}
		out := &sink{}
		var wg sync.WaitGroup
		wg.Go(func() { _, _ = io.Copy(out, tty) })
		if err := p.Run(); err != nil {
			t.Fatal(err)
		}
		out.await(t, "33 99")
		resize(44, 111)
		_, _ = tty.WriteString("typed\n")
		out.await(t, "got typed")
		out.await(t, "44 111")
		out.await(t, "waiting")
		_, _ = tty.WriteString("\x03")
		if exit := p.Wait(); exit.Code != 4 {
			t.Errorf("%+v\n%s", exit, out)
		}
		wg.Wait()
		if !strings.HasPrefix(out.String(), "/dev/pts/") {
			t.Errorf("got %q", out)
		}
	})
}

// launcherPID finds our launcher.
func launcherPID(t *testing.T) int {
	t.Helper()
	list, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list {
		line, _ := os.ReadFile(p)
		stat, _ := os.ReadFile(filepath.Join(filepath.Dir(p), "stat"))
		_, rest, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(rest)
		if string(line) == "zavhoz-launcher\x00" && len(fields) > 1 && fields[1] == strconv.Itoa(os.Getpid()) && fields[0] != "Z" {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(p)))
			return pid
		}
	}
	t.Fatal("no launcher")
	return 0
}

func TestALauncherThatDiesTakesItsBoxesAndIsReplaced(t *testing.T) {
	at(t, func(t *testing.T, b *sandbox.Box) {
		out := &sink{}
		p, err := b.Start(t.Context(), sandbox.Spec{Argv: []string{"sh", "-c", "setsid sleep 1000 & echo up; sleep 1000"}, Env: environment(b), Stdout: out})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Run(); err != nil {
			t.Fatal(err)
		}
		out.await(t, "up")
		if err := syscall.Kill(launcherPID(t), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if exit := p.Wait(); exit.Code != 137 || exit.PipesCut {
			t.Errorf("%+v", exit)
		}
		if out, exit := shell(t, b, "echo again", nil); out != "again\n" || exit.Code != 0 {
			t.Errorf("%q %+v", out, exit)
		}
	})
}

func TestTheLauncherIsNoCommandOfAnybody(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	mine, yours := os.NewFile(uintptr(fds[0]), "pair"), os.NewFile(uintptr(fds[1]), "pair")
	defer mine.Close()
	defer yours.Close()
	for name, files := range map[string][]*os.File{"without a socket": nil, "a file": {os.Stdin}} {
		c := exec.Command(program)
		c.Args, c.Env, c.ExtraFiles = []string{"zavhoz-launcher"}, []string{}, files
		if err := c.Run(); err == nil || c.ProcessState.ExitCode() != 125 {
			t.Errorf("%s: %v", name, err)
		}
	}
	// a pair that somebody else than its parent made
	c := exec.Command("/bin/sh", "-c", `exec 4<&-; perl -e 'exec {$ARGV[0]} "zavhoz-launcher"' `+program+`; exit $?`)
	c.ExtraFiles = []*os.File{yours}
	if err := c.Run(); err == nil || c.ProcessState.ExitCode() != 125 {
		t.Errorf("another's socket: %v", err)
	}
}

func TestManyBoxesAtOnce(t *testing.T) {
	both(t, func(t *testing.T) {
		s := newSandbox(t, sandbox.Options{})
		var wg sync.WaitGroup
		for i := range 20 {
			level := []policy.Level{policy.LevelBasic, policy.LevelSealed}[i%2]
			wg.Go(func() {
				b, err := s.Open(t.Context(), sandbox.BoxOptions{Level: level})
				if err != nil {
					t.Error(err)
					return
				}
				out := &sink{}
				p, err := b.Start(t.Context(), sandbox.Spec{Argv: []string{"sh", "-c", fmt.Sprintf("echo %d >mine; sleep 0.05; cat mine", i)}, Env: environment(b), Stdout: out, Stderr: out})
				if err == nil {
					err = p.Run()
				}
				if err != nil {
					t.Error(err)
					return
				}
				if exit := p.Wait(); exit.Code != 0 || out.String() != fmt.Sprintln(i) {
					t.Errorf("%+v %q", exit, out)
				}
				if err := b.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
}

// descendants lists whom we have, and theirs.
func descendants(t *testing.T) (list []string) {
	t.Helper()
	var walk func(pid string)
	walk = func(pid string) {
		tasks, _ := filepath.Glob("/proc/" + pid + "/task/*/children")
		for _, f := range tasks {
			b, _ := os.ReadFile(f)
			for _, c := range strings.Fields(string(b)) {
				list = append(list, c)
				walk(c)
			}
		}
	}
	walk("self")
	return list
}

func TestNothingIsLeft(t *testing.T) {
	both(t, func(t *testing.T) {
		temp := t.TempDir()
		passable(t, temp)
		mounts := func() string { b, _ := os.ReadFile("/proc/self/mountinfo"); return string(b) }
		fds := func() int { l, _ := os.ReadDir("/proc/self/fd"); return len(l) }
		s := newSandbox(t, sandbox.Options{TempDir: temp})
		dir := folder(t)
		round := func() {
			for _, level := range []policy.Level{policy.LevelBasic, policy.LevelSealed} {
				b := newBox(t, s, level)
				edit := func(*sandbox.Spec) {}
				if b.Named() {
					edit = in(dir, sandbox.Overlay)
				}
				p, out := start(t, b, func() sandbox.Spec {
					spec := sandbox.Spec{Argv: []string{"sh", "-c", "touch x; (setsid sh -c 'sleep 1000' &); echo up; sleep 1000"}, Listen: []sandbox.Listen{{Name: "a", Addr: "127.0.0.1:3128"}}}
					edit(&spec)
					return spec
				}())
				out.await(t, "up")
				if err := b.Close(); err != nil {
					t.Error(err)
				}
				if _, err := b.Start(t.Context(), sandbox.Spec{Argv: []string{"true"}}); !errors.Is(err, sandbox.ErrClosed) {
					t.Errorf("a closed box: %v", err)
				}
				p.Wait()
			}
		}
		round()
		before, open := mounts(), fds()
		round()
		if got := descendants(t); len(got) > 3 { // the launcher, the one that forks for it, and its spare
			t.Errorf("descendants: %v", got)
		}
		if mounts() != before {
			t.Error("mounts are left")
		}
		if n := fds(); n > open {
			t.Errorf("%d descriptors, %d before", n, open)
		}
		if left, _ := filepath.Glob(temp + "/*/*"); len(left) != 0 {
			t.Errorf("files are left: %v", left)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if left, _ := os.ReadDir(temp); len(left) != 0 {
			t.Errorf("files are left: %v", left)
		}
		if got := descendants(t); len(got) != 0 {
			t.Errorf("after Close: %v", got)
		}
	})
}

func init() {
	children["outside:daemon"] = func(args []string) { // a daemon that is killed
		s, err := sandbox.New(sandbox.Options{})
		if err != nil {
			fmt.Println(err)
			return
		}
		b, err := s.Open(backgroundContext(), sandbox.BoxOptions{Level: policy.Level(args[0])})
		if err != nil {
			fmt.Println(err)
			return
		}
		p, err := b.Start(backgroundContext(), sandbox.Spec{Argv: []string{"sh", "-c", "setsid sleep 1000 & sleep 1000"}, Env: environment(b), Stdout: os.Stdout, Stderr: os.Stderr})
		if err == nil {
			err = p.Run()
		}
		fmt.Println("started", err)
		time.Sleep(time.Hour)
	}
}

// The box ends with the daemon: end of file on a pipe that only the box still holds.
func TestBoxesDieWithTheDaemon(t *testing.T) {
	at(t, func(t *testing.T, b *sandbox.Box) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		daemon := exec.Command(program, "outside:daemon", string(b.Level()))
		daemon.Stdout, daemon.Stderr = w, w
		temp := t.TempDir()
		passable(t, temp)
		daemon.Env = []string{"TMPDIR=" + temp}
		if err := daemon.Start(); err != nil {
			t.Fatal(err)
		}
		_ = w.Close()
		in := bufio.NewReader(r)
		if line, _ := in.ReadString('\n'); line != "started <nil>\n" {
			t.Error(line)
		}
		_ = daemon.Process.Kill()
		_ = daemon.Wait()
		_ = r.SetReadDeadline(time.Now().Add(seconds))
		if rest, err := io.ReadAll(in); err != nil || len(rest) > 0 {
			t.Errorf("%q %v", rest, err)
		}
		if left, _ := filepath.Glob(temp + "/*/*"); !b.Named() && len(left) != 1 {
			t.Errorf("a killed daemon cleaned up: %v", left)
		}
		next, err := sandbox.New(sandbox.Options{TempDir: temp})
		if err != nil {
			t.Fatal(err)
		}
		if err := next.Close(); err != nil { // it waits for the sweep
			t.Error(err)
		}
		if left, _ := os.ReadDir(temp); len(left) != 0 {
			t.Errorf("the next daemon left %v", left)
		}
	})
}
