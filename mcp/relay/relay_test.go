package relay_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/mcp"
	"github.com/zavhoz/zavhoz/mcp/relay"
	"github.com/zavhoz/zavhoz/vault/fault"
)

type local struct{}

func (local) Local(context.Context) (mcp.Agent, error) {
	return mcp.Agent{ID: "agt_local", Name: "local", PerMinute: 1 << 30}, nil
}

func (local) Authenticate(_ context.Context, token string) (mcp.Agent, error) {
	if token != "good" {
		return mcp.Agent{}, fault.New(fault.Unauthenticated, "this token is not known", "ask for another")
	}
	return mcp.Agent{ID: "agt_g", Name: "greta", PerMinute: 1 << 30}, nil
}

// daemon stands for the daemon: it can be killed, and be away.
type daemon struct {
	t      *testing.T
	mu     sync.Mutex
	conns  []net.Conn
	away   error
	dials  int
	begun  chan bool
	cuts   int         // greetings that it still breaks off
	silent bool        // it greets, and then answers nothing
	seen   chan string // what a silent daemon was asked
}

func (d *daemon) dial(context.Context) (net.Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dials++
	if d.away != nil {
		return nil, d.away
	}
	a, b := net.Pipe()
	if d.cuts > 0 {
		d.cuts--
		go func() {
			bufio.NewScanner(b).Scan()
			b.Close()
		}()
		return a, nil
	}
	d.conns = append(d.conns, b)
	if d.silent {
		go func() {
			lines := bufio.NewScanner(b)
			lines.Scan()
			fmt.Fprintln(b, `{"zavhoz":1,"ok":true}`)
			for lines.Scan() {
				d.seen <- lines.Text()
			}
		}()
		return a, nil
	}
	srv, err := mcp.New(mcp.Options{Identity: local{}, Version: "1", Tools: []mcp.Tool{
		{Name: "who", Input: []byte(`{"type":"object"}`), Handle: func(_ context.Context, c *mcp.Call) (mcp.Result, error) {
			return mcp.Result{Text: "you are " + c.Caller.Agent}, nil
		}},
		{Name: "block", Input: []byte(`{"type":"object"}`), Handle: func(ctx context.Context, _ *mcp.Call) (mcp.Result, error) {
			d.begun <- true
			<-ctx.Done()
			return mcp.Result{}, ctx.Err()
		}},
		{Name: "asks", Input: []byte(`{"type":"object"}`), Handle: func(_ context.Context, c *mcp.Call) (mcp.Result, error) {
			return mcp.Result{Text: "said " + string(c.Answer), Ask: &mcp.Ask{Message: "A page.", URL: "https://vault.example/x"}}, nil
		}},
		{Name: "steps", Input: []byte(`{"type":"object"}`), Handle: func(_ context.Context, c *mcp.Call) (mcp.Result, error) {
			for i := range 5 {
				c.Progress(float64(i+1), 5, "")
			}
			return mcp.Result{Text: "done"}, nil
		}},
	}})
	if err != nil {
		return nil, err
	}
	go srv.ServeConn(context.Background(), b)
	return a, nil
}

func (d *daemon) kill() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.conns {
		c.Close()
	}
	d.conns = nil
}

func (d *daemon) set(away error, silent bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.away, d.silent = away, silent
}

func (d *daemon) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.dials
}

// door is a running relay as its client sees it.
type door struct {
	t    *testing.T
	in   *io.PipeWriter
	out  *bufio.Reader
	done chan error
}

func open(t *testing.T, d *daemon, token string, change ...func(*relay.Options)) *door {
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	x := &door{t: t, in: inW, out: bufio.NewReader(outR), done: make(chan error, 1)}
	o := relay.Options{In: inR, Out: outW, Dial: d.dial, Token: token, Drain: 10 * time.Second}
	for _, c := range change {
		c(&o)
	}
	go func() {
		err := relay.Run(context.Background(), o)
		outW.Close()
		x.done <- err
	}()
	t.Cleanup(func() { inW.Close(); outR.Close(); d.kill() })
	return x
}

func newDaemon(t *testing.T) *daemon {
	return &daemon{t: t, begun: make(chan bool, 100), seen: make(chan string, 100)}
}

