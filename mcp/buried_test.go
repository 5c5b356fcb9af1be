package mcp_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/mcp"
)

func (w *web) delete(token, sid string) int {
	w.t.Helper()
	req, err := http.NewRequest("DELETE", w.url+"/mcp", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, _ := w.do(req, "Mcp-Session-Id", sid)
	return res.StatusCode
}

func (w *web) serves(token, sid string) int {
	w.t.Helper()
	res, _ := w.post("/mcp", token, call("1", "who", `{}`), "Mcp-Session-Id", sid)
	return res.StatusCode
}

// TestAttack63_ADeletedSessionGoesOnNowhere: a session that its client ended at one server has ended at all, also at those that it had not come to; nobody else ends it, and none of the agent's others ends with it.
func TestAttack63_ADeletedSessionGoesOnNowhere(t *testing.T) {
	f, l := newLossyFleet(t, func(*mcp.Options) {}, "a", "b", "c")
	a, b, c := f.by["a"], f.by["b"], f.by["c"]
	sid, other := a.session(tokenA), a.session(tokenA)
	if b.serves(tokenA, sid) != 200 {
		t.Fatal("it does not go on at another server")
	}
	_, query, _ := a.sseStream(tokenA)
	stream := strings.TrimPrefix(query, "?sessionId=")
	if got := b.delete(tokenB, sid); got != 404 {
		t.Errorf("by another agent: %d", got)
	}
	if got := b.delete(tokenA, stream); got != 404 {
		t.Errorf("an event stream: %d", got)
	}
	for _, m := range []mcp.Handed{
		{Agent: mcp.Agent{ID: "agt_b"}, Session: sid, End: true},
		{Agent: mcp.Agent{ID: "agt_a"}, Session: sid[:len(sid)-1], End: true},
		{Agent: mcp.Agent{ID: "agt_a"}, Session: sid[:len(sid)-32] + other[len(other)-32:], End: true},
		{Agent: mcp.Agent{ID: "agt_a"}, Session: stream, End: true},
		{Agent: mcp.Agent{ID: "agt_a"}, End: true},
	} {
		if a.srv.Take(m) == nil {
			t.Errorf("taken: %+v", m)
		}
	}
	l.fails.Store(2)
	if got := b.delete(tokenA, sid); got != 503 {
		t.Errorf("nothing is carried: %d", got)
	}
	for n, w := range f.by {
		if w.serves(tokenA, sid) != 200 || w.serves(tokenA, other) != 200 {
			t.Errorf("%s: ended by who may not", n)
		}
	}
	late := a.session(tokenA)
	if got := b.delete(tokenA, late); got != 200 {
		t.Errorf("own: %d", got)
	}
	if got := c.delete(tokenA, sid); got != 200 {
		t.Errorf("own, sent again: %d", got)
	}
	for n, w := range f.by {
		for range 2 {
			if got := []int{w.serves(tokenA, sid), w.serves(tokenA, late), w.serves(tokenA, other)}; got[0] != 404 || got[1] != 404 || got[2] != 200 {
				t.Errorf("%s: %v", n, got)
			}
		}
		if got := w.delete(tokenA, sid); got != 404 {
			t.Errorf("%s, ended: %d", n, got)
		}
	}
	half := a.session(tokenA)
	l.fails.Store(1)
	if got := []int{b.delete(tokenA, half), b.delete(tokenA, half), b.delete(tokenA, half)}; got[0] != 503 || got[1] != 200 || got[2] != 404 {
		t.Errorf("one was not told: %v", got)
	}
	l.there.Store(1) // one is dead
	if got := b.delete(tokenA, other); got != 200 {
		t.Errorf("beside a server that is dead: %d", got)
	}
	b.ids.set(tokenA, &mcp.Agent{ID: "agt_a", Name: "anna", PerMinute: 1})
	if got := []int{b.delete(tokenA, c.session(tokenA)), b.delete(tokenA, c.session(tokenA))}; got[0] != 200 || got[1] != 429 {
		t.Errorf("without end: %v", got)
	}
}

// turned is a member whose key changes.
type turned struct {
	member
	turns *atomic.Int64
}

func (m turned) Mark(text string) [32]byte {
	m.key = fmt.Sprint(m.turns.Load())
	return m.member.Mark(text)
}

// TestAttack63_AnOldSessionEndsEverywhereToo: one that is older than others take it over, or was marked with a former key, goes on where it is known while it is used, and ends there with the others.
func TestAttack63_AnOldSessionEndsEverywhereToo(t *testing.T) {
	for _, what := range []string{"old", "of a former key"} {
		f, turns := &fleet{map[string]*web{}}, &atomic.Int64{}
		for _, n := range []string{"a", "b", "c"} {
			f.by[n] = newWeb(t, func(o *mcp.Options) { o.Replicas = turned{member{f, n, ""}, turns} })
		}
		a, b := f.by["a"], f.by["b"]
		sid := a.session(tokenA)
		_, query, _ := b.sseStream(tokenA)
		stream := strings.TrimPrefix(query, "?sessionId=")
		serve := func(want int) {
			t.Helper()
			for n, w := range f.by {
				if got := w.serves(tokenA, sid); got != want {
					t.Fatalf("%s, %s: %d", what, n, got)
				}
			}
		}
		serve(200)
		for range 61 {
			if what != "old" {
				turns.Store(1)
				break
			}
			for _, w := range f.by {
				w.now.pass(25 * time.Minute)
			}
			serve(200)
		}
		for _, m := range []mcp.Handed{
			{Agent: mcp.Agent{ID: "agt_b"}, Session: sid, End: true},
			{Agent: mcp.Agent{ID: "agt_a"}, Session: stream, End: true},
		} {
			if b.srv.Take(m) == nil {
				t.Errorf("%s, taken: %+v", what, m)
			}
		}
		serve(200)
		if got := a.delete(tokenA, sid); got != 200 {
			t.Errorf("%s: %d", what, got)
		}
		serve(404)
	}
}

// TestADeleteThatIsSentAgainReachesTheRest: one that got 503 may be sent again to a server that was told: it has no such session any more, and says so when the others have none either.
func TestADeleteThatIsSentAgainReachesTheRest(t *testing.T) {
	for _, passed := range []time.Duration{0, 25 * time.Hour} {
		f, l := newLossyFleet(t, func(*mcp.Options) {}, "a", "b", "c")
		a, b := f.by["a"], f.by["b"]
		sid := a.session(tokenA)
		if b.serves(tokenA, sid) != 200 {
			t.Fatal("it does not go on at another server")
		}
		if err := a.srv.Take(mcp.Handed{Agent: mcp.Agent{ID: "agt_a"}, Session: sid, End: true}); err != nil {
			t.Fatal(err)
		}
		a.now.pass(passed)
		l.tried.Store(0)
		if got := []int{a.delete(tokenB, sid), a.delete(tokenA, sid+"0"), a.delete(tokenA, "")}; got[0] != 404 || got[1] != 404 || got[2] != 404 || l.tried.Load() != 0 {
			t.Errorf("after %s, who may not: %v, handed over %d times", passed, got, l.tried.Load())
		}
		l.fails.Store(2)
		if got := a.delete(tokenA, sid); got != 503 || b.serves(tokenA, sid) != 200 {
			t.Errorf("after %s, nothing is carried: %d", passed, got)
		}
		if got := a.delete(tokenA, sid); got != 404 {
			t.Errorf("after %s: %d", passed, got)
		}
		for n, w := range f.by {
			if got := w.serves(tokenA, sid); got != 404 {
				t.Errorf("after %s, %s: %d", passed, n, got)
			}
		}
	}
}

// TestEndedSessionsAreFew: what is remembered of them is bounded, and the oldest is forgotten first.
func TestEndedSessionsAreFew(t *testing.T) {
	const most = 4096
	f := newFleet(t, "a", "b")
	a, b := f.by["a"], f.by["b"]
	first := a.session(tokenA)
	bury := func(agent, sid string) {
		t.Helper()
		if err := b.srv.Take(mcp.Handed{Agent: mcp.Agent{ID: agent}, Session: sid, End: true}); err != nil {
			t.Fatal(err)
		}
	}
	bury("agt_a", first)
	for i := range 2 * most {
		if i == most-1 && b.serves(tokenA, first) != 404 {
			t.Error("forgotten too early")
		}
		sid := mcp.NewSessionID(a.srv, "agt_x")
		bury("agt_x", sid)
		bury("agt_x", sid)
	}
	if is, ring := mcp.BuriedCount(b.srv); is != most || ring != most {
		t.Errorf("%d, %d are remembered", is, ring)
	}
	if got := b.serves(tokenA, first); got != 200 {
		t.Errorf("the oldest: %d", got)
	}
}
