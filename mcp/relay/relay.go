// Package relay is the stdio door: it carries messages between an MCP client's pipes and the daemon's agent socket.
//
// Promise: nothing but MCP ever goes to the client; every request that its client does not give up gets exactly one reply, whatever becomes of the daemon. When the daemon ends,
// each call that was in flight is answered with what is known (it may have happened), a question that it had put to the client is withdrawn, the next message starts or finds another daemon, and the
// client notices nothing else: the handshake it made is made again for it. The relay holds no secret but the token it was given, and keys never.
//
// Attacks stopped: a child that inherits the MCP stream (threat-model.md 61): runs are the daemon's children, not the relay's; an endless line that
// eats the memory of an editor's helper (67).
package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/zavhoz/zavhoz/mcp/internal/wire"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// Options say what to relay.
type Options struct {
	In           io.Reader                                   // from the client
	Out          io.Writer                                   // to the client; nothing else may write to it
	Dial         func(ctx context.Context) (net.Conn, error) // reaches the daemon, starting one where none runs; a *fault.Error is shown to the client
	Token        string                                      // zvh_agt_…; "" for the local agent
	Log          *slog.Logger                                // nil: nothing is logged; never to Out
	MessageBytes int                                         // of one message; 4 MiB
	Drain        time.Duration                               // how long replies are waited for after the client's end; 10 s
}

// maxPending is how many requests may wait for their reply.
const maxPending = 4096

// Run relays until the client closes In (nil), In fails, or ctx ends. In the last case a read of In may stay behind until In closes.
func Run(ctx context.Context, o Options) error {
	if o.MessageBytes == 0 {
		o.MessageBytes = 4 << 20
	}
	if o.Drain == 0 {
		o.Drain = 10 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &relay{Options: o, ctx: ctx, out: newLineWriter(o.Out), calls: newCalls()}
	defer func() {
		cancel()
		r.hangUp()
	}()
	ended := make(chan error, 1)
	go func() { ended <- r.read() }()
	select {
	case err := <-ended:
		r.calls.drain(ctx, o.Drain)
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

type relay struct {
	Options
	ctx   context.Context
	out   *lineWriter
	calls *calls
	pumps sync.WaitGroup

	mu        sync.Mutex // guards what follows; held while dialling and while writing to the daemon, never while reading from it
	link      *link      // nil while there is no daemon
	handshake [2][]byte  // the client's initialize and notifications/initialized, once seen
}

func (r *relay) read() error {
	lines := wire.NewReader(r.In, r.MessageBytes)
	for {
		line, err := lines.Line()
		switch {
		case errors.Is(err, wire.ErrLong):
			if wire.Responds(line) {
				r.Log.Debug("a response was dropped: it is too long")
				break
			}
			m, _ := wire.Peek(line)
			text := fmt.Sprintf("the message is longer than %d bytes", r.MessageBytes)
			r.out.line(wire.Fault(m.ID, fault.New(fault.TooLarge, text, "send less")))
			r.out.flush()
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read from the client: %w", err)
		case len(bytes.TrimSpace(line)) > 0:
			r.forward(line)
		}
		if !lines.Buffered() { // messages that came together go on together
			r.flush()
		}
	}
}

func (r *relay) flush() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.link != nil {
		r.link.flush()
	}
}

// forward takes one message of the client to the daemon.
func (r *relay) forward(line []byte) {
	m, _ := wire.Peek(line)
	if m.Request() && !r.calls.add(m, line) {
		r.answer(&m, fault.New(fault.Busy, "too many calls are waiting", "wait for one to end, then call again"))
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch m.Method {
	case "initialize":
		r.handshake = [2][]byte{bytes.Clone(line), nil}
	case "notifications/initialized":
		r.handshake[1] = bytes.Clone(line)
	}
	if m.Cancel() { // the daemon does not answer what its client gave up: nobody waits for that
		if whole, bad := wire.Parse(line); bad == nil {
			r.calls.take(whole.Cancels)
		}
	}
	if r.link == nil {
		if m.ID == nil && m.Method != "" || wire.Responds(line) {
			return // a notification or a reply to a daemon that is gone concerns nobody
		}
		if err := r.connect(); err != nil {
			if c := r.calls.take(m.ID); c != nil {
				m = c.msg
			}
			r.answer(&m, unavailable(err))
			return
		}
	}
	if m.Response() {
		r.link.asked.ended(m.ID)
	}
	r.calls.sent(m.ID, r.link)
	r.link.line(line)
}

// answer is the relay's own reply to a request.
func (r *relay) answer(m *wire.Message, e *fault.Error) {
	r.out.line(wire.Refuse(m, e))
	r.out.flush()
}

// unavailable is what the client sees when no daemon can be reached: the fault that the daemon or the dialler gave, or a general one.
func unavailable(err error) *fault.Error {
	e := fault.Of(err)
	if e.Code != fault.Internal {
		return e
	}
	return fault.New(fault.DaemonUnavailable, "the zavhoz daemon cannot be reached", "call again; if it stays so, a person runs `zavhoz serve` or `zavhoz doctor`").Because(err)
}

// lost takes back what was asked on a link that broke, and answers what was in flight. What changes nothing is asked again of a new daemon; of the rest nobody can say whether it
// happened, and only the model can decide what to do.
func (r *relay) lost(l *link) {
	r.withdraw(l)
	r.mu.Lock()
	if r.link == l {
		r.link = nil
	}
	var again, gone []*call
	for _, c := range r.calls.on(l) {
		if c.repeatable() && r.ctx.Err() == nil {
			again = append(again, c)
		} else if r.calls.take(c.msg.ID) != nil {
			gone = append(gone, c)
		}
	}
	var failed error
	for _, c := range again {
		if r.link == nil && failed == nil {
			failed = r.connect()
		}
		c.repeated = true
		if failed == nil {
			r.calls.sent(c.msg.ID, r.link)
			r.link.line(c.line)
			r.link.flush()
		} else if r.calls.take(c.msg.ID) != nil {
			gone = append(gone, c)
		}
	}
	r.mu.Unlock()
	for _, c := range gone {
		e := restarted
		if c.repeatable() || failed != nil && c.repeated {
			e = unavailable(failed)
		}
		r.answer(&c.msg, e)
	}
}

var restarted = fault.New(fault.DaemonRestarted, "the zavhoz daemon ended during this call, which may or may not have happened",
	"check with get_run, list_resources or get_status before you call again; the next call starts a new daemon")

func (r *relay) hangUp() {
	r.mu.Lock()
	l := r.link
	r.link = nil
	r.mu.Unlock()
	if l != nil {
		_ = l.conn.Close()
	}
	r.pumps.Wait()
}
