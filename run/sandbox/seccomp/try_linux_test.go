package seccomp_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/zavhoz/zavhoz/run/sandbox/seccomp"
	"github.com/zavhoz/zavhoz/run/sandbox/walltest"
)

func TestMain(m *testing.M) {
	children := walltest.Children{"try": func(args []string) { try(args[0], args[1:]) }, "run": func(args []string) { runUnder(args[0], args[1:]) }}
	for name, child := range foreign {
		children[name] = child
	}
	walltest.Main(m, children)
}

// foreign are the children of one architecture.
var foreign = walltest.Children{}

var options = map[string]seccomp.Options{
	"plain":  {},
	"basic":  {DenyUDP: true, DenyUnix: true},
	"notify": {DenyUDP: true, DenyUnix: true, Notify: true},
}

// confine puts the filter on this thread; "none" leaves it as it is, to show what would have been possible.
func confine(level string) {
	runtime.LockOSThread()
	if level == "none" {
		return
	}
	program, err := seccomp.Program(runtime.GOARCH, options[level])
	if err != nil {
		walltest.Fail("%v", err)
	}
	flags := uintptr(0)
	if options[level].Notify {
		flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
	}
	l, err := walltest.Filter(program, flags)
	if err != nil {
		walltest.Fail("install: %v", err)
	}
	if (l != nil) != options[level].Notify {
		walltest.Fail("listener: %v", l)
	}
}

// try makes the attempts under the filter, and prints the error of each.
func try(level string, names []string) {
	if len(names) == 0 {
		walltest.Fail("no attempts")
	}
	confine(level)
	for _, name := range names {
		var errno syscall.Errno
		switch err := attempts[name](); {
		case err == nil:
			fmt.Println(name, "worked")
		case errors.As(err, &errno):
			fmt.Println(name, unix.ErrnoName(errno))
		default:
			fmt.Println(name, err)
		}
	}
}

// runUnder executes a program under the filter.
func runUnder(level string, argv []string) {
	confine(level)
	walltest.Fail("exec: %v", syscall.Exec(argv[0], argv, os.Environ()))
}

func raw(number uintptr, args ...uintptr) func() error {
	var a [6]uintptr
	copy(a[:], args)
	return func() error {
		if _, _, errno := unix.Syscall6(number, a[0], a[1], a[2], a[3], a[4], a[5]); errno != 0 {
			return errno
		}
		return nil
	}
}

func socket(family, kind, proto int) func() error {
	return func() error {
		fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, proto)
		if err == nil {
			_ = unix.Close(fd)
		}
		return err
	}
}

const junk = uintptr(0xdead0000) << 32 // the half that the kernel does not read

var nothing [256]byte // somewhere for pointers to point

