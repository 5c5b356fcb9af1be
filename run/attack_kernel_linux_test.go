package run_test

import (
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/run"
)

// calls begins a program that makes system calls by their numbers, of this machine's architecture.
func calls(body string) run.Request {
	numbers := map[string]string{"amd64": "add_key, keyctl, request_key, io_uring_setup = 248, 250, 249, 425", "arm64": "add_key, keyctl, request_key, io_uring_setup = 217, 219, 218, 425"}
	return python(`
import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)
` + numbers[runtime.GOARCH] + `
def call(name, *args):
    ctypes.set_errno(0)
    if libc.syscall(*[ctypes.c_long(a) if isinstance(a, int) else a for a in args]) >= 0: print(name, 'worked')
    else: print(name, os.strerror(ctypes.get_errno()))
def attempt(name, f):
    try: f(); print(name, 'worked')
    except OSError as e: print(name, e.strerror)
` + body)
}

// refused fails unless each line of the program's output tells of a failure, and there are n.
func refused(t *testing.T, res run.Result, n int) {
	t.Helper()
	if out := lines(res); res.ExitCode != 0 || len(out) != n || strings.Contains(res.Stdout, "worked") {
		t.Fatalf("%q %+v", out, res)
	}
}

func TestAttack10_NoTCPByAnotherNameWithinWalls(t *testing.T) {
	eachWall(t, nil, func(t *testing.T, h *house, e *run.Engine) {
		h.acme(newUpstream(t, nil))
		refused(t, mustRun(t, e, calls(`
for family in (socket.AF_INET, socket.AF_INET6):
    for proto in (262, 132, 256): attempt('protocol %d' % proto, lambda: socket.socket(family, socket.SOCK_STREAM, proto))
`)), 6)
	})
}

func TestAttack11_NoDataWithTheFirstPacketWithinWalls(t *testing.T) {
	eachWall(t, nil, func(t *testing.T, h *house, e *run.Engine) {
		h.acme(newUpstream(t, nil))
		addr, heard := ear(t)
		_, port, _ := strings.Cut(addr, ":")
		refused(t, mustRun(t, e, calls(`
to = ('127.0.0.1', `+port+`)
attempt('sendto', lambda: socket.socket().sendto(b'taken', 0x20000000, to))
attempt('sendmsg', lambda: socket.socket().sendmsg([b'taken'], [], 0x20000000, to))
attempt('option', lambda: socket.socket().setsockopt(socket.IPPROTO_TCP, 30, 1))
`)), 3)
		if heard() {
			t.Error("something came out")
		}
	})
}

func TestAttack13_NoRequestsFromSharedMemoryWithinWalls(t *testing.T) {
	eachWall(t, nil, func(t *testing.T, h *house, e *run.Engine) {
		h.acme(newUpstream(t, nil))
		refused(t, mustRun(t, e, calls(`
call('setup', io_uring_setup, 8, ctypes.create_string_buffer(120))
call('enter', io_uring_setup + 1, 3, 0, 0, 0, 0, 0)
call('register', io_uring_setup + 2, 3, 0, 0, 0)
`)), 3)
	})
}

func TestAttack29_NoKeyringsWithinWalls(t *testing.T) {
	eachWall(t, nil, func(t *testing.T, h *house, e *run.Engine) {
		h.acme(newUpstream(t, nil))
		refused(t, mustRun(t, e, calls(`
call('add_key', add_key, b'user', b'meeting', b'left', 4, -3)
call('request_key', request_key, b'user', b'meeting', 0, -3)
for ring in (-1, -2, -3, -4, -5): call('keyctl', keyctl, 0, ring, 1, 0, 0)
`)), 7)
	})
}

// The calls of another architecture end the process: the filter would read their numbers as other calls. On amd64 they are made by hand; elsewhere a
// program of another architecture is all that could make them.
func TestAttack14_ForeignCallsWithinWalls(t *testing.T) {
	code := map[string]string{
		"int 0x80": `\xb8\x14\x00\x00\x00\xcd\x80\xc3`,     // getpid of the 32-bit table
		"x32":      `\xb8\x27\x00\x00\x40\x0f\x05\xc3`,     // getpid of the x32 table
		"plain":    `\xb8\x27\x00\x00\x00\x0f\x05\xc3\x90`, // getpid: what is made by hand runs at all
	}
	if runtime.GOARCH != "amd64" {
		code = nil
	}
	eachWall(t, nil, func(t *testing.T, h *house, e *run.Engine) {
		h.acme(newUpstream(t, nil))
		for name, bytes := range code {
			r := python(`
import ctypes, mmap
m = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
m.write(b'` + bytes + `')
print('worked', ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))() > 0)`)
			res := mustRun(t, e, r)
			if worked := res.Stdout == "worked True\n"; worked != (name == "plain") || !worked && res.ExitCode != 128+31 {
				t.Errorf("%s: %+v", name, res)
			}
		}
		if res := mustRun(t, e, sh(`echo alive `+strconv.Itoa(len(code)))); !strings.HasPrefix(res.Stdout, "alive") {
			t.Errorf("%+v", res)
		}
	})
}
