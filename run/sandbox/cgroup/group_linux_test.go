package cgroup

import (
	"bufio"
	"errors"
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

	"github.com/zavhoz/zavhoz/run/sandbox/walltest"
)

func TestMain(m *testing.M) {
	walltest.Main(m, walltest.Children{
		"available": func([]string) {
			ok, reason := Available()
			g, err := New("test-mine", Limits{})
			if err == nil {
				err = g.Close()
			}
			fmt.Println(ok, errors.Is(err, ErrUnavailable), reason)
		},
		"abandon": func([]string) { // as a daemon that is killed
			g, err := New("test-abandoned", Limits{})
			if err != nil {
				walltest.Fail("%v", err)
			}
			c := exec.Command("/bin/sleep", "1000")
			c.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: g.FD(), Setsid: true}
			if err := c.Start(); err != nil {
				walltest.Fail("%v", err)
			}
			fmt.Println(c.Process.Pid)
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		},
		"eat": func([]string) { // memory, until it is stopped
			var all [][]byte
			for range 128 {
				b := make([]byte, 1<<20)
				for i := 0; i < len(b); i += 4096 {
					b[i] = 1
				}
				all = append(all, b)
			}
			fmt.Println("full", len(all))
		},
	})
}

// group makes one where this machine has them; where not it asserts the refusal.
func group(t *testing.T, name string, l Limits) *Group {
	t.Helper()
	g, err := New(name, l)
	if ok, reason := Available(); !ok {
		if !errors.Is(err, ErrUnavailable) || reason == "" {
			t.Errorf("not available (%s), and New says %v", reason, err)
		}
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(g.dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the group is still there: %v", err)
		}
	})
	return g
}

// born starts a command as a member of the group.
func born(t *testing.T, g *Group, as *syscall.SysProcAttr, script string) (*exec.Cmd, io.Reader) {
	t.Helper()
	c := exec.Command("/bin/sh", "-c", script)
	c.SysProcAttr = as
	c.SysProcAttr.UseCgroupFD, c.SysProcAttr.CgroupFD, c.SysProcAttr.Setsid = true, g.FD(), true
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c, out
}

// gone tells that a process has ended: it is no more, or nobody has collected it yet.
func gone(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return true
	}
	after := string(stat[strings.LastIndexByte(string(stat), ')')+1:])
	return strings.HasPrefix(after, " Z") || strings.HasPrefix(after, " X")
}

// A descendant with a session and a parent of its own ends with the group.
func TestAttack33_NobodyOutlivesTheGroup(t *testing.T) {
	walltest.Each(t, func(t *testing.T, u walltest.User) {
		g := group(t, "test-outlive-"+u.Name, Limits{})
		if g == nil {
			return
		}
		c, out := born(t, g, u.Attributes(), `setsid sh -c 'setsid sleep 1000 & echo $!; sleep 1000' & echo $!; sleep 1000`)
		lines := bufio.NewReader(out)
		pids := []int{c.Process.Pid}
		for range 2 {
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			pid, err := strconv.Atoi(strings.TrimSpace(line))
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
		members, err := g.processes()
		if err != nil || len(members) < len(pids) {
			t.Errorf("members %v of %v, %v", members, pids, err)
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
		_ = c.Wait()
		for _, pid := range pids {
			if !gone(pid) {
				t.Errorf("%d lives", pid)
			}
		}
	})
}

// Kernels before 5.14 have no cgroup.kill.
func TestKillingOneByOne(t *testing.T) {
	g := group(t, "test-each", Limits{})
	if g == nil {
		return
	}
	c, out := born(t, g, &syscall.SysProcAttr{}, `sleep 1000 & sleep 1000 & echo up; wait`)
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "up\n" {
		t.Fatal(line, err)
	}
	if err := g.killEach(); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err == nil {
		t.Error("it ended by itself")
	}
	for end := time.Now().Add(20 * time.Second); g.left() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d are left", g.left())
		}
	}
}

