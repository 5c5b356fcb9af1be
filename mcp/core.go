package mcp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"

	mcpgo "github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/zavhoz/zavhoz/mcp/internal/wire"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// core is the protocol by mcp-go: HandleMessage and what is registered with it. None of its transports is used.
type core struct {
	srv        *Server
	lib        *server.MCPServer
	self       json.RawMessage // the server's identity, as modern results carry it
	viaLibrary bool            // tests: no call goes the direct way
}

func newCore(s *Server, o Options) (engine, error) {
	// List changes and subscriptions are not offered: the lists never change while the daemon runs.
	opts := []server.ServerOption{server.WithInstructions(o.Instructions), server.WithTitle("Zavhoz"), server.WithToolCapabilities(false)}
	if o.Inventory != nil {
		opts = append(opts, server.WithResourceCapabilities(false, false))
	}
	if len(o.Prompts) > 0 {
		opts = append(opts, server.WithPromptCapabilities(false))
	}
	c := &core{srv: s, lib: server.NewMCPServer("zavhoz", o.Version, opts...)}
	self, err := json.Marshal(map[string]any{mcpgo.MetaKeyServerInfo: mcpgo.Implementation{Name: "zavhoz", Title: "Zavhoz", Version: o.Version}})
	if err != nil {
		return nil, err
	}
	c.self = self
	c.addInventory()
	for _, p := range o.Prompts {
		c.addPrompt(p)
	}
	return c, nil
}

func (c *core) addTool(t *Tool, input, output json.RawMessage) {
	tool := mcpgo.Tool{Name: t.Name, Title: t.Title, Description: t.Description, RawInputSchema: input, RawOutputSchema: output, Annotations: mcpgo.ToolAnnotation{
		ReadOnlyHint: &t.Annotations.ReadOnly, DestructiveHint: &t.Annotations.Destructive,
		IdempotentHint: &t.Annotations.Idempotent, OpenWorldHint: &t.Annotations.OpenWorld,
	}}
	// The handler returns no Go error ever: mcp-go would pass its text on verbatim (defect 5).
	c.lib.AddTool(tool, func(ctx context.Context, req mcpgo.CallToolRequest) (*mcpgo.CallToolResult, error) {
		rq := sessionOf(ctx)
		out := failure(fault.Of(errors.New("mcp: a call by no door")))
		if rq != nil {
			out = c.srv.call(ctx, rq.request, t, req.Params.RawArguments)
		}
		if out.ask != nil {
			return out.ask.library(), nil
		}
		content := []mcpgo.Content{mcpgo.NewTextContent(out.text)}
		if out.mirrored() {
			content = append(content, mcpgo.NewTextContent(string(out.structured)))
		}
		return &mcpgo.CallToolResult{Content: content, RawStructuredContent: out.structured, IsError: out.failed}, nil
	})
}

func (c *core) handle(ctx context.Context, rq *request, raw []byte) ([]byte, int) {
	if c.direct(&rq.msg) {
		return c.callReply(rq, c.srv.call(ctx, rq, c.srv.tools[rq.msg.Name], rq.msg.Args)), 0
	}
	ses := &coreSession{request: rq, ctx: ctx}
	resp := c.lib.HandleMessage(c.lib.WithContext(ctx, ses), raw)
	ses.flush()
	return c.encode(ses, resp)
}

// direct tells whether a request is a plain tool call, which needs nothing that has not been read already: mcp-go would decode the message six
// times over, and that is most of what a call costs. TestDirectCallsAreTheLibrarys holds the two ways to the same bytes.
func (c *core) direct(m *wire.Message) bool {
	if m.Method != "tools/call" || !m.Plain || c.viaLibrary {
		return false
	}
	if m.Version == "" {
		return true
	}
	var caps *mcpgo.ClientCapabilities
	return m.Modern() && c.speaks(m.Version) && json.Unmarshal(m.Caps, &caps) == nil && caps != nil
}

func (c *core) callReply(rq *request, out outcome) []byte {
	b := make([]byte, 0, len(out.structured)+len(out.text)+len(c.self)+256)
	b = append(append(append(b, `{"jsonrpc":"2.0","id":`...), rq.msg.ID...), `,"result":{`...)
	if out.ask != nil {
		b = append(append(append(b, `"_meta":`...), c.self...), `,"resultType":"input_required","inputRequests":`...)
		return append(append(b, out.ask.inputRequired(newAskID())...), `}}`...)
	}
	if rq.msg.Modern() {
		b = append(append(append(b, `"_meta":`...), c.self...), `,"resultType":"complete",`...)
	}
	b = appendText(append(b, `"content":[`...), out.text)
	if out.mirrored() {
		b = appendText(append(b, ','), string(out.structured))
	}
	b = append(b, ']')
	if out.structured != nil {
		b = append(append(b, `,"structuredContent":`...), out.structured...)
	}
	if out.failed {
		b = append(b, `,"isError":true`...)
	}
	return append(b, `}}`...)
}

// appendText appends one text block.
func appendText(b []byte, s string) []byte {
	text, err := json.Marshal(s)
	if err != nil {
		text = []byte(`""`)
	}
	return append(append(append(b, `{"type":"text","text":`...), text...), '}')
}

// library is inputRequired as mcp-go says it.
func (a *Ask) library() *mcpgo.CallToolResult {
	p := a.params(newAskID())
	x := mcpgo.ElicitationParams{Mode: p.Mode, Message: p.Message, URL: p.URL, ElicitationID: p.ID}
	if p.Schema != nil {
		x.RequestedSchema = p.Schema
	}
	return server.NewInputRequestBuilder("").Elicit(askKey, x).ToolResult()
}

func (c *core) headersAgree(header func(string) string, version string, m *wire.Message) bool {
	return mcpgo.ValidateStandardHeaders(header, version, mcpgo.MCPMethod(m.Method), m.Params) == nil
}

func (c *core) speaks(version string) bool { return mcpgo.IsValidProtocolVersion(version) }

func (c *core) encode(rq *coreSession, resp mcpgo.JSONRPCMessage) ([]byte, int) {
	switch r := resp.(type) {
	case mcpgo.JSONRPCResponse:
		if rq.problem != nil {
			return wire.Fault(rq.msg.ID, fault.Of(rq.problem)), wire.CodeServer
		}
		r.ID = mcpgo.NewRequestId(json.RawMessage(rq.msg.ID)) // as it came: mcp-go reads numbers as floats and would round a large one
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if enc.Encode(r) == nil {
			return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), 0
		}
	case mcpgo.JSONRPCError:
		if rq.problem != nil {
			return wire.Problem(rq.msg.ID, r.Error.Code, fault.Of(rq.problem)), r.Error.Code
		}
		return wire.RPCError(rq.msg.ID, r.Error.Code, safeText(r.Error.Code), safeData(r.Error.Code, rq.msg.Version)), r.Error.Code
	}
	return wire.Fault(rq.msg.ID, fault.Of(errors.New("mcp: no reply"))), wire.CodeInternal
}

// safeData keeps the one error data that clients act on: which protocol versions there are.
func safeData(code int, requested string) any {
	if code != wire.CodeVersion {
		return nil
	}
	data := map[string]any{"supported": mcpgo.ValidProtocolVersions}
	if len(requested) <= 16 && strings.Trim(requested, "0123456789-.vV") == "" { // the specification wants it back; it is no place for a value
		data["requested"] = requested
	}
	return data
}
