package ssh

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	xssh "golang.org/x/crypto/ssh"
)

// endless is a channel of a peer that never confirms: what waits for it is not let go by Close. panics makes it a defect.
type endless struct {
	wait   chan struct{} // closed by the test's end alone
	first  string
	panics bool
	mu     sync.Mutex
	closed int
}

func (e *endless) Read(p []byte) (int, error) {
	if e.panics {
		panic("canary-4417 in a panic")
	}
	e.mu.Lock()
	n := copy(p, e.first)
	e.first = e.first[n:]
	e.mu.Unlock()
	if n > 0 {
		return n, nil
	}
	<-e.wait
	return 0, io.EOF
}

func (e *endless) Write(p []byte) (int, error) {
	<-e.wait
	return len(p), nil
}

func (e *endless) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed++
	return nil
}

func (e *endless) CloseWrite() error                              { return nil }
func (e *endless) SendRequest(string, bool, []byte) (bool, error) { return true, nil }
func (e *endless) Stderr() io.ReadWriter                          { return nil }

// client's side of a tunnel: what it sends, and whether it has gone.
type pipeChannel struct {
	net.Conn
	endless
}

func (p *pipeChannel) Read(b []byte) (int, error)  { return p.Conn.Read(b) }
func (p *pipeChannel) Write(b []byte) (int, error) { return p.Conn.Write(b) }
func (p *pipeChannel) Close() error                { return p.Conn.Close() }

// A tunnel ends with its client, its idleness or a defect, also where the server never closes it or takes no more.
func TestAttack67_ATunnelThatTheServerKeepsOpen(t *testing.T) {
	for name, c := range map[string]struct {
		idle   time.Duration
		send   string
		panics bool
		end    func(gone context.CancelFunc, mine net.Conn, reqs chan *xssh.Request)
	}{
		"the client goes":        {time.Hour, "", false, func(_ context.CancelFunc, mine net.Conn, reqs chan *xssh.Request) { close(reqs) }},
		"the connection ends":    {time.Hour, "", false, func(gone context.CancelFunc, _ net.Conn, _ chan *xssh.Request) { gone() }},
		"nothing is taken":       {time.Hour, strings.Repeat("x", 1000), false, func(gone context.CancelFunc, _ net.Conn, _ chan *xssh.Request) { gone() }},
		"idle":                   {20 * time.Millisecond, "", false, func(context.CancelFunc, net.Conn, chan *xssh.Request) {}},
		"a defect in what comes": {time.Hour, "", true, func(context.CancelFunc, net.Conn, chan *xssh.Request) {}},
	} {
		t.Run(name, func(t *testing.T) {
			mine, theirs := net.Pipe()
			near := &pipeChannel{Conn: theirs}
			far := &endless{wait: make(chan struct{}), first: "hello", panics: c.panics}
			defer close(far.wait)
			b := &Bastion{o: BastionOptions{Limits: Limits{Idle: c.idle}}}
			h := &hop{c: &client{b: b, conn: newMetered(mine, 1000)}}
			ctx, gone := context.WithCancel(t.Context())
			defer gone()
			reqs := make(chan *xssh.Request)
			done := make(chan struct{})
			go func() {
				defer close(done)
				h.carry(ctx, near, far, reqs)
			}()
			if !c.panics {
				got := make([]byte, 5)
				if _, err := io.ReadFull(mine, got); err != nil || string(got) != "hello" {
					t.Errorf("%q %v", got, err)
				}
			}
			if c.send != "" {
				_, _ = io.WriteString(mine, c.send)
			}
			c.end(gone, mine, reqs)
			if name != "the client goes" {
				go func() { <-ctx.Done(); close(reqs) }()
			}
			select {
			case <-time.After(20 * time.Second):
				t.Fatal("it waits for the server")
			case <-closedOf(far):
				gone()
			}
			select {
			case <-done:
			case <-time.After(20 * time.Second):
				t.Fatal("it waits for the server")
			}
		})
	}
}

// closedOf tells when the far end was asked to close.
func closedOf(e *endless) <-chan struct{} {
	ch := make(chan struct{})
	go func() {
		defer close(ch)
		for range 2000 {
			e.mu.Lock()
			n := e.closed
			e.mu.Unlock()
			if n > 0 {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	return ch
}
