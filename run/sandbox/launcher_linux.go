package sandbox

import (
	"cmp"
	"math"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// launcherName is the launcher's whole command line. Typing it gains nothing: the launcher has the rights of whoever started it, no secret, and
// leaves at once where its third descriptor is not a socket that its own parent made.
const launcherName = "zavhoz-launcher"

const launcherSocket = 3

// Main makes this process the launcher if the daemon started it as that; then it never returns. It is the first line of main and of TestMain.
func Main() {
	if len(os.Args) != 1 || os.Args[0] != launcherName {
		return
	}
	runtime.LockOSThread() // what dies with the thread that forked it is this one's child, to the end
	if !fromDaemon() {
		os.Exit(exitFailed)
	}
	if err := launch(); err != nil {
		os.Exit(exitFailed)
	}
	os.Exit(0)
}

// fromDaemon tells whether descriptor 3 is one end of a pair that our parent made, which is our own user.
func fromDaemon() bool {
	kind, err := unix.GetsockoptInt(launcherSocket, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil || kind != unix.SOCK_SEQPACKET {
		return false
	}
	peer, err := unix.GetsockoptUcred(launcherSocket, unix.SOL_SOCKET, unix.SO_PEERCRED)
	return err == nil && int(peer.Pid) == os.Getppid() && int(peer.Uid) == os.Geteuid()
}

// launch makes the process fit, forks the one that serves, and waits for its end. That one has no Go runtime: no other thread that would wake, and next
// to no memory to copy at each fork. It holds no secret, but for a moment it holds descriptors of things that may: nobody looks into it.
func launch() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return err
	}
	signal.Ignore(unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGPIPE) // the daemon ends it
	if mayChoose() {
		if err := unix.Setgroups(nil); err != nil { // no run has a group of the daemon's
			return err
		}
	}
	if err := unix.CloseRange(launcherSocket+1, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return err
	}
	n, err := newNest()
	if err != nil {
		return err
	}
	pid, errno := hatch(n)
	if errno != 0 {
		return errno
	}
	_ = unix.Close(launcherSocket) // the daemon's end is the server's end, too
	for {
		if _, err := unix.Wait4(int(pid), nil, 0, nil); err != unix.EINTR {
			return err
		}
	}
}

// newNest lays out what the server needs, outside of Go's heap: that goes.
func newNest() (*nest, error) {
	base, err := unix.MmapPtr(-1, 0, address(imageAt), imageMax, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE|unix.MAP_FIXED_NOREPLACE)
	if err != nil {
		return nil, err
	}
	if uintptr(base) != imageAt { // before Linux 4.17
		return nil, unix.ENOMEM
	}
	p, err := unix.MmapPtr(-1, 0, nil, unsafe.Sizeof(nest{}), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return nil, err
	}
	n := (*nest)(p)
	n.base, n.uid, n.gid, n.parent = uintptr(base), uint32(os.Geteuid()), uint32(os.Getegid()), uint64(os.Getpid())
	n.mask, n.ignore[0] = math.MaxUint64, 1 // SIG_IGN
	n.in.vec, n.in.vecs, n.in.control = address64(&n.inVec), 1, address64(&n.inFDs)
	n.inVec = [2]uint64{address64(&n.request), requestSize + 4}
	n.hand.vec, n.hand.vecs, n.handVec = address64(&n.handVec), 1, [2]uint64{address64(&n.reply), 1}
	n.out.vec, n.out.vecs = address64(&n.outVec), 1
	n.outVec = [2]uint64{address64(&n.reply), replySize}
	n.outFD = [3]uint64{uint64(unix.CmsgLen(4)), unix.SOL_SOCKET | unix.SCM_RIGHTS<<32}
	n.reply.sign = requestSign
	return n, n.plan(uintptr(p))
}

// plan lists the memory of this process that the server does without, which is Go's: what is not there need not be copied at each fork.
func (n *nest) plan(state uintptr) error {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return err
	}
	keep := [][2]uintptr{{state, state + unsafe.Sizeof(nest{})}, {imageAt, imageAt + imageMax}}
	if withC {
		at, ok := threadData()
		if !ok {
			return nil // everything stays: only forks are slower
		}
		keep = append(keep, [2]uintptr{at&^0xffff - 0x10000, at&^0xffff + 0x20000})
	}
	slices.SortFunc(keep, func(a, b [2]uintptr) int { return cmp.Compare(a[0], b[0]) })
	program := uintptr(0) // where the last mapping of a file ended: what follows without a gap is that program's zeroed data
	for line := range strings.Lines(string(maps)) {
		f := strings.Fields(line)
		lo, hi, ok := span(f[0])
		if ok && (len(f) > 5 || lo == program) {
			program = hi
			continue
		}
		if !ok || len(f) != 5 || !strings.HasSuffix(f[1], "p") || f[4] != "0" { // only what has neither a file nor a name
			continue
		}
		for _, k := range keep {
			n.drop(lo, min(hi, k[0]))
			lo = max(lo, k[1])
		}
		n.drop(lo, hi)
	}
	return nil
}

func (n *nest) drop(lo, hi uintptr) {
	if lo < hi && n.drops < uint64(len(n.gone)) { // what finds no place in the list stays
		n.gone[n.drops] = [2]uintptr{lo, hi}
		n.drops++
	}
}

func span(s string) (lo, hi uintptr, ok bool) {
	a, b, ok := strings.Cut(s, "-")
	x, err1 := strconv.ParseUint(a, 16, 64)
	y, err2 := strconv.ParseUint(b, 16, 64)
	return uintptr(x), uintptr(y), ok && err1 == nil && err2 == nil
}

// address makes a pointer of a number: one that is no Go memory.
func address(n uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&n)) }

func address64[T any](p *T) uint64 { return uint64(uintptr(unsafe.Pointer(p))) }