// attempts are what a hostile command tries.
var attempts = map[string]func() error{
	// what programs need
	"tcp": socket(unix.AF_INET, unix.SOCK_STREAM, 0), "tcp6": socket(unix.AF_INET6, unix.SOCK_STREAM, unix.IPPROTO_TCP),
	"routes": socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE), "pair": pair(unix.SOCK_STREAM), "packets": pair(unix.SOCK_SEQPACKET),
	"udp": socket(unix.AF_INET, unix.SOCK_DGRAM, 0), "udp6": socket(unix.AF_INET6, unix.SOCK_DGRAM, unix.IPPROTO_UDP),
	"unix":          socket(unix.AF_UNIX, unix.SOCK_STREAM, 0),
	"datagram pair": pair(unix.SOCK_DGRAM), "raw pair": pair(unix.SOCK_RAW), "listen": listen,
	"nodelay": onSocket(unix.TCP_NODELAY), "thread": func() error { return exec.Command("/bin/true").Run() },
	// other protocols
	"mptcp": socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP), "mptcp6": socket(unix.AF_INET6, unix.SOCK_STREAM, unix.IPPROTO_MPTCP),
	"mptcp high": raw(unix.SYS_SOCKET, junk|unix.AF_INET, junk|unix.SOCK_STREAM, junk|unix.IPPROTO_MPTCP),
	"smc":        socket(unix.AF_SMC, unix.SOCK_STREAM, 0), "smc proto": socket(unix.AF_INET, unix.SOCK_STREAM, 256),
	"ulp":    onSocketText(unix.TCP_ULP, "smc"),
	"repair": onSocket(unix.TCP_REPAIR), "sctp": socket(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP),
	"sctp seq": socket(unix.AF_INET, unix.SOCK_SEQPACKET, unix.IPPROTO_SCTP),
	"dccp":     socket(unix.AF_INET, unix.SOCK_DCCP, unix.IPPROTO_DCCP), "udplite": socket(unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_UDPLITE),
	"ping": socket(unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_ICMP), "ping6": socket(unix.AF_INET6, unix.SOCK_DGRAM, unix.IPPROTO_ICMPV6),
	"raw":        socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP),
	"raw high":   raw(unix.SYS_SOCKET, junk|unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW),
	"old packet": socket(unix.AF_INET, unix.SOCK_PACKET, 0), "packet": socket(unix.AF_PACKET, unix.SOCK_RAW, 0),
	"vsock": socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0),
	"alg":   socket(unix.AF_ALG, unix.SOCK_SEQPACKET, 0), "bluetooth": socket(unix.AF_BLUETOOTH, unix.SOCK_RAW, 0),
	"can":  socket(unix.AF_CAN, unix.SOCK_RAW, 1),
	"tipc": socket(unix.AF_TIPC, unix.SOCK_STREAM, 0), "rds": socket(unix.AF_RDS, unix.SOCK_SEQPACKET, 0),
	"qrtr": socket(unix.AF_QIPCRTR, unix.SOCK_DGRAM, 0),
	"key":  socket(unix.AF_KEY, unix.SOCK_RAW, 2), "xdp": socket(unix.AF_XDP, unix.SOCK_RAW, 0), "nfc": socket(unix.AF_NFC, unix.SOCK_SEQPACKET, 1),
	"netfilter": socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER),
	"uevent":    socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_KOBJECT_UEVENT),
	"diag":      socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_SOCK_DIAG),
	"tipc pair": raw(unix.SYS_SOCKETPAIR, unix.AF_TIPC, unix.SOCK_STREAM, 0, pointer()),
	// packets that go elsewhere: a source route by way of 192.0.2.1
	"source route": func() error {
		return option(unix.AF_INET, unix.IPPROTO_IP, unix.IP_OPTIONS, "\x83\x07\x04\xc0\x00\x02\x01\x01")
	},
	"source route 6": func() error {
		return option(unix.AF_INET6, unix.IPPROTO_IPV6, unix.IPV6_RTHDR, string(make([]byte, 24)))
	},
	"old source route 6": func() error { return option(unix.AF_INET6, unix.IPPROTO_IPV6, unix.IPV6_2292RTHDR, "\x01\x00\x00\x00") },
	"device":             func() error { return option(unix.AF_INET, unix.SOL_SOCKET, unix.SO_BINDTODEVICE, "lo") },
	"device number":      func() error { return option(unix.AF_INET, unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX, "\x01\x00\x00\x00") },
	"mark":               func() error { return option(unix.AF_INET, unix.SOL_SOCKET, unix.SO_MARK, "\x01\x00\x00\x00") },
	"transparent":        func() error { return option(unix.AF_INET, unix.IPPROTO_IP, unix.IP_TRANSPARENT, "\x01\x00\x00\x00") },
	"service":            func() error { return option(unix.AF_INET, unix.IPPROTO_IP, unix.IP_TOS, "\x08\x00\x00\x00") },
	"v6 only":            func() error { return option(unix.AF_INET6, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, "\x01\x00\x00\x00") },
	"keepalive":          func() error { return option(unix.AF_INET, unix.SOL_SOCKET, unix.SO_KEEPALIVE, "\x01\x00\x00\x00") },
	// data with the first packet
	"tfo sendto": fastOpen(unix.SYS_SENDTO), "tfo sendmsg": fastOpen(unix.SYS_SENDMSG), "tfo sendmmsg": fastOpen(unix.SYS_SENDMMSG),
	"tfo connect": onSocket(unix.TCP_FASTOPEN_CONNECT), "tfo no cookie": onSocket(unix.TCP_FASTOPEN_NO_COOKIE),
	// past the filter
	"io_uring setup": raw(unix.SYS_IO_URING_SETUP, 4, pointer()), "io_uring enter": raw(unix.SYS_IO_URING_ENTER, 0),
	"io_uring register": raw(unix.SYS_IO_URING_REGISTER, 0),
	"listener":          raw(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, junk|unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, passAll()),
	// namespaces
	"unshare user": raw(unix.SYS_UNSHARE, unix.CLONE_NEWUSER), "unshare time": raw(unix.SYS_UNSHARE, unix.CLONE_NEWTIME),
	"unshare all":  raw(unix.SYS_UNSHARE, 0x7e020000),
	"unshare high": raw(unix.SYS_UNSHARE, junk|unix.CLONE_NEWUSER), "unshare folder": raw(unix.SYS_UNSHARE, unix.CLONE_FS),
	"clone user": clone(unix.CLONE_NEWUSER), "clone net": clone(unix.CLONE_NEWNET), "clone high": clone(junk | unix.CLONE_NEWUSER),
	"clone3": raw(unix.SYS_CLONE3, pointer(), 88),
	"setns":  raw(unix.SYS_SETNS, 0, unix.CLONE_NEWNET), "mount": raw(unix.SYS_MOUNT, 0, 0, 0, 0), "chroot": raw(unix.SYS_CHROOT, pointer()),
	"fsopen":    raw(unix.SYS_FSOPEN, pointer()),
	"open_tree": raw(unix.SYS_OPEN_TREE, 0, pointer()), "pivot_root": raw(unix.SYS_PIVOT_ROOT, pointer(), pointer()),
	"listmount": raw(unix.SYS_LISTMOUNT, pointer()),
	// key rings
	"keyctl":      raw(unix.SYS_KEYCTL, unix.KEYCTL_GET_KEYRING_ID, ^uintptr(2), 0),
	"add_key":     raw(unix.SYS_ADD_KEY, text("user"), text("x"), text("y"), 1, ^uintptr(2)),
	"request_key": raw(unix.SYS_REQUEST_KEY, text("user"), text("x"), 0, 0),
	// the terminal; 0 is the null device
	"sti": raw(unix.SYS_IOCTL, 0, unix.TIOCSTI, pointer()), "sti high": raw(unix.SYS_IOCTL, 0, junk|unix.TIOCSTI, pointer()),
	"linux":      raw(unix.SYS_IOCTL, 0, unix.TIOCLINUX, pointer()),
	"discipline": raw(unix.SYS_IOCTL, 0, unix.TIOCSETD, pointer()), "console": raw(unix.SYS_IOCTL, 0, unix.TIOCCONS, 0),
	"window": raw(unix.SYS_IOCTL, 0, unix.TIOCGWINSZ, pointer()),
	// others
	"traceme": raw(unix.SYS_PTRACE, unix.PTRACE_TRACEME), "attach": raw(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(os.Getppid())),
	"readv":  raw(unix.SYS_PROCESS_VM_READV, uintptr(os.Getpid()), 0, 0, 0, 0, 0),
	"writev": raw(unix.SYS_PROCESS_VM_WRITEV, uintptr(os.Getpid()), 0, 0, 0, 0, 0),
	"getfd":  raw(unix.SYS_PIDFD_GETFD, 0, 0, 0), "kcmp": raw(unix.SYS_KCMP, uintptr(os.Getpid()), uintptr(os.Getpid()), 0),
	"madvise": raw(unix.SYS_PROCESS_MADVISE, 0, 0, 0, 0, 0),
	"limit others": func() error {
		return unix.Prlimit(os.Getppid(), unix.RLIMIT_CPU, &unix.Rlimit{Cur: 1000, Max: 1000}, nil)
	},
	"limit self": func() error { return unix.Prlimit(0, unix.RLIMIT_CPU, &unix.Rlimit{Cur: 1000, Max: 1000}, nil) },
	// the kernel
	"bpf": raw(unix.SYS_BPF, 5, pointer(), 128), "perf": raw(unix.SYS_PERF_EVENT_OPEN, pointer(), 0, ^uintptr(0), ^uintptr(0), 0),
	"userfaultfd": raw(unix.SYS_USERFAULTFD, 1),
	"handle":      raw(unix.SYS_OPEN_BY_HANDLE_AT, 0, pointer(), 0), "personality": raw(unix.SYS_PERSONALITY, 0x0400000),
	"modules": raw(unix.SYS_FINIT_MODULE, 0, pointer(), 0),
	"future":  raw(900),
}

