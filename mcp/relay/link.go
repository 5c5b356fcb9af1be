package relay

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/zavhoz/zavhoz/mcp/internal/wire"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// greetTimeout bounds how long a daemon may take to answer the greeting.
const greetTimeout = 10 * time.Second

// writeTimeout bounds how long a daemon may leave a message unread; one that hangs so long is taken for dead.
const writeTimeout = 60 * time.Second

// link is one connection to a daemon.
type link struct {
	conn  net.Conn
	out   *bufio.Writer
	asked questions
	// swallow is the id of a repeated initialize, whose reply the client has had long ago. Guarded by calls.mu.
	swallow string
}

// A daemon that ends while it is greeted cuts the greeting; nothing of the client's was sent yet, so dialling again repeats nothing.
const (
	maxDials = 5                     // a daemon at its end, and the like while the next one comes
	redial   = 50 * time.Millisecond // times the dials so far
)

// errCut marks a greeting that the other end broke off.
var errCut = errors.New("the daemon broke the greeting off")

// connect dials and greets a daemon, and repeats the client's handshake if it has made one. The caller holds r.mu.
func (r *relay) connect() error {
	for dials := 1; ; dials++ {
		err := r.dialAndGreet()
		if !errors.Is(err, errCut) || dials == maxDials {
			return err
		}
		r.Log.Debug("greeting cut: dialling again")
		select {
		case <-time.After(time.Duration(dials) * redial):
		case <-r.ctx.Done():
			return r.ctx.Err()
		}
	}
}

func (r *relay) dialAndGreet() error {
	conn, err := r.Dial(r.ctx)
	if err != nil {
		return err
	}
	lines := wire.NewReader(conn, r.MessageBytes+64<<10) // a reply may be longer than the longest request
	if err := greet(conn, lines, r.Token); err != nil {
		_ = conn.Close()
		return err
	}
	l := &link{conn: conn, out: bufio.NewWriterSize(conn, 32<<10)}
	r.link = l
	if m, _ := wire.Peek(r.handshake[0]); m.ID != nil && !r.calls.waits(m.ID) {
		l.swallow = string(m.ID)
		l.line(r.handshake[0])
		if r.handshake[1] != nil {
			l.line(r.handshake[1])
		}
	}
	r.pumps.Add(1)
	go func() {
		defer r.pumps.Done()
		r.pump(l, lines)
	}()
	return nil
}

func greet(conn net.Conn, lines *wire.Reader, token string) error {
	_ = conn.SetDeadline(time.Now().Add(greetTimeout))
	hello, err := json.Marshal(wire.Hello{Zavhoz: wire.HelloFormat, Token: token})
	if err != nil {
		return err
	}
	if _, err := conn.Write(append(hello, '\n')); err != nil {
		return cut(err)
	}
	line, err := lines.Line()
	if err != nil {
		return cut(err)
	}
	var reply wire.HelloReply
	if err := json.Unmarshal(line, &reply); err != nil {
		return err
	}
	_ = conn.SetDeadline(time.Time{})
	if e := reply.Error; e != nil {
		return &fault.Error{Code: e.Code, Message: e.Message, Next: e.Next}
	}
	if !reply.OK || reply.Zavhoz != wire.HelloFormat {
		return fault.New(fault.NotSupported, "the daemon and this program are of different versions", "a person restarts the daemon")
	}
	return nil
}

// cut tells a daemon that is gone from one that hangs: waiting for that again and again would only take longer.
func cut(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, wire.ErrLong) {
		return err
	}
	return fmt.Errorf("%w: %w", errCut, err)
}

// line writes one message to the daemon. An error closes the connection: the pump sees that and answers for it.
func (l *link) line(b []byte) {
	_ = l.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, _ = l.out.Write(b)
	if l.out.WriteByte('\n') != nil {
		_ = l.conn.Close()
	}
}

func (l *link) flush() {
	if l.out.Flush() != nil {
		_ = l.conn.Close()
	}
}

// pump carries the daemon's messages to the client until the link breaks.
func (r *relay) pump(l *link, lines *wire.Reader) {
	defer r.lost(l)
	defer l.conn.Close()
	for {
		line, err := lines.Line()
		if err != nil {
			r.Log.Debug("link to the daemon ended")
			return
		}
		m, _ := wire.Peek(line)
		l.asked.heard(&m, line)
		if m.ID == nil || m.Method != "" || r.calls.answered(l, m.ID) {
			r.out.line(line)
		}
		if !lines.Buffered() {
			r.out.flush()
		}
	}
}

// lineWriter serialises what goes to the client.
type lineWriter struct {
	mu sync.Mutex
	w  *bufio.Writer
}

func newLineWriter(w io.Writer) *lineWriter { return &lineWriter{w: bufio.NewWriterSize(w, 32<<10)} }

// line and flush ignore errors: a client that does not read has closed its other end too, or will.
func (w *lineWriter) line(b []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, _ = w.w.Write(b)
	_ = w.w.WriteByte('\n')
}

func (w *lineWriter) flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.w.Flush()
}
