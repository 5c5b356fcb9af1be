//go:build unix

package tools_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// client is an LLM client at the agent socket.
type client struct {
	h      *house
	conn   net.Conn
	r      *bufio.Reader
	modern bool
	caps   string // what it declares, JSON
	next   int
}

// reply is what a model sees of a call.
type reply struct {
	Text string
	Data json.RawMessage
	Code fault.Code // of a refusal
	Next string
	raw  string
}

const meta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"t","version":"1"},"io.modelcontextprotocol/clientCapabilities":`

func (h *house) connect(token string, modern bool) *client {
	h.t.Helper()
	return h.connectAs(token, modern, `{}`)
}

// connectAs connects a client that declares capabilities.
func (h *house) connectAs(token string, modern bool, caps string) *client {
	h.t.Helper()
	a, b := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- h.srv.ServeConn(ctx, b) }()
	h.t.Cleanup(func() {
		a.Close()
		<-done
	})
	c := &client{h: h, conn: a, r: bufio.NewReader(a), modern: modern, caps: caps}
	c.send(`{"zavhoz":1,"token":"` + token + `"}`)
	if got := c.line(); !strings.Contains(got, `"ok":true`) {
		h.t.Fatalf("greeted with %s", got)
	}
	if !modern {
		c.request("initialize", `"protocolVersion":"2025-11-25","capabilities":`+caps+`,"clientInfo":{"name":"t","version":"1"}`)
		c.send(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	}
	return c
}

func (c *client) send(line string) {
	c.h.t.Helper()
	if _, err := c.conn.Write([]byte(line + "\n")); err != nil {
		c.h.t.Fatal(err)
	}
}

// line reads one line and hunts in it; the deadline only keeps a broken test from hanging.
func (c *client) line() string {
	c.h.t.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(time.Minute))
	line, err := c.r.ReadString('\n')
	if err != nil {
		c.h.t.Fatalf("read: %v after %q", err, line)
	}
	for _, p := range planted {
		if strings.Contains(line, p) {
			c.h.t.Errorf("a reply holds %q: %s", p, line)
		}
	}
	return strings.TrimSuffix(line, "\n")
}

func (c *client) request(method, params string) json.RawMessage {
	c.h.t.Helper()
	if c.modern {
		params = strings.TrimPrefix(params+","+meta+c.caps+"}", ",")
	}
	c.next++
	c.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":%q,"params":{%s}}`, c.next, method, params))
	var m struct {
		ID     int
		Result json.RawMessage
		Error  json.RawMessage
	}
	raw := c.line()
	if err := json.Unmarshal([]byte(raw), &m); err != nil || m.ID != c.next || m.Result == nil {
		c.h.t.Fatalf("%s: answered %s %v", method, raw, err)
	}
	return m.Result
}

// call calls a tool; what comes back is held to the tool's own output schema.
func (c *client) call(tool, args string) (r reply) {
	c.h.t.Helper()
	return c.read(tool, c.request("tools/call", fmt.Sprintf(`"name":%q,"arguments":%s`, tool, args)))
}

func (c *client) read(tool string, result json.RawMessage) (r reply) {
	c.h.t.Helper()
	var m struct {
		Content []struct{ Text string }
		IsError bool
		Data    json.RawMessage `json:"structuredContent"`
	}
	must(c.h.t, json.Unmarshal(result, &m))
	r = reply{Text: m.Content[0].Text, Data: m.Data, raw: string(result)}
	if !m.IsError {
		validate(c.h.t, c.h.tools[tool].Output, m.Data)
		if len(m.Content) != 2 || m.Content[1].Text != string(m.Data) {
			c.h.t.Errorf("%s: the structured part is not mirrored", tool)
		}
		return r
	}
	var f struct {
		Error struct {
			Code fault.Code
			Next string
		}
	}
	must(c.h.t, json.Unmarshal(m.Data, &f))
	if f.Error.Code == "" {
		c.h.t.Errorf("%s: an error without a code: %s", tool, result)
	}
	r.Code, r.Next = f.Error.Code, f.Error.Next
	return r
}

// get reads a field of the structured reply.
func (r reply) get(name string) any {
	var m map[string]any
	_ = json.Unmarshal(r.Data, &m)
	return m[name]
}

func (r reply) str(name string) string {
	s, _ := r.get(name).(string)
	return s
}

func (r reply) list(name string) []any {
	l, _ := r.get(name).([]any)
	return l
}

// ok calls and wants no refusal.
func (c *client) ok(tool, args string) reply {
	c.h.t.Helper()
	r := c.call(tool, args)
	if r.Code != "" {
		c.h.t.Fatalf("%s %s: %s", tool, args, r.Text)
	}
	return r
}

// refused calls and wants a code and, in the next step, these words.
func (c *client) refused(code fault.Code, tool, args string, next ...string) reply {
	c.h.t.Helper()
	r := c.call(tool, args)
	if r.Code != code {
		c.h.t.Errorf("%s %s: %q %s, want %s", tool, args, r.Code, r.Text, code)
	}
	for _, n := range next {
		if !strings.Contains(r.Next, n) {
			c.h.t.Errorf("%s %s: the next step %q lacks %q", tool, args, r.Next, n)
		}
	}
	return r
}

func quote(v any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v)
	return strings.TrimSpace(b.String())
}