func pointer() uintptr { return uintptr(unsafe.Pointer(&nothing)) }

// kept holds what only the kernel points at.
var kept [][]byte

func text(s string) uintptr {
	b := append([]byte(s), 0)
	kept = append(kept, b)
	return uintptr(unsafe.Pointer(&b[0]))
}

var allowAll = [1]unix.SockFilter{{Code: unix.BPF_RET, K: unix.SECCOMP_RET_USER_NOTIF}}
var allowAllProgram = unix.SockFprog{Len: 1, Filter: &allowAll[0]}

func passAll() uintptr { return uintptr(unsafe.Pointer(&allowAllProgram)) }

func pair(kind int) func() error {
	return func() error {
		fds, err := unix.Socketpair(unix.AF_UNIX, kind, 0)
		if err == nil {
			_, _ = unix.Close(fds[0]), unix.Close(fds[1])
		}
		return err
	}
}

func stream() (int, error) { return unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0) }

func listen() error {
	fd, err := stream()
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Listen(fd, 1) // without bind: the kernel chooses a port
}

func onSocket(name int) func() error {
	return func() error { return option(unix.AF_INET, unix.IPPROTO_TCP, name, "\x01\x00\x00\x00") }
}

func onSocketText(name int, value string) func() error {
	return func() error { return option(unix.AF_INET, unix.IPPROTO_TCP, name, value) }
}

