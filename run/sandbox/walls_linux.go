package sandbox

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/zavhoz/zavhoz/run/sandbox/landlock"
	"github.com/zavhoz/zavhoz/run/sandbox/seccomp"
)

// powerless takes every capability, for good: the bounding set where that is allowed, set-user-id root by the secure bits, and what is held now.
// With become the process turns into that user on the way.
func (r *recipe) powerless(privileged bool, become *owner) {
	// a user without CAP_SETPCAP cannot; no_new_privs does for it
	for c := 0; c <= unix.CAP_LAST_CAP+8; c++ { // some more than this program was built with
		s := r.call("drop a capability", unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		if privileged {
			s.unless(unix.EINVAL)
		} else {
			s.mayFail()
		}
	}
	r.call("clear the ambient capabilities", unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
	const noRoot = 0xef // SECBIT_NOROOT, NO_SETUID_FIXUP and NO_CAP_AMBIENT_RAISE, each with its lock, and KEEP_CAPS locked off
	s := r.call("lock the secure bits", unix.SYS_PRCTL, unix.PR_SET_SECUREBITS, noRoot, 0, 0, 0)
	if !privileged {
		s.mayFail()
	}
	if become != nil {
		r.become(*become)
	}
	head, none := r.room(8), r.room(24)
	r.at(head, 0, uint32(unix.LINUX_CAPABILITY_VERSION_3))
	r.call("drop all capabilities", unix.SYS_CAPSET, head, none)
}

// become is a change of user for good: no supplementary group, no saved identity.
func (r *recipe) become(o owner) {
	r.call("leave all groups", unix.SYS_SETGROUPS, 0, 0)
	r.turn(o)
}

// turn is become where there are no groups to leave: the launcher left them.
func (r *recipe) turn(o owner) {
	r.call("change the group", unix.SYS_SETRESGID, int(o.gid), int(o.gid), int(o.gid))
	r.call("change the user", unix.SYS_SETRESUID, int(o.uid), int(o.uid), int(o.uid))
}

func (r *recipe) noNewPrivileges() {
	r.call("no_new_privs", unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
}

// Landlock's rights in the sets that places get. A right that the kernel does not know is left out when the rule is made.
const (
	toRead = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	toRun  = toRead | unix.LANDLOCK_ACCESS_FS_EXECUTE
	// all but devices
	toWork = toRun | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_REFER | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR |
		unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK |
		unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_SYM
	// … and sockets are spoken to: in a folder of the operator's they may be anybody's (attack 16; ABI 9)
	toOwn    = toWork | unix.LANDLOCK_ACCESS_FS_RESOLVE_UNIX
	toDevice = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV | unix.LANDLOCK_ACCESS_FS_READ_DIR
	ofFiles  = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
)

// rules makes the steps of one ruleset: Landlock in the child's own view, where no Go runs.
type rules struct {
	r   *recipe
	set cell
	fs  uint64
}

// newRules begins a ruleset that handles all that this kernel knows. network forbids binding and connecting by the process itself.
func (r *recipe) newRules(abi int, network bool) *rules {
	a := landlock.Handled(abi, network)
	l := &rules{r: r, set: r.cell(), fs: a.Files}
	size := 8 // struct landlock_ruleset_attr grew twice
	if abi >= landlock.ABINet {
		size = 16
	}
	if abi >= landlock.ABIScope {
		size = 24
	}
	r.landlockSet(l.set, []uint64{a.Files, a.Net, a.Scoped}, size)
	return l
}

func (r *recipe) landlockSet(set cell, attr []uint64, size int) {
	a := r.room(24)
	r.at(a, 0, attr)
	r.call("landlock", unix.SYS_LANDLOCK_CREATE_RULESET, a, size, 0).into(set)
}

// allow grants rights below a path of the child's view; one that is not there grants nothing.
func (l *rules) allow(rights uint64, dir bool, paths ...string) {
	for _, p := range paths {
		fd, skip := l.r.cell(), &label{}
		l.r.call("landlock "+p, unix.SYS_OPENAT, unix.AT_FDCWD, l.r.str(p), unix.O_PATH|unix.O_CLOEXEC, 0).into(fd)
		l.r.onError(skip, unix.ENOENT, unix.ENOTDIR)
		l.grant(p, rights, dir, fd)
		l.r.call("close", unix.SYS_CLOSE, fd)
		l.r.mark(skip)
	}
}

// grant adds the rule for an open file or folder. A file takes no rights of folders.
func (l *rules) grant(p string, rights uint64, dir bool, fd any) {
	rights &= l.fs
	if !dir {
		rights &= ofFiles
	}
	attr := l.r.room(16) // struct landlock_path_beneath_attr
	l.r.at(attr, 0, rights)
	l.r.set(cell(attr+8), fd)
	s := l.r.call("landlock "+p, unix.SYS_LANDLOCK_ADD_RULE, l.set, unix.LANDLOCK_RULE_PATH_BENEATH, attr, 0)
	if !dir {
		s.unless(unix.EBADFD) // a memory file: no rule needed
	}
}

func (l *rules) enforce() {
	l.r.call("landlock: enforce", unix.SYS_LANDLOCK_RESTRICT_SELF, l.set, 0)
	l.r.call("close", unix.SYS_CLOSE, l.set)
}

// nested puts the process into a domain below its present one: what stays outside can still signal it, and it cannot signal back.
func (r *recipe) nested(abi int) {
	if abi < landlock.ABIScope {
		return
	}
	set := r.cell()
	r.landlockSet(set, []uint64{0, 0, landlock.Handled(abi, false).Scoped}, 24)
	r.call("landlock: nest", unix.SYS_LANDLOCK_RESTRICT_SELF, set, 0)
	r.call("close", unix.SYS_CLOSE, set)
}

var programs sync.Map // seccomp.Options → []byte

// compiled gives a filter as the kernel reads it: struct sock_filter, one after another.
func compiled(o seccomp.Options) ([]byte, error) {
	if b, ok := programs.Load(o); ok {
		return b.([]byte), nil
	}
	program, err := seccomp.Program(runtime.GOARCH, o)
	if err != nil {
		return nil, err
	}
	var b []byte
	for _, in := range program {
		b = binary.NativeEndian.AppendUint16(b, in.Op)
		b = append(b, in.Jt, in.Jf)
		b = binary.NativeEndian.AppendUint32(b, in.K)
	}
	programs.Store(o, b)
	return b, nil
}

// filter installs the system call filter; with o.Notify its listener goes to the cell.
func (r *recipe) filter(o seccomp.Options) (cell, error) {
	program, err := compiled(o)
	if err != nil {
		return 0, fmt.Errorf("sandbox: %w", err)
	}
	code := r.bytes(program)
	prog, listener := r.room(16), r.cell()
	r.at(prog, 0, uint16(len(program)/8))
	r.at(prog, 8, uint64(code))
	if !o.Notify {
		r.call("seccomp", unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, prog)
		return listener, nil
	}
	// a signal between the question and the answer must not ask again: Go programs signal themselves all the time
	const listens = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
	older, done := &label{}, &label{}
	r.call("seccomp", unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, listens|unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, prog).unless(unix.EINVAL).into(listener)
	r.goToIfSame(listener, -int(unix.EINVAL), older)
	r.goTo(done)
	r.mark(older) // before Linux 5.19
	r.call("seccomp", unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, listens, prog).into(listener)
	r.mark(done)
	return listener, nil
}

// limits are what a process and its descendants may use. Core files are 1 byte and not 0: a core pattern that pipes into a program ignores 0.
// Zero leaves one out.
func (r *recipe) limits(l Limits) {
	set := func(what string, resource int, v uint64) {
		a := r.room(16)
		r.at(a, 0, []uint64{v, v})
		r.call("limit of "+what, unix.SYS_PRLIMIT64, 0, resource, a, 0)
	}
	set("core files", unix.RLIMIT_CORE, 1)
	set("locked memory", unix.RLIMIT_MEMLOCK, 64<<10)
	set("message queues", unix.RLIMIT_MSGQUEUE, 819200)
	set("file size", unix.RLIMIT_FSIZE, uint64(l.FileMB)<<20)
	if l.Processes > 0 {
		set("processes", unix.RLIMIT_NPROC, uint64(l.Processes))
	}
	if l.CPUSeconds > 0 {
		set("CPU time", unix.RLIMIT_CPU, uint64(l.CPUSeconds))
	}
	if l.MemoryMB > 0 {
		set("memory", unix.RLIMIT_DATA, uint64(l.MemoryMB)<<20)
	}
	set("open files", unix.RLIMIT_NOFILE, uint64(l.OpenFiles))
}
