package mcp_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/mcp"
	"github.com/zavhoz/zavhoz/vault/fault"
)

func TestGreeting(t *testing.T) {
	w := newWorld(t)
	tests := []struct{ hello, says string }{
		{`{"zavhoz":1,"token":""}`, `"agent":"local"`},
		{`{"zavhoz":1,"token":"` + tokenA + `"}`, `"agent":"anna"`},
		{`{"zavhoz":1,"token":"` + canary + `"}`, `"code":"unauthenticated"`},
		{`{"zavhoz":2,"token":""}`, `"code":"not_supported"`},
		{`{"zavhoz":1,"token":"","` + canary + ` ":1}`, `"code":"invalid_argument"`},
		{`{"jsonrpc":"2.0","id":1,"method":"initialize"}`, `"code":"invalid_argument"`},
		{strings.Repeat("x", 100_000), `"code":"invalid_argument"`},
	}
	for _, tt := range tests {
		c := serveConn(t, w.srv)
		if got := c.ask(tt.hello); !strings.Contains(got, tt.says) {
			t.Errorf("%.60s: %s", tt.hello, got)
		}
	}
}

func TestSilentPeerIsHungUpOn(t *testing.T) {
	w := newWorld(t, func(o *mcp.Options) { o.Limits.HelloTimeout = time.Millisecond })
	want(t, serveConn(t, w.srv).recv(), `"code":"invalid_argument"`)
}

func TestCallsAndFaults(t *testing.T) {
	c := newWorld(t).connect("")
	want(t, c.ask(call("1", "echo", `{"text":"hi"}`)), `"id":1,`, `"structuredContent":{"text":"hi"}`)
	want(t, c.ask(call(`"s"`, "who", `{}`)), `"id":"s"`, `local by stdio`)
	want(t, c.ask(call("90071992547409931234", "who", `{}`)), `"id":90071992547409931234,`)
	want(t, c.ask(call("2", "fail", `{}`)), `"isError":true`, `unknown_resource: no resource of that name. Next: call list_resources`,
		`"structuredContent":{"error":{"code":"unknown_resource","message":"no resource of that name","next":"call list_resources","details":{"count":0}}}`)
	want(t, c.ask(call("3", "leak", `{}`)), `"isError":true`, `"code":"internal"`)
	want(t, c.ask(call("4", "boom", `{"text":"`+canary+`"}`)), `"isError":true`, `"code":"internal"`, `reference `)
	want(t, c.ask(call("5", "list", `{}`)), `"isError":true`, `"code":"internal"`)
	want(t, c.ask(call("6", "large", `{}`)), `"isError":true`, `"code":"too_large"`)
	want(t, c.ask(call("7", "echo", `{"text":["`+canary+`"]}`)), `"isError":true`, `argument text: must be a string`)
	want(t, c.ask(call("8", canary, `{}`)), `"code":-32602`, `unknown_tool`)
	want(t, c.ask(`{"jsonrpc":"2.0","id":9,"method":"`+canary+`"}`), `"code":-32601`)
	want(t, c.ask(`{"jsonrpc":"2.0","id":10,"method":"prompts/get","params":{"name":"`+canary+`"}}`), `"code":-32602`)
	want(t, c.ask(`{"jsonrpc":"2.0","id":11,"method":"resources/read","params":{"uri":"x://`+canary+`"}}`), `"code":-32002`)
	want(t, c.ask(`{"jsonrpc":"2.0","id":12,"method":"initialize","params":{"clientInfo":"`+canary+`"}}`), `"error":{"code":-32600`)
	want(t, c.ask(`{"jsonrpc":"2.0","id":13,"method":"tools/call","params":{"name":"echo","arguments":"`+canary+`"}}`), `"id":13,`, `must be a JSON object`)
	want(t, c.ask(`{"jsonrpc":"2.0","id":14,"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2099-01-01","io.modelcontextprotocol/clientCapabilities":{}}}}`),
		`"code":-32022`, `"supported":["2026-07-28"`, `"requested":"2099-01-01"`)
}

func TestInventoryIsTheCallersOwn(t *testing.T) {
	w := newWorld(t)
	list := `{"jsonrpc":"2.0","id":1,"method":"resources/list"}`
	read := func(h string) string {
		return `{"jsonrpc":"2.0","id":2,"method":"resources/read","params":{"uri":"zavhoz://resources/` + h + `"}}`
	}
	a, b := w.connect(tokenA), w.connect(tokenB)
	want(t, a.ask(list), `zavhoz://resources/a_bot`, `zavhoz://resources/b_anna`)
	want(t, b.ask(list), `"error"`, `vault_locked`, `zavhoz unlock`)
	want(t, a.ask(read("a_bot")), `{\"agent\":\"anna\",\"handle\":\"a_bot\"}`)
	want(t, a.ask(read(canary)), `unknown_resource`, `"error"`)
	want(t, a.ask(`{"jsonrpc":"2.0","id":3,"method":"prompts/get","params":{"name":"zavhoz_guide"}}`), `List, allocate, run.`)
}

