package sandbox

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"

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

// Landlock's rights (linux/landlock.h), by the ABI that brought them.
const (
	mayExec, mayWriteFile, mayReadFile, mayReadDir = 1 << 0, 1 << 1, 1 << 2, 1 << 3
	mayMakeAll                                     = 0x1ff0 // remove_dir … make_sym
	mayRefer                                       = 1 << 13
	mayTruncate                                    = 1 << 14
	mayIoctl                                       = 1 << 15
	ofFiles                                        = mayExec | mayWriteFile | mayReadFile | mayTruncate | mayIoctl

	toRead   = mayReadFile | mayReadDir
	toRun    = toRead | mayExec
	toWork   = toRun | mayWriteFile | mayMakeAll&^mayMakeNodes | mayRefer | mayTruncate
	toDevice = mayReadFile | mayWriteFile | mayIoctl | mayReadDir

	mayMakeNodes = 1<<6 | 1<<11 // make_char, make_block

	landlockFloor = 1
	scopes        = 3 // abstract unix sockets, signals: ABI 6
)

// landlock makes the steps of one ruleset.
type landlock struct {
	r   *recipe
	abi int
	set cell
	fs  uint64
}

// newLandlock begins a ruleset that handles all that this kernel knows. tcp forbids binding and connecting by the process itself.
func (r *recipe) newLandlock(abi int, tcp bool) *landlock {
	l := &landlock{r: r, abi: abi, set: r.cell(), fs: 1<<13 - 1}
	for _, right := range []struct {
		abi int
		bit uint64
	}{{2, mayRefer}, {3, mayTruncate}, {5, mayIoctl}} {
		if abi >= right.abi {
			l.fs |= right.bit
		}
	}
	attr, size := []uint64{l.fs, 0, 0}, 8
	if abi >= 4 {
		size = 16
		if tcp {
			attr[1] = 3
		}
	}
	if abi >= 6 {
		attr[2], size = scopes, 24
	}
	r.landlockSet(l.set, attr, size)
	return l
}

func (r *recipe) landlockSet(set cell, attr []uint64, size int) {
	a := r.room(24)
	r.at(a, 0, attr)
	r.call("landlock", unix.SYS_LANDLOCK_CREATE_RULESET, a, size, 0).into(set)
}

// allow grants rights below a path of the child's view; one that is not there grants nothing.
func (l *landlock) allow(rights uint64, dir bool, paths ...string) {
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
func (l *landlock) grant(p string, rights uint64, dir bool, fd any) {
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

func (l *landlock) enforce() {
	l.r.call("landlock: enforce", unix.SYS_LANDLOCK_RESTRICT_SELF, l.set, 0)
	l.r.call("close", unix.SYS_CLOSE, l.set)
}

// nested puts the process into a domain below its present one: what stays outside can still signal it, and it cannot signal back.
func (r *recipe) nested(abi int) {
	if abi < 6 {
		return
	}
	set := r.cell()
	r.landlockSet(set, []uint64{0, 0, scopes}, 24)
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
	prog, listener, flags := r.room(16), r.cell(), 0
	r.at(prog, 0, uint16(len(program)/8))
	r.at(prog, 8, uint64(code))
	if o.Notify {
		flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
	}
	r.call("seccomp", unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, prog).into(listener)
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
