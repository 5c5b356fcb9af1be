package sandbox

import (
	"bytes"
	"encoding/binary"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/zavhoz/zavhoz/run/process"
	"github.com/zavhoz/zavhoz/run/sandbox/cgroup"
	"github.com/zavhoz/zavhoz/run/sandbox/seccomp"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// composer writes the recipe of one process.
type composer struct {
	*builder
	box     *Box
	spec    Spec
	sealed  bool
	control int // the control socket
	execs   int // the writing end of a pipe that closes when the command is executed
	image   int // argv and environment
	imaged  int // bytes of image
	std     [3]int
	inherit []int
	program *process.Parts
	progFD  int
	script  int
	argv    addr // in the command's own mapping
	env     addr

	listeners []cell
	master    cell
	peer      any  // the terminal's other side: a cell or a slot
	self      cell // at basic: the first process's number
	abi       int
	held      cgroup.Held // what a control group bounds

	layerMounts map[*opened]*os.File
}

// The steps whose failure the caller of Start is told about by name.
const (
	whatLookup = "look the command up"
	whatExec   = "execute"
	whatDir    = "enter the directory"
)

// compose gives the whole recipe: what the first process of the box does, then what the command does before it is one.
func (c *composer) compose(dirs []*opened, detached map[*opened]*os.File) error {
	if c.sealed {
		c.maps(agent, c.box.outer)
	}
	c.call("die with the launcher", unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, int(c.deathSignal()), 0, 0, 0)
	c.call("not dumpable", unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	c.call("setsid", unix.SYS_SETSID)
	c.call("umask", unix.SYS_UMASK, 0o022)
	var err error
	if c.sealed {
		err = c.seal(dirs, detached)
	} else {
		err = c.wall(dirs)
	}
	if err != nil {
		return err
	}
	command, pid, pidfd := &label{}, c.cell(), c.cell()
	if !c.sealed {
		c.self = c.cell()
		c.call("getpid", unix.SYS_GETPID).into(c.self)
	}
	c.call("fork the command", unix.SYS_CLONE, int(unix.SIGCHLD)|unix.CLONE_PIDFD, 0, addr(pidfd), 0, 0).into(pid)
	c.onZero(command)
	c.tell(noteBorn, c.control, append([]cell{pidfd}, c.handed()...)...)
	c.call("close", unix.SYS_CLOSE_RANGE, 3, slotBase-1, 0)
	c.call("close", unix.SYS_CLOSE_RANGE, c.control+1, 0xffffffff, 0)
	c.reap(pid)
	c.mark(command)
	return c.command()
}

func (c *composer) deathSignal() unix.Signal {
	if c.sealed {
		return unix.SIGKILL // the kernel ends the whole namespace
	}
	return unix.SIGTERM // it kills its descendants first
}

// handed are the descriptors that go to the daemon with the birth.
func (c *composer) handed() []cell {
	fds := c.listeners
	if c.spec.Terminal != nil && c.sealed {
		fds = append(fds, c.master)
	}
	return fds
}

// seal is what sealed and vaulted have: namespaces were made with the fork, here they are furnished.
func (c *composer) seal(dirs []*opened, detached map[*opened]*os.File) error {
	if c.box.s.ids.choose {
		c.turn(agent)
		c.call("not dumpable", unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
		c.call("die with the launcher", unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, int(unix.SIGKILL), 0, 0, 0) // a change of user cleared it
	}
	c.call("set the host's name", unix.SYS_SETHOSTNAME, c.str("sandbox"), len("sandbox"))
	c.loopback()
	if err := c.listenAll(false); err != nil {
		return err
	}
	size := 0
	for _, f := range c.spec.Files {
		size += len(f.Data) + 4096
	}
	c.begin(size)
	c.system(c.box.s.systems.look())
	c.memory(c.box.s.scratchBytes())
	c.kernel(c.spec.Terminal != nil)
	for i, o := range dirs {
		if o.Mode == Overlay {
			c.overlay(i, o, detached[o], c.box.layer(o.Path))
			continue
		}
		c.show(o, detached[o])
	}
	c.own(unnamed(systemFiles(), c.spec.Files))
	if err := c.given(); err != nil {
		return err
	}
	if err := c.listenAll(true); err != nil {
		return err
	}
	c.finish()
	if t := c.spec.Terminal; t != nil {
		c.terminal(t)
	}
	c.powerless(true, nil)
	c.noNewPrivileges()
	l := c.newRules(c.abi, false)
	l.allow(toRun, true, "/")
	l.allow(toOwn, true, "/tmp", "/dev/shm", "/run", agentHome)
	l.allow(toDevice, false, devices...)
	if c.spec.Terminal != nil {
		l.allow(toDevice, true, "/dev/pts")
	}
	c.finishLandlock(l, dirs)
	return nil
}

// given brings in the Spec's files.
func (c *composer) given() error {
	if len(c.spec.Files) == 0 {
		return nil
	}
	contents, err := memoryFile("zavhoz-files")
	if err != nil {
		return internal("make a memory file", err)
	}
	if err := c.files(c.spec.Files, contents, c.give(contents)); err != nil {
		return internal("write a memory file", err)
	}
	return nil
}

// finishLandlock grants what both levels have, and enforces.
func (c *composer) finishLandlock(l *rules, dirs []*opened) {
	for _, o := range dirs {
		if o.Mode != ReadOnly {
			l.allow(toWork, true, o.Path)
		}
	}
	if c.program != nil {
		l.grant("the program", toRun, false, c.progFD)
		if c.program.Script != nil {
			l.grant("the script", toRead, false, c.script)
		}
	}
	l.enforce()
}

// command is what the second process does: it takes its place, tells that it is ready, waits for the word, and becomes the command.
func (c *composer) command() error {
	c.call("die with the box", unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, int(unix.SIGKILL), 0, 0, 0)
	if !c.sealed { // its death before that would not be told, and nobody would supervise the command
		parent, here := c.cell(), &label{}
		c.call("getppid", unix.SYS_GETPPID).into(parent)
		c.goToIfSame(parent, c.self, here)
		c.call("exit", unix.SYS_EXIT_GROUP, exitFailed)
		c.mark(here)
	}
	c.call("setsid", unix.SYS_SETSID)
	for i := range 3 {
		if c.spec.Terminal != nil {
			c.call("standard stream", unix.SYS_DUP3, c.peer, i, 0)
			continue
		}
		c.call("standard stream", unix.SYS_DUP3, c.std[i], i, 0)
	}
	if c.spec.Terminal != nil {
		c.call("controlling terminal", unix.SYS_IOCTL, 0, unix.TIOCSCTTY, 0)
	}
	c.call(whatDir, unix.SYS_CHDIR, c.str(c.dir()))
	which, paths, err := c.lookup()
	if err != nil {
		return err
	}
	if !c.sealed {
		c.nested(c.abi)
	}
	c.limits(c.bounded())
	c.call("map the arguments", unix.SYS_MMAP, commandAt, c.imaged, unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_FIXED_NOREPLACE, c.image, 0)
	listener, err := c.filter(seccomp.Options{DenyUDP: !c.sealed, DenyUnix: !c.sealed, Notify: !c.sealed})
	if err != nil {
		return err
	}
	if c.sealed {
		c.tell(noteReady, c.control)
	} else {
		c.tell(noteReady, c.control, listener)
	}
	word := c.room(8)
	c.call("wait for the word", unix.SYS_READ, c.control, word, 1).must(1)
	c.call("close", unix.SYS_CLOSE_RANGE, 3, slotBase-1, 0)
	for i, fd := range c.inherit {
		c.call("inherit", unix.SYS_DUP3, fd, 3+i, 0)
	}
	none := c.room(8)
	c.call("unblock the signals", unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, none, 0, 8)
	if c.spec.try != nil {
		c.call("dumpable, as a command is", unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 1, 0, 0, 0) // the connect broker reads addresses
		c.spec.try(c)
		c.call("exit", unix.SYS_EXIT_GROUP, 0)
		return nil
	}
	c.execute(which, paths)
	return nil
}

// bounded gives the limits that the process has to be given one by one. What a control group holds is left to it. A run that shares its user with
// other processes has them counted, too.
func (c *composer) bounded() Limits {
	l := c.spec.Limits
	if c.held.Memory {
		l.MemoryMB = 0
	}
	if !c.sealed && !c.box.s.ids.choose {
		if l.Processes += threadsOf(c.box.outer.uid); c.held.Processes {
			l.Processes = 0
		}
	}
	return l
}

// dir is where the command begins.
func (c *composer) dir() string {
	if c.spec.Dir != "" {
		return c.spec.Dir
	}
	return c.box.Home()
}

// lookup finds the program as a shell would, in the command's own view, before the word is given: what is missing is known early.
func (c *composer) lookup() (which cell, paths []string, err error) {
	if c.program != nil || c.spec.try != nil {
		return 0, nil, nil
	}
	name := c.spec.Argv[0]
	if strings.Contains(name, "/") {
		paths = []string{name}
	} else {
		for _, d := range strings.Split(variable(c.spec.Env, "PATH"), ":") {
			if path.IsAbs(d) && len(paths) < 64 { // a relative entry would look where the command happens to be
				paths = append(paths, path.Join(d, name))
			}
		}
	}
	which = c.cell()
	found, try := &label{}, c.cell()
	for i, p := range paths {
		next := &label{}
		c.call(whatLookup, unix.SYS_FACCESSAT, unix.AT_FDCWD, c.str(p), unix.X_OK).mayFail().into(try)
		c.set(which, i)
		c.goToIfSame(try, 0, found)
		c.mark(next)
	}
	c.call(whatLookup, unix.SYS_CLOSE, -1) // nowhere
	c.mark(found)
	return which, paths, nil
}

// execute does not come back, unless the kernel refuses: then the daemon is told why.
func (c *composer) execute(which cell, paths []string) {
	failed := c.cell()
	if c.program != nil {
		c.call(whatExec, unix.SYS_EXECVEAT, c.progFD, c.str(""), c.argv, c.env, unix.AT_EMPTY_PATH).mayFail().into(failed)
	}
	for i, p := range paths {
		skip, this := &label{}, &label{}
		c.goToIfSame(which, i, this)
		c.goTo(skip)
		c.mark(this)
		c.call(whatExec, unix.SYS_EXECVE, c.str(p), c.argv, c.env).mayFail().into(failed)
		c.mark(skip)
	}
	c.call("tell", unix.SYS_WRITE, c.execs, addr(failed), 4).mayFail()
	c.call("exit", unix.SYS_EXIT_GROUP, exitNotFound)
}

// reap is the first process's life from then on: it collects what is orphaned, and ends with the command.
func (c *composer) reap(pid cell) {
	if !c.sealed {
		c.herd(pid)
		return
	}
	loop, ended := &label{}, &label{}
	who, status := c.cell(), c.cell()
	c.mark(loop)
	c.call("wait", unix.SYS_WAIT4, -1, addr(status), 0, 0).into(who)
	c.goToIfSame(who, pid, ended)
	c.goTo(loop)
	c.mark(ended)
	c.farewell(status)
}

// farewell tells the status and ends.
func (c *composer) farewell(status cell) {
	body := c.room(noteSize)
	c.at(body, 0, uint32(noteEnded))
	c.set(cell(body+4), status)
	c.call("tell the end", unix.SYS_SENDTO, c.control, body, noteSize, unix.MSG_NOSIGNAL, 0, 0).mayFail()
	c.call("exit", unix.SYS_EXIT_GROUP, 0)
}

// arguments writes argv and the environment for the one process that will map them: they may hold a true value of a pinned command.
func (c *composer) arguments() error {
	argv := c.spec.Argv
	if c.program != nil {
		argv = c.program.Argv(argv, "/proc/self/fd/"+itoa(3+len(c.inherit)-1))
	}
	for _, s := range append(argv[:len(argv):len(argv)], c.spec.Env...) {
		if strings.ContainsRune(s, 0) {
			return fault.Newf(fault.InvalidArgument, "an argument or variable holds a zero byte")
		}
	}
	var text bytes.Buffer
	table := make([]uint64, 0, len(argv)+len(c.spec.Env)+2)
	start := uint64(commandAt + 8*cap(table))
	put := func(list []string) addr {
		at := addr(commandAt + 8*len(table))
		for _, s := range list {
			table = append(table, start+uint64(text.Len()))
			text.WriteString(s)
			text.WriteByte(0)
		}
		table = append(table, 0)
		return at
	}
	c.argv, c.env = put(argv), put(c.spec.Env)
	head, _ := binary.Append(nil, binary.NativeEndian, table)
	c.imaged = len(head) + text.Len()
	defer clear(text.Bytes())
	if c.imaged > commandMax {
		return fault.Newf(fault.TooLarge, "the arguments and the environment are longer than %d MB", commandMax>>20)
	}
	f, err := memoryFile("zavhoz-arguments")
	if err != nil {
		return err
	}
	c.image = c.give(f)
	if _, err = f.WriteAt(head, 0); err == nil {
		_, err = f.WriteAt(text.Bytes(), int64(len(head)))
	}
	return err
}

// levelOf tells whether a level has namespaces.
func isSealed(l policy.Level) bool { return l == policy.LevelSealed || l == policy.LevelVaulted }
