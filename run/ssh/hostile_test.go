package ssh_test

import (
	"bytes"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"

	"github.com/zavhoz/zavhoz/run/ssh"
)

// execOn asks for a command on a channel of its own, as no library would.
func execOn(t *testing.T, c *xssh.Client, line string) xssh.Channel {
	t.Helper()
	ch, reqs, err := c.OpenChannel("session", nil)
	if err != nil {
		t.Fatal(err)
	}
	go xssh.DiscardRequests(reqs)
	if ok, err := ch.SendRequest("exec", true, xssh.Marshal(struct{ Line string }{line})); err != nil || !ok {
		t.Fatal(ok, err)
	}
	return ch
}

// What is no ssh, or half of one, or too much, ends that connection and nothing else.
func TestAttack67_TheBastionAgainstRawBytes(t *testing.T) {
	b := newBed(t, bedOptions{limits: ssh.Limits{Handshake: 300 * time.Millisecond}})
	for _, raw := range []string{
		"", "GET / HTTP/1.1\r\n\r\n", strings.Repeat("x", 1<<20), "SSH-2.0-x\r\n", "SSH-2.0-x\r\n\xff\xff\xff\xff" + strings.Repeat("y", 1000),
		"SSH-2.0-x\r\n\x00\x00\x00\x0c\x0a\x15" + strings.Repeat("\x00", 100), strings.Repeat("line\n", 5000), "SSH-1.5-x\r\n",
	} {
		conn, err := net.Dial("tcp", b.addr.String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, raw)
		_, _ = io.Copy(io.Discard, conn) // until the bastion closes it
		_ = conn.Close()
	}
	if out, errs, code := b.client(t, "", "ssh", "prod_vps_1", "echo", "still"); out != "still\n" || code != 0 {
		t.Errorf("%q %q %d", out, errs, code)
	}
}

// Requests that lie about themselves.
func TestAttack67_TheBastionAgainstBadRequests(t *testing.T) {
	b := newBed(t, bedOptions{})
	c := dial(t, b)
	junk := [][]byte{nil, {0}, {0xff, 0xff, 0xff, 0xff}, {0, 0, 0, 200, 1}, bytes.Repeat([]byte{0x41}, 2000), xssh.Marshal(struct{ S string }{strings.Repeat("a", 1<<17+1)}), xssh.Marshal(struct{ S string }{"a\x00b"})}
	for _, kind := range []string{"pty-req", "env", "window-change", "signal", "exec", "subsystem", "x11-req", "auth-agent-req@openssh.com", "break", "exit-status", "eow@openssh.com", "\x00", ""} {
		for _, payload := range junk {
			ch, reqs, err := c.OpenChannel("session", nil)
			if err != nil {
				t.Fatal(err)
			}
			go xssh.DiscardRequests(reqs)
			_, _ = ch.SendRequest(kind, true, payload)
			_ = ch.Close()
		}
	}
	for _, e := range b.recorded() {
		if e.Kind != ssh.KindDenied && e.Command != strings.Repeat("A", 0) {
			t.Errorf("%+v ran", e)
		}
	}
	s := session(t, c)
	if out, err := s.Output("echo still"); err != nil || string(out) != "still\n" {
		t.Errorf("%q %v", out, err)
	}
}

