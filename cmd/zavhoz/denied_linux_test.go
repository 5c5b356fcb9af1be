package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A command of which the kernel asks, before each call that writes to a file system, whether it may: from a given one on it may not, as on a disk that turned read-only. Root is refused, too.

func init() { probes["denied"] = func(next func() string) string { return underDenial(next) } }

// changing are the calls that change what lies below a folder, and where they say of what: a path after a descriptor, or a descriptor alone.
var changing = []struct {
	nr    uint32
	paths []int // arguments that are paths; the one before each is its folder
	fd    bool  // the first argument is the file
}{
	{nr: unix.SYS_OPENAT, paths: []int{1}}, {nr: unix.SYS_MKDIRAT, paths: []int{1}}, {nr: unix.SYS_UNLINKAT, paths: []int{1}}, {nr: unix.SYS_FCHMODAT, paths: []int{1}},
	{nr: unix.SYS_RENAMEAT, paths: []int{1, 3}}, {nr: unix.SYS_RENAMEAT2, paths: []int{1, 3}}, {nr: unix.SYS_LINKAT, paths: []int{1, 3}},
	{nr: unix.SYS_WRITE, fd: true}, {nr: unix.SYS_PWRITE64, fd: true}, {nr: unix.SYS_FTRUNCATE, fd: true}, {nr: unix.SYS_FCHMOD, fd: true},
}

const writes = unix.O_WRONLY | unix.O_RDWR | unix.O_CREAT // flags of an openat that is asked about

// underDenial puts this process under the filter, hands its listener to descriptor 3, and becomes the command that follows.
func underDenial(next func() string) string {
	runtime.LockOSThread()
	argv := []string{next()}
	for range len(os.Args) - 3 {
		argv = append(argv, next())
	}
	bin, err := exec.LookPath(argv[0])
	if err != nil {
		return err.Error()
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err.Error()
	}
	f := deniedFilter()
	prog := unix.SockFprog{Len: uint16(len(f)), Filter: &f[0]}
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return errno.Error()
	}
	unix.CloseOnExec(int(fd))
	unix.CloseOnExec(3)
	if err := unix.Sendmsg(3, []byte{1}, unix.UnixRights(int(fd)), nil, 0); err != nil {
		return err.Error()
	}
	return unix.Exec(bin, argv, os.Environ()).Error()
}

// deniedFilter asks about the calls of changing, of openat where it is for writing, and lets all others pass.
func deniedFilter() []unix.SockFilter {
	const (
		load, equal, some, ret = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, unix.BPF_RET | unix.BPF_K
		flags                  = 16 + 2*8 // where the third argument lies
	)
	out := []unix.SockFilter{{Code: load}}
	for i, c := range changing[1:] {
		out = append(out, unix.SockFilter{Code: equal, K: c.nr, Jt: uint8(len(changing) - 1 - i + 3)})
	}
	return append(out,
		unix.SockFilter{Code: equal, K: unix.SYS_OPENAT, Jf: 2}, unix.SockFilter{Code: load, K: flags}, unix.SockFilter{Code: some, K: writes, Jt: 1},
		unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ALLOW}, unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_USER_NOTIF})
}

// warden answers for the kernel.
type warden struct {
	below string // what is not below this folder is nobody's concern
	left  int    // calls that may change something yet
	kills bool   // the process dies before the next, and what it sends counts too

	mu     sync.Mutex
	asked  int
	denied []string // calls that were
}

// guard answers until nobody is left to ask.
func (w *warden) guard(listener int) error {
	defer unix.Close(listener)
	for {
		poll := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
		if _, err := unix.Poll(poll, -1); err == unix.EINTR {
			continue
		} else if err != nil || poll[0].Revents&unix.POLLIN == 0 {
			return err
		}
		var q [256]byte // the kernel's struct seccomp_notif, which may grow
		if err := control(listener, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&q[0])); err == unix.ENOENT || err == unix.EINTR {
			continue
		} else if err != nil {
			return err
		}
		a := struct {
			id    uint64
			value int64
			errno int32
			flags uint32
		}{id: binary.NativeEndian.Uint64(q[:]), flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
		if !w.allows(q[:]) {
			if w.kills {
				_ = unix.Kill(int(binary.NativeEndian.Uint32(q[8:])), unix.SIGKILL)
			}
			a.errno, a.flags = -int32(unix.EROFS), 0
		}
		if err := control(listener, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&a)); err != nil && err != unix.ENOENT {
			return err
		}
	}
}

func control(fd int, request uintptr, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}

