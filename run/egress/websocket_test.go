package egress_test

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/run/egress"
)

// wsFrame writes a frame; mask says that a client sends it.
func wsFrame(fin bool, op byte, payload string, mask bool) []byte {
	b := []byte{op, 0}
	if fin {
		b[0] |= 0x80
	}
	switch n := len(payload); {
	case n < 126:
		b[1] = byte(n)
	case n < 1<<16:
		b[1] = 126
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	default:
		b[1] = 127
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	if !mask {
		return append(b, payload...)
	}
	b[1] |= 0x80
	key := [4]byte{1, 2, 3, 4}
	b = append(b, key[:]...)
	for i := range len(payload) {
		b = append(b, payload[i]^key[i%4])
	}
	return b
}

// readMessage reads frames up to the end of a message, or one control frame, with masks taken off.
func readMessage(r *bufio.Reader) (op byte, text string, frames int, err error) {
	for {
		var head [2]byte
		if _, err = io.ReadFull(r, head[:]); err != nil {
			return op, text, frames, err
		}
		n := int64(head[1] & 0x7f)
		switch n {
		case 126:
			var b [2]byte
			_, err = io.ReadFull(r, b[:])
			n = int64(binary.BigEndian.Uint16(b[:]))
		case 127:
			var b [8]byte
			_, err = io.ReadFull(r, b[:])
			n = int64(binary.BigEndian.Uint64(b[:]))
		}
		var key [4]byte
		if head[1]&0x80 != 0 {
			_, err = io.ReadFull(r, key[:])
		}
		payload := make([]byte, n)
		if _, err2 := io.ReadFull(r, payload); err != nil || err2 != nil {
			return op, text, frames, io.ErrUnexpectedEOF
		}
		for i := range payload {
			payload[i] ^= key[i%4]
		}
		if head[0]&0x0f >= 8 {
			return head[0] & 0x0f, string(payload), 1, nil
		}
		if frames++; frames == 1 {
			op = head[0] & 0x0f
		} else if head[0]&0x0f != 0 {
			return op, text, frames, fmt.Errorf("opcode %d inside a message", head[0]&0x0f)
		}
		if text += string(payload); head[0]&0x80 != 0 {
			return op, text, frames, nil
		}
	}
}

// wsUpstream upgrades, writes what script says, then answers each message of the client with itself.
func wsUpstream(t testing.TB, extra string, script func(w io.Writer)) *upstream {
	return newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "websocket" || r.ProtoMajor != 1 {
			http.Error(w, "no upgrade", http.StatusBadRequest)
			return
		}
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		_, _ = fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\nX-Echo: %s\r\n%s\r\n", r.Header.Get("Authorization"), extra)
		script(c)
		for {
			op, text, _, err := readMessage(rw.Reader)
			if err != nil || op == 8 {
				return
			}
			_, _ = c.Write(wsFrame(true, op, text, false))
		}
	})
}

// websocket opens one through the explicit entry.
func (r *rig) websocket(t testing.TB, u *upstream) (net.Conn, *bufio.Reader, *http.Response) {
	t.Helper()
	c, _ := r.connectTo(t, fmt.Sprintf("%s:%d", host, u.port))
	tc := tls.Client(c, &tls.Config{RootCAs: r.trust, ServerName: host, NextProtos: []string{"http/1.1"}})
	_, _ = fmt.Fprintf(tc, "GET /ws HTTP/1.1\r\nHost: %s:%d\r\nAuthorization: Bearer %s\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: SGVsbG8sIHdvcmxkIQ==\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n", host, u.port, standIn)
	br := bufio.NewReader(tc)
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	return tc, br, resp
}

