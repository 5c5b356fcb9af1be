package walltest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// Nobody is the uid and gid of the ordinary user where the test is root's.
const Nobody = 65534

// which names the child that this process is.
const which = "ZAVHOZ_WALLTEST"

// Children are what the test binary does when it was started again: by name, with the arguments of Command.
type Children map[string]func(args []string)

// Main takes the place of testing.M's Run in TestMain.
func Main(m *testing.M, children Children) {
	if do, ok := children[os.Getenv(which)]; ok {
		do(os.Args[1:])
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// User is whom a child runs as.
type User struct {
	Name string // "root" or "ordinary"
	uid  int    // -1: as the test itself
}

// Root tells whether it is root.
func (u User) Root() bool { return u.Name == "root" }

// UID is the child's user id.
func (u User) UID() int {
	if u.uid < 0 {
		return os.Getuid()
	}
	return u.uid
}

// Each runs a test as every user that this test may become.
func Each(t *testing.T, test func(*testing.T, User)) {
	t.Helper()
	users := []User{{"ordinary", -1}}
	if os.Getuid() == 0 {
		users = []User{{"root", -1}, {"ordinary", Nobody}}
	}
	for _, u := range users {
		t.Run(u.Name, func(t *testing.T) { test(t, u) })
	}
}

// Command is a child, not yet started. It dies with the thread that starts it.
func (u User) Command(child string, args ...string) *exec.Cmd {
	c := exec.Command("/proc/self/exe", args...)
	c.Env = append(os.Environ(), which+"="+child, "GORACE=atexit_sleep_ms=0")
	c.Dir = "/"
	c.SysProcAttr = u.Attributes()
	return c
}

// Attributes make any command one of this user.
func (u User) Attributes() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{}
	if u.uid >= 0 {
		a.Credential = &syscall.Credential{Uid: uint32(u.uid), Gid: uint32(u.uid)}
	}
	return a
}

// Output runs a child to its end: what it printed, and how it ended.
func (u User) Output(child string, args ...string) (string, *os.ProcessState, error) {
	c := u.Command(child, args...)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	if _, ended := err.(*exec.ExitError); ended {
		err = nil
	}
	return out.String(), c.ProcessState, err
}

// Dir is a new folder that the user owns and that others may pass through, gone with the test.
func (u User) Dir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "zvw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if u.uid >= 0 {
		if err := os.Chown(dir, u.uid, u.uid); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Signal is the signal that ended the process, -1 where none did.
func Signal(s *os.ProcessState) syscall.Signal {
	if ws, ok := s.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return ws.Signal()
	}
	return -1
}

// Fail ends a child with a message.
func Fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(99)
}
