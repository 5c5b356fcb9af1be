package mcp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zavhoz/zavhoz/mcp/internal/wire"
)

// MaxInstructions is the length in bytes of the longest instructions and tool description: clients cut longer ones.
const MaxInstructions = 2048

// Server serves the tools over every door. It has no goroutines of its own.
type Server struct {
	core     engine
	tools    map[string]*Tool
	inv      Inventory
	identity Identity
	log      *slog.Logger
	limits   Limits
	http     HTTP
	clock    func() time.Time
	agents   *agentLimits
	sessions *sessions
	crowd    *crowd
	outbound *outbound
	conns    atomic.Int64  // open connections of the agent socket
	ended    chan struct{} // closed by the first CloseSessions
	closing  sync.Once
}

// New makes a Server. It refuses tools that a client would: a name twice, a schema that is no JSON object, a text too long.
func New(o Options) (*Server, error) {
	if o.Identity == nil {
		return nil, errors.New("mcp: no identity")
	}
	if len(o.Instructions) > MaxInstructions {
		return nil, fmt.Errorf("mcp: instructions are longer than %d bytes", MaxInstructions)
	}
	s := &Server{
		tools: make(map[string]*Tool, len(o.Tools)), inv: o.Inventory, identity: o.Identity,
		log: o.Log, limits: o.Limits.withDefaults(), http: o.HTTP, clock: o.Clock, ended: make(chan struct{}),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.clock == nil {
		s.clock = time.Now
	}
	s.agents = newAgentLimits(s.limits, s.clock)
	s.sessions = newSessions(s.limits, s.clock)
	s.sessions.shared = o.Replicas
	s.crowd = newCrowd(s.limits, s.http.trusted)
	s.outbound = newOutbound()
	var err error
	if s.core, err = newCore(s, o); err != nil {
		return nil, err
	}
	for i := range o.Tools {
		if err := s.addTool(o.Tools[i]); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// engine is the protocol itself: what a well-formed request means, in either era. It is mcp-go (core.go), and the only place that knows it.
type engine interface {
	// addTool makes a tool known under its compact schemas.
	addTool(t *Tool, input, output json.RawMessage)
	// handle answers a request; code is the reply's JSON-RPC error code, 0 for a result.
	handle(ctx context.Context, rq *request, raw []byte) (reply []byte, code int)
	// headersAgree tells whether the Mcp-* headers of a modern request say what its message says.
	headersAgree(header func(string) string, version string, m *wire.Message) bool
	// speaks tells whether a protocol version is known.
	speaks(version string) bool
}

func (s *Server) addTool(t Tool) error {
	if t.Name == "" || t.Handle == nil || s.tools[t.Name] != nil {
		return fmt.Errorf("mcp: tool %q has no name, no handler, or its name twice", t.Name)
	}
	if len(t.Description) > MaxInstructions {
		return fmt.Errorf("mcp: the description of %s is longer than %d bytes", t.Name, MaxInstructions)
	}
	in, err := compactObject(t.Input)
	if err != nil {
		return fmt.Errorf("mcp: input schema of %s: %w", t.Name, err)
	}
	var out json.RawMessage
	if t.Output != nil {
		if out, err = compactObject(t.Output); err != nil {
			return fmt.Errorf("mcp: output schema of %s: %w", t.Name, err)
		}
		out = orError(out)
	}
	if t.Timeout == 0 {
		t.Timeout = s.limits.CallTimeout
	}
	s.tools[t.Name] = &t
	s.core.addTool(&t, in, out)
	return nil
}

// orError lets a result be the tool's own or an error: the TypeScript client checks structured content against the schema even when
// isError is set, and would hide the error's next step behind a complaint of its own.
func orError(schema json.RawMessage) json.RawMessage {
	const failure = `{"type":"object","properties":{"error":{"type":"object"}},"required":["error"]}`
	return json.RawMessage(`{"type":"object","anyOf":[` + string(schema) + `,` + failure + `]}`)
}

func compactObject(raw json.RawMessage) (json.RawMessage, error) {
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return nil, err
	}
	if b.Len() == 0 || b.Bytes()[0] != '{' {
		return nil, errors.New("not a JSON object")
	}
	return b.Bytes(), nil
}
