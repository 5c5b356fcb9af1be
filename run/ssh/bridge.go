package ssh

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"

	xssh "golang.org/x/crypto/ssh"
)

// bridge is one session of a client, and the session on the server that it becomes.
type bridge struct {
	c      *client
	o      *BastionOptions
	ch     xssh.Channel
	ctx    context.Context // ends when the client has closed the session, or is gone
	cancel context.CancelFunc

	// Gathered until the client says what the session is for:
	term  *terminal
	vars  []variable
	asked bool

	sizes   chan size   // the newest
	signals chan string // the oldest few
	resume  func()      // the client's input is being read from now on
	reading bool        // by input
	work    sync.WaitGroup
	said    sync.Mutex  // on stderr
	changed atomic.Bool // a mask of a fixed length had something to do
	gone    atomic.Bool // the client takes no more
	unkept  atomic.Bool // its end could not be recorded
	sent    atomic.Int64
	got     atomic.Int64
}

func newBridge(c *client, ch xssh.Channel) *bridge {
	b := &bridge{c: c, o: &c.b.o, ch: ch, sizes: make(chan size, 1), signals: make(chan string, 8)}
	b.ctx, b.cancel = context.WithCancel(c.b.ctx)
	return b
}

// serve answers the client's requests until it closes the session.
func (b *bridge) serve(reqs <-chan *xssh.Request) {
	defer b.cancel()
	b.resume = sync.OnceFunc(b.c.conn.stall()) // nothing is read before there is a command
	defer b.resume()
	b.work.Go(func() { _, _ = io.Copy(io.Discard, b.ch.Stderr()) }) // a client has no business there
	late := time.AfterFunc(b.o.Limits.Begin, func() { _ = b.ch.Close() })
	for r := range reqs {
		b.request(r, late)
	}
	late.Stop()
	b.cancel()
	_ = b.ch.Close()
	b.work.Wait()
}

// request takes one; late is the end of a session that asks for no command.
func (b *bridge) request(r *xssh.Request, late *time.Timer) {
	defer contain(b.c.hangUp)
	ok := false
	switch r.Type {
	case string(KindExec), string(KindShell), string(KindSubsystem):
		if ok = !b.asked; ok {
			b.asked = true
			late.Stop()
			a, err := parseAsk(r)
			b.work.Go(func() { b.run(a, err) })
		}
	default:
		ok = b.control(r)
	}
	_ = r.Reply(ok, nil)
}

// control takes what belongs to a session besides its purpose.
func (b *bridge) control(r *xssh.Request) bool {
	switch r.Type {
	case "pty-req":
		return b.terminal(r)
	case "env":
		v, ok := parseVariable(r.Payload)
		if ok = ok && !b.asked && len(b.vars) < maxVars; ok {
			b.vars = append(b.vars, v)
		}
		return ok
	case "window-change":
		var s size
		if xssh.Unmarshal(r.Payload, &s) != nil {
			return false
		}
		select {
		case <-b.sizes: // only the newest counts
		default:
		}
		b.sizes <- s
		return true
	case "signal":
		name, ok := parseSignal(r.Payload)
		if ok {
			select {
			case b.signals <- name:
			default: // a flood of them says nothing more
			}
		}
		return ok
	case "auth-agent-req@openssh.com", "auth-agent-req":
		b.c.denied("agent-forwarding", b.o.Handle+": the agent is not forwarded (-A)")
	case "x11-req":
		b.c.denied("x11", b.o.Handle+": X11 is not forwarded (-X)")
	}
	return false
}

// terminal takes a pty-req. Where the policy has none to give, that is told once the client says what for: one that insists hears no reason for a bare no.
func (b *bridge) terminal(r *xssh.Request) bool {
	t, ok := parseTerminal(r.Payload)
	if !ok || b.asked || b.term != nil {
		return false
	}
	b.term = &t
	return true
}
