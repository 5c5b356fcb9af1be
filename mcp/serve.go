package mcp

import (
	"context"
	"log/slog"
	"time"

	"github.com/zavhoz/zavhoz/mcp/internal/wire"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// serve answers one request through mcp-go; every door comes by here. The reply is a whole JSON-RPC message, and code is its error code,
// 0 for a result.
func (s *Server) serve(ctx context.Context, rq *request, raw []byte) (reply []byte, code int) {
	defer func() {
		rq.finish()
		if p := recover(); p != nil {
			reply, code = wire.Fault(rq.msg.ID, s.panicked("door", p)), wire.CodeInternal
		}
	}()
	if rq.msg.Method == "tools/call" && s.tools[rq.msg.Name] == nil {
		e := fault.New(fault.UnknownTool, "there is no tool of that name", "call tools/list")
		return wire.Fault(rq.msg.ID, e), wire.CodeInvalidParams
	}
	return s.core.handle(ctx, rq, raw)
}

// safeText replaces mcp-go's error texts: they repeat names, addresses and values that the client sent (defect 6).
func safeText(code int) string {
	switch code {
	case wire.CodeParse:
		return "the message cannot be read"
	case wire.CodeInvalidRequest:
		return "the request is not valid"
	case wire.CodeNoMethod:
		return "the method does not exist, or not in this protocol version"
	case wire.CodeInvalidParams:
		return "the params are not valid, or name something that does not exist"
	case wire.CodeNoResource:
		return "there is no such resource; call resources/list"
	case wire.CodeHeaders:
		return "the Mcp-* headers and the message do not agree"
	case wire.CodeCapability:
		return "the client has not declared a capability that this needs"
	case wire.CodeVersion:
		return "the protocol version is not supported"
	default:
		return "something went wrong inside zavhoz"
	}
}

// logCall says who called what and how it ended; never arguments, results or texts.
func (s *Server) logCall(rq *request, tool string, err error, took time.Duration) {
	level, outcome := slog.LevelDebug, "ok"
	if err != nil {
		outcome = string(fault.CodeOf(err))
		if fault.CodeOf(err) == fault.Internal {
			level = slog.LevelError
		}
	}
	ctx := context.Background()
	if !s.log.Enabled(ctx, level) {
		return
	}
	attrs := []any{"tool", tool, "agent", rq.caller.Agent, "door", rq.caller.Door, "outcome", outcome, "took", took}
	if level == slog.LevelError {
		attrs = append(attrs, "cause", fault.Cause(err))
	}
	s.log.Log(ctx, level, "call", attrs...)
}
