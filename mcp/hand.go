package mcp

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/zavhoz/zavhoz/mcp/internal/wire"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// How often and how long another server is tried with what it alone can take. All tries together take no longer than a question to a person is open (Limits.AskTimeout).
const (
	handTries = 3
	handTime  = 8 * time.Second        // of one try
	handPause = 250 * time.Millisecond // after the first; times the tries so far
	handWhole = 25 * time.Second       // of all
)

// wordTime is how long a word goes about that asks for nothing: that a call is given up, that a session has ended. A server that lives takes it in a second or two; one that does not has nothing to end.
const wordTime = 4 * time.Second

// again does what does no harm where it is done twice until it succeeds, was tried often enough, or its time is over: who sent an answer may not send it a second time.
// What was refused for naming nothing that is there is not tried again.
func (s *Server) again(ctx context.Context, do func(context.Context) error) error {
	for try := 1; ; try++ {
		err := within(ctx, handTime, do)
		if err == nil || try == handTries || fault.CodeOf(err) == errNoSession.Code {
			return err
		}
		select {
		case <-time.After(time.Duration(try) * handPause):
		case <-ctx.Done():
			return err
		case <-s.ended:
			return err
		}
	}
}

func within(ctx context.Context, d time.Duration, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return do(ctx)
}

// cancel ends a call of this session that its client gave up: here, or at the server that serves it. Which one that is nobody knows, so all are told; those that do not know the session, or no such call of it, do nothing.
// The id alone is told, byte for byte as it came.
func (x *exchange) cancel(ses *session) {
	s, id := x.srv, x.msg.Cancels
	if ses.flights.stop(id) || id == nil || s.sessions.shared == nil {
		x.w.WriteHeader(http.StatusAccepted)
		return
	}
	if f := s.spread(x.r.Context(), Handed{Agent: x.agent, Session: ses.id, Message: wire.Cancelled(id, "")}); f != nil {
		s.deny(x.w, x.r, f)
		return
	}
	x.w.WriteHeader(http.StatusAccepted)
}

// spread has every other server take a word, each asked once and all at the same time: one that a single server can use until that one has it, that a session has ended all of them. It is no error that none has a use for it:
// what it is for has ended, or ended with its server; nor that one does not answer, which may be dead and still listed.
func (s *Server) spread(ctx context.Context, m Handed) *fault.Error {
	ctx, leave, f := s.outward(ctx, m.Agent, wordTime)
	if f != nil {
		return f
	}
	defer leave()
	if err := s.handAll(ctx, m); err != nil {
		s.log.Warn("a cancel, or a session's end, was not handed over", "code", string(fault.CodeOf(err)), "cause", fault.Cause(err))
		return notReached("the other daemons could not be told", err)
	}
	return nil
}

// handAll asks them all and waits for all; the first that could use a word calls the rest off, where it is for one.
func (s *Server) handAll(ctx context.Context, m Handed) error {
	others, err := s.sessions.shared.Others(ctx)
	if err != nil {
		return err
	}
	ctx, found := context.WithCancel(ctx)
	defer found()
	told := make(chan error)
	for _, to := range others {
		go func() { told <- s.sessions.shared.Hand(ctx, to, m) }()
	}
	taken := false
	for range others { // also those that are called off: nobody is left behind
		switch e := <-told; {
		case e == nil && !m.End:
			taken = true
			found()
		case e == nil, taken, fault.CodeOf(e) == errNoSession.Code:
		case errors.Is(e, ErrSilent):
			s.log.Info("a daemon did not answer to a cancel, or a session's end", "cause", fault.Cause(e))
		default:
			err = e
		}
	}
	if taken {
		return nil
	}
	return err
}

// notReached is said of what was not handed over.
func notReached(what string, err error) *fault.Error {
	return fault.New(fault.DaemonUnavailable, what, "send it again").Because(err).With("retry_after_s", 1)
}
