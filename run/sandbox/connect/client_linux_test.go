package connect

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/zavhoz/zavhoz/run/sandbox/walltest"
)

// client is the command of the tests that need one of their own.
func client(args []string) { clients[args[0]](args[1:]) }

var clients = map[string]func(args []string){
	"get": func(args []string) {
		for _, url := range args {
			fmt.Print(get(url))
		}
	},
	"many":       many,
	"raw":        func([]string) { rawErrors() },
	"epoll":      func([]string) { epoll() },
	"timeouts":   func([]string) { timeouts() },
	"again":      func([]string) { again() },
	"race":       race,
	"bound":      bound,
	"undumpable": func([]string) { undumpable() },
	"peer":       func([]string) { peer() },
	"signals":    func([]string) { signals() },
	"forever":    func([]string) { forever() },
}

func get(url string) string {
	r, err := http.Get(url)
	if err != nil {
		return err.Error() + "\n"
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return err.Error() + "\n"
	}
	return string(b)
}

// many connects from many goroutines, and so threads, at once.
func many(args []string) {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		walltest.Fail("%v", err)
	}
	var good atomic.Int64
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			c, err := net.Dial("tcp", echoAddr)
			if err != nil {
				fmt.Println(err)
				return
			}
			defer c.Close()
			word := strconv.Itoa(i)
			b := make([]byte, len(word))
			if _, err := io.WriteString(c, word); err != nil {
				fmt.Println(err)
			} else if _, err := io.ReadFull(c, b); err != nil || string(b) != word {
				fmt.Println(err, string(b))
			} else {
				good.Add(1)
			}
		})
	}
	all.Wait()
	fmt.Println(good.Load())
}

func newFD(family, flags int) int {
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|flags, 0)
	if err != nil {
		walltest.Fail("%v", err)
	}
	return fd
}

func sockaddr(addr string) unix.Sockaddr {
	a := netip.MustParseAddrPort(addr)
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
	}
	return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
}

func errName(err error) string {
	var errno syscall.Errno
	if err == nil {
		return "worked"
	}
	if errors.As(err, &errno) {
		return unix.ErrnoName(errno)
	}
	return err.Error()
}

func rawConnect(fd int, addr *[64]byte, n uintptr) error {
	_, _, errno := unix.Syscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(addr)), n)
	if errno != 0 {
		return errno
	}
	return nil
}

// rawErrors makes calls that are wrong in some way, and prints what they get.
func rawErrors() {
	tcp, tcp6 := newFD(unix.AF_INET, 0), newFD(unix.AF_INET6, 0)
	file, err := os.Open("/dev/null")
	if err != nil {
		walltest.Fail("%v", err)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		walltest.Fail("%v", err)
	}
	route, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE)
	if err != nil {
		walltest.Fail("%v", err)
	}
	good := [64]byte{unix.AF_INET, 0, 0x0c, 0x38, 127, 0, 0, 9} // 127.0.0.9:3128
	unspec, local := [64]byte{}, [64]byte{unix.AF_UNIX, 0, '/'}
	kernel := [64]byte{unix.AF_NETLINK}
	for _, c := range []struct {
		name string
		err  error
	}{
		{"elsewhere", unix.Connect(tcp, sockaddr("192.0.2.1:80"))},
		{"elsewhere at home", unix.Connect(tcp, sockaddr("127.0.0.1:22"))},
		{"anywhere", unix.Connect(tcp, sockaddr("0.0.0.0:3128"))},
		{"elsewhere in six", unix.Connect(tcp6, sockaddr("[2001:db8::1]:80"))},
		{"mapped elsewhere", unix.Connect(tcp6, sockaddr("[::ffff:192.0.2.1]:80"))},
		{"deaf", unix.Connect(tcp, sockaddr(deafAddr))},
		{"short", rawConnect(tcp, &good, 8)},
		{"empty", rawConnect(tcp, &good, 0)},
		{"long", rawConnect(tcp, &good, 129)},
		{"negative", rawConnect(tcp, &good, ^uintptr(0))},
		{"nowhere", rawConnect(tcp, (*[64]byte)(nil), 16)},
		{"closed", rawConnect(900, &good, 16)},
		{"negative socket", rawConnect(-1, &good, 16)},
		{"file", rawConnect(int(file.Fd()), &good, 16)},
		{"unix pair", rawConnect(pair[0], &good, 16)},
		{"netlink", rawConnect(route, &good, 16)},
		{"to the kernel", rawConnect(route, &kernel, 12)},
		{"undo", rawConnect(tcp, &unspec, 16)},
		{"to a path", rawConnect(tcp, &local, 4)},
		{"four by six", rawConnect(tcp6, &good, 16)},
		{"six by four", unix.Connect(tcp, sockaddr(sixAddr))},
		{"mapped", unix.Connect(tcp6, sockaddr("[::ffff:127.0.0.9]:2222"))},
		{"good", rawConnect(tcp, &good, 16)},
		{"twice", rawConnect(tcp, &good, 16)},
	} {
		fmt.Printf("%s: %s\n", c.name, errName(c.err))
	}
}

