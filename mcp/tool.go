package mcp

import (
	"context"
	"encoding/json"
	"time"
)

// Door names, as they are told to tools and written into the audit chain.
const (
	DoorStdio = "stdio" // the relay's unix socket
	DoorHTTP  = "http"  // streamable HTTP
	DoorSSE   = "sse"   // HTTP+SSE, for old clients
)

// Caller is who calls, by which way. The door makes it from the token that it has checked: nothing in it comes from the request's body.
type Caller struct {
	AgentID  string // agt_…
	Agent    string // the agent's name
	Attended bool   // a person sits at this agent
	Door     string // DoorStdio, DoorHTTP or DoorSSE
	Session  string // names the connection or session in logs; random, never a token, never authority
}

// Call is one tools/call.
type Call struct {
	Caller    Caller
	Arguments json.RawMessage // as the client sent them: read them by Decode
	// Progress tells the client how far the call is; it is never nil and does nothing when the client did not ask for it.
	// total 0 means unknown. Safe for concurrent use; ignored after Handle has returned.
	Progress func(done, total float64, message string)
	// Answer is what the person did with the Ask of this call's first round; "" in the first, and where nobody answered. Nothing may rest on it.
	Answer Answer
}

// Result is what a tool answers.
type Result struct {
	Text       string // one line for the model
	Structured any    // compact; encodes to a JSON object
	// Ask, if set, is put to the person first, where the client can do that; then Handle is called once more, with their Answer, and its result goes out. Where
	// the client cannot, or nobody answers in time, this result goes out, or the error that came with it.
	Ask *Ask
}

// Annotations are the four hints of the specification; all are always sent.
type Annotations struct{ ReadOnly, Destructive, Idempotent, OpenWorld bool }

// Tool is one tool: its schemas are written by hand, for generated ones hold types that clients refuse (null unions).
type Tool struct {
	Name, Title, Description string
	Input, Output            json.RawMessage // JSON Schema objects with additionalProperties false; Output may be nil
	Annotations              Annotations
	Timeout                  time.Duration // of one call; 0 means Limits.CallTimeout
	Locked                   bool          // it answers also while the vault is locked, when nobody can tell who calls: Caller.AgentID may be ""
	// Handle does the work. A *fault.Error it returns is shown to the model; any other error becomes "internal" with none of its
	// text, and so does a panic.
	Handle func(ctx context.Context, c *Call) (Result, error)
}
