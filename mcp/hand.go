package mcp

import (
	"context"
	"net/http"
	"time"

	"github.com/zavhoz/zavhoz/mcp/internal/wire"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// How often and how long another server is tried. All tries together take no longer than a question to a person is open (Limits.AskTimeout).
const (
	handTries = 3
	handTime  = 8 * time.Second        // of one try
	handPause = 250 * time.Millisecond // after the first; times the tries so far
)

// again does what does no harm where it is done twice until it succeeds, was tried often enough, or nobody waits for it any more: who sent an answer or a cancel may not send it a second time.
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
	leave, f := s.agents.hand(x.agent)
	if f != nil {
		s.deny(x.w, x.r, f)
		return
	}
	defer leave()
	m := Handed{x.agent, ses.id, wire.Cancelled(id, "")}
	if err := s.again(x.r.Context(), func(ctx context.Context) error { return s.handAll(ctx, m) }); err != nil {
		s.log.Warn("a cancel was not handed over", "code", string(fault.CodeOf(err)), "cause", fault.Cause(err))
		s.deny(x.w, x.r, notReached("the daemon that may serve this call was not reached", err))
		return
	}
	x.w.WriteHeader(http.StatusAccepted)
}

// handAll has every other server take a message, until one knows what it is for. It is no error that none does: what it is for has ended, or ended with its server.
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
		case e == nil:
			taken = true
			found()
		case fault.CodeOf(e) != errNoSession.Code:
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
