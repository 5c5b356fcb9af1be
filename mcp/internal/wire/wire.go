// Package wire reads MCP's messages as bytes: lines of bounded length, and of each message only what a door must know of it.
//
// Promise: whatever the bytes are, reading them takes one pass, no recursion and no memory beyond the line; and the fields found here are
// the fields that any later decoder finds. Go's decoder takes "Method" for "method" and lets the last of two win: a message whose keys
// could be read in two ways is refused, so that a door's checks and the library behind it can never see two different messages.
//
// Attacks stopped: giant, deep, duplicate-key, invalid UTF-8 and batch input (threat-model.md 67); a method smuggled past a guard.
package wire

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// MaxDepth is how deep a message may nest: the envelope's few levels around arguments of depth 32.
const MaxDepth = 40

// maxID is the length in bytes of the longest request id that is taken.
const maxID = 128

// JSON-RPC error codes, MCP's own included.
const (
	CodeParse          = -32700
	CodeInvalidRequest = -32600
	CodeNoMethod       = -32601
	CodeInvalidParams  = -32602
	CodeInternal       = -32603
	CodeServer         = -32000
	CodeNoResource     = -32002
	CodeHeaders        = -32020
	CodeCapability     = -32021
	CodeVersion        = -32022
)

// Message is what a door knows of a message. The byte slices point into the line.
type Message struct {
	ID       []byte // raw JSON, a string or a number; nil when there is none
	Method   string // "" for a response
	Params   []byte // raw; nil when there are none
	Name     string // params.name of a tools/call or prompts/get
	Args     []byte // params.arguments, raw
	Plain    bool   // the params hold nothing of tasks and multi round-trip requests
	Answers  []byte // params.inputResponses, raw
	Caps     []byte // params._meta's client capabilities, raw; of an initialize those of the params
	Offered  string // of an initialize: the protocol version that the client offers
	Result   []byte // of a response: its result, raw; nil where it is an error
	Cancels  []byte // params.requestId of notifications/cancelled, raw; nil where it can be no request's
	Progress []byte // params._meta.progressToken, raw; nil when there is none
	Version  string // params._meta's protocol version; see Modern
}

// Request tells whether the message wants an answer.
func (m *Message) Request() bool { return m.ID != nil && m.Method != "" }

// Response tells whether the message answers one of ours.
func (m *Message) Response() bool { return m.ID != nil && m.Method == "" }

// Cancel tells whether the message takes a request back.
func (m *Message) Cancel() bool { return m.ID == nil && m.Method == cancelled }

// Modern tells whether the message is of the era without handshake and sessions.
func (m *Message) Modern() bool { return Modern(m.Version) }

// Modern tells whether a protocol version is of the era without handshake and sessions. Versions are dates: they sort.
func Modern(version string) bool { return version >= "2026-07-28" }

// Error says why a message was refused: a JSON-RPC code and a sentence of ours.
type Error struct {
	Code int
	Text string
}

// Error gives the sentence.
func (e *Error) Error() string { return e.Text }

var (
	errUTF8  = &Error{CodeParse, "the message is not valid UTF-8"}
	errJSON  = &Error{CodeParse, "the message is not valid JSON"}
	errBatch = &Error{CodeInvalidRequest, "batches are not supported: send one message at a time"}
	errShape = &Error{CodeInvalidRequest, "a message is a JSON object"}
	errDepth = &Error{CodeInvalidRequest, "the message nests too deep"}
	errKeys  = &Error{CodeInvalidRequest, "the message has a key twice, or an unknown one"}
	errID    = &Error{CodeInvalidRequest, "id must be a string or a number, and short"}
	errVer   = &Error{CodeInvalidRequest, "jsonrpc must be \"2.0\""}
	errReply = &Error{CodeInvalidRequest, "a message has a method, or the result of a request, or an error"}
	errForm  = &Error{CodeInvalidRequest, "method must be a string, params and _meta objects"}
)

var (
	envelopeKeys = keys("jsonrpc", "id", "method", "params", "result", "error")
	paramKeys    = keys("name", "arguments", "_meta", "requestId", "task", "inputResponses", "requestState", "uri", "cursor", "protocolVersion", "capabilities", "clientInfo")
	metaKeys     = keys("progressToken", VersionKey, "io.modelcontextprotocol/clientCapabilities")
)

func keys(names ...string) [][]byte {
	out := make([][]byte, len(names))
	for i, n := range names {
		out[i] = []byte(n)
	}
	return out
}

// VersionKey is the _meta key that says a message is of the era without handshake.
const VersionKey = "io.modelcontextprotocol/protocolVersion"