func (x *door) send(line string) {
	x.t.Helper()
	if _, err := io.WriteString(x.in, line+"\n"); err != nil {
		x.t.Fatal(err)
	}
}

func (x *door) recv(parts ...string) {
	x.t.Helper()
	line, err := x.out.ReadString('\n')
	if err != nil {
		x.t.Fatalf("read: %v", err)
	}
	for _, p := range parts {
		if !strings.Contains(line, p) {
			x.t.Errorf("%s lacks %s", line, p)
		}
	}
}

func call(id, tool string) string {
	return `{"jsonrpc":"2.0","id":` + id + `,"method":"tools/call","params":{"name":"` + tool + `"}}`
}

const (
	initialize  = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`
	initialized = `{"jsonrpc":"2.0","method":"notifications/initialized"}`
)

func TestRelaysASession(t *testing.T) {
	x := open(t, newDaemon(t), "good")
	x.send(initialize)
	x.recv(`"id":0`, `"protocolVersion":"2025-11-25"`)
	x.send(initialized)
	x.send(call("1", "who"))
	x.recv(`"id":1`, "you are greta")
	x.send(`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"steps","_meta":{"progressToken":9}}}`)
	for i := range 5 {
		x.recv(`notifications/progress`, fmt.Sprintf(`"progress":%d`, i+1))
	}
	x.recv(`"id":2`, "done")
	x.send(`not json at all`)
	x.recv(`"code":-32700`)
	x.in.Close()
	if err := <-x.done; err != nil {
		t.Errorf("ended with %v", err)
	}
}

// The client's end comes right behind its last request: the reply still comes, then the end, and nothing else.
func TestDrainsAtTheEnd(t *testing.T) {
	x := open(t, newDaemon(t), "")
	go func() {
		x.send(initialize + "\n" + initialized + "\n" + call("1", "who"))
		x.in.Close()
	}()
	x.recv(`"id":0`)
	x.recv(`"id":1`, "you are local")
	if rest, err := x.out.ReadString('\n'); !errors.Is(err, io.EOF) || rest != "" {
		t.Errorf("after the end: %q %v", rest, err)
	}
	if err := <-x.done; err != nil {
		t.Errorf("ended with %v", err)
	}
}

// A killed daemon: what was in flight is answered, what only reads is asked again, the handshake is repeated unseen, and the next call goes on.
func TestDaemonKilled(t *testing.T) {
	d := newDaemon(t)
	x := open(t, d, "")
	x.send(initialize)
	x.recv(`"id":0`)
	x.send(initialized)
	for round := range 3 {
		x.send(call(fmt.Sprintf(`"b%d"`, round), "block"))
		<-d.begun
		d.kill()
		x.recv(fmt.Sprintf(`"id":"b%d"`, round), `"isError":true`, `"code":"daemon_restarted"`, "get_run")
		x.send(call(fmt.Sprint(round+10), "who"))
		x.recv(fmt.Sprintf(`"id":%d`, round+10), "you are local")
	}
	if n := d.count(); n != 4 {
		t.Errorf("%d dials, want 4", n)
	}
}

func TestReadingIsAskedAgain(t *testing.T) {
	d := newDaemon(t)
	d.set(nil, true)
	x := open(t, d, "")
	x.send(initialize)
	x.send(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)
	x.send(`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"who","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}`)
	for range 3 {
		<-d.seen
	}
	d.set(nil, false)
	d.kill()
	got := map[string]bool{}
	for range 3 {
		line, err := x.out.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case strings.Contains(line, `"id":0`) && strings.Contains(line, "protocolVersion"):
			got["initialize"] = true
		case strings.Contains(line, `"id":1`) && strings.Contains(line, `"name":"who"`):
			got["list"] = true
		case strings.Contains(line, `"id":2`) && strings.Contains(line, "daemon_restarted") && strings.Contains(line, `"resultType":"complete"`):
			got["call"] = true
		default:
			t.Errorf("came: %s", line)
		}
	}
	if len(got) != 3 {
		t.Errorf("answers: %v", got)
	}
}

