package connect

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/run/sandbox/walltest"
)

// programs are real clients: how each fetches URLs one after the other. It prints the replies, and a line of its own for what fails.
var programs = map[string][]string{
	"curl":    {"/usr/bin/curl", "-sS", "-m", "10", "--noproxy", "*", "-g"},
	"python3": {"/usr/bin/python3", "-c", pythonGet},
	"asyncio": {"/usr/bin/python3", "-c", pythonAsync},
	"node":    {"/usr/bin/node", "-e", nodeGet},
	"go":      {"client", "get"},
}

const (
	pythonGet = `
import sys, urllib.request
for url in sys.argv[1:]:
    try: sys.stdout.write(urllib.request.urlopen(url, timeout=10).read().decode())
    except Exception as e: print("failed:", e)`
	pythonAsync = `
import asyncio, sys, urllib.parse
async def get(url):
    u = urllib.parse.urlparse(url)
    try: r, w = await asyncio.open_connection(u.hostname, u.port or 80)
    except OSError as e: return print("failed:", e)
    w.write(("GET %s HTTP/1.0\r\nHost: %s\r\n\r\n" % (u.path, u.netloc)).encode())
    print((await r.read()).decode().split("\r\n\r\n", 1)[1], end="")
async def main():
    for url in sys.argv[1:]: await get(url)
asyncio.run(main())`
	nodeGet = `
(async () => { for (const url of process.argv.slice(1))
  await fetch(url).then(r => r.text()).then(t => process.stdout.write(t), e => console.log("failed:", e.cause && e.cause.code)) })()`
)

// Real programs come to the broker where the route says so, and to nobody else on or off this machine.
func TestAttack08_ProgramsReachTheBrokerOnly(t *testing.T) {
	for name, argv := range programs {
		t.Run(name, func(t *testing.T) {
			walltest.Each(t, func(t *testing.T, u walltest.User) {
				good := append(argv[:len(argv):len(argv)], "http://"+proxyAddr+"/a", "http://"+namedAddr+"/b", "http://"+sixAddr+"/c")
				if out := run(t, u, 3, good...); out != "via the proxy: /a\nvia the proxy: /b\nvia the proxy: /c\n" {
					t.Errorf("%q", out)
				}
				bad := append([]string{"as it is"}, argv...)
				for _, addr := range []string{evil(t), "192.0.2.1:80", "127.0.0.1:3128", "[2001:db8::1]:80", deafAddr} {
					bad = append(bad, "http://"+addr+"/x")
				}
				out, state, err := u.Output("daemon", bad...)
				if err != nil || !state.Success() || strings.Contains(out, "EVIL") || !strings.Contains(out, "served 0, echoed 0") {
					t.Errorf("%v %v: %s", err, state, out)
				}
				if n := strings.Count(out, "\n"); n != 6 { // a line for each, and the daemon's own
					t.Errorf("%d lines: %s", n, out)
				}
			})
		})
	}
}

func TestManyThreadsAndProcessesAtOnce(t *testing.T) {
	walltest.Each(t, func(t *testing.T, u walltest.User) {
		if out := runAs(t, u, "as it is", "served 0, echoed 200", "client", "many", "200"); out != "200\n" {
			t.Error(out)
		}
		const threads = `
import threading, urllib.request
good = []
def get():
    for _ in range(5): good.append(urllib.request.urlopen("http://127.0.0.9:3128/", timeout=20).status)
all = [threading.Thread(target=get) for _ in range(20)]
[t.start() for t in all]
[t.join() for t in all]
print(good.count(200))`
		if out := run(t, u, 100, "/usr/bin/python3", "-c", threads); out != "100\n" {
			t.Error(out)
		}
		const shell = `for i in 1 2 3 4 5 6 7 8; do curl -sS -m 20 --noproxy '*' http://127.0.0.9:3128/$i >/dev/null & done; wait; echo all`
		if out := run(t, u, 8, "/bin/sh", "-c", shell); out != "all\n" {
			t.Error(out)
		}
	})
}

