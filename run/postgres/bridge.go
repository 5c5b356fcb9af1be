package postgres

import (
	"bufio"
	"errors"
	"io"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// traffic counts what goes to and fro.
type traffic struct {
	sent, received atomic.Int64
	asked          atomic.Int64 // sent, when the server last was ready for a query
}

// busy tells whether the child has asked for something that the server has not answered whole, as far as counting tells.
func (t *traffic) busy() bool { return t.sent.Load() > t.asked.Load() }

// drainTimeout is how long a server may take to finish for a child that is gone: what it sent last, a Terminate or a COPY's end, still arrives.
const drainTimeout = 5 * time.Second

// bridge lets the child in and carries messages until one side ends. It records the end.
func (s *session) bridge() {
	up := &relay{src: bufio.NewReaderSize(s.up.conn, bufferLen), dst: s.child, mask: s.f.o.Mask, received: &s.received}
	up.ready = func() { s.asked.Store(s.sent.Load()) }
	err := up.contained(func() error { return up.greet(s.greeting()) })
	if err == nil {
		var wg sync.WaitGroup
		wg.Go(s.upstream)
		err = up.contained(up.run)
		s.wind(err, up.gone)
		wg.Wait()
	}
	e := Event{Kind: Closed, Conn: s.n, Sent: s.sent.Load(), Received: s.received.Load()}
	if r := s.broken(err); r != nil {
		e.Code = r.why.Code
		if !up.torn {
			_ = s.child.SetWriteDeadline(time.Now().Add(s.f.o.StartupTimeout))
			_, _ = s.child.Write(r.encode())
		}
	}
	_ = s.f.record(e)
}

// wind ends the other direction after the server's. A child that is gone may have sent something before it went: that still goes up.
func (s *session) wind(err error, gone bool) {
	if gone {
		until := time.Now().Add(drainTimeout)
		_ = s.child.SetReadDeadline(until)
		_ = s.up.conn.SetDeadline(until)
		_, err = io.Copy(io.Discard, s.up.conn)
	}
	ended := err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	if !ended && s.busy() && !errors.Is(err, errFraming) {
		s.f.stop([]*session{s}) // a query that nobody waits for
	}
	_ = s.child.SetReadDeadline(time.Now())
	_ = s.up.conn.Close()
}

// greeting is the rest of the login as the child sees it, without the first message.
func (s *session) greeting() []pgproto3.BackendMessage {
	var all []pgproto3.BackendMessage
	for _, name := range slices.Sorted(maps.Keys(s.up.status)) {
		all = append(all, &pgproto3.ParameterStatus{Name: name, Value: s.up.status[name]})
	}
	return append(all, &pgproto3.BackendKeyData{ProcessID: s.pid, SecretKey: s.key[:]}, &pgproto3.ReadyForQuery{TxStatus: 'I'})
}

// upstream carries what the child says, as it is. When the child ends the server is told, and gets time to finish.
func (s *session) upstream() {
	defer contain(func() { _ = s.up.conn.Close() })
	_, _ = io.Copy(&counted{s.up.conn, &s.sent}, s.in)
	half, ok := s.up.conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		_ = s.up.conn.Close()
		return
	}
	_ = s.up.conn.SetReadDeadline(time.Now().Add(drainTimeout))
}

// broken says what the child is told of an end that is not one of the two sides'.
func (s *session) broken(err error) *refusal {
	switch {
	case s.f.ctx.Err() != nil:
		return over
	case errors.Is(err, errMask):
		return refuse(stateInternal, fault.OutputWithheld, s.f.o.Handle+": a reply could not be masked, or too much of it had to be", "ask for less of what is secret")
	case errors.Is(err, errMaskLength), errors.Is(err, errDefect):
		return refuse(stateInternal, fault.Internal, "something went wrong inside zavhoz", "see the daemon's log")
	case errors.Is(err, errFraming):
		return refuse(stateProtocol, fault.ConnectionFailed, s.f.o.Handle+": the server does not keep to the protocol", "a person looks at the server")
	default:
		return nil
	}
}

// counted counts what is written.
type counted struct {
	net.Conn
	n *atomic.Int64
}

func (c *counted) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p))) // before: an answer must not overtake the count
	return c.Conn.Write(p)
}
