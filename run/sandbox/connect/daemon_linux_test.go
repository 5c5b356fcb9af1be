package connect

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zavhoz/zavhoz/run/sandbox/seccomp"
	"github.com/zavhoz/zavhoz/run/sandbox/walltest"
)

func TestMain(m *testing.M) {
	walltest.Main(m, walltest.Children{"daemon": daemon, "shim": shim, "client": client})
}

// The addresses that lead somewhere.
const (
	proxyAddr = "127.0.0.9:3128"
	echoAddr  = "127.0.0.9:2222"
	namedAddr = "192.0.2.7:80" // any address may be one: a name in the run's hosts file
	sixAddr   = "[::1]:3128"
	deafAddr  = "127.0.0.9:4444" // routed, and nobody listens
)

var routes = map[string]string{proxyAddr: "proxy", echoAddr: "echo", namedAddr: "proxy", sixAddr: "proxy", deafAddr: "deaf"}

// daemon is the broker's side, not dumpable as the real one: it starts a command behind a shim, serves it, and prints what it printed, then what
// was served. args[0] is how the filter is put on.
func daemon(args []string) {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		walltest.Fail("%v", err)
	}
	cmd, listener := behindShim(args[0], args[1:])
	b, err := New(listener, Options{Route: func(a netip.AddrPort) string { return routes[a.String()] }})
	if err != nil {
		walltest.Fail("%v", err)
	}
	var served, echoed atomic.Int64
	var owners sync.WaitGroup
	proxy, echo := b.Listener("proxy"), b.Listener("echo")
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		served.Add(1)
		fmt.Fprintf(w, "via the proxy: %s\n", r.URL)
	})}
	owners.Go(func() { _ = server.Serve(proxy) })
	owners.Go(func() {
		for {
			c, err := echo.Accept()
			if err != nil {
				return
			}
			echoed.Add(1)
			owners.Go(func() { _, _ = io.Copy(c, c); _ = c.Close() })
		}
	})
	err = cmd.Wait()
	select {
	case <-b.Done():
	case <-time.After(20 * time.Second):
		walltest.Fail("the broker does not end with the last process")
	}
	owners.Wait() // the listeners end by themselves once all that came was accepted; Close would drop what waits
	if err := b.Close(); err != nil {
		walltest.Fail("close: %v", err)
	}
	_ = server.Close()
	fmt.Printf("= %v, served %d, echoed %d, goroutines %v\n", err, served.Load(), echoed.Load(), runtime.NumGoroutine() < 6)
}

// behindShim starts a command behind the filter, and gives the listener that the shim sent.
func behindShim(how string, argv []string) (*exec.Cmd, *os.File) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		walltest.Fail("%v", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "control")
	cmd := exec.Command("/proc/self/exe", append([]string{how}, argv...)...)
	cmd.Env = append(os.Environ(), "ZAVHOZ_WALLTEST=shim")
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles, cmd.Dir = os.Stdin, os.Stdout, os.Stdout, []*os.File{theirs}, "/"
	if err := cmd.Start(); err != nil {
		walltest.Fail("%v", err)
	}
	_ = theirs.Close()
	b, oob := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(pair[0], b, oob, unix.MSG_CMSG_CLOEXEC)
	_ = unix.Close(pair[0])
	if err != nil || n == 0 {
		walltest.Fail("no listener came: %v", err)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil {
		walltest.Fail("%v", err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		walltest.Fail("%v", err)
	}
	return cmd, os.NewFile(uintptr(fds[0]), "listener")
}

// shim puts the filter on, sends the listener, and becomes the command.
func shim(args []string) {
	runtime.LockOSThread()
	program, err := seccomp.Program(runtime.GOARCH, seccomp.Options{DenyUDP: true, DenyUnix: true, Notify: true})
	if err != nil {
		walltest.Fail("%v", err)
	}
	flags := uintptr(unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV)
	if args[0] == "interruptible" { // as kernels before 5.19: a signal takes a question back
		flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
	}
	l, err := walltest.Filter(program, flags)
	if err != nil {
		walltest.Fail("%v", err)
	}
	if err := unix.Sendmsg(3, []byte{1}, unix.UnixRights(int(l.Fd())), nil, 0); err != nil {
		walltest.Fail("%v", err)
	}
	_, _ = unix.Close(3), l.Close()
	argv := args[1:]
	if argv[0] == "client" {
		_ = os.Setenv("ZAVHOZ_WALLTEST", "client")
		argv = append([]string{"/proc/self/exe"}, argv[1:]...)
	}
	walltest.Fail("%v", syscall.Exec(argv[0], argv, os.Environ()))
}

// run plays a daemon with a command as a user, and gives what was printed without the daemon's own last line.
func run(t *testing.T, u walltest.User, served int, argv ...string) string {
	t.Helper()
	return runAs(t, u, "as it is", fmt.Sprintf("served %d, echoed 0", served), argv...)
}

func runAs(t *testing.T, u walltest.User, how, served string, argv ...string) string {
	t.Helper()
	out, state, err := u.Output("daemon", append([]string{how}, argv...)...)
	if err != nil || !state.Success() {
		t.Fatalf("%v %v: %s", err, state, out)
	}
	i := strings.LastIndex(out, "= ")
	if i < 0 {
		t.Fatal(out)
	}
	if end := "= <nil>, " + served + ", goroutines true\n"; out[i:] != end {
		t.Errorf("%s, not %s; %s", out[i:], end, out[:i])
	}
	return out[:i]
}

// evil is a listener of somebody else on this machine. Nobody may reach it.
func evil(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var reached atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			reached.Add(1)
			_, _ = io.WriteString(c, "HTTP/1.0 200 OK\r\n\r\nEVIL\n")
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
		if n := reached.Load(); n > 0 {
			t.Errorf("reached from outside the broker: %d times", n)
		}
	})
	return l.Addr().String()
}