func option(family, level, name int, value string) error {
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.SetsockoptString(fd, level, name, value)
}

// clone would make a process; the child of one that works ends at once.
func clone(flags uintptr) func() error {
	return func() error {
		pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, flags|uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
		if errno != 0 {
			return errno
		}
		if pid == 0 {
			unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
		}
		_, err := unix.Wait4(int(pid), nil, 0, nil)
		return err
	}
}

// fastOpen sends to a closed port of this machine with the first packet; the high half of the flags is filled too.
func fastOpen(number uintptr) func() error {
	return func() error {
		fd, err := stream()
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		to := unix.RawSockaddrInet4{Family: unix.AF_INET, Port: 0x0100, Addr: [4]byte{127, 0, 0, 1}} // port 1
		iov := unix.Iovec{Base: &nothing[0]}
		iov.SetLen(1)
		m := [1]struct {
			unix.Msghdr
			length uint32
		}{}
		m[0].Name, m[0].Namelen, m[0].Iov = (*byte)(unsafe.Pointer(&to)), unix.SizeofSockaddrInet4, &iov
		m[0].SetIovlen(1)
		flags := junk | unix.MSG_FASTOPEN | unix.MSG_NOSIGNAL
		args := map[uintptr][6]uintptr{
			unix.SYS_SENDTO:   {uintptr(fd), pointer(), 1, flags, uintptr(unsafe.Pointer(&to)), unix.SizeofSockaddrInet4},
			unix.SYS_SENDMSG:  {uintptr(fd), uintptr(unsafe.Pointer(&m)), flags},
			unix.SYS_SENDMMSG: {uintptr(fd), uintptr(unsafe.Pointer(&m)), 1, flags},
		}[number]
		_, _, errno := unix.Syscall6(number, args[0], args[1], args[2], args[3], args[4], args[5])
		runtime.KeepAlive(&m)
		if errno != 0 {
			return errno
		}
		return nil
	}
}

// under makes the attempts as every user at a level: each must end as it says.
func under(t *testing.T, level string, want map[string]string) {
	t.Helper()
	walltest.Each(t, func(t *testing.T, u walltest.User) {
		args := []string{level}
		for name := range want {
			args = append(args, name)
		}
		out, state, err := u.Output("try", args...)
		if err != nil || !state.Success() {
			t.Fatalf("%v %v: %s", err, state, out)
		}
		got := map[string]string{}
		for line := range strings.Lines(out) {
			i := strings.LastIndexByte(line, ' ')
			got[line[:i]] = strings.TrimSpace(line[i:])
		}
		for name, end := range want {
			if got[name] != end {
				t.Errorf("%s: %s, not %s", name, got[name], end)
			}
		}
	})
}