// epoll registers its socket before it connects, as some event loops do, and waits for it to become writable.
func epoll() {
	fd := newFD(unix.AF_INET, unix.SOCK_NONBLOCK)
	ep, err := unix.EpollCreate1(0)
	if err != nil {
		walltest.Fail("%v", err)
	}
	if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLET,
		Fd: int32(fd)}); err != nil {
		walltest.Fail("%v", err)
	}
	fmt.Println("connect:", errName(unix.Connect(fd, sockaddr(echoAddr))))
	wait := func(what string, for_ uint32) {
		var got uint32
		for got&for_ == 0 {
			events := make([]unix.EpollEvent, 4)
			n, err := unix.EpollWait(ep, events, 10000)
			if err == unix.EINTR {
				continue
			}
			if err != nil || n == 0 {
				walltest.Fail("%s: %v, %d events", what, err, n)
			}
			got |= events[0].Events
		}
		fmt.Println(what)
	}
	wait("writable", unix.EPOLLOUT)
	code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	fmt.Println("error:", code, err)
	if _, err := unix.Write(fd, []byte("ping")); err != nil {
		walltest.Fail("%v", err)
	}
	wait("readable", unix.EPOLLIN)
	b := make([]byte, 8)
	n, err := unix.Read(fd, b)
	fmt.Println(string(b[:max(n, 0)]), err)
	fmt.Println("connect again:", errName(unix.Connect(fd, sockaddr(echoAddr))))
}

// timeouts sets options before it connects: they are the socket's still.
func timeouts() {
	fd := newFD(unix.AF_INET, 0)
	short := unix.Timeval{Usec: 50000}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &short); err != nil {
		walltest.Fail("%v", err)
	}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: 77}); err != nil {
		walltest.Fail("%v", err)
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		walltest.Fail("%v", err)
	}
	fmt.Println("connect:", errName(unix.Connect(fd, sockaddr(echoAddr))))
	_, err := unix.Read(fd, make([]byte, 1))
	for err == unix.EINTR {
		_, err = unix.Read(fd, make([]byte, 1))
	}
	fmt.Println("read:", errName(err))
	send, err := unix.GetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO)
	if err != nil {
		walltest.Fail("%v", err)
	}
	noDelay, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY)
	fmt.Println(send.Sec, noDelay, err)
}