// An orphan in a session of its own is answered too, and the broker ends with it.
func TestTheBrokerLastsUntilTheLastProcess(t *testing.T) {
	walltest.Each(t, func(t *testing.T, u walltest.User) {
		const script = `setsid sh -c 'sleep 0.3; curl -sS -m 20 --noproxy "*" http://127.0.0.9:3128/late' >/dev/null 2>&1 & echo left`
		if out := run(t, u, 1, "/bin/sh", "-c", script); out != "left\n" {
			t.Error(out)
		}
	})
}

func TestWrongCallsGetWhatTheKernelWouldSay(t *testing.T) {
	const want = `elsewhere: ENETUNREACH
elsewhere at home: ECONNREFUSED
anywhere: ECONNREFUSED
elsewhere in six: ENETUNREACH
mapped elsewhere: ENETUNREACH
deaf: ECONNREFUSED
short: EINVAL
empty: EINVAL
long: EINVAL
negative: EINVAL
nowhere: EFAULT
closed: EBADF
negative socket: EBADF
file: ENOTSOCK
unix pair: EAFNOSUPPORT
netlink: EAFNOSUPPORT
to the kernel: EAFNOSUPPORT
undo: EAFNOSUPPORT
to a path: EACCES
four by six: EAFNOSUPPORT
six by four: EAFNOSUPPORT
mapped: worked
good: worked
twice: EISCONN
`
	walltest.Each(t, func(t *testing.T, u walltest.User) {
		if out := runAs(t, u, "as it is", "served 0, echoed 1", "client", "raw"); out != want {
			t.Errorf("got\n%s", out)
		}
	})
}

func TestAnEventLoopSeesItsOwnSocket(t *testing.T) {
	walltest.Each(t, func(t *testing.T, u walltest.User) {
		const want = "connect: EINPROGRESS\nwritable\nerror: 0 <nil>\nreadable\nping <nil>\n"
		out := runAs(t, u, "as it is", "served 0, echoed 1", "client", "epoll")
		// the kernel's way with a non-blocking socket: the first call after the connection is there works, the next says it is there
		if out != want+"connect again: worked\n" && out != want+"connect again: EISCONN\n" {
			t.Error(out)
		}
		out = runAs(t, u, "as it is", "served 0, echoed 1", "client", "timeouts")
		if out != "connect: worked\nread: EAGAIN\n77 1 <nil>\n" {
			t.Error(out)
		}
	})
}

func TestOneSocketConnectsOnce(t *testing.T) {
	walltest.Each(t, func(t *testing.T, u walltest.User) {
		if out := runAs(t, u, "as it is", "served 0, echoed 50", "client", "again"); out != "done\n" {
			t.Error(out)
		}
	})
}

// The address in memory changes all the time; what was read decides, and nobody else is reached.
func TestAttack08_AnAddressChangedBetweenCheckAndUse(t *testing.T) {
	walltest.Each(t, func(t *testing.T, u walltest.User) {
		bad := evil(t)
		out, state, err := u.Output("daemon", "as it is", "client", "race", bad)
		if err != nil || !state.Success() || !strings.HasPrefix(out, "true true 2000\n") {
			t.Errorf("%v %v: %s", err, state, out)
		}
	})
}

// Before Linux 5.19 a signal takes a question back, and the call begins anew: each connection is made once all the same. There the kernel may take an answer for a call that a signal
// has just ended (between the end of its wait and the lock, kernel/seccomp.c), and say so to nobody: that call, begun anew, hears that the socket is connected.
func TestASignalDoesNotConnectTwice(t *testing.T) {
	for how, missed := range map[string]int{"as it is": 0, "interruptible": 5} {
		walltest.Each(t, func(t *testing.T, u walltest.User) {
			out, state, err := u.Output("daemon", how, "client", "signals")
			var ends, rest string
			if ends, rest, _ = strings.Cut(out, "\n"); err != nil || !state.Success() || !strings.Contains(rest, "served 0, echoed 1000,") {
				t.Errorf("%s: %v %v: %s", how, err, state, out)
			}
			n, worked := 0, 0
			if ends != "map[worked:1000]" {
				_, err = fmt.Sscanf(ends, "map[EISCONN:%d worked:%d]", &n, &worked)
				if err != nil || n > missed || n+worked != 1000 {
					t.Errorf("%s: %v: %s", how, err, ends)
				}
			}
		})
	}
}

