package seccomp_test

import (
	"os"
	"syscall"
	"testing"

	"github.com/zavhoz/zavhoz/run/sandbox/walltest"
)

// What a program needs passes; what the options refuse does not.
func TestOrdinaryCallsPass(t *testing.T) {
	fine := map[string]string{"tcp": "worked", "tcp6": "worked", "routes": "worked", "pair": "worked", "packets": "worked", "nodelay": "worked",
		"thread":         "worked",
		"unshare folder": "worked", "limit self": "worked", "window": "ENOTTY", "future": "ENOSYS"}
	with := func(more map[string]string) map[string]string {
		all := map[string]string{}
		for _, m := range []map[string]string{fine, more} {
			for k, v := range m {
				all[k] = v
			}
		}
		return all
	}
	t.Run("plain", func(t *testing.T) {
		under(t, "plain", with(map[string]string{"udp": "worked", "udp6": "worked", "unix": "worked", "datagram pair": "worked", "listen": "worked"}))
	})
	t.Run("basic", func(t *testing.T) {
		under(t, "basic", with(map[string]string{"listen": "worked"}))
	})
	t.Run("notify", func(t *testing.T) {
		delete(fine, "thread") // its start needs no connect, but a run of it may
		under(t, "notify", with(map[string]string{"listen": "EACCES"}))
	})
}

// A source route or a device would carry the bytes of a connection with the broker to somebody else.
func TestAttack08_NoOtherWayForPackets(t *testing.T) {
	under(t, "basic", map[string]string{"source route": "ENOPROTOOPT", "source route 6": "ENOPROTOOPT", "old source route 6": "ENOPROTOOPT",
		"device":        "ENOPROTOOPT",
		"device number": "ENOPROTOOPT", "mark": "ENOPROTOOPT", "transparent": "ENOPROTOOPT", "service": "worked", "v6 only": "worked",
		"keepalive": "worked"})
}

func TestAttack09_NoDatagrams(t *testing.T) {
	under(t, "basic", map[string]string{"udp": "EACCES", "udp6": "EACCES", "ping": "EACCES", "udplite": "EACCES"})
}

func TestAttack10_NoTCPByAnotherName(t *testing.T) {
	for _, level := range []string{"plain", "basic"} {
		under(t, level, map[string]string{"mptcp": "EPROTONOSUPPORT", "mptcp6": "EPROTONOSUPPORT", "mptcp high": "EPROTONOSUPPORT", "smc": "EAFNOSUPPORT",
			"smc proto": "EPROTONOSUPPORT", "ulp": "ENOPROTOOPT", "repair": "ENOPROTOOPT"})
	}
}

func TestAttack11_NoDataWithTheFirstPacket(t *testing.T) {
	for _, level := range []string{"plain", "basic"} {
		under(t, level, map[string]string{"tfo sendto": "ENOTSUP", "tfo sendmsg": "ENOTSUP", "tfo sendmmsg": "ENOTSUP", "tfo connect": "ENOPROTOOPT",
			"tfo no cookie": "ENOPROTOOPT"})
	}
}

func TestAttack12_NoOtherSockets(t *testing.T) {
	want := map[string]string{"sctp": "EPROTONOSUPPORT", "sctp seq": "ESOCKTNOSUPPORT", "dccp": "ESOCKTNOSUPPORT", "raw": "ESOCKTNOSUPPORT",
		"raw high":   "ESOCKTNOSUPPORT",
		"old packet": "ESOCKTNOSUPPORT", "netfilter": "EPROTONOSUPPORT", "uevent": "EPROTONOSUPPORT", "diag": "EPROTONOSUPPORT"}
	for _, family := range []string{"packet", "vsock", "alg", "bluetooth", "can", "tipc", "rds", "qrtr", "key", "xdp", "nfc", "tipc pair"} {
		want[family] = "EAFNOSUPPORT"
	}
	under(t, "basic", want)
	want["ping"], want["ping6"], want["udplite"] = "EPROTONOSUPPORT", "EPROTONOSUPPORT", "EPROTONOSUPPORT"
	under(t, "plain", want)
}

func TestAttack13_NoRequestsFromSharedMemory(t *testing.T) {
	under(t, "plain", map[string]string{"io_uring setup": "EPERM", "io_uring enter": "EPERM", "io_uring register": "EPERM"})
}

// A datagram pair would do for a pathname socket: it can be pointed at one later.
func TestAttack16_NoPathnameSockets(t *testing.T) {
	under(t, "basic", map[string]string{"unix": "EAFNOSUPPORT", "datagram pair": "ESOCKTNOSUPPORT", "raw pair": "ESOCKTNOSUPPORT"})
}