// Thousands of channels and requests: those over the limit are refused, the others work, and the record holds a handful.
func TestAttack67_TheBastionAgainstFloods(t *testing.T) {
	b := newBed(t, bedOptions{limits: ssh.Limits{Sessions: 6, Connections: 3}})
	c := dial(t, b)
	var open []xssh.Channel
	refused := 0
	for range 3000 {
		ch, reqs, err := c.OpenChannel("session", nil)
		if err != nil {
			refused++
			continue
		}
		go xssh.DiscardRequests(reqs)
		open = append(open, ch)
	}
	if len(open) != 6 || refused != 2994 {
		t.Errorf("%d are open", len(open))
	}
	for range 3000 {
		if _, _, err := c.OpenChannel("direct-tcpip", nil); err == nil {
			t.Fatal("opened")
		}
	}
	if _, _, err := dial(t, b).OpenChannel("session", nil); err == nil {
		t.Error("another connection has places of its own")
	}
	for range 20000 { // on a session that has begun nothing
		_, _ = open[0].SendRequest("window-change", false, xssh.Marshal(struct{ A, B, C, D uint32 }{1, 1, 1, 1}))
		_, _ = open[0].SendRequest("signal", false, xssh.Marshal(struct{ S string }{"INT"}))
	}
	for _, ch := range open {
		_ = ch.Close()
	}
	b.await(t, func() bool {
		ch, reqs, err := c.OpenChannel("session", nil)
		if err == nil {
			go xssh.DiscardRequests(reqs)
			_ = ch.Close()
		}
		return err == nil
	})
	if n := len(b.recorded()); n > 40 {
		t.Errorf("%d events of it", n)
	}
	var conns []net.Conn
	for range 50 {
		conn, err := net.Dial("tcp", b.addr.String())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	answered := 0
	for _, conn := range conns {
		_ = conn.SetReadDeadline(time.Now().Add(2 * time.Second))
		if n, _ := conn.Read(make([]byte, 1)); n == 1 {
			answered++
		}
	}
	for _, conn := range conns { // not before all are read: each that ends leaves its place to one that was not looked at yet
		_ = conn.Close()
	}
	if answered > 2 {
		t.Errorf("%d connections at once", answered)
	}
}

// Sessions that ask for nothing, connections without sessions: they end.
func TestAttack67_TheBastionAgainstSilence(t *testing.T) {
	b := newBed(t, bedOptions{limits: ssh.Limits{Begin: 50 * time.Millisecond, Idle: 200 * time.Millisecond}})
	c := dial(t, b)
	ch, reqs, err := c.OpenChannel("session", nil)
	if err != nil {
		t.Fatal(err)
	}
	for range reqs { // ends with the channel
	}
	if _, err := ch.Write([]byte("x")); err == nil {
		_, err = ch.Read(make([]byte, 1))
		if err == nil {
			t.Error("it is open")
		}
	}
	_ = c.Wait()
}

// A client that does not read stops its own session only.
func TestAttack67_AClientThatDoesNotRead(t *testing.T) {
	b := newBed(t, bedOptions{})
	c := dial(t, b)
	execOn(t, c, "yes")
	for range 5 {
		s := session(t, c)
		if out, err := s.Output("head -c 300000 /dev/zero"); err != nil || len(out) != 300000 {
			t.Errorf("%d %v", len(out), err)
		}
	}
	out, errs, code := b.client(t, "", "ssh", "prod_vps_1", "echo", "still") // the same connection to the server
	if out != "still\n" || code != 0 {
		t.Errorf("%q %q %d", out, errs, code)
	}
}

// Input that the server does not take, in packets of one byte: what it would cost to keep them is bounded, by the end of the connection.
func TestAttack67_SmallPacketsThatNobodyReads(t *testing.T) {
	b := newBed(t, bedOptions{limits: ssh.Limits{Packets: 20000}})
	c := dial(t, b)
	ch := execOn(t, c, "sleep 1000")
	var writing sync.WaitGroup
	writing.Go(func() {
		big := make([]byte, 1<<20)
		for range 5 { // until nothing moves any more, then by the byte
			if _, err := ch.Write(big); err != nil {
				return
			}
		}
	})
	small, reqs, err := c.OpenChannel("session", nil) // its input is read by nobody yet
	if err != nil {
		t.Fatal(err)
	}
	go xssh.DiscardRequests(reqs)
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	sent := 0
	for ; sent < 1<<21; sent++ {
		if _, err := small.Write([]byte{1}); err != nil {
			break
		}
	}
	<-ended
	writing.Wait()
	if sent >= 1<<21 {
		t.Errorf("all %d packets were kept", sent)
	}
	if out, errs, code := b.client(t, "", "ssh", "prod_vps_1", "echo", "still"); out != "still\n" || code != 0 {
		t.Errorf("%q %q %d", out, errs, code)
	}
}

// The same packets where the server takes them are no offence.
func TestSmallPacketsThatAreRead(t *testing.T) {
	b := newBed(t, bedOptions{limits: ssh.Limits{Packets: 5000}})
	c := dial(t, b)
	ch := execOn(t, c, "cat")
	const burst = 1000
	for range 20 {
		for range burst {
			if _, err := ch.Write([]byte{1}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := io.ReadFull(ch, make([]byte, burst)); err != nil {
			t.Fatal(err)
		}
	}
}