func TestNoDaemon(t *testing.T) {
	d := newDaemon(t)
	d.set(errors.New("dial /secret/path: refused"), false)
	x := open(t, d, "")
	x.send(initialized)
	x.send(initialize)
	x.recv(`"id":0`, `"error":{"code":-32000`, `daemon_unavailable`, `zavhoz serve`)
	x.send(call("1", "who"))
	x.recv(`"id":1`, `"isError":true`, `daemon_unavailable`)
	d.set(fault.New(fault.NotInitialized, "there is no vault yet", "a person runs `zavhoz init`"), false)
	x.send(call("2", "who"))
	x.recv(`"id":2`, `not_initialized`, `zavhoz init`)
	d.set(nil, false)
	x.send(call("3", "who"))
	x.recv(`"id":3`, "you are local")
}

// A daemon at its end breaks the greeting off: the next one is dialled, and the client sees nothing of it. One that always does so is told of.
func TestCutGreetingIsDialledAgain(t *testing.T) {
	d := newDaemon(t)
	d.cuts = 3
	x := open(t, d, "")
	x.send(call("1", "who"))
	x.recv(`"id":1`, "you are local")
	if n := d.count(); n != 4 {
		t.Errorf("%d dials, want 4", n)
	}
	d = newDaemon(t)
	d.cuts = 1000
	x = open(t, d, "")
	x.send(call("1", "who"))
	x.recv(`"id":1`, `daemon_unavailable`)
	if n := d.count(); n > 10 {
		t.Errorf("%d dials for one call", n)
	}
}

func TestRefusedToken(t *testing.T) {
	x := open(t, newDaemon(t), "bad")
	x.send(call("1", "who"))
	x.recv(`"id":1`, `"isError":true`, `"code":"unauthenticated"`, "ask for another")
}

func TestLongLineIsRefusedAndSkipped(t *testing.T) {
	x := open(t, newDaemon(t), "", func(o *relay.Options) { o.MessageBytes = 1000 })
	x.send(`{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"` + strings.Repeat("x", 100_000) + `"}}`)
	x.recv(`"id":4`, "too_large")
	x.send(call("5", "who"))
	x.recv(`"id":5`, "you are local")
}

// No response is answered by a message, by the relay either: neither one that is too long, nor one to a daemon that cannot be reached.
func TestNoResponseIsAnswered(t *testing.T) {
	d := newDaemon(t)
	x := open(t, d, "", func(o *relay.Options) { o.MessageBytes = 1000 })
	d.set(errors.New("refused"), false)
	for _, line := range []string{
		`{"jsonrpc":"2.0","id":1,"result":{"text":"` + strings.Repeat("x", 100_000) + `"}}`,
		`{"jsonrpc":"2.0","id":2,"result":{}}`,
		`{"jsonrpc":"2.0","id":3,"result":{},"result":{}}`,
		`{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x"}}`,
		`{"jsonrpc":"2.0","id":4,"result":{"cut`,
	} {
		x.send(line)
	}
	if n := d.count(); n != 0 {
		t.Errorf("%d dials for responses", n)
	}
	x.send(call("5", "who"))
	x.recv(`"id":5`, `daemon_unavailable`)
	d.set(nil, false)
	x.send(call("6", "who"))
	x.recv(`"id":6`, "you are local")
	x.send(`{"jsonrpc":"2.0","id":7,"result":{},"result":{}}`)
	x.send(call("8", "who"))
	x.recv(`"id":8`, "you are local")
}

func TestHangingDaemonIsLeftAtTheEnd(t *testing.T) {
	d := newDaemon(t)
	d.set(nil, true)
	x := open(t, d, "", func(o *relay.Options) { o.Drain = time.Millisecond })
	x.send(call("1", "who"))
	x.in.Close()
	x.recv(`"id":1`, "daemon_restarted")
	if err := <-x.done; err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestManyCallsPipelined(t *testing.T) {
	x := open(t, newDaemon(t), "")
	const n = 200
	go func() {
		for i := range n {
			x.send(call(fmt.Sprint(i), "who"))
		}
	}()
	seen := map[string]bool{}
	for range n {
		line, err := x.out.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		id, _, _ := strings.Cut(strings.TrimPrefix(line, `{"jsonrpc":"2.0","id":`), ",")
		if seen[id] || !strings.Contains(line, "you are local") {
			t.Errorf("came: %s", line)
		}
		seen[id] = true
	}
}
