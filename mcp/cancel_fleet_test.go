package mcp_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/mcp"
)

func cancelOf(id string) string {
	return `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":` + id + `,"reason":"` + canary + `"}}`
}

// begin posts a call that stays, and waits until its server has begun it.
func (w *web) begin(replies chan<- string, token, msg string, h ...string) {
	w.t.Helper()
	go func() {
		_, body := w.post("/mcp", token, msg, h...)
		replies <- body
	}()
	<-w.blocked
}

// TestAttack64_ACancelIsOfItsOwnSession: a call is given up at any server by the session that made it, and by nobody else: not by another agent, nor by the same one's other sessions, whatever they name.
func TestAttack64_ACancelIsOfItsOwnSession(t *testing.T) {
	var handed atomic.Int64
	var seen atomic.Value
	f := &fleet{map[string]*web{}}
	for _, n := range []string{"a", "b", "c"} {
		f.by[n] = newWeb(t, func(o *mcp.Options) { o.Replicas = counted{member{f, n, "key"}, &handed, &seen} })
	}
	a, b, c := f.by["a"], f.by["b"], f.by["c"]
	replies := make(chan string, 16)
	sid, other, boris := a.session(tokenA), a.session(tokenA), a.session(tokenB)
	b.begin(replies, tokenA, call("1", "block", `{}`), "Mcp-Session-Id", sid)
	b.begin(replies, tokenA, call("1", "block", `{}`), "Mcp-Session-Id", other)
	b.begin(replies, tokenB, call("1", "block", `{}`), "Mcp-Session-Id", boris)
	modern, h := modernCall("1", "block")
	b.begin(replies, tokenA, modern, h...)
	stdio := b.connect(tokenA)
	stdio.send(call("1", "block", `{}`))
	<-b.blocked
	r, query, _ := b.sseStream(tokenA)
	b.post("/message"+query, tokenA, call("1", "block", `{}`))
	<-b.blocked

	stream := strings.TrimPrefix(query, "?sessionId=")
	for what, x := range map[string]struct {
		token, session, msg string
		status              int
	}{
		"another agent":                    {tokenB, sid, cancelOf("1"), 404},
		"an event stream's session":        {tokenA, stream, cancelOf("1"), 404},
		"a mark cut off":                   {tokenA, sid[:len(sid)-1], cancelOf("1"), 404},
		"another mark":                     {tokenA, sid[:len(sid)-32] + strings.Repeat("0", 32), cancelOf("1"), 404},
		"another session's mark":           {tokenA, sid[:len(sid)-32] + other[len(other)-32:], cancelOf("1"), 404},
		"no session":                       {tokenA, "", cancelOf("1"), 400},
		"a session of the agent's own":     {tokenA, c.session(tokenA), cancelOf("1"), 202},
		"another agent's own session":      {tokenB, c.session(tokenB), cancelOf("1"), 202},
		"a text for a number":              {tokenA, sid, cancelOf(`"1"`), 202},
		"another number":                   {tokenA, sid, cancelOf(`1.0`), 202},
		"no id":                            {tokenA, sid, cancelOf(`null`), 202},
		"an object for an id":              {tokenA, sid, cancelOf(`{"id":1}`), 202},
		"a long id":                        {tokenA, sid, cancelOf(`"` + strings.Repeat("1", 1000) + `"`), 202},
		"no params":                        {tokenA, sid, `{"jsonrpc":"2.0","method":"notifications/cancelled"}`, 202},
		"two ids":                          {tokenA, sid, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2,"requestId":1}}`, 400},
		"a request that wants an answer":   {tokenA, sid, `{"jsonrpc":"2.0","id":9,"method":"notifications/cancelled","params":{"requestId":1}}`, 200},
		"an answer that names the request": {tokenA, sid, `{"jsonrpc":"2.0","id":1,"result":{}}`, 202},
	} {
		if res, body := c.post("/mcp", x.token, x.msg, "Mcp-Session-Id", x.session); res.StatusCode != x.status {
			t.Errorf("%s: %d %s", what, res.StatusCode, body)
		}
	}
	if res, _ := c.post("/message"+query, tokenB, cancelOf("1")); res.StatusCode != 404 {
		t.Errorf("a stranger on the stream: %d", res.StatusCode)
	}
	c.post("/mcp", tokenA, strings.Replace(cancelOf("1"), `"requestId":1`, `"requestId":1,`+modernMeta, 1), "Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "notifications/cancelled")
	for _, m := range []mcp.Handed{
		{Agent: mcp.Agent{ID: "agt_b"}, Session: sid, Message: []byte(cancelOf("1"))},
		{Agent: mcp.Agent{ID: "agt_a"}, Session: c.session(tokenA), Message: []byte(cancelOf("1"))},
		{Agent: mcp.Agent{ID: "agt_a"}, Session: "", Message: []byte(cancelOf("1"))},
		{Agent: mcp.Agent{ID: "agt_a"}, Session: sid, Message: []byte(call("1", "who", `{}`))},
		{Agent: mcp.Agent{ID: "agt_a"}, Session: sid, Message: []byte(cancelOf("1") + cancelOf("1"))},
	} {
		if b.srv.Take(m) == nil {
			t.Errorf("taken: %+v", m)
		}
	}
	if n := len(b.ended); n != 0 {
		t.Fatalf("%d calls were cancelled by who did not make them", n)
	}

	if res, _ := c.post("/mcp", tokenA, cancelOf("1"), "Mcp-Session-Id", sid); res.StatusCode != http.StatusAccepted {
		t.Errorf("one's own: %d", res.StatusCode)
	}
	if err := <-b.ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	want(t, <-replies, `"canceled"`, `"id":1,`)
	if s, _ := seen.Load().(string); s != `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}` {
		t.Errorf("handed over: %s", s)
	}
	const odd = `"a<b>&\u0041\\ \"é"`
	b.begin(replies, tokenA, call(odd, "block", `{}`), "Mcp-Session-Id", sid)
	c.post("/mcp", tokenA, cancelOf(odd), "Mcp-Session-Id", sid)
	want(t, <-replies, `"canceled"`, odd)
	<-b.ended
	if res, _ := c.post("/message"+query, tokenA, cancelOf("1")); res.StatusCode != http.StatusAccepted {
		t.Errorf("a stream's: %d", res.StatusCode)
	}
	<-b.ended // its client waits for no reply
	b.post("/message"+query, tokenA, call("2", "who", `{}`))
	want(t, event(t, r), `"id":2,`)

	before := handed.Load()
	b.begin(replies, tokenA, call("3", "block", `{}`), "Mcp-Session-Id", sid)
	b.post("/mcp", tokenA, cancelOf("3"), "Mcp-Session-Id", sid)
	want(t, <-replies, `"canceled"`)
	<-b.ended
	if handed.Load() != before {
		t.Error("what was found here was handed over")
	}
	close(b.release)
	for range 3 {
		want(t, <-replies, "released")
	}
	want(t, stdio.recv(), "released")
	if n := len(b.ended); n != 0 {
		t.Errorf("%d more calls were cancelled", n)
	}
}

// TestACancelIsHandedOverOnce: each server is asked once, and one that does not answer is taken for dead, with its calls: the sender of a cancel learns nothing of it. Where what carries messages fails, it is told.
// Calls that take all of an agent's places do not keep the word out that ends one; who sends such words without end is slowed down.
func TestACancelIsHandedOverOnce(t *testing.T) {
	f, l := newLossyFleet(t, func(*mcp.Options) {}, "a", "b")
	a, b := f.by["a"], f.by["b"]
	replies := make(chan string, 4)
	sid := a.session(tokenA)
	for _, x := range []struct{ there, back int64 }{{0, 0}, {0, 1}} {
		a.begin(replies, tokenA, call("1", "block", `{}`), "Mcp-Session-Id", sid)
		l.next(x.there, x.back)
		if res, _ := b.post("/mcp", tokenA, cancelOf("1"), "Mcp-Session-Id", sid); res.StatusCode != 202 || l.tried.Load() != 1 {
			t.Errorf("%+v: %d after %d tries", x, res.StatusCode, l.tried.Load())
		}
		<-a.ended
		want(t, <-replies, `"canceled"`)
	}
	a.begin(replies, tokenA, call("1", "block", `{}`), "Mcp-Session-Id", sid)
	b.ids.set(tokenA, &mcp.Agent{ID: "agt_a", Name: "anna", PerMinute: 1 << 30, Concurrent: 1})
	b.begin(replies, tokenA, call("2", "block", `{}`), "Mcp-Session-Id", sid)
	l.next(1<<20, 0)
	if res, _ := b.post("/mcp", tokenA, cancelOf("1"), "Mcp-Session-Id", sid); res.StatusCode != 202 || l.tried.Load() != 1 || len(a.ended) != 0 {
		t.Errorf("a server that does not answer: %d after %d tries", res.StatusCode, l.tried.Load())
	}
	l.next(0, 0)
	l.fails.Store(1)
	if res, _ := b.post("/mcp", tokenA, cancelOf("1"), "Mcp-Session-Id", sid); res.StatusCode != 503 || res.Header.Get("Retry-After") == "" || l.tried.Load() != 1 || len(a.ended) != 0 {
		t.Errorf("nothing is carried: %d after %d tries", res.StatusCode, l.tried.Load())
	}
	l.next(0, 0)
	if res, body := b.post("/mcp", tokenA, cancelOf("1"), "Mcp-Session-Id", sid); res.StatusCode != 202 {
		t.Errorf("beside a call: %d %s", res.StatusCode, body)
	}
	<-a.ended
	_, query, _ := a.sseStream(tokenA)
	a.post("/message"+query, tokenA, call("1", "block", `{}`))
	<-a.blocked
	l.next(0, 0)
	if res, body := b.post("/message"+query, tokenA, call("3", "who", `{}`)); res.StatusCode != 503 || res.Header.Get("Retry-After") == "" || l.tried.Load() != 0 {
		t.Errorf("a stream's call beside a call: %d %s", res.StatusCode, body)
	}
	l.next(1, 0)
	if res, _ := b.post("/message"+query, tokenA, cancelOf("1")); res.StatusCode != 202 || l.tried.Load() != 1 || len(a.ended) != 0 {
		t.Errorf("a stream's, whose server does not answer: %d after %d tries", res.StatusCode, l.tried.Load())
	}
	l.fails.Store(1)
	if res, _ := b.post("/message"+query, tokenA, cancelOf("1")); res.StatusCode != 503 || l.tried.Load() != 2 || len(a.ended) != 0 {
		t.Errorf("a stream's, and nothing is carried: %d after %d tries", res.StatusCode, l.tried.Load())
	}
	if res, body := b.post("/message"+query, tokenA, cancelOf("1")); res.StatusCode != 202 {
		t.Fatalf("a stream's, beside a call: %d %s", res.StatusCode, body)
	}
	<-a.ended
	b.post("/mcp", tokenA, cancelOf("2"), "Mcp-Session-Id", sid)
	<-b.ended

	b.ids.set(tokenA, &mcp.Agent{ID: "agt_a", Name: "anna", PerMinute: 2})
	l.next(0, 0)
	for i, status := range []int{202, 202, 429} {
		if res, _ := b.post("/mcp", tokenA, cancelOf("1"), "Mcp-Session-Id", sid); res.StatusCode != status {
			t.Errorf("cancel %d: %d", i, res.StatusCode)
		}
	}
	b.now.pass(time.Minute)
	for i, status := range []int{202, 202, 429} {
		if res, _ := b.post("/message"+query, tokenA, cancelOf("1")); res.StatusCode != status {
			t.Errorf("a stream's cancel %d: %d", i, res.StatusCode)
		}
	}
	if l.tried.Load() != 4 {
		t.Errorf("%d were handed over", l.tried.Load())
	}
}
