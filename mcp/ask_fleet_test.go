package mcp_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/zavhoz/zavhoz/mcp"
)

// counted counts what is handed over.
type counted struct {
	member
	handed *atomic.Int64
	seen   *atomic.Value
}

func (c counted) Hand(ctx context.Context, to string, msg mcp.Handed) error {
	c.handed.Add(1)
	c.seen.Store(string(msg.Message))
	return c.member.Hand(ctx, to, msg)
}

// TestAnAnswerComesByAnyServer: the answer to a question is a request of its own, and finds the server that asked; what names no question of its session is handed to nobody.
func TestAnAnswerComesByAnyServer(t *testing.T) {
	var rounds, handed atomic.Int64
	var seen atomic.Value
	f := &fleet{map[string]*web{}}
	for _, n := range []string{"a", "b", "c"} {
		f.by[n] = newWeb(t, asks(&rounds), func(o *mcp.Options) { o.Replicas = counted{member{f, n, "key"}, &handed, &seen} })
	}
	a, b, c := f.by["a"], f.by["b"], f.by["c"]
	sid := a.sessionAs(bothModes)
	hear, _ := b.streamOf(tokenA, sid, call("7", "page", `{}`)) // b has not seen the initialize
	q := asked(t, hear())
	post := func(w *web, token, sid, id, result string) int {
		res, _ := w.post("/mcp", token, answer(id, result), "Mcp-Session-Id", sid)
		return res.StatusCode
	}
	forged := strings.Replace(q.id, ".b.", ".a.", 1)
	if forged == q.id {
		t.Fatalf("no server in %s", q.id)
	}
	if got := post(c, tokenB, sid, q.id, `{"action":"accept"}`); got != 404 {
		t.Errorf("another agent's: %d", got)
	}
	post(c, tokenA, c.sessionAs(bothModes), q.id, `{"action":"accept"}`)
	post(c, tokenA, sid, forged, `{"action":"accept"}`)
	post(c, tokenA, sid, `"ask_X.b.00000000000000000000000000000000"`, `{"action":"accept"}`)
	if handed.Load() != 0 || rounds.Load() != 1 {
		t.Errorf("%d handed over, %d rounds", handed.Load(), rounds.Load())
	}
	if got := post(c, tokenA, sid, q.id, `{"action":"decline","content":{"value":"`+canary+`"}}`); got != 202 {
		t.Errorf("status %d", got)
	}
	want(t, hear(), "said decline")
	if s, _ := seen.Load().(string); strings.Contains(s, canary) || !strings.Contains(s, "decline") {
		t.Errorf("handed over: %s", s)
	}
	post(c, tokenA, sid, q.id, `{"action":"accept"}`)
	if handed.Load() != 2 || rounds.Load() != 2 {
		t.Errorf("%d handed over, %d rounds", handed.Load(), rounds.Load())
	}
	hear, _ = b.streamOf(tokenA, sid, call("10", "page", `{}`))
	q = asked(t, hear())
	delete(f.by, "b")
	if got := post(c, tokenA, sid, q.id, `{"action":"accept"}`); got != 503 {
		t.Errorf("the server that waits is not reached: %d", got)
	}
	f.by["b"] = b
	if got := post(c, tokenA, sid, q.id, `{"action":"accept"}`); got != 202 {
		t.Errorf("sent again: %d", got)
	}
	want(t, hear(), "said accept", `"id":10`)
	r, query, _ := a.sseStream(tokenA)
	c.post("/message"+query, tokenA, initializeAs("2025-11-25", bothModes))
	event(t, r)
	c.post("/message"+query, tokenA, call("8", "page", `{}`))
	q = asked(t, event(t, r))
	b.post("/message"+query, tokenA, answer(q.id, `{"action":"accept"}`))
	want(t, event(t, r), "said accept", `"id":8`)

	none := a.session(tokenA)
	if _, body := b.post("/mcp", tokenA, call("9", "page", `{}`), "Mcp-Session-Id", none); !strings.Contains(body, `said "`) || strings.Contains(body, "elicitation") {
		t.Errorf("a session that declared nothing, at another server: %s", body)
	}
}