func TestAttack18_NoLookIntoOthers(t *testing.T) {
	under(t, "plain", map[string]string{"traceme": "EPERM", "attach": "EPERM", "readv": "EPERM", "writev": "EPERM", "getfd": "EPERM",
		"kcmp": "EPERM", "madvise": "EPERM"})
}

func TestAttack27_NoKeysIntoATerminal(t *testing.T) {
	under(t, "plain", map[string]string{"sti": "EPERM", "sti high": "EPERM", "linux": "EPERM", "discipline": "EPERM", "console": "EPERM"})
}

// One second of processor time would end the broker as surely as a signal.
func TestAttack28_NoLimitsOnOthers(t *testing.T) {
	under(t, "plain", map[string]string{"limit others": "EPERM"})
}

func TestAttack29_NoKeyRings(t *testing.T) {
	under(t, "plain", map[string]string{"keyctl": "EPERM", "add_key": "EPERM", "request_key": "EPERM"})
}

func TestAttack31_NoNamespaces(t *testing.T) {
	under(t, "plain", map[string]string{"unshare user": "EPERM", "unshare time": "EPERM", "unshare all": "EPERM", "unshare high": "EPERM",
		"clone user": "EPERM",
		"clone net":  "EPERM", "clone high": "EPERM", "clone3": "ENOSYS", "setns": "EPERM", "mount": "EPERM", "chroot": "EPERM", "fsopen": "EPERM",
		"open_tree":  "EPERM",
		"pivot_root": "EPERM", "listmount": "ENOSYS"})
}

func TestTheKernelsDeepDoorsAreShut(t *testing.T) {
	under(t, "plain", map[string]string{"bpf": "EPERM", "perf": "EPERM", "userfaultfd": "EPERM", "handle": "EPERM", "personality": "EPERM",
		"modules": "EPERM"})
}

// A supervisor of the command's own would be asked before ours: refused also where ours is not there.
func TestNoSupervisorOfItsOwn(t *testing.T) {
	under(t, "plain", map[string]string{"listener": "EBUSY"})
	under(t, "notify", map[string]string{"listener": "EBUSY"})
}

// The filter is inherited by what is executed, and cannot be taken off.
func TestTheFilterStaysAfterExec(t *testing.T) {
	walltest.Each(t, func(t *testing.T, u walltest.User) {
		out, state, err := u.Output("run", "plain", "/bin/sh", "-c", "grep -E 'Seccomp:|NoNewPrivs:' /proc/self/status; unshare -U true || echo refused")
		if err != nil || !state.Success() {
			t.Fatalf("%v %v: %s", err, state, out)
		}
		if want := "NoNewPrivs:\t1\nSeccomp:\t2\n"; len(out) < len(want) || out[:len(want)] != want {
			t.Error(out)
		}
		if out[len(out)-8:] != "refused\n" {
			t.Error(out)
		}
	})
}

// Programs that do much of what programs do work under the filter: processes, threads, pipes, temporary files, a compiler.
func TestProgramsWork(t *testing.T) {
	const script = `set -e
cd "$1" && export HOME="$1" GIT_CONFIG_NOSYSTEM=1
git init -q . && echo text >a && git add a && git -c user.name=a -c user.email=a@example.com commit -qm x && git gc -q
printf 'int main(void) { return 0; }' >a.c && gcc -O1 a.c && ./a.out
ps >/dev/null && tar cf a.tar a && cp a.tar b.tar && ssh-keygen -q -t ed25519 -N '' -f key && openssl dgst -sha256 key >/dev/null
echo all | rev`
	for _, level := range []string{"plain", "basic", "notify"} {
		walltest.Each(t, func(t *testing.T, u walltest.User) {
			out, state, err := u.Output("run", level, "/bin/sh", "-c", script, "sh", u.Dir(t))
			if err != nil || !state.Success() || out != "lla\n" {
				t.Errorf("%s: %v %v: %s", level, err, state, out)
			}
		})
	}
}

// ends runs a foreign child with and without the filter. Without it it works (or this kernel has no such architecture: then it must fail with the
// filter as it fails without); with it the whole process is gone.
func ends(t *testing.T, child string, args ...string) {
	t.Helper()
	walltest.Each(t, func(t *testing.T, u walltest.User) {
		free, before, err := u.Output(child, append([]string{"none"}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		out, after, err := u.Output(child, append([]string{"plain"}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("without the filter: %v %s; with it: %v %s", before, free, after, out)
		switch {
		case walltest.Signal(after) == syscall.SIGSYS:
		case before.Success():
			t.Errorf("the filter let it be: %v %s", after, out)
		case after.Success():
			t.Error("it works under the filter alone")
		}
	})
}

func writeProgram(t *testing.T, code []byte) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "zvw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	name := dir + "/program"
	if err := os.WriteFile(name, code, 0o755); err != nil {
		t.Fatal(err)
	}
	return name
}