// again connects one socket from several threads at once: one of them gets through, once.
func again() {
	for range 50 {
		fd := newFD(unix.AF_INET, 0)
		var worked, other atomic.Int64
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				switch err := unix.Connect(fd, sockaddr(echoAddr)); err {
				case nil:
					worked.Add(1)
				case unix.EISCONN, unix.EALREADY:
					other.Add(1)
				default:
					fmt.Println(err)
				}
			})
		}
		all.Wait()
		if worked.Load() != 1 || other.Load() != 3 {
			fmt.Println("worked", worked.Load(), "other", other.Load())
		}
		if _, err := unix.Write(fd, []byte("x")); err != nil {
			fmt.Println(err)
		}
		if n, err := unix.Read(fd, make([]byte, 1)); n != 1 {
			fmt.Println(n, err)
		}
		_ = unix.Close(fd)
	}
	fmt.Println("done")
}

// race changes the address while the broker reads it: from one that is allowed to one that is not, and back.
func race(args []string) {
	good, bad := netip.MustParseAddrPort(echoAddr), netip.MustParseAddrPort(args[0])
	bytes := func(a netip.AddrPort) uint64 {
		ip := a.Addr().As4()
		b := [8]byte{unix.AF_INET, 0, byte(a.Port() >> 8), byte(a.Port()), ip[0], ip[1], ip[2], ip[3]}
		return *(*uint64)(unsafe.Pointer(&b))
	}
	addr := [2]uint64{bytes(good)}
	var stop atomic.Bool
	var flipper sync.WaitGroup
	flipper.Go(func() {
		runtime.LockOSThread()
		for !stop.Load() {
			atomic.StoreUint64(&addr[0], bytes(good))
			atomic.StoreUint64(&addr[0], bytes(bad))
		}
	})
	through, refused := 0, 0
	for range 2000 {
		fd := newFD(unix.AF_INET, 0)
		_, _, errno := unix.Syscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&addr)), 16)
		switch errno {
		case 0:
			through++
		case unix.ECONNREFUSED:
			refused++
		default:
			fmt.Println(errno)
		}
		_ = unix.Close(fd)
	}
	stop.Store(true)
	flipper.Wait()
	fmt.Println(through > 0, refused > 0, through+refused)
}

// bound connects from an address of its choice.
func bound(args []string) {
	fd := newFD(unix.AF_INET, 0)
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: netip.MustParseAddr(args[0]).As4()}); err != nil {
		walltest.Fail("%v", err)
	}
	fmt.Println("connect:", errName(unix.Connect(fd, sockaddr(echoAddr))))
	_, _ = unix.Write(fd, []byte("x"))
	n, err := unix.Read(fd, make([]byte, 1))
	fmt.Println("read:", n == 1, err == nil || err == unix.ECONNRESET)
}

func undumpable() {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		walltest.Fail("%v", err)
	}
	fmt.Println(errName(unix.Connect(newFD(unix.AF_INET, 0), sockaddr(echoAddr))))
}

// peer tells whom it is connected with, and waits for a line from there.
func peer() {
	c, err := net.Dial("tcp", echoAddr)
	if err != nil {
		walltest.Fail("%v", err)
	}
	fmt.Println(c.RemoteAddr())
	_, _ = os.Stdin.Read(make([]byte, 1))
}

// signals connects while an interval timer interrupts it all the time; handlers restart calls, as is usual.
func signals() {
	runtime.LockOSThread()
	self, stop := unix.Getpid(), make(chan struct{})
	tid := unix.Gettid()
	var pest sync.WaitGroup
	pest.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				_ = unix.Tgkill(self, tid, unix.SIGURG) // Go's own, handled and restarted
				time.Sleep(20 * time.Microsecond)
			}
		}
	})
	ends := map[string]int{}
	for range 1000 {
		fd := newFD(unix.AF_INET, 0)
		ends[errName(unix.Connect(fd, sockaddr(echoAddr)))]++
		_ = unix.Close(fd)
	}
	close(stop)
	pest.Wait()
	fmt.Println(ends)
}

// forever connects again and again until it is killed.
func forever() {
	fmt.Println("begun")
	for {
		fd := newFD(unix.AF_INET, 0)
		_ = unix.Connect(fd, sockaddr(echoAddr))
		_ = unix.Close(fd)
	}
}