// Parse reads a message. When it refuses, the Message still holds the id if that was readable, so that the refusal reaches its asker.
func Parse(raw []byte) (Message, *Error) {
	var m Message
	raw = bytes.TrimSpace(raw)
	switch {
	case !utf8.Valid(raw):
		return m, errUTF8
	case !json.Valid(raw):
		return m, errJSON
	case raw[0] == '[':
		return m, errBatch
	case raw[0] != '{':
		return m, errShape
	}
	var env [6][]byte
	if ok := pick(raw, envelopeKeys, env[:], true); !ok {
		return m, errKeys
	}
	m.ID = env[1]
	if env[2] == nil && env[5] != nil && string(m.ID) == "null" { // an error about a message of ours whose id they could not read
		m.ID = nil
	}
	switch {
	case m.ID != nil && !validID(m.ID):
		m.ID = nil
		return m, errID
	case deep(raw):
		return m, errDepth
	case string(env[0]) != `"2.0"`:
		return m, errVer
	case env[2] == nil:
		return m, m.response(env[4], env[5])
	case env[2][0] != '"':
		return m, errForm
	}
	m.Method = string(Text(env[2]))
	if m.Method == "" {
		return m, errForm
	}
	return m, m.params(env[3])
}

// response reads what answers something of ours: it has the result of a request, or an error, and not both.
func (m *Message) response(result, failure []byte) *Error {
	said := func(raw []byte) bool { return raw != nil && string(raw) != "null" }
	switch failed := said(failure); {
	case failed && (failure[0] != '{' || said(result)):
		return errReply
	case failed: // an error may be about what could not be read: it needs no id
	case result == nil || m.ID == nil:
		return errReply
	default:
		m.Result = result
	}
	return nil
}

// Responds tells whether a message that was refused, or of which there is the beginning alone, was meant as a response: it names a result or an error, or is whole and has an id, and names nothing that asks.
// Nobody answers a response, however malformed: not even by an error, for which its sender would look for a request of its own.
func Responds(raw []byte) bool {
	asks, answers, named := false, false, false
	whole := members(bytes.TrimLeft(raw, " \t\r\n"), func(key []byte) {
		switch strings.ToLower(string(Text(key))) {
		case "method", "params":
			asks = true
		case "result", "error":
			answers = true
		case "id":
			named = true
		}
	}, func(_, _ []byte) bool { return !asks })
	return !asks && (answers || named && whole)
}

func (m *Message) params(raw []byte) *Error {
	if raw == nil || string(raw) == "null" {
		return nil
	}
	if raw[0] != '{' {
		return errForm
	}
	m.Params = raw
	var p [12][]byte
	if !pick(raw, paramKeys, p[:], false) {
		return errKeys
	}
	if p[0] != nil && p[0][0] == '"' {
		m.Name = string(Text(p[0]))
	}
	m.Args = p[1]
	if validID(p[3]) {
		m.Cancels = p[3]
	}
	m.Plain, m.Answers = p[4] == nil && p[5] == nil && p[6] == nil, p[5]
	if m.Method == "initialize" {
		m.Offered, m.Caps = string(Text(p[9])), p[10]
	}
	if p[2] == nil || string(p[2]) == "null" {
		return nil
	}
	if p[2][0] != '{' {
		return errForm
	}
	var meta [3][]byte
	if !pick(p[2], metaKeys, meta[:], false) {
		return errKeys
	}
	if validID(meta[0]) {
		m.Progress = meta[0]
	}
	if m.Method != "initialize" {
		m.Caps = meta[2]
	}
	if meta[1] != nil && meta[1][0] == '"' {
		m.Version = string(Text(meta[1]))
	}
	return nil
}

// Peek finds id and method in a message that is known to be sound, or in the beginning of one that was cut. ok is false when the
// bytes end, or stop making sense, before both were looked for.
func Peek(b []byte) (m Message, ok bool) {
	b = bytes.TrimLeft(b, " \t\r\n")
	ok = Members(b, func(key, value []byte) bool {
		switch string(key) {
		case `"id"`:
			if validID(value) {
				m.ID = value
			}
		case `"method"`:
			m.Method = string(Text(value))
		case `"result"`, `"error"`:
			return m.ID == nil // a response: nothing after it matters
		}
		return m.ID == nil || m.Method == ""
	})
	return m, ok
}

// pick fills values with the members named by keys. It is false when a key comes twice, differs from a known one by case only, or, if
// only, is not in keys.
func pick(obj []byte, keys [][]byte, values [][]byte, only bool) bool {
	sound := true
	var others map[string]bool
	Members(obj, func(key, value []byte) bool {
		name := Text(key)
		for i, k := range keys {
			if bytes.Equal(name, k) {
				sound = sound && values[i] == nil
				values[i] = value
				return sound
			}
			if len(name) >= len(k) && bytes.EqualFold(name, k) { // folding never shortens: K (Kelvin) is three bytes
				sound = false
				return false
			}
		}
		if only || others[string(name)] {
			sound = false
			return false
		}
		if others == nil {
			others = map[string]bool{}
		}
		others[string(name)] = true
		return true
	})
	return sound
}

// validID tells whether raw is a JSON string or number short enough to be an id.
func validID(raw []byte) bool {
	if len(raw) == 0 || len(raw) > maxID {
		return false
	}
	c := raw[0]
	return c == '"' || c == '-' || c >= '0' && c <= '9'
}

// Text decodes a JSON string, without copying where it has no escapes; nil if it is none.
func Text(raw []byte) []byte {
	if len(raw) < 2 || raw[0] != '"' {
		return nil
	}
	inner := raw[1 : len(raw)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return inner
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return nil
	}
	return []byte(s)
}