func TestAddAndNestedGroups(t *testing.T) {
	g := group(t, "test-add", Limits{})
	if g == nil {
		return
	}
	c := exec.Command("/bin/sleep", "1000")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if err := g.Add(c.Process.Pid); err != nil {
		t.Error(err)
	}
	if err := g.Add(1 << 30); err == nil {
		t.Error("a process that is not there was added")
	}
	if err := os.MkdirAll(filepath.Join(g.dir, "a/b"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := g.Kill(); err != nil {
		t.Error(err)
	}
	if err := c.Wait(); err == nil {
		t.Error("it was not killed")
	}
	if _, err := New("test-add", Limits{}); err == nil {
		t.Error("the same name twice")
	}
}

// What a killed daemon left behind is ended by the next one; what a living one holds is not.
func TestSweepEndsWhatWasLeftBehind(t *testing.T) {
	g := group(t, "test-living", Limits{})
	if g == nil {
		return
	}
	walltest.Each(t, func(t *testing.T, u walltest.User) {
		if !u.Root() && os.Getuid() == 0 {
			return // an ordinary user makes no groups here: see TestAnOrdinaryUserIsToldWhy
		}
		out, state, err := u.Output("abandon")
		pid, aerr := strconv.Atoi(strings.TrimSpace(out))
		if err != nil || aerr != nil || walltest.Signal(state) != syscall.SIGKILL {
			t.Fatalf("%v %v: %s", err, state, out)
		}
		left := filepath.Join(filepath.Dir(g.dir), prefix+"test-abandoned")
		if _, err := os.Stat(left); err != nil || gone(pid) {
			t.Fatalf("nothing was left: %v", err)
		}
		if err := Sweep(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) || !gone(pid) {
			t.Errorf("it was not ended: %v", err)
		}
		if _, err := os.Stat(g.dir); err != nil {
			t.Errorf("a living one's group: %v", err)
		}
	})
}

// Where the kernel takes a limit it holds; where it has no such controller, Holds says so.
// Another daemon begins while this one makes groups: none is lost to its sweep.
func TestASweepTakesNoGroupThatIsBeingMade(t *testing.T) {
	if group(t, "test-first", Limits{}) == nil {
		return // it told why
	}
	over := make(chan struct{})
	swept := make(chan error, 1)
	go func() {
		for {
			select {
			case <-over:
				swept <- nil
				return
			default:
			}
			if err := Sweep(); err != nil {
				swept <- err
				return
			}
		}
	}()
	for i := range 200 {
		g, err := New("test-made-"+strconv.Itoa(i), Limits{})
		if err != nil {
			t.Error(err)
			break
		}
		if _, err := os.Stat(g.dir); err != nil {
			t.Error(err)
		}
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	}
	close(over)
	if err := <-swept; err != nil {
		t.Error(err)
	}
}

func TestLimitsHoldWhereTheyAreSaidTo(t *testing.T) {
	g := group(t, "test-limits", Limits{MemoryBytes: 64 << 20, Processes: 20, CPUPercent: 50})
	if g == nil {
		return
	}
	t.Logf("%+v", g.Holds())
	for file, held := range map[string]bool{"memory.max": g.held.Memory, "pids.max": g.held.Processes, "cpu.max": g.held.CPU} {
		b, err := os.ReadFile(filepath.Join(g.dir, file))
		if held != (err == nil) {
			t.Errorf("%s: held %v, %v", file, held, err)
		}
		if want := map[string]string{"memory.max": "67108864\n", "pids.max": "20\n", "cpu.max": "50000 100000\n"}[file]; held && string(b) != want {
			t.Errorf("%s: %s", file, b)
		}
	}
	walltest.Each(t, func(t *testing.T, u walltest.User) {
		c := u.Command("eat")
		c.SysProcAttr.UseCgroupFD, c.SysProcAttr.CgroupFD = true, g.FD()
		out, _ := c.Output()
		if full := string(out) == "full 128\n"; full == g.held.Memory {
			t.Errorf("memory held %v, and the eater said %q (%v)", g.held.Memory, out, c.ProcessState)
		}
	})
}

func TestAnOrdinaryUserIsToldWhy(t *testing.T) {
	walltest.Each(t, func(t *testing.T, u walltest.User) {
		out, state, err := u.Output("available")
		if err != nil || !state.Success() {
			t.Fatalf("%v %v: %s", err, state, out)
		}
		switch f := strings.SplitN(strings.TrimSpace(out), " ", 3); {
		case f[0] == "true" && f[1] == "false" && len(f) == 2:
		case f[0] == "false" && f[1] == "true" && len(f) == 3 && strings.HasPrefix(f[2], ErrUnavailable.Error()):
		default:
			t.Errorf("%q", out)
		}
	})
}
