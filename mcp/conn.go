package mcp

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/zavhoz/zavhoz/mcp/internal/wire"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// maxHello is the length in bytes of the longest greeting.
const maxHello = 4096

// recheck is how long an agent that was authenticated on a connection is taken for granted.
const recheck = time.Second

// ServeConn serves one connection of the agent socket until it ends or ctx does: a greeting, then MCP, one message a line. The listener has
// checked who may connect at all. It closes conn and leaves no goroutine behind.
func (s *Server) ServeConn(ctx context.Context, conn net.Conn) error {
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if s.conns.Add(1) > int64(s.limits.MaxSessions) {
		s.conns.Add(-1)
		return s.turnAway(conn, fault.New(fault.Busy, "too many connections are open", "close some clients"))
	}
	defer s.conns.Add(-1)

	lines := wire.NewReader(conn, maxHello)
	who, err := s.greet(ctx, conn, lines)
	if ctx.Err() != nil {
		return ctx.Err() // whatever it is, it comes of the daemon's end: the door dials the next one
	}
	if err != nil {
		return s.turnAway(conn, fault.Of(err))
	}
	p := s.newPeer(ctx, Caller{AgentID: who.agent.ID, Agent: who.agent.Name, Attended: who.agent.Attended, Door: DoorStdio, Session: "ses_" + rand.Text()})
	written := make(chan struct{})
	go func() {
		defer close(written)
		p.writeLines(conn, s.limits.WriteTimeout)
	}()
	err = s.readLines(p, who, lines)
	_ = conn.Close()
	p.close()
	<-written
	return err
}

// identified is the agent of a connection, asked for again when what is known of it is old.
type identified struct {
	srv   *Server
	token string
	agent Agent
	at    time.Time
}

func (w *identified) check(ctx context.Context) error {
	now := w.srv.clock()
	if !w.at.IsZero() && now.Sub(w.at) < recheck {
		return nil
	}
	var ag Agent
	var err error
	if w.token == "" {
		ag, err = w.srv.identity.Local(ctx)
	} else {
		ag, err = w.srv.identity.Authenticate(ctx, w.token)
	}
	if err != nil {
		return err
	}
	switch {
	case ag.Unknown && w.agent.ID == "": // asked again with the next message
		w.agent = ag
	case ag.Unknown: // who was known before the vault was locked stays who they are, and is refused with everybody
	case w.agent.ID != "" && ag.ID != w.agent.ID:
		return errUnknownToken
	default:
		w.agent, w.at = ag, now
	}
	return nil
}

var errUnknownToken = fault.New(fault.Unauthenticated, "this token is not known", "a person makes one with `zavhoz agent add NAME`")

func (s *Server) greet(ctx context.Context, conn net.Conn, lines *wire.Reader) (*identified, error) {
	_ = conn.SetReadDeadline(time.Now().Add(s.limits.HelloTimeout))
	line, err := lines.Line()
	if err != nil {
		return nil, fault.New(fault.InvalidArgument, "a connection begins with a greeting", "").Because(err)
	}
	var h wire.Hello
	if err := Decode(line, &h); err != nil {
		return nil, err
	}
	if h.Zavhoz != wire.HelloFormat {
		return nil, fault.New(fault.NotSupported, "the daemon and this program are of different versions", "restart the daemon: `zavhoz serve`")
	}
	who := &identified{srv: s, token: h.Token}
	if err := who.check(ctx); err != nil {
		return nil, err
	}
	_ = conn.SetReadDeadline(time.Time{})
	lines.Bound(s.limits.MessageBytes)
	return who, s.writeReply(conn, wire.HelloReply{Zavhoz: wire.HelloFormat, OK: true, Agent: who.agent.Name})
}

func (s *Server) turnAway(conn net.Conn, e *fault.Error) error {
	body := wire.Body(e)
	_ = s.writeReply(conn, wire.HelloReply{Zavhoz: wire.HelloFormat, Error: &body})
	return e
}

func (s *Server) writeReply(conn net.Conn, r wire.HelloReply) error {
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_ = conn.SetWriteDeadline(time.Now().Add(s.limits.WriteTimeout))
	_, err = conn.Write(append(raw, '\n'))
	return err
}

// readLines hands messages to the peer until the connection ends. There is no read deadline: a client may think for hours.
func (s *Server) readLines(p *peer, who *identified, lines *wire.Reader) error {
	for {
		line, err := lines.Line()
		switch {
		case errors.Is(err, wire.ErrLong):
			if wire.Responds(line) {
				p.drop("it is too long")
				continue
			}
			m, _ := wire.Peek(line)
			text := fmt.Sprintf("the message is longer than %d bytes", s.limits.MessageBytes)
			p.send(wire.Fault(m.ID, fault.New(fault.TooLarge, text, "send less")))
			continue
		case errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || p.ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("read from the agent socket: %w", err)
		case len(line) == 0:
			continue
		}
		if err := who.check(p.ctx); err != nil {
			e := fault.Of(err)
			if m, _ := wire.Peek(line); m.Request() {
				p.send(wire.Refuse(&m, e))
			}
			if e.Code == fault.Unauthenticated || e.Code == fault.UnknownAgent {
				p.drain()
				return e
			}
			continue
		}
		p.accept(who.agent, line)
	}
}

// writeLines is the one writer of a connection. Replies that wait together leave together. A client that takes none within the timeout
// loses the connection.
func (p *peer) writeLines(conn net.Conn, timeout time.Duration) {
	defer p.cancel()
	defer conn.Close()
	w := bufio.NewWriterSize(conn, 32<<10)
	for {
		select {
		case line := <-p.out:
			if line == nil {
				_ = w.Flush()
				return
			}
			_ = conn.SetWriteDeadline(time.Now().Add(timeout))
			_, _ = w.Write(line)
			if err := w.WriteByte('\n'); err != nil {
				return
			}
			if len(p.out) == 0 && w.Flush() != nil {
				return
			}
		case <-p.ctx.Done():
			return
		}
	}
}

// drain lets the writer finish what was sent, and ends it.
func (p *peer) drain() {
	p.send(nil)
	<-p.ctx.Done()
}