// TestAttack43_WebSocketFrames: whole messages, in frames that cut the value anywhere, long ones, and control frames between; the compression is not even offered.
func TestAttack43_WebSocketFrames(t *testing.T) {
	long := strings.Repeat("0123456789 ", 20000) + truth + strings.Repeat(" tail", 1000)
	u := wsUpstream(t, "", func(w io.Writer) {
		send := func(fin bool, op byte, s string) { _, _ = w.Write(wsFrame(fin, op, s, false)) }
		send(true, 1, "hello "+truth)
		send(false, 2, "x"+truth[:5])
		send(false, 0, truth[5:20])
		send(true, 9, "ping "+truth)
		send(false, 0, "")
		send(true, 0, truth[20:]+"y")
		send(true, 1, long)
		send(true, 2, "")
		send(false, 1, truth[:39]) // the beginning of a value, and then not
		send(true, 0, "!")
	})
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource()}, Matcher: matcher(t, truth)})
	c, br, resp := r.websocket(t, u)
	if resp.StatusCode != 101 || resp.Header.Get("X-Echo") != "Bearer "+standIn || resp.Header.Get("Sec-WebSocket-Accept") != "x" {
		t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	if last := u.last(); last.Header.Get("Authorization") != "Bearer "+truth || last.Header.Get("Sec-WebSocket-Extensions") != "" {
		t.Errorf("the host saw %v", last.Header)
	}
	var got []string
	for len(got) < 6 {
		op, text, _, err := readMessage(br)
		if err == nil && op == 9 {
			if text != "ping "+standIn {
				t.Errorf("ping: %q", text)
			}
			// the message around it goes on in the next frames
			continue
		}
		if err != nil {
			t.Fatalf("after %d: %v", len(got), err)
		}
		got = append(got, fmt.Sprint(op, text))
		if len(got) == 5 {
			break
		}
	}
	want := []string{"1hello " + standIn, "2x" + standIn + "y", "1" + strings.Replace(long, truth, standIn, 1), "2", "1" + truth[:39] + "!"}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("message %d: %.60q (%d bytes), not %.60q (%d)", i, got[i], len(got[i]), want[i], len(want[i]))
		}
	}
	for _, text := range []string{"one", strings.Repeat("two", 40000), ""} {
		_, _ = c.Write(wsFrame(true, 1, text, true))
		if _, back, _, err := readMessage(br); err != nil || back != text {
			t.Fatalf("%d bytes back, %v", len(back), err)
		}
	}
	_, _ = c.Write(wsFrame(true, 8, "", true))
	if _, err := br.ReadByte(); err == nil {
		t.Error("it stays open after the host closed it")
	}
	all := r.wait(t, 2)
	if e := all[0]; e.Decision != egress.Allowed || e.Status != 101 || e.Up+e.Down != 0 {
		t.Errorf("when it opened: %+v", e)
	}
	e := all[1]
	if e.Decision != egress.Allowed || e.Status != 101 || e.Redactions < 4 || e.Up < 120000 || e.Down < 300000 {
		t.Errorf("%+v", e)
	}
}

// TestAttack43_NoOtherProtocolInside: what is no frame, from either end, ends the connection.
func TestAttack43_NoOtherProtocolInside(t *testing.T) {
	for name, frames := range map[string][]byte{
		"a request":      []byte("GET /keys HTTP/1.1\r\nHost: api.test\r\n\r\n"),
		"not masked":     wsFrame(true, 1, "hi", false),
		"reserved bit":   {0xc1, 0x80, 0, 0, 0, 0},
		"reserved code":  {0x83, 0x80, 0, 0, 0, 0},
		"continuation":   wsFrame(true, 0, "hi", true),
		"two at once":    append(wsFrame(false, 1, "a", true), wsFrame(true, 1, "b", true)...),
		"long ping":      wsFrame(true, 9, strings.Repeat("x", 126), true),
		"negative":       {0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0},
		"not shortest":   {0x82, 0xfe, 0, 5, 0, 0, 0, 0, 1, 2, 3, 4, 5},
		"ping in pieces": wsFrame(false, 9, "x", true),
	} {
		u := wsUpstream(t, "", func(io.Writer) {})
		r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource()}})
		c, br, _ := r.websocket(t, u)
		_, _ = c.Write(frames)
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		for {
			if _, err := br.ReadByte(); err != nil {
				if e, ok := err.(net.Error); ok && e.Timeout() {
					t.Errorf("%s passes", name)
				}
				break
			}
		}
	}
	for name, frames := range map[string]string{"masked": string(wsFrame(true, 1, "hi", true)), "compressed": "\xc1\x05abcde", "not a frame": "HTTP/1.1 200 OK\r\n\r\n" + truth} {
		u := wsUpstream(t, "", func(w io.Writer) { _, _ = io.WriteString(w, frames) })
		r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource()}, Matcher: matcher(t, truth)})
		_, br, _ := r.websocket(t, u)
		if b, _ := io.ReadAll(br); leaks(string(b)) || len(b) > 0 {
			t.Errorf("%s: %q", name, b)
		}
	}
	u := wsUpstream(t, "Sec-WebSocket-Extensions: permessage-deflate\r\n", func(io.Writer) {})
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource()}})
	if _, _, resp := r.websocket(t, u); resp.StatusCode != 502 {
		t.Errorf("an extension that was not offered: %d", resp.StatusCode)
	}
}

// TestAttack43_TwoMessagesAreNotOne asserts what is lost: a value in two messages is not found.
func TestAttack43_TwoMessagesAreNotOne(t *testing.T) {
	u := wsUpstream(t, "", func(w io.Writer) {
		_, _ = w.Write(append(wsFrame(true, 1, truth[:20], false), wsFrame(true, 1, truth[20:], false)...))
	})
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource()}, Matcher: matcher(t, truth)})
	_, br, _ := r.websocket(t, u)
	_, a, _, _ := readMessage(br)
	_, b, _, _ := readMessage(br)
	if a+b != truth {
		t.Error("it is stopped: then the package comment says too little")
	}
}

// TestWebSocketEndsWithTheProxy: an idle one is closed and recorded.
func TestWebSocketEndsWithTheProxy(t *testing.T) {
	u := wsUpstream(t, "", func(io.Writer) {})
	r := newRig(t, u.port, egress.Options{Resources: []egress.Resource{u.resource()}})
	_, br, _ := r.websocket(t, u)
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if _, err := br.ReadByte(); err == nil {
		t.Error("it stays open")
	}
	if e := r.wait(t, 2)[1]; e.Status != 101 {
		t.Errorf("%+v", e)
	}
}
