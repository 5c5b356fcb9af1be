package process_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zavhoz/zavhoz/run/process"
)

func init() {
	children["child:tty"] = func([]string) {
		_, err := os.Open("/dev/tty")
		sid, _ := unix.Getsid(0)
		fmt.Println(err != nil, sid == os.Getpid(), unix.Getpgrp() == os.Getpid())
	}
	children["child:core"] = func([]string) {
		var l unix.Rlimit
		_ = unix.Getrlimit(unix.RLIMIT_CORE, &l)
		fmt.Println(l.Cur, l.Max)
	}
	children["child:escape"] = func([]string) { // a grandchild in a session of its own that keeps our output open
		c := exec.Command("/bin/sleep", "1000")
		c.Stdout, c.SysProcAttr = os.Stdout, &syscall.SysProcAttr{Setsid: true}
		if err := c.Start(); err != nil {
			fmt.Println(err)
		}
		fmt.Println(c.Process.Pid)
	}
	children["child:daemon"] = func([]string) { // starts a long command as the daemon would, and is then killed
		p, err := process.Start(process.Spec{Path: "/bin/sleep", Argv: []string{"sleep", "1000"}, Stdout: os.Stdout, Stderr: os.Stderr})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("started")
		p.Wait()
	}
}

func run(t *testing.T, mode string, edit func(*process.Spec)) (string, process.Exit) {
	t.Helper()
	out := newSink("")
	spec := process.Spec{Path: self(t), Argv: []string{"self", mode}, Stdout: out, Stderr: out, WaitDelay: 50 * time.Millisecond}
	if edit != nil {
		edit(&spec)
	}
	exit := start(t, spec).Wait()
	return out.String(), exit
}

// descriptors lists what a command holds, a line each: "3 -> /path".
func descriptors(t *testing.T, edit func(*process.Spec)) string {
	t.Helper()
	out, _ := run(t, "", func(s *process.Spec) {
		s.Path, s.Argv = "/bin/sh", []string{"sh", "-c", `ls -l /proc/self/fd | sed 's/.* \([0-9]* -> \)/\1/'`}
		s.Env = []string{"PATH=/usr/bin:/bin"}
		if edit != nil {
			edit(s)
		}
	})
	return out
}

// A descriptor that whoever started the daemon left open (no close-on-exec) does not reach the command; what it is meant to have does.
func TestAttack26_NoInheritedDescriptors(t *testing.T) {
	leak := filepath.Join(t.TempDir(), "leak")
	fd, err := unix.Open(leak, unix.O_CREAT|unix.O_RDWR, 0o600) // without O_CLOEXEC
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	given, err := os.Create(filepath.Join(t.TempDir(), "given"))
	if err != nil {
		t.Fatal(err)
	}
	defer given.Close()
	out := descriptors(t, func(s *process.Spec) { s.Files = []*os.File{given} })
	for line := range strings.Lines(out) {
		fd, link, _ := strings.Cut(strings.TrimSpace(line), " -> ")
		n, _ := strconv.Atoi(fd)
		if ok := n < 3 || n == 3 && link == given.Name() || strings.HasPrefix(link, "/proc/"); !ok { // ls itself reads /proc
			t.Errorf("descriptor %d → %s", n, link)
		}
	}
	if !strings.Contains(out, "3 -> "+given.Name()) {
		t.Errorf("the given file is missing:\n%s", out)
	}
}

// The standard input is the null device or what was given, never the daemon's own.
func TestAttack61_StandardInputIsItsOwn(t *testing.T) {
	out := descriptors(t, nil)
	if !strings.Contains(out, "0 -> /dev/null\n") {
		t.Errorf("stdin without input:\n%s", out)
	}
	out = descriptors(t, func(s *process.Spec) { s.Input = []byte{} })
	if !strings.Contains(out, "0 -> pipe:") {
		t.Errorf("stdin with empty input:\n%s", out)
	}
}

func TestAttack27_NoTerminal(t *testing.T) {
	if out, _ := run(t, "child:tty", nil); out != "true true true\n" {
		t.Errorf("no tty, session leader, group leader: %s", out)
	}
}

func TestAttack24_NoCoreFiles(t *testing.T) {
	if out, _ := run(t, "child:core", nil); out != "1 1\n" {
		t.Errorf("core limit %q", out)
	}
}

// A grandchild that left the group keeps the pipe: the run ends all the same and says so.
func TestAttack33_AHeldPipeCannotHangTheRun(t *testing.T) {
	out, exit := run(t, "child:escape", nil)
	pid, err := strconv.Atoi(strings.TrimSpace(out))
	if err != nil {
		t.Fatal(out)
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
	if !exit.PipesCut || exit.Code != 0 {
		t.Errorf("%+v", exit)
	}
}

// The command dies with the daemon: end of file on a pipe that only it still holds.
func TestTheCommandDiesWithTheDaemon(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	daemon := exec.Command(self(t), "child:daemon")
	daemon.Stdout, daemon.Stderr = w, w
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	in := bufio.NewReader(r)
	if line, _ := in.ReadString('\n'); line != "started\n" {
		t.Fatal(line)
	}
	_ = daemon.Process.Kill()
	_ = daemon.Wait()
	if rest, err := io.ReadAll(in); err != nil || len(rest) > 0 {
		t.Errorf("%q %v", rest, err)
	}
}
