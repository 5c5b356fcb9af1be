package postgres

import (
	"bufio"
	"context"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// session is one child's connection.
type session struct {
	f     *Front
	n     uint64
	child net.Conn
	in    *bufio.Reader // of child
	start *start
	up    *upstream
	pid   uint32 // what the child knows its connection by, with key
	key   [4]byte
	letIn func() // the connection is not refused any more
	traffic
}

// answer serves a connection from its first packet to its end.
func (f *Front) answer(c net.Conn) {
	s := &session{f: f, child: c, in: bufio.NewReaderSize(c, bufferLen/2)}
	defer contain(func() { _ = f.record(Event{Kind: Denied, Conn: s.n, Code: fault.Internal}) })
	_ = c.SetDeadline(time.Now().Add(f.o.StartupTimeout))
	code, body, ok := s.hello()
	switch {
	case !ok:
	case code == cancelCode:
		f.cancelQuery(body)
	default:
		s.open(code, body)
	}
}

// open lets a connection in or refuses it, and serves it, unless too many were refused.
func (s *session) open(code uint32, body []byte) {
	f := s.f
	ctx, cancel := context.WithTimeout(f.ctx, f.o.StartupTimeout)
	tell, waited, ok := f.denied.ask(ctx)
	cancel()
	_ = s.child.SetDeadline(time.Now().Add(f.o.StartupTimeout))
	if !ok {
		why := tooOften
		if f.ctx.Err() != nil {
			why = over
		}
		_, _ = s.child.Write(why.encode())
		return
	}
	defer tell(true) // a panic: nothing else was said before
	if waited && s.gone() {
		tell(false)
		return
	}
	s.letIn = func() { tell(false) }
	s.n = f.conns.Add(1)
	r := s.serve(code, body)
	if tell(r != nil); r != nil {
		s.refuse(r)
	}
}

// gone tells whether the child has given up: one that is there waits for our word.
func (s *session) gone() bool {
	_ = s.child.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := s.in.Peek(1)
	_ = s.child.SetReadDeadline(time.Now().Add(s.f.o.StartupTimeout))
	return err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
}

// hello reads the first packet that is no question about encryption; to those it says no, once each.
func (s *session) hello() (code uint32, body []byte, ok bool) {
	for range 3 {
		code, body, err := readPacket(s.in)
		if err != nil {
			return 0, nil, false
		}
		if code != sslCode && code != gssCode {
			return code, body, true
		}
		if _, err := s.child.Write([]byte{'N'}); err != nil {
			return 0, nil, false
		}
	}
	return 0, nil, false
}

// serve goes from the StartupMessage to the end. What it returns is for the child, which then has not been let in.
func (s *session) serve(code uint32, body []byte) *refusal {
	var r *refusal
	if s.start, r = parseStart(code, body); r != nil {
		return r
	}
	if s.start.minor > 0 || len(s.start.unknown) > 0 {
		if err := s.send(&pgproto3.NegotiateProtocolVersion{NewestMinorProtocol: major << 16, UnrecognizedOptions: s.start.unknown}); err != nil {
			return nil
		}
	}
	if r := s.authenticate(); r != nil {
		return r
	}
	select {
	case s.f.slots <- struct{}{}:
		defer func() { <-s.f.slots }()
	default:
		return refuse(stateTooMany, fault.Busy, s.f.o.Handle+": this run has too many connections open", "close some, or share them in a pool")
	}
	if r := s.connect(); r != nil {
		return r
	}
	defer s.up.conn.Close()
	if !s.f.register(s) {
		return over
	}
	defer s.f.forget(s)
	if err := s.f.record(Event{Kind: Opened, Conn: s.n}); err != nil {
		return refuse(stateInternal, fault.AuditUnavailable, "the connection could not be recorded, so there is none", "a person looks at `zavhoz doctor`")
	}
	s.letIn()
	s.bridge()
	return nil
}

var tooOften = refuse(stateTooMany, fault.RateLimited, "connections were refused too often", "wait a few seconds, and look at why they were refused")

// over is what is left to say when the run ends.
var over = refuse(stateShutdown, fault.Canceled, "the run is over", "")

// authenticate has the child show the placeholder. In clear text: see the package comment.
func (s *session) authenticate() *refusal {
	wrong := refuse(statePassword, fault.Unauthenticated, s.f.o.Handle+": the connection does not show the placeholder of this resource",
		"use the URL of the resource's variable as it is")
	if err := s.send(&pgproto3.AuthenticationCleartextPassword{}); err != nil {
		return wrong
	}
	var head [5]byte
	if _, err := io.ReadFull(s.in, head[:]); err != nil {
		return wrong
	}
	n := binary.BigEndian.Uint32(head[1:])
	if head[0] != 'p' || n < 5 || n > maxPassword {
		return wrong
	}
	given := make([]byte, n-4)
	defer clear(given) // it may be another resource's true one, by mistake
	if _, err := io.ReadFull(s.in, given); err != nil || given[n-5] != 0 {
		return wrong
	}
	if subtle.ConstantTimeCompare(given[:n-5], []byte(s.f.o.Placeholder)) != 1 {
		return wrong
	}
	return nil
}

// connect logs in upstream, as the one user and to the one database that there are.
func (s *session) connect() *refusal {
	f := s.f
	if f.unsaid.Load() {
		return refuse(stateInternal, fault.AuditUnavailable, "earlier events could not be recorded, so there are no more connections", "a person looks at `zavhoz doctor`")
	}
	t, err := f.open()
	if err != nil {
		return &refusal{stateInternal, fault.Of(err)}
	}
	defer t.wipe()
	if !same(s.start.user, f.shown.user, t.user) {
		return refuse(stateLogin, fault.NotPermitted, f.o.Handle+": it is used as its own user only", "use the URL of the resource's variable as it is")
	}
	database := s.start.database
	if database == "" {
		database = s.start.user // as the server has it
	}
	if !same(database, f.shown.database, t.database) {
		return refuse(stateDatabase, fault.NotPermitted, f.o.Handle+": it is the one database of its URL, and no other on the same server",
			"use the URL of the resource's variable as it is; a person can add a resource for another database")
	}
	_ = s.child.SetDeadline(time.Time{})
	if s.up, err = f.login(f.ctx, t, s.start.params); err != nil {
		return f.explain(err)
	}
	return nil
}

// refuse tells the child and the record. The child's end comes with the return of answer.
func (s *session) refuse(r *refusal) {
	_ = s.f.record(Event{Kind: Denied, Conn: s.n, Code: r.why.Code})
	_ = s.child.SetDeadline(time.Now().Add(s.f.o.StartupTimeout))
	_, _ = s.child.Write(r.encode())
}

// send writes messages of our own.
func (s *session) send(messages ...pgproto3.BackendMessage) error {
	var out []byte
	var err error
	for _, m := range messages {
		if out, err = m.Encode(out); err != nil {
			return err
		}
	}
	_, err = s.child.Write(out)
	return err
}
