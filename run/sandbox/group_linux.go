package sandbox

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/zavhoz/zavhoz/run/sandbox/cgroup"
	"github.com/zavhoz/zavhoz/vault/fault"
)

var groups atomic.Uint64

// tryGroup makes a control group, and remembers whether it may, and whether limits hold there.
func (s *Sandbox) tryGroup() error {
	s.grouped.Store(false)
	if ok, reason := cgroup.Available(); !ok {
		return fault.New(fault.NotSupported, reason, "")
	}
	g, err := cgroup.New(groupName(), cgroup.Limits{MemoryBytes: 1 << 30, Processes: 100})
	if err != nil {
		return fault.New(fault.NotSupported, err.Error(), "")
	}
	held := g.Holds()
	s.grouped.Store(true)
	s.bounded.Store(held.Memory || held.Processes)
	if err := g.Close(); err != nil {
		return internal("remove a control group", err)
	}
	if !held.Memory || !held.Processes {
		return fault.New(fault.NotSupported, "its controllers are not delegated: it ends runs, and bounds nothing", "")
	}
	return nil
}

func groupName() string {
	return "box-" + itoa(os.Getpid()) + "-" + strconv.FormatUint(groups.Add(1), 10)
}

// join makes a group for the process, where that is possible, and has its first process enter it as its first act.
func (p *Process) join(c *composer) error {
	if !p.box.s.grouped.Load() || c.sealed && !p.box.s.bounded.Load() { // a process namespace ends by itself
		return nil
	}
	l := p.spec.Limits
	g, err := cgroup.New(groupName(), cgroup.Limits{MemoryBytes: int64(l.MemoryMB) << 20, Processes: l.Processes})
	if errors.Is(err, cgroup.ErrUnavailable) {
		return nil // the delegation was taken back: rlimits stay
	}
	if err != nil {
		return internal("make a control group", err)
	}
	p.group, c.held = g, g.Holds()
	fd, err := unix.Openat(g.FD(), "cgroup.procs", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return internal("open the control group", err)
	}
	c.call("enter the control group", unix.SYS_WRITE, c.give(os.NewFile(uintptr(fd), "cgroup.procs")), c.str("0"), 1).must(1)
	return nil
}

// leave ends whatever is left in the group, and the group.
func (p *Process) leave() {
	if p.group != nil {
		_ = p.group.Close()
	}
}

// threadsOf counts what a limit of processes counts already, where the run shares its user with others.
func threadsOf(uid uint32) (n int) {
	list, err := os.ReadDir("/proc")
	if err != nil {
		return 0
	}
	for _, e := range list {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		var st unix.Stat_t
		if unix.Stat("/proc/"+e.Name(), &st) != nil || st.Uid != uid {
			continue
		}
		stat, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		_, rest, ok := strings.Cut(string(stat), ") ")
		if fields := strings.Fields(rest); err == nil && ok && len(fields) > 17 {
			threads, _ := strconv.Atoi(fields[17])
			n += threads
		}
	}
	return n
}
