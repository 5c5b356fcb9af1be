package mcp_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/mcp"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/id"
)

// canary is planted in arguments, panics and foreign errors; no reply and no log line may hold it.
const canary = "canary-93c1f07be2"

var (
	tokenA = id.NewToken(id.AgentToken)
	tokenB = id.NewToken(id.AgentToken)
)

// registry is an identity that tests can change.
type registry struct {
	mu sync.Mutex
	by map[string]mcp.Agent
}

func newRegistry() *registry {
	return &registry{by: map[string]mcp.Agent{
		"":     {ID: "agt_local", Name: "local", PerMinute: 1 << 30},
		tokenA: {ID: "agt_a", Name: "anna", PerMinute: 1 << 30},
		tokenB: {ID: "agt_b", Name: "boris", PerMinute: 1 << 30},
	}}
}

func (r *registry) Authenticate(_ context.Context, token string) (mcp.Agent, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a, ok := r.by[token]
	if !ok {
		return mcp.Agent{}, fault.New(fault.Unauthenticated, "this token is not known", "")
	}
	return a, nil
}

func (r *registry) Local(ctx context.Context) (mcp.Agent, error) { return r.Authenticate(ctx, "") }

func (r *registry) set(token string, a *mcp.Agent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.by, token)
	if a != nil {
		r.by[token] = *a
	}
}

// world is a server under test with the tools that misbehave in every way.
type world struct {
	t       testing.TB
	srv     *mcp.Server
	ids     *registry
	log     *logBuffer
	now     *clock
	blocked chan string // says "name" of each block call that has begun
	ended   chan error  // says how each block call's context ended
	release chan struct{}
}

func newWorld(t testing.TB, change ...func(*mcp.Options)) *world {
	w := &world{t: t, ids: newRegistry(), log: &logBuffer{}, now: &clock{at: time.Unix(1_800_000_000, 0)},
		blocked: make(chan string, 1000), ended: make(chan error, 1000), release: make(chan struct{})}
	o := mcp.Options{Tools: w.tools(), Inventory: inventory{}, Identity: w.ids, Instructions: "Call list first.", Version: "1.2.3", Clock: w.now.Now,
		Prompts: []mcp.Prompt{{Name: "zavhoz_guide", Title: "Guide", Description: "How to work here", Text: "List, allocate, run."}},
		Log:     slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	for _, c := range change {
		c(&o)
	}
	var err error
	if w.srv, err = mcp.New(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if strings.Contains(w.log.String(), canary) {
			t.Errorf("the log holds a value:\n%s", w.log)
		}
	})
	return w
}

func schema(props string) json.RawMessage {
	return json.RawMessage(`{"type":"object","properties":{` + props + `},"additionalProperties":false}`)
}

