package sandbox

import (
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/zavhoz/zavhoz/run/sandbox/landlock"
)

// bareSettings are of the machine what a box of its own root has files of its own for.
var bareSettings = []string{"/etc/bash.bashrc", "/etc/group", "/etc/host.conf", "/etc/hosts", "/etc/inputrc", "/etc/nsswitch.conf", "/etc/passwd", "/etc/resolv.conf"}

// wall is what basic has instead of namespaces. The first process stays outside the command's own Landlock domain, so that the command cannot
// signal it, but inside the run's, so that it cannot signal anybody else: that is what makes herd's kill(-1) mean the run and nothing more.
func (c *composer) wall(dirs []*opened) error {
	c.call("adopt orphans", unix.SYS_PRCTL, unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	parent, launcher := c.cell(), c.cell()
	c.call("getppid", unix.SYS_GETPPID).into(parent)
	c.call("hold the launcher", unix.SYS_PIDFD_OPEN, parent, 0).into(launcher)
	choose := c.box.s.ids.choose
	if choose {
		c.powerless(true, &c.box.outer)
		c.call("not dumpable", unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
		c.call("die with the launcher", unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, int(unix.SIGTERM), 0, 0, 0)
	} else {
		c.powerless(false, nil)
	}
	c.noNewPrivileges()
	l := c.newRules(c.abi, true)
	l.allow(toRun, true, systemFolders...)
	java, _ := filepath.Glob("/etc/java*")
	for _, p := range slices.Concat(bareSettings, systemSettings, java) {
		st, err := os.Stat(p)
		if err == nil {
			l.allow(toRead, st.IsDir(), p)
		}
	}
	l.allow(toRead, true, "/proc")
	l.allow(toDevice, false, devices...)
	l.allow(toWork, true, c.box.Home())
	for _, o := range dirs {
		fd := c.again(o, "")
		rights := uint64(toRun)
		if o.Mode == ReadWrite {
			rights = toWork
		}
		l.grant(whatWorkdir+o.Path, rights, true, fd)
		c.call("close", unix.SYS_CLOSE, fd)
	}
	c.finishLandlock(l, nil)
	if c.abi >= landlock.ABIScope {
		c.call("signals are confined", unix.SYS_PIDFD_SEND_SIGNAL, launcher, 0, 0, 0).refused(unix.EPERM)
	}
	return nil
}

// herd waits without a process namespace: until the command ends, or the daemon or the launcher's death says to end it (SIGTERM). Then it kills
// what is left of the run, orphans that made sessions of their own included.
func (c *composer) herd(pid cell) {
	loop, collect, kill, took, drain, done := &label{}, &label{}, &label{}, &label{}, &label{}, &label{}
	wanted, got, who, status, last := c.room(8), c.cell(), c.cell(), c.cell(), c.cell()
	c.at(wanted, 0, uint64(1)<<(unix.SIGCHLD-1)|1<<(unix.SIGTERM-1))
	c.set(last, int(unix.SIGKILL)) // as a wait status: where the command itself cannot be waited for
	c.mark(loop)
	c.call("wait for a signal", unix.SYS_RT_SIGTIMEDWAIT, wanted, 0, 0, 8).into(got)
	c.goToIfSame(got, int(unix.SIGTERM), kill)
	c.mark(collect)
	c.call("wait", unix.SYS_WAIT4, -1, addr(status), unix.WNOHANG, 0).into(who)
	c.onZero(loop)
	c.goToIfSame(who, pid, took)
	c.goTo(collect)
	c.mark(took)
	c.set(last, status)
	c.mark(kill)
	c.killRest()
	c.mark(drain)
	c.call("wait", unix.SYS_WAIT4, -1, addr(status), 0, 0).into(who)
	c.onError(done, unix.ECHILD)
	again := &label{}
	c.goToIfSame(who, pid, again)
	c.goTo(kill)
	c.mark(again)
	c.set(last, status)
	c.goTo(kill)
	c.mark(done)
	c.farewell(last)
}

// killRest kills all of the run but the first process. With Landlock's scope, or with a user of the run's own, one call does, and no fork can race
// it; on older kernels it walks its own children, and theirs come to it as they are orphaned.
func (c *composer) killRest() {
	if c.abi >= landlock.ABIScope || c.box.s.ids.choose {
		c.call("kill the run", unix.SYS_KILL, -1, int(unix.SIGKILL)).mayFail()
		return
	}
	const size = 4096
	fd, n, text := c.cell(), c.cell(), c.room(size)
	c.call("list the children", unix.SYS_OPENAT, unix.AT_FDCWD, c.str("/proc/thread-self/children"), unix.O_RDONLY|unix.O_CLOEXEC, 0).mayFail().into(fd)
	c.call("read the children", unix.SYS_READ, fd, text, size-1).mayFail().into(n)
	skip := &label{}
	c.goToIfSame(n, -int(unix.EBADF), skip)
	c.call("kill the children", opKillOwn, text, n)
	c.mark(skip)
	c.call("close", unix.SYS_CLOSE, fd).mayFail()
}
