package mcp

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/zavhoz/zavhoz/mcp/internal/wire"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// outcome is a tool's result as it goes out, whatever became of the call.
type outcome struct {
	text       string
	structured json.RawMessage // a JSON object, or nil
	failed     bool
	ask        *Ask // of a modern call: the client asks its person and calls again; nothing else goes out
}

// call runs a tool for a request and gives what its client is to see. Where the tool has something for the person, they are asked, and it runs once more.
func (s *Server) call(ctx context.Context, rq *request, t *Tool, arguments json.RawMessage) outcome {
	out, ask := s.round(ctx, rq, t, arguments, rq.answered())
	switch {
	case ctx.Err() != nil || !rq.mayAsk(ask):
	case rq.msg.Modern():
		if s.agents.asks(rq.caller.AgentID) {
			out = outcome{ask: ask}
		}
	default:
		answer := rq.put(ctx, ask)
		if answer == AnswerAccept || answer != "" && ask.URL != "" { // a notice that is closed has nothing tried again, whatever was decided meanwhile
			out, _ = s.round(ctx, rq, t, arguments, answer)
		}
	}
	rq.finish()
	return out
}

// round runs a tool once.
func (s *Server) round(ctx context.Context, rq *request, t *Tool, arguments json.RawMessage, answer Answer) (outcome, *Ask) {
	ctx, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()
	started := s.clock()
	res, err := s.known(ctx, t, &Call{Caller: rq.caller, Arguments: arguments, Progress: rq.progress, Answer: answer})
	ask := res.Ask
	if ask == nil {
		rq.finish()
	}
	var out outcome
	if err == nil {
		out, err = s.render(res)
	}
	if err != nil {
		err = explain(ctx, err)
		out = failure(fault.Of(err))
	}
	s.logCall(rq, t.Name, err, s.clock().Sub(started))
	return out, ask
}

// known refuses a caller of whom nobody can tell who it is: the vault is locked. What such a one may ask answers for itself (Tool.Locked).
func (s *Server) known(ctx context.Context, t *Tool, c *Call) (Result, error) {
	if c.Caller.AgentID == "" && !t.Locked {
		return Result{}, fault.New(fault.VaultLocked, "the vault is locked", "a person unlocks it: `zavhoz unlock`")
	}
	return s.guarded(ctx, t, c)
}

// guarded runs the handler and turns a panic into an error that holds nothing of it: the panic's value may be a secret, or hold one.
func (s *Server) guarded(ctx context.Context, t *Tool, c *Call) (res Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			res, err = Result{}, s.panicked(t.Name, p)
		}
	}()
	return t.Handle(ctx, c)
}

// panicked logs where it happened, never what, and gives a fault that names the log line.
func (s *Server) panicked(where string, p any) *fault.Error {
	ref := rand.Text()[:10]
	s.log.Error("panic", "in", where, "type", fmt.Sprintf("%T", p), "ref", ref, "at", callers())
	return fault.New(fault.Internal, "something went wrong inside zavhoz (reference "+ref+")", "a person finds the reference in the daemon's log")
}

// callers names the functions and lines of the panicking stack, without their arguments.
func callers() string {
	var pcs [24]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(4, pcs[:])])
	var b strings.Builder
	for {
		f, more := frames.Next()
		fmt.Fprintf(&b, "%s:%d ", f.Function, f.Line)
		if !more {
			return strings.TrimSpace(b.String())
		}
	}
}

// explain gives timeouts and cancellations that a handler passed on raw their own codes.
func explain(ctx context.Context, err error) error {
	var fe *fault.Error
	switch {
	case errors.As(err, &fe):
		return err
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil:
		return fault.New(fault.TimedOut, "the call took too long and was stopped", "call again; for long commands use background").Because(err)
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return fault.New(fault.Canceled, "the call was cancelled", "").Because(err)
	}
	return err
}

// mirrored tells whether the structured part goes out as a text block too: the specification asks for it, and clients that show a model the text
// alone (LangGraph's Python adapters) would leave it with one line. An error's line holds all of it already.
func (o outcome) mirrored() bool { return o.structured != nil && !o.failed }

func (s *Server) render(r Result) (outcome, error) {
	out := outcome{text: r.Text}
	if r.Structured == nil {
		return out, nil
	}
	raw, err := json.Marshal(r.Structured)
	if err != nil {
		return out, err
	}
	if len(raw) == 0 || raw[0] != '{' {
		return out, errors.New("mcp: a structured result is not an object")
	}
	if len(raw) > s.limits.ResultBytes {
		return out, fault.New(fault.TooLarge, "the result is too large to send", "ask for less: a page, a filter, a tail")
	}
	out.structured = raw
	return out, nil
}

// failure is what a model sees of a fault.
func failure(e *fault.Error) outcome {
	return outcome{text: wire.Sentence(e), structured: wire.ErrorObject(e), failed: true}
}
