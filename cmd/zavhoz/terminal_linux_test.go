package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is a pseudo-terminal with a shell on it, and the test as the person before it.
type terminal struct {
	t     testing.TB
	front *os.File
	more  chan struct{}
	mu    sync.Mutex
	seen  strings.Builder
	read  int // how much of seen has been expected
}

// sit opens a terminal with a shell in a session of its own.
func (p *place) sit() *terminal {
	p.t.Helper()
	front, back := openPTY(p.t)
	sh := exec.Command("/bin/sh")
	sh.Env = append(p.env, "PS1=> ", "ENV=", "TERM=dumb")
	sh.Stdin, sh.Stdout, sh.Stderr = back, back, back
	sh.Dir = filepath.Dir(p.dir.Path())
	sh.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := sh.Start(); err != nil {
		p.t.Fatal(err)
	}
	back.Close()
	tm := &terminal{t: p.t, front: front, more: make(chan struct{}, 1)}
	go tm.watch()
	p.t.Cleanup(func() {
		_ = sh.Process.Kill()
		_ = sh.Wait()
		front.Close()
	})
	tm.expect("> ")
	return tm
}

// openPTY makes a pseudo-terminal: the person's side and the program's.
func openPTY(t testing.TB) (front, back *os.File) {
	t.Helper()
	front, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	var n int
	raw, err := front.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if cerr := raw.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			n, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	}); cerr != nil || err != nil {
		t.Fatal(cerr, err)
	}
	back, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return front, back
}

func (tm *terminal) watch() {
	for b := make([]byte, 4096); ; {
		n, err := tm.front.Read(b)
		tm.mu.Lock()
		tm.seen.Write(b[:n])
		tm.mu.Unlock()
		select {
		case tm.more <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// types sends a line as a person does.
func (tm *terminal) types(line string) { tm.press(line + "\n") }

// press sends keys.
func (tm *terminal) press(keys string) {
	tm.t.Helper()
	if _, err := tm.front.WriteString(keys); err != nil {
		tm.t.Fatal(err)
	}
}

// expect waits until the screen shows a text beyond what was expected before, and gives all that came until then.
func (tm *terminal) expect(text string) string {
	tm.t.Helper()
	timeout := time.After(patience)
	for {
		tm.mu.Lock()
		fresh := tm.seen.String()[tm.read:]
		i := strings.Index(fresh, text)
		if i >= 0 {
			tm.read += i + len(text)
		}
		tm.mu.Unlock()
		if i >= 0 {
			return fresh[:i]
		}
		select {
		case <-tm.more:
		case <-timeout:
			tm.t.Fatalf("the terminal does not show %q:\n%q", text, fresh)
		}
	}
}

// do types a command and gives what it showed until the prompt came back, with its exit code.
func (tm *terminal) do(command string) (shown string, code int) {
	tm.t.Helper()
	tm.types(command + "; echo \"[exit $?]\"")
	tm.expect("\n") // its own echo
	shown = tm.expect("[exit ")
	if _, err := fmt.Sscanf(tm.expect("]"), "%d", &code); err != nil {
		tm.t.Fatal(err)
	}
	tm.expect("> ")
	return shown, code
}

// never fails the test where the screen has shown a text at any time.
func (tm *terminal) never(text string) {
	tm.t.Helper()
	tm.mu.Lock()
	defer tm.mu.Unlock()
	if strings.Contains(tm.seen.String(), text) {
		tm.t.Fatalf("the terminal showed %q:\n%s", text, tm.seen.String())
	}
}
