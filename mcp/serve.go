package mcp

import (
	"context"
	"encoding/json"
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
			reply, code = rpcFault(rq.msg.ID, s.panicked("door", p)), wire.CodeInternal
		}
	}()
	if rq.msg.Method == "tools/call" && s.tools[rq.msg.Name] == nil {
		e := fault.New(fault.UnknownTool, "there is no tool of that name", "call tools/list")
		return rpcFault(rq.msg.ID, e), wire.CodeInvalidParams
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

type rpcFailure struct {
	JSONRPC string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Error   struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
		Data    any    `json:"data,omitempty"`
	} `json:"error"`
}

func rpcError(id []byte, code int, message string, data any) []byte {
	f := rpcFailure{JSONRPC: "2.0", ID: id}
	if id == nil {
		f.ID = json.RawMessage("null")
	}
	f.Error.Code, f.Error.Message, f.Error.Data = code, message, data
	raw, err := json.Marshal(f)
	if err != nil { // the data cannot be encoded
		f.Error.Data = nil
		raw, _ = json.Marshal(f)
	}
	return raw
}

// rpcFault is a fault as a JSON-RPC error.
func rpcFault(id []byte, e *fault.Error) []byte {
	code := wire.CodeServer
	switch e.Code {
	case fault.InvalidArgument, fault.UnknownTool, fault.UnknownResource:
		code = wire.CodeInvalidParams
	case fault.Internal:
		code = wire.CodeInternal
	}
	return rpcProblem(id, code, e)
}

func rpcProblem(id []byte, code int, e *fault.Error) []byte {
	return rpcError(id, code, Sentence(e), body(e))
}

// refuse answers a request that is not served at all: a model can only act on what it sees, so a refused tool call is a tool's result.
func (s *Server) refuse(m *wire.Message, e *fault.Error) []byte {
	if m.Method != "tools/call" {
		return rpcFault(m.ID, e)
	}
	out := failure(e)
	r := toolReply{JSONRPC: "2.0", ID: m.ID}
	r.Result.Content = []textContent{{"text", out.text}}
	r.Result.Structured, r.Result.IsError = out.structured, true
	if m.Version != "" {
		r.Result.ResultType = "complete"
	}
	raw, err := json.Marshal(r)
	if err != nil {
		return rpcFault(m.ID, e)
	}
	return raw
}

type toolReply struct {
	JSONRPC string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Result  struct {
		Content    []textContent   `json:"content"`
		Structured json.RawMessage `json:"structuredContent"`
		IsError    bool            `json:"isError"`
		ResultType string          `json:"resultType,omitempty"`
	} `json:"result"`
}

type textContent struct {
	Type string `json:"type"`
	Text string `json:"text"`
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
