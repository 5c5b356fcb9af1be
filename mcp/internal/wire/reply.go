package wire

import (
	"encoding/json"
	"strings"

	"github.com/zavhoz/zavhoz/vault/fault"
)

type rpcFailure struct {
	JSONRPC string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Error   struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
		Data    any    `json:"data,omitempty"`
	} `json:"error"`
}

// RPCError is a JSON-RPC error; a nil id becomes null.
func RPCError(id []byte, code int, message string, data any) []byte {
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

const cancelled = "notifications/cancelled"

// Cancelled takes back the request of an id, byte for byte as it came; the reason is for people, and may be empty.
func Cancelled(id []byte, reason string) []byte {
	b := append([]byte(`{"jsonrpc":"2.0","method":"`+cancelled+`","params":{"requestId":`), id...)
	if reason != "" {
		text, _ := json.Marshal(reason) // a string: it cannot fail
		b = append(append(b, `,"reason":`...), text...)
	}
	return append(b, `}}`...)
}

// Fault is a fault as a JSON-RPC error.
func Fault(id []byte, e *fault.Error) []byte {
	code := CodeServer
	switch e.Code {
	case fault.InvalidArgument, fault.UnknownTool, fault.UnknownResource:
		code = CodeInvalidParams
	case fault.Internal:
		code = CodeInternal
	}
	return Problem(id, code, e)
}

// Problem is a fault as a JSON-RPC error of a given code.
func Problem(id []byte, code int, e *fault.Error) []byte {
	return RPCError(id, code, Sentence(e), Body(e))
}

// Refuse answers a request that is not served at all: a model can only act on what it sees, so a refused tool call is a tool's result.
func Refuse(m *Message, e *fault.Error) []byte {
	if m.Method != "tools/call" {
		return Fault(m.ID, e)
	}
	r := toolReply{JSONRPC: "2.0", ID: m.ID}
	r.Result.Content = []textContent{{"text", Sentence(e)}}
	r.Result.Structured, r.Result.IsError = ErrorObject(e), true
	if m.Modern() {
		r.Result.ResultType = "complete"
	}
	raw, err := json.Marshal(r)
	if err != nil {
		return Fault(m.ID, e)
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

// ErrorObject is a fault as the structured content of a tool's result: {"error":{…}}.
func ErrorObject(e *fault.Error) json.RawMessage {
	raw, err := json.Marshal(map[string]any{"error": Body(e)})
	if err != nil { // Details hold something that JSON cannot
		e = &fault.Error{Code: e.Code, Message: e.Message, Next: e.Next}
		raw, _ = json.Marshal(map[string]any{"error": Body(e)})
	}
	return raw
}

// Sentence writes a fault as text: "code: message. Next: …".
func Sentence(e *fault.Error) string {
	text := string(e.Code) + ": " + strings.TrimSuffix(e.Message, ".") + "."
	if e.Next != "" {
		text += " Next: " + e.Next
	}
	return text
}

// FaultBody is a fault in JSON.
type FaultBody struct {
	Code    fault.Code     `json:"code"`
	Message string         `json:"message"`
	Next    string         `json:"next,omitempty"`
	Details map[string]any `json:"details,omitempty"`
}

// Body gives the JSON form of a fault.
func Body(e *fault.Error) FaultBody { return FaultBody{e.Code, e.Message, e.Next, e.Details} }
