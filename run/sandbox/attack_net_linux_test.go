package sandbox_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zavhoz/zavhoz/run/sandbox"
)

func init() {
	children["child:dial"] = func(args []string) { // network address…
		for i := 0; i+1 < len(args); i += 2 {
			say(args[i]+" "+args[i+1], dial(args[i], args[i+1]))
		}
	}
	children["child:raw"] = func([]string) {
		for name, s := range map[string][3]int{"raw": {unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP}, "packet": {unix.AF_PACKET, unix.SOCK_RAW, 0}, "mptcp": {unix.AF_INET, unix.SOCK_STREAM, 262},
			"vsock": {unix.AF_VSOCK, unix.SOCK_STREAM, 0}, "alg": {unix.AF_ALG, unix.SOCK_SEQPACKET, 0}, "sctp": {unix.AF_INET, unix.SOCK_STREAM, 132}} {
			fd, err := unix.Socket(s[0], s[1], s[2])
			say(name, err)
			_ = unix.Close(fd)
		}
	}
}

func dial(network, address string) error {
	c, err := net.DialTimeout(network, address, 2*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Write([]byte("taken"))
	return err
}

// ear is a listener of the machine's that must hear nothing.
type ear struct{ network, address string }

func listenAll(t *testing.T) (ears []ear, heard func() []string) {
	t.Helper()
	var got []string
	addresses := []string{"127.0.0.1:0", "[::1]:0"}
	list, _ := net.InterfaceAddrs()
	for _, a := range list {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.IsGlobalUnicast() && ip.IP.To4() != nil {
			addresses = append(addresses, net.JoinHostPort(ip.IP.String(), "0"))
		}
	}
	var tcp []*net.TCPListener
	var udp []net.PacketConn
	for _, a := range addresses {
		l, err := net.Listen("tcp", a)
		if err != nil {
			continue // a machine without that family
		}
		t.Cleanup(func() { _ = l.Close() })
		ears, tcp = append(ears, ear{"tcp", l.Addr().String()}), append(tcp, l.(*net.TCPListener))
		p, err := net.ListenPacket("udp", a)
		if err != nil {
			continue
		}
		t.Cleanup(func() { _ = p.Close() })
		ears, udp = append(ears, ear{"udp", p.LocalAddr().String()}), append(udp, p)
	}
	return ears, func() []string {
		soon := time.Now().Add(20 * time.Millisecond)
		for _, l := range tcp {
			_ = l.SetDeadline(soon)
			if c, err := l.Accept(); err == nil {
				_ = c.Close()
				got = append(got, l.Addr().String())
			}
		}
		for _, p := range udp {
			_ = p.SetReadDeadline(soon)
			b := make([]byte, 64)
			if n, _, err := p.ReadFrom(b); err == nil {
				got = append(got, string(b[:n]))
			}
		}
		return got
	}
}

func TestAttack08_NoConnectionToAnybodyElse(t *testing.T) {
	at(t, func(t *testing.T, b *sandbox.Box) {
		ears, heard := listenAll(t)
		args := []string{"child:dial", "tcp", "192.0.2.1:80", "tcp", "169.254.169.254:80"}
		for _, e := range ears {
			if e.network == "tcp" {
				args = append(args, e.network, e.address)
			}
		}
		out := child(t, b, nil, args...)
		want := map[string]string{}
		for i := 1; i < len(args); i += 2 {
			want[args[i]+" "+args[i+1]] = ": "
		}
		expect(t, out, want)
		if got := heard(); len(got) != 0 {
			t.Errorf("heard %q", got)
		}
	})
}

func TestAttack09_NoDatagrams(t *testing.T) {
	at(t, func(t *testing.T, b *sandbox.Box) {
		ears, heard := listenAll(t)
		args := []string{"child:dial", "udp", "192.0.2.53:53"}
		for _, e := range ears {
			if e.network == "udp" {
				args = append(args, e.network, e.address)
			}
		}
		child(t, b, nil, args...) // at sealed a datagram to nobody's loopback is lost without an error
		if got := heard(); len(got) != 0 {
			t.Errorf("heard %q", got)
		}
		if out, _ := shell(t, b, "getent hosts example.org || echo no name", nil); out != "no name\n" {
			t.Errorf("a name was resolved: %q", out)
		}
	})
}

// At basic the addresses of the machine's connections are seen, as docs/sandbox.md says: Landlock cannot take a folder out of /proc.
func TestAttack08_WhatIsSeenOfOthersConnections(t *testing.T) {
	at(t, func(t *testing.T, b *sandbox.Box) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		out, _ := shell(t, b, "cat /proc/net/tcp /proc/self/net/tcp /proc/1/net/tcp 2>&1", nil)
		seen := strings.Contains(out, fmt.Sprintf(" 0100007F:%04X ", l.Addr().(*net.TCPAddr).Port))
		if seen == b.Named() {
			t.Errorf("seen: %v\n%s", seen, out)
		}
	})
}

func TestAttack12_NoOtherSockets(t *testing.T) {
	at(t, func(t *testing.T, b *sandbox.Box) {
		expect(t, child(t, b, nil, "child:raw"), map[string]string{"raw": "not", "packet": "not", "mptcp": "not", "vsock": "not", "alg": "not", "sctp": "not"})
	})
}

func TestAttack15_NoAbstractSockets(t *testing.T) {
	at(t, func(t *testing.T, b *sandbox.Box) {
		name := "@zavhoz-test-" + filepath.Base(t.TempDir()) + filepath.Base(b.Home())
		l, err := net.Listen("unix", name)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if err := dial("unix", name); err != nil {
			t.Fatalf("from outside: %v", err)
		}
		expect(t, child(t, b, nil, "child:dial", "unix", name), map[string]string{"unix " + name: ": "})
	})
}

func TestAttack16_NoPathnameSockets(t *testing.T) {
	at(t, func(t *testing.T, b *sandbox.Box) {
		dir, err := os.MkdirTemp("/tmp", "zavhoz-test-")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		p := filepath.Join(dir, "docker.sock")
		l, err := net.Listen("unix", p)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if err := os.Chmod(p, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		args := []string{"child:dial", "unix", p, "unix", "/var/run/docker.sock", "unix", "/run/dbus/system_bus_socket", "unix", "/tmp/.X11-unix/X0", "unix", "/run/systemd/private"}
		want := map[string]string{}
		for i := 1; i < len(args); i += 2 {
			want[args[i]+" "+args[i+1]] = ": "
		}
		expect(t, child(t, b, nil, args...), want)
	})
}