func TestHostileLinesDoNotEndTheConnection(t *testing.T) {
	w := newWorld(t, func(o *mcp.Options) { o.Limits.MessageBytes = 10_000 })
	c := w.connect("")
	want(t, c.ask(`{nonsense `+canary), `"code":-32700`, `"id":null`)
	want(t, c.ask(`[`+call("1", "echo", `{}`)+`]`), `batches are not supported`)
	want(t, c.ask(`{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"echo","arguments":{"text":"`+strings.Repeat("x", 50_000)+`"}}}`), `"id":5`, `too_large`)
	want(t, c.ask(`{"jsonrpc":"2.0","id":6,"method":"tools/call","params":{"name":"echo","arguments":`+strings.Repeat(`[`, 2000)+strings.Repeat(`]`, 2000)+`}}`), `"id":6`, `too deep`)
	want(t, c.ask(`{"jsonrpc":"2.0","id":7,"id":8,"method":"ping"}`), `-32600`)
	c.send(``, `{"jsonrpc":"2.0","method":"notifications/`+canary+`"}`, `{"jsonrpc":"2.0","id":99,"result":{}}`, `{"jsonrpc":"2.0","method":"tools/call","params":{"name":"echo"}}`)
	want(t, c.ask(call("9", "echo", `{"text":"alive"}`)), `"id":9,`, `alive`)
}

// Defect 3, attack 64: two connections with equal ids; neither can stop the other's call, nor one agent its own other connection's.
func TestCancelReachesOwnConnectionOnly(t *testing.T) {
	w := newWorld(t)
	cancel := func(id string) string {
		return `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":` + id + `}}`
	}
	a, a2, b := w.connect(tokenA), w.connect(tokenA), w.connect(tokenB)
	for _, c := range []*client{a, a2, b} {
		c.send(call("1", "block", `{}`))
		<-w.blocked
	}
	b.send(cancel("1"), cancel(`"1"`), call("2", "who", `{}`))
	want(t, b.recv(), `"id":2`) // the cancelled call is not answered
	if err := <-w.ended; !errors.Is(err, context.Canceled) {
		t.Errorf("own call ended with %v", err)
	}
	a2.send(cancel(`"1"`), cancel("7"), call("2", "who", `{}`)) // 1 is not "1"
	want(t, a2.recv(), `"id":2`)
	close(w.release)
	want(t, a.recv(), `"id":1,`, "released")
	want(t, a2.recv(), `"id":1,`, "released")
	if n := len(w.ended); n != 0 {
		t.Errorf("%d more calls were cancelled", n)
	}
}

// Defect 4: the last progress notification comes, and before the result.
func TestProgressComesBeforeItsResult(t *testing.T) {
	c := newWorld(t).connect("")
	for i := range 200 {
		c.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"steps","arguments":{},"_meta":{"progressToken":"t%d"}}}`, i, i))
		for step := 1; step <= 5; step++ {
			want(t, c.recv(), `"notifications/progress"`, fmt.Sprintf(`"progressToken":"t%d","progress":%d,"total":5,"message":"step %d"`, i, step, step))
		}
		want(t, c.recv(), fmt.Sprintf(`"id":%d,`, i), `"done"`)
	}
	want(t, c.ask(call("1000", "steps", `{}`)), `"id":1000`) // unasked, no progress
}

// Defect 8: blocked calls do not stall the others, up to the limits; then the refusal is clear, and cancelling still works.
func TestWorkersAndQueueAreBounded(t *testing.T) {
	w := newWorld(t, func(o *mcp.Options) { o.Limits.Workers, o.Limits.QueuePerConn = 3, 2 })
	c := w.connect("")
	for i := range 3 {
		c.send(call(fmt.Sprint(i), "block", `{}`))
		<-w.blocked
	}
	c.send(call("10", "who", `{}`), call("11", "who", `{}`))
	want(t, c.ask(call("12", "who", `{}`)), `"id":12`, `"isError":true`, `"code":"busy"`)
	c.send(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":10}}`, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":0}}`)
	want(t, c.recv(), `"id":11`) // 10 was cancelled while it waited
	close(w.release)
	c.recv()
	c.recv()
}

func TestAgentLimitsHoldOverAllConnections(t *testing.T) {
	w := newWorld(t)
	w.ids.set(tokenA, &mcp.Agent{ID: "agt_a", Name: "anna", PerMinute: 60, Concurrent: 2})
	a, b := w.connect(tokenA), w.connect(tokenA)
	a.send(call("1", "block", `{}`))
	b.send(call("1", "block", `{}`))
	<-w.blocked
	<-w.blocked
	want(t, a.ask(call("2", "who", `{}`)), `"code":"busy"`)
	close(w.release)
	a.recv()
	b.recv()
	for i := range 58 {
		if got := a.ask(call(fmt.Sprint(i), "who", `{}`)); strings.Contains(got, "isError") {
			t.Fatalf("call %d: %s", i, got)
		}
	}
	want(t, b.ask(call("3", "who", `{}`)), `"code":"rate_limited"`, `"retry_after_s":1`)
	want(t, w.connect(tokenB).ask(call("3", "who", `{}`)), `boris`) // others are not touched
	w.now.pass(2 * time.Second)
	want(t, b.ask(call("4", "who", `{}`)), `anna by stdio`)
}

