package egress

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// explosive is a peer whose bytes make what reads them panic, with what they hold in the text.
type explosive struct {
	net.Conn
	read, write bool
	closed      chan struct{}
	once        sync.Once
}

const boom = "boom-with-a-canary-in-it"

func (e *explosive) Read(b []byte) (int, error) {
	if e.read {
		panic(boom)
	}
	<-e.closed
	return 0, io.EOF
}

func (e *explosive) Write(b []byte) (int, error) {
	if e.write {
		panic(boom)
	}
	return len(b), nil
}

func (e *explosive) Close() error {
	e.once.Do(func() { close(e.closed) })
	return nil
}

// panicky is a proxy that keeps its events and its log.
func panicky(t *testing.T, o Options) (*Proxy, func() (events []Event, text string)) {
	t.Helper()
	var mu sync.Mutex
	var text bytes.Buffer
	var events []Event
	o.RunID, o.Log = "run_x", slog.New(slog.NewTextHandler(lockedWriter{&mu, &text}, nil))
	o.Record = func(e Event) error {
		mu.Lock()
		defer mu.Unlock()
		events = append(events, e)
		return nil
	}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p, func() ([]Event, string) {
		mu.Lock()
		defer mu.Unlock()
		return append([]Event(nil), events...), text.String()
	}
}

type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// ended holds what is left of a panic: a record of a failure, and in the log the panic's type only.
func ended(t *testing.T, name string, last func() ([]Event, string)) {
	t.Helper()
	events, text := last()
	if n := len(events); n == 0 || events[n-1].Decision != Failed || events[n-1].Code != fault.Internal {
		t.Errorf("%s: %+v", name, events)
	}
	if strings.Contains(text, "canary") || !strings.Contains(text, "type=string") {
		t.Errorf("%s: logged %q", name, text)
	}
}

func TestAPanicInARepliesBodyEndsTheReplyOnly(t *testing.T) {
	p, last := panicky(t, Options{})
	x := p.begin(target{"a.test", 443}, "GET")
	if !p.enter() {
		t.Fatal("closed")
	}
	e := &explosive{read: true, closed: make(chan struct{})}
	body := x.readable(&http.Response{Body: e, ContentLength: -1}, func() {})
	if b, err := io.ReadAll(body); err == nil {
		t.Errorf("a whole reply: %q", b)
	}
	_ = body.Close()
	ended(t, "reply", last)
}

func TestAPanicInAWebSocketEndsItOnly(t *testing.T) {
	for name, e := range map[string]*explosive{"host": {read: true}, "command": {write: true}} {
		e.closed = make(chan struct{})
		p, last := panicky(t, Options{})
		done := make(chan struct{})
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer close(done)
			p.begin(target{"a.test", 443}, "GET").upgrade(w, &http.Response{StatusCode: 101, Body: e})
		}))
		c, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write([]byte("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n\x81\x82\x00\x00\x00\x00hi"))
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
		_, _ = io.Copy(io.Discard, c)
		<-done
		s.Close()
		ended(t, name, last)
	}
}

func TestAPanicInATunnelEndsItOnly(t *testing.T) {
	for name, e := range map[string]*explosive{"host": {read: true}, "command": {write: true}} {
		e.closed = make(chan struct{})
		p, last := panicky(t, Options{})
		near, far := net.Pipe()
		go func() { _, _ = far.Write([]byte("hello")) }()
		x := p.begin(target{"a.test", 443}, "")
		c := &entryConn{Conn: near, p: p}
		if p.splice(x, c, e) {
			t.Errorf("%s: no panic", name)
		}
		_ = x.finish(Failed, fault.Internal)
		_ = far.Close()
		ended(t, name, last)
	}
}

// A run that is cut off while a tunnel is dialled gets no tunnel: whoever closes those that are open cannot see it yet.
func TestATunnelThatIsDialledWhileTheRunIsCutOff(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	port := l.Addr().(*net.TCPAddr).Port
	var p *Proxy
	p, last := panicky(t, Options{PassThrough: []policy.HostRule{{Host: "pass.test", Port: port}}, Lookup: func(context.Context, string) ([]netip.Addr, error) {
		p.halted.Store(refusedRecord) // the tunnels that are open were closed before this one is one of them
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}})
	p.through.private = true
	near, far := net.Pipe()
	defer func() { _ = far.Close() }()
	_ = far.SetDeadline(time.Now().Add(20 * time.Second))
	go p.tunnel(&entryConn{Conn: near, p: p, target: target{"pass.test", port}}, true)
	b, _ := io.ReadAll(far)
	if strings.HasPrefix(string(b), "HTTP/1.1 200") || len(b) == 0 {
		t.Errorf("it opens: %q", b)
	}
	if events, _ := last(); len(events) != 1 || events[0].Decision != Denied {
		t.Errorf("%+v", events)
	}
}