func (w *world) tools() []mcp.Tool {
	tool := func(name string, h func(ctx context.Context, c *mcp.Call) (mcp.Result, error)) mcp.Tool {
		return mcp.Tool{Name: name, Title: "T " + name, Description: "Does " + name + ".", Input: schema(`"text":{"type":"string"}`), Output: schema(`"text":{"type":"string"}`),
			Annotations: mcp.Annotations{ReadOnly: true, Idempotent: true}, Handle: h}
	}
	return []mcp.Tool{
		tool("echo", func(_ context.Context, c *mcp.Call) (mcp.Result, error) {
			var in struct {
				Text string `json:"text"`
			}
			if err := mcp.Decode(c.Arguments, &in); err != nil {
				return mcp.Result{}, err
			}
			return mcp.Result{Text: "echo", Structured: in}, nil
		}),
		tool("who", func(_ context.Context, c *mcp.Call) (mcp.Result, error) {
			return mcp.Result{Text: c.Caller.Agent + " by " + c.Caller.Door}, nil
		}),
		tool("block", func(ctx context.Context, c *mcp.Call) (mcp.Result, error) {
			w.blocked <- c.Caller.Agent
			select {
			case <-ctx.Done():
				w.ended <- ctx.Err()
				return mcp.Result{}, ctx.Err()
			case <-w.release:
				return mcp.Result{Text: "released"}, nil
			}
		}),
		tool("steps", func(_ context.Context, c *mcp.Call) (mcp.Result, error) {
			for i := range 5 {
				c.Progress(float64(i+1), 5, fmt.Sprintf("step %d", i+1))
			}
			c.Progress(2, 5, "backwards")
			return mcp.Result{Text: "done"}, nil
		}),
		tool("fail", func(context.Context, *mcp.Call) (mcp.Result, error) {
			return mcp.Result{}, fault.New(fault.UnknownResource, "no resource of that name", "call list_resources").With("count", 0)
		}),
		tool("leak", func(context.Context, *mcp.Call) (mcp.Result, error) { return mcp.Result{}, errors.New(canary) }),
		tool("boom", func(_ context.Context, c *mcp.Call) (mcp.Result, error) { panic(canary + string(c.Arguments)) }),
		tool("list", func(context.Context, *mcp.Call) (mcp.Result, error) {
			return mcp.Result{Text: "x", Structured: []string{"not an object"}}, nil
		}),
		tool("large", func(context.Context, *mcp.Call) (mcp.Result, error) {
			return mcp.Result{Text: "x", Structured: map[string]string{"text": strings.Repeat("x", 2<<20)}}, nil
		}),
	}
}

type inventory struct{}

func (inventory) List(_ context.Context, c mcp.Caller) ([]mcp.Resource, error) {
	if c.Agent == "boris" {
		return nil, fault.New(fault.VaultLocked, "the vault is locked", "a person runs `zavhoz unlock`")
	}
	return []mcp.Resource{{Handle: "b_" + c.Agent, Title: "B"}, {Handle: "a_bot", Title: "A"}}, nil
}

func (inventory) Read(_ context.Context, c mcp.Caller, handle string) (any, error) {
	if handle != "a_bot" {
		return nil, fault.New(fault.UnknownResource, "there is no such resource", "call list_resources")
	}
	return map[string]string{"handle": handle, "agent": c.Agent}, nil
}

type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// client speaks lines to a connection of the agent socket.
type client struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
	done chan error // ServeConn's result
}

// pipe gives two ends of a loopback connection.
func pipe(t testing.TB) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if a, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

func serveConn(t testing.TB, srv *mcp.Server) *client {
	a, b := pipe(t)
	c := &client{t: t, conn: a, r: bufio.NewReader(a), done: make(chan error, 1)}
	go func() { c.done <- srv.ServeConn(context.Background(), b) }()
	t.Cleanup(func() { a.Close(); <-c.done; c.done <- nil })
	return c
}

func (w *world) connect(token string) *client {
	w.t.Helper()
	c := serveConn(w.t, w.srv)
	c.send(`{"zavhoz":1,"token":"` + token + `"}`)
	if got := c.recv(); !strings.HasPrefix(got, `{"zavhoz":1,"ok":true`) {
		w.t.Fatalf("greeted with %s", got)
	}
	return c
}

func (c *client) send(lines ...string) {
	c.t.Helper()
	if _, err := c.conn.Write([]byte(strings.Join(lines, "\n") + "\n")); err != nil {
		c.t.Fatal(err)
	}
}

// recv gives the next line; the deadline only keeps a broken test from hanging.
func (c *client) recv() string {
	c.t.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	line, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatalf("read: %v after %q", err, line)
	}
	if strings.Contains(line, canary) {
		c.t.Errorf("a reply holds a value: %s", line)
	}
	return strings.TrimSuffix(line, "\n")
}

func (c *client) ask(line string) string {
	c.t.Helper()
	c.send(line)
	return c.recv()
}

func call(id, tool, arguments string) string {
	return `{"jsonrpc":"2.0","id":` + id + `,"method":"tools/call","params":{"name":"` + tool + `","arguments":` + arguments + `}}`
}

func want(t *testing.T, got string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(got, p) {
			t.Errorf("%s\nlacks %s", got, p)
		}
	}
}