func TestRemovedAgentLosesItsConnection(t *testing.T) {
	w := newWorld(t)
	a, other := w.connect(tokenA), w.connect(tokenB)
	want(t, a.ask(call("1", "who", `{}`)), `anna`)
	w.ids.set(tokenA, nil)
	w.now.pass(2 * time.Second)
	want(t, a.ask(call("2", "who", `{}`)), `"code":"unauthenticated"`)
	if err := <-a.done; fault.CodeOf(err) != fault.Unauthenticated {
		t.Errorf("the connection ended with %v", err)
	}
	a.done <- nil
	want(t, other.ask(call("2", "who", `{}`)), `boris`)
}

// Defect 12: who leaves, takes the calls along.
func TestHangingUpCancelsCalls(t *testing.T) {
	w := newWorld(t)
	c := w.connect("")
	c.send(call("1", "block", `{}`))
	<-w.blocked
	c.conn.Close()
	if err := <-w.ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the call ended with %v", err)
	}
}

func TestTimeoutEndsACall(t *testing.T) {
	w := newWorld(t, func(o *mcp.Options) { o.Limits.CallTimeout = time.Millisecond })
	want(t, w.connect("").ask(call("1", "block", `{}`)), `"isError":true`, `"code":"timed_out"`)
}

// Attack 67: a client that asks and never reads loses its connection; the daemon keeps no more than the queues.
func TestClientThatNeverReadsIsHungUpOn(t *testing.T) {
	w := newWorld(t, func(o *mcp.Options) { o.Limits.WriteTimeout, o.Limits.QueuePerConn = 50*time.Millisecond, 4 })
	c := w.connect("")
	text := strings.Repeat("x", 200_000)
	_ = c.conn.SetWriteDeadline(time.Now().Add(30 * time.Second))
	for i := 0; ; i++ {
		if _, err := fmt.Fprintln(c.conn, call(fmt.Sprint(i), "echo", `{"text":"`+text+`"}`)); err != nil {
			var ne net.Error
			if errors.As(err, &ne) && ne.Timeout() {
				t.Fatal("the connection still stands")
			}
			return
		}
	}
}

// Five doors at once, with equal ids, all serve.
func TestFiveDoorsAtOnce(t *testing.T) {
	w := newWorld(t)
	errs := make(chan error, 5)
	for d := range 5 {
		c := w.connect("")
		go func() {
			for i := range 100 {
				text := fmt.Sprintf("door %d call %d", d, i)
				if got := c.ask(call(fmt.Sprint(i), "echo", `{"text":"`+text+`"}`)); !strings.Contains(got, text) {
					errs <- fmt.Errorf("asked %s, got %s", text, got)
					return
				}
			}
			errs <- nil
		}()
	}
	for range 5 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestConnectionsAreCounted(t *testing.T) {
	w := newWorld(t, func(o *mcp.Options) { o.Limits.MaxSessions = 2 })
	a := w.connect("")
	w.connect("")
	want(t, serveConn(t, w.srv).recv(), `"code":"busy"`)
	a.conn.Close()
	<-a.done
	a.done <- nil
	w.connect("")
}

// Arbitrary bytes never panic, hang or come back.
func FuzzLine(f *testing.F) {
	for _, s := range []string{call("1", "echo", `{"text":"%s"}`), `{"jsonrpc":"2.0","id":1,"method":"%s"}`, `[%s]`, `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"%s"}}`,
		`{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"zavhoz://resources/%s"}}`, call("1", "echo", `{"%s":1}`), call("1", "%s", `{}`),
		`{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28%s","io.modelcontextprotocol/clientCapabilities":{}}}}`,
		`{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"%s"}}}`, `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":"%s"}}`, "\xff%s\n%s"} {
		f.Add([]byte(strings.ReplaceAll(s, "%s", canary)))
	}
	w := newWorld(f, func(o *mcp.Options) { o.Limits.Workers = 1 }) // one after the other: the last answer is the last line
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, b := net.Pipe()
		defer a.Close()
		done := make(chan error, 1)
		go func() { done <- w.srv.ServeConn(context.Background(), b) }()
		const last = `"the last one"`
		go fmt.Fprintf(a, "{\"zavhoz\":1,\"token\":\"\"}\n%s\n%s\n", raw, call(last, "who", "{}"))
		_ = a.SetReadDeadline(time.Now().Add(30 * time.Second))
		lines := bufio.NewScanner(a)
		lines.Buffer(nil, 8<<20)
		for lines.Scan() {
			line := lines.Text()
			// An echo that was asked for properly may answer with the text; so does a resource's own address, and an id.
			if strings.Contains(line, canary) && !strings.Contains(line, `"structuredContent":{"text"`) && !strings.HasPrefix(line, `{"jsonrpc":"2.0","id":"`) {
				t.Fatalf("%q came back: %s", raw, line)
			}
			if strings.Contains(line, last) {
				a.Close()
				<-done
				return
			}
		}
		t.Fatalf("no answer after %q: %v", raw, lines.Err())
	})
}