func (w *warden) allows(q []byte) bool {
	pid, nr := int(binary.NativeEndian.Uint32(q[8:])), binary.NativeEndian.Uint32(q[16:])
	arg := func(n int) uint64 { return binary.NativeEndian.Uint64(q[32+8*n:]) }
	i := slices.IndexFunc(changing, func(c struct {
		nr    uint32
		paths []int
		fd    bool
	}) bool {
		return c.nr == nr
	})
	var of []string
	if changing[i].fd {
		of = append(of, opened(pid, arg(0)))
	}
	for _, n := range changing[i].paths {
		name := text(pid, arg(n))
		if !filepath.IsAbs(name) {
			name = filepath.Join(opened(pid, arg(n-1)), name)
		}
		of = append(of, name)
	}
	if !slices.ContainsFunc(of, func(name string) bool {
		return strings.HasPrefix(name, w.below+"/") || w.kills && strings.HasPrefix(name, "socket:")
	}) {
		return true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.asked++; w.asked <= w.left {
		return true
	}
	w.denied = append(w.denied, fmt.Sprint(nr, " ", of))
	return false
}

// opened names what a process has under a descriptor; the folder that it is in for AT_FDCWD.
func opened(pid int, fd uint64) string {
	where := fmt.Sprintf("/proc/%d/fd/%d", pid, int32(fd))
	if int32(fd) == unix.AT_FDCWD {
		where = fmt.Sprintf("/proc/%d/cwd", pid)
	}
	name, _ := os.Readlink(where)
	return name
}

// text reads a path out of a process.
func text(pid int, at uint64) string {
	b := make([]byte, unix.PathMax)
	f, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return ""
	}
	defer f.Close()
	n, _ := f.ReadAt(b, int64(at)) // what lies behind may not be readable
	name, _, _ := bytes.Cut(b[:n], []byte{0})
	return string(name)
}

// denied runs zavhoz, whose calls that change something below the folder that the home is in go well only so many times.
func (p *place) denied(left int, args ...string) (result, *warden) {
	p.t.Helper()
	return p.watchedBy(&warden{left: left}, args...)
}

// watchedBy runs zavhoz under a warden.
func (p *place) watchedBy(w *warden, args ...string) (result, *warden) {
	p.t.Helper()
	w.below = filepath.Dir(p.dir.Path())
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		p.t.Fatal(err)
	}
	defer unix.Close(pair[0])
	theirs := os.NewFile(uintptr(pair[1]), "listener")
	c := exec.Command("probe", append([]string{"denied", "zavhoz"}, args...)...)
	c.Env = append(slices.Clone(p.env), "GODEBUG=asyncpreemptoff=1") // its signals would have the kernel ask twice
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr, c.ExtraFiles = &out, &errs, []*os.File{theirs}
	err = c.Start()
	theirs.Close()
	if err != nil {
		p.t.Fatal(err)
	}
	listener, err := received(pair[0])
	if err == nil {
		err = w.guard(listener)
	}
	werr := c.Wait()
	var exit *exec.ExitError
	if err != nil || werr != nil && !errors.As(werr, &exit) {
		p.t.Fatalf("%v, %v\n%s%s", err, werr, &out, &errs)
	}
	return result{c.ProcessState.ExitCode(), out.String(), errs.String()}, w
}

// received takes a descriptor that came over a socket.
func received(sock int) (int, error) {
	b, oob := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(sock, b, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return 0, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) != 1 {
		return 0, fmt.Errorf("no listener came: %w", err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return 0, fmt.Errorf("no listener came: %w", err)
	}
	return fds[0], nil
}

// readOnlyFrom runs a command on a disk that turns read-only before each of its calls in turn, those that come late in steps, until it meets that no more.
func readOnlyFrom(t *testing.T, p *place, args []string, check func(r result)) {
	t.Helper()
	stops := 0
	for left := 0; ; left += 1 + left/8 {
		r, w := p.denied(left, args...)
		if r.code == 0 && len(w.denied) == 0 {
			check(r)
			break
		}
		stops++
		if r.code != 0 && (strings.Contains(r.stderr, "something went wrong") || !strings.Contains(r.stderr, "\n")) {
			t.Errorf("%v, denied from call %d on (%s): %v", args, left, w.denied[0], r)
		}
		check(r)
		if t.Failed() {
			t.Fatalf("after call %d: %s", left, w.denied[0])
		}
	}
	if stops < 3 {
		t.Fatalf("%v: it was stopped %d times only", args, stops)
	}
}
