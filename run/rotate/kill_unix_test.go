//go:build unix

package rotate

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/zavhoz/zavhoz/run/ssh/sshtest"
)

// Names by which the process that is killed learns what it is to do.
const (
	envDir   = "ZAVHOZ_TEST_ROTATE_DIR"
	envPoint = "ZAVHOZ_TEST_ROTATE_POINT"
	envKeys  = "ZAVHOZ_TEST_ROTATE_KEYS"
)

// TestMain is also the process that is killed: it rotates vps in the vault of another, and ends itself by SIGKILL at a point.
func TestMain(m *testing.M) {
	if dir := os.Getenv(envDir); dir != "" {
		os.Exit(dieAt(dir, os.Getenv(envPoint), os.Getenv(envKeys)))
	}
	os.Exit(m.Run())
}

// dying is a house without a test.
type dying struct{ testing.TB }

// Helper is nothing.
func (dying) Helper() {}

// Fatal ends the process.
func (dying) Fatal(args ...any) {
	println("failed")
	os.Exit(3)
}

func dieAt(dir, point, keys string) int {
	h := houseIn(dying{}, dir)
	h.r.at = func(p string) {
		if p == point {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	ctx := context.Background()
	_, x, err := h.Vault.Rotation(ctx, "vps")
	switch {
	case err != nil:
	case x != nil:
		_, err = h.r.Resume(ctx, operator, "vps")
	default:
		_, err = h.r.Start(ctx, operator, "vps", Request{AuthorizedKeys: keys})
	}
	if err != nil {
		println("failed")
		return 4
	}
	return 0
}

// One exchange, killed at every point in turn and brought on by the next process: after each kill the resource's key is let in, and at the end the new one alone.
func TestAProcessIsKilledAtEachStep(t *testing.T) {
	s, h := sshtest.Start(t, sshtest.Options{}), newHouse(t)
	h.addServer(s)
	old := h.value("vps", "ssh_key")
	for _, point := range append(append([]string{"begin"}, sshPoints...), "nowhere") {
		h.Leave()
		c := exec.Command(os.Args[0])
		c.Env = append(os.Environ(), envDir+"="+h.dir, envPoint+"="+point, envKeys+"="+s.AuthorizedKeys())
		out, err := c.CombinedOutput()
		var exit *exec.ExitError
		killed := errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
		if killed != (point != "nowhere") || !killed && err != nil {
			t.Fatalf("at %s: %v\n%s", point, err, out)
		}
		h.enter()
		if !letsIn(t, s, h.value("vps", "ssh_key")) {
			t.Fatalf("killed at %s, and what the resource has is not let in", point)
		}
		if strings.Contains(string(out), "PRIVATE KEY") {
			t.Errorf("at %s a key was printed", point)
		}
	}
	if fresh := h.value("vps", "ssh_key"); fresh == old || letsIn(t, s, old) || h.rotation("vps") != nil {
		t.Error("not the new key alone is let in at the end")
	}
	must(t, h.Vault.Verify(t.Context()))
}