// The kernel would let root look; to an ordinary user's broker such a process is closed, and what cannot be seen is refused.
func TestAProcessThatCannotBeReadIsRefused(t *testing.T) {
	walltest.Each(t, func(t *testing.T, u walltest.User) {
		served, want := "served 0, echoed 0", "EACCES\n"
		if u.Root() {
			served, want = "served 0, echoed 1", "worked\n"
		}
		if out := runAs(t, u, "as it is", served, "client", "undumpable"); out != want {
			t.Error(out)
		}
	})
}

// A connection from another interface's address gets nowhere; of loopback's addresses any will do.
func TestBoundSockets(t *testing.T) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	outer := ""
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() {
			outer = p.Addr().String()
		}
	}
	walltest.Each(t, func(t *testing.T, u walltest.User) {
		if out := runAs(t, u, "as it is", "served 0, echoed 1", "client", "bound", "127.0.0.77"); out != "connect: worked\nread: true true\n" {
			t.Error(out)
		}
		if outer == "" {
			return
		}
		if out := runAs(t, u, "as it is", "served 0, echoed 0", "client", "bound", outer); out != "connect: worked\nread: false true\n" {
			t.Error(out)
		}
	})
}

// Another process of this machine that finds the port is not let in.
func TestStrangersAreNotLetIn(t *testing.T) {
	walltest.Each(t, func(t *testing.T, u walltest.User) {
		c := u.Command("daemon", "as it is", "client", "peer")
		in, err := c.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(out)
		addr, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			s, err := net.Dial("tcp", strings.TrimSpace(addr))
			if err != nil {
				t.Fatal(err)
			}
			_ = s.SetDeadline(time.Now().Add(20 * time.Second))
			_, _ = io.WriteString(s, "let me in")
			if n, err := s.Read(make([]byte, 16)); n > 0 || os.IsTimeout(err) {
				t.Errorf("a stranger got %d bytes, %v", n, err)
			}
			_ = s.Close()
		}
		_ = in.Close()
		rest, _ := io.ReadAll(lines)
		_ = c.Wait()
		if want := "= <nil>, served 0, echoed 1, goroutines true\n"; string(rest) != want {
			t.Errorf("%s, not %s", rest, want)
		}
	})
}

// Close in the middle of everything: the broker's goroutines end, and the command's calls fail.
func TestCloseUnderLoad(t *testing.T) {
	pair := [2]*os.File{}
	var err error
	if pair[0], pair[1], err = os.Pipe(); err != nil {
		t.Fatal(err)
	}
	defer pair[0].Close()
	cmd, listener := forTest(t, pair[1], "client", "forever")
	b, err := New(listener, Options{Route: func(a netip.AddrPort) string { return routes[a.String()] }})
	if err != nil {
		t.Fatal(err)
	}
	echo := b.Listener("echo")
	for range 100 {
		c, err := echo.Accept()
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	for {
		c, err := echo.Accept()
		if err != nil {
			break
		}
		_ = c.Close()
	}
	if late, err := b.Listener("late").Accept(); err == nil {
		t.Errorf("a listener of a closed broker gave %v", late)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

// forTest starts a command behind a shim from the test itself.
func forTest(t *testing.T, out *os.File, argv ...string) (*exec.Cmd, *os.File) {
	t.Helper()
	saved := os.Stdout
	os.Stdout = out
	defer func() { os.Stdout = saved }()
	cmd, listener := behindShim("as it is", argv)
	_ = out.Close()
	return cmd, listener
}

func TestNewRefuses(t *testing.T) {
	for _, route := range []func(netip.AddrPort) string{nil, func(netip.AddrPort) string { return "" }} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		if b, err := New(r, Options{Route: route}); err == nil {
			t.Error("a broker without a route, or for a pipe", b)
		}
		_ = w.Close()
		if err := r.Close(); err == nil {
			t.Error("the listener was not taken over")
		}
	}
}
