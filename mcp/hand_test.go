package mcp_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/zavhoz/zavhoz/mcp"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// loss is how many more of what is handed over are lost: on the way, or their acknowledgement alone; how many fail by what carries them; and how many were tried.
type loss struct{ there, back, fails, tried atomic.Int64 }

func (l *loss) next(there, back int64) {
	l.there.Store(there)
	l.back.Store(back)
	l.tried.Store(0)
}

// lossy hands over with losses.
type lossy struct {
	member
	*loss
}

func (l lossy) Hand(ctx context.Context, to string, msg mcp.Handed) error {
	l.tried.Add(1)
	if l.fails.Add(-1) >= 0 {
		return fault.New(fault.DaemonUnavailable, "the database does not answer", "")
	}
	gone := fault.New(fault.DaemonUnavailable, "it does not answer", "").Because(mcp.ErrSilent)
	if l.there.Add(-1) >= 0 {
		return gone
	}
	err := l.member.Hand(ctx, to, msg)
	if l.back.Add(-1) >= 0 {
		return gone
	}
	return err
}

func newLossyFleet(t *testing.T, change func(*mcp.Options), names ...string) (*fleet, *loss) {
	f, l := &fleet{map[string]*web{}}, &loss{}
	for _, n := range names {
		f.by[n] = newWeb(t, change, func(o *mcp.Options) { o.Replicas = lossy{member{f, n, "key"}, l} })
	}
	return f, l
}

// TestAnAnswerIsHandedOverAgain: who posts an answer once has given it, whatever is lost between servers, and the tool gets it once. A call is never handed over twice.
func TestAnAnswerIsHandedOverAgain(t *testing.T) {
	var rounds atomic.Int64
	f, l := newLossyFleet(t, asks(&rounds), "a", "b")
	a, b := f.by["a"], f.by["b"]
	sid := a.sessionAs(bothModes)
	r, query, _ := a.sseStream(tokenA)
	a.post("/message"+query, tokenA, initializeAs("2025-11-25", bothModes))
	event(t, r)
	ways := map[string]struct {
		call  func(string) func() string
		reply func(string) int
	}{
		"http": {
			func(msg string) func() string { hear, _ := a.streamOf(tokenA, sid, msg); return hear },
			func(msg string) int {
				res, _ := b.post("/mcp", tokenA, msg, "Mcp-Session-Id", sid)
				return res.StatusCode
			},
		},
		"sse": {
			func(msg string) func() string {
				a.post("/message"+query, tokenA, msg)
				return func() string { return event(t, r) }
			},
			func(msg string) int { res, _ := b.post("/message"+query, tokenA, msg); return res.StatusCode },
		},
	}
	for name, way := range ways {
		for _, x := range []struct{ there, back, tried int64 }{{0, 0, 1}, {1, 0, 2}, {2, 0, 3}, {0, 1, 2}, {0, 2, 3}, {1, 1, 3}} {
			rounds.Store(0)
			hear := way.call(call("7", "page", `{}`))
			q := asked(t, hear())
			l.next(x.there, x.back)
			if got := way.reply(answer(q.id, `{"action":"accept"}`)); got != 202 {
				t.Errorf("%s, %+v: %d", name, x, got)
			}
			want(t, hear(), "said accept", `"id":7`)
			if rounds.Load() != 2 || l.tried.Load() != x.tried {
				t.Errorf("%s, %+v: %d rounds, %d tries", name, x, rounds.Load(), l.tried.Load())
			}
		}
		hear := way.call(call("8", "page", `{}`))
		q := asked(t, hear())
		l.next(1<<20, 0)
		if got := way.reply(answer(q.id, `{"action":"accept"}`)); got != 503 || l.tried.Load() != 3 {
			t.Errorf("%s, never: %d after %d tries", name, got, l.tried.Load())
		}
		l.next(0, 0)
		if got := way.reply(answer(q.id, `{"action":"decline"}`)); got != 202 {
			t.Errorf("%s, sent again: %d", name, got)
		}
		want(t, hear(), "said decline", `"id":8`)
	}
	for _, x := range []struct{ there, back, rounds int64 }{{1, 0, 0}, {0, 1, 1}} {
		rounds.Store(0)
		l.next(x.there, x.back)
		if got := ways["sse"].reply(call("9", "notice", `{}`)); got != 503 || l.tried.Load() != 1 {
			t.Errorf("a call, %+v: %d after %d tries", x, got, l.tried.Load())
		}
		if x.rounds > 0 {
			asked(t, event(t, r))
		}
		if rounds.Load() != x.rounds {
			t.Errorf("a call, %+v: made %d times", x, rounds.Load())
		}
	}
}

// TestAServerThatEndsTriesOnce: its shutdown waits for nothing else.
func TestAServerThatEndsTriesOnce(t *testing.T) {
	var rounds atomic.Int64
	f, l := newLossyFleet(t, asks(&rounds), "a", "b")
	sid := f.by["a"].sessionAs(bothModes)
	hear, _ := f.by["a"].streamOf(tokenA, sid, call("7", "page", `{}`))
	q := asked(t, hear())
	f.by["b"].srv.CloseSessions()
	l.next(1<<20, 0)
	if res, _ := f.by["b"].post("/mcp", tokenA, answer(q.id, `{"action":"accept"}`), "Mcp-Session-Id", sid); res.StatusCode != 503 || l.tried.Load() != 1 {
		t.Errorf("%d after %d tries", res.StatusCode, l.tried.Load())
	}
}
