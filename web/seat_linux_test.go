package web_test

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/zavhoz/zavhoz/web"
)

func yes() bool { return true }

// A process without a terminal sits nowhere; nor does one that is gone, or that never was. Its name does not move the fields of /proc.
func TestWhoHasNoTerminalSitsNowhere(t *testing.T) {
	cmd := exec.Command("/bin/sh", "-c", "exec -a 'x) R 1 1 1 34816' sleep 600 2>/dev/null || exec sleep 600")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	must(t, cmd.Start())
	if web.HasSeat(web.Peer{UID: os.Getuid(), PID: cmd.Process.Pid, Same: yes}) {
		t.Error("a process without a terminal has a seat")
	}
	must(t, cmd.Process.Kill())
	_ = cmd.Wait()
	for _, pid := range []int{cmd.Process.Pid, 0, -1, 1 << 30} {
		if web.HasSeat(web.Peer{UID: os.Getuid(), PID: pid, Same: yes}) {
			t.Errorf("process %d has a seat", pid)
		}
	}
}

// FuzzStat: whatever a process is called, the fields are read after its name.
func FuzzStat(f *testing.F) {
	f.Add("sh")
	f.Add(") R 1 1 1 34816 1 (")
	for _, foul := range []string{"", "42", "42 (sh)", "42 (sh) S 7 42"} {
		if _, _, _, _, ok := web.ParseStat([]byte(foul)); ok {
			f.Errorf("%q was read", foul)
		}
	}
	f.Fuzz(func(t *testing.T, name string) {
		parent, session, tty, start, ok := web.ParseStat([]byte("42 (" + name + ") S 7 42 41 34816 42 4194304 1 2 3 4 5 6 7 8 20 0 1 0 123456 1000 100\n"))
		if !ok || parent != 7 || session != 41 || tty != 34816 || start != 123456 {
			t.Errorf("%q: %d %d %d %d %t", name, parent, session, tty, start, ok)
		}
	})
}
