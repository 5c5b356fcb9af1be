package mcp_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/mcp"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// fleet is some servers behind one address.
type fleet struct{ by map[string]*web }

// member is one server's view of a fleet.
type member struct {
	*fleet
	self, key string
}

func (m member) Self() string { return m.self }

func (m member) Mark(text string) (sum [32]byte) {
	h := hmac.New(sha256.New, []byte(m.key))
	h.Write([]byte(text))
	return [32]byte(h.Sum(nil))
}

func (m member) Others(context.Context) (all []string, err error) {
	for n := range m.by {
		if n != m.self {
			all = append(all, n)
		}
	}
	return all, nil
}

func (m member) Hand(_ context.Context, to string, msg mcp.Handed) error {
	w := m.by[to]
	if w == nil {
		return fault.New(fault.DaemonUnavailable, "it is gone", "").Because(mcp.ErrSilent)
	}
	return w.srv.Take(msg)
}

func newFleet(t *testing.T, names ...string) *fleet {
	f := &fleet{map[string]*web{}}
	for _, n := range names {
		f.by[n] = newWeb(t, func(o *mcp.Options) { o.Replicas = member{f, n, "key"} })
	}
	return f
}

// TestAttack63_ASessionGoesOnAtAnotherServer: no request needs the server that opened its session; nobody else's, forged, ended or old id does for that.
func TestAttack63_ASessionGoesOnAtAnotherServer(t *testing.T) {
	f := newFleet(t, "a", "b")
	a, b := f.by["a"], f.by["b"]
	sid := a.session(tokenA)
	for range 2 {
		res, body := b.post("/mcp", tokenA, call("2", "who", `{}`), "Mcp-Session-Id", sid)
		if res.StatusCode != 200 || !strings.Contains(body, "anna by") {
			t.Fatalf("at another server: %d %s", res.StatusCode, body)
		}
	}
	refused := func(what string, w *web, token, id string) {
		t.Helper()
		if res, _ := w.post("/mcp", token, call("3", "who", `{}`), "Mcp-Session-Id", id); res.StatusCode != 404 {
			t.Errorf("%s: %d", what, res.StatusCode)
		}
	}
	parts := strings.Split(sid, ".")
	later := append([]string{}, parts...)
	later[2] = "zzzzzz"
	refused("another agent's", b, tokenB, sid)
	refused("another time", b, tokenA, strings.Join(later, "."))
	refused("a mark cut off", b, tokenA, strings.Join(parts[:4], ".")+".")
	refused("no parts", b, tokenA, "....")
	stranger := newWeb(t, func(o *mcp.Options) { o.Replicas = member{f, "c", "another key"} })
	refused("another vault's", b, tokenA, stranger.session(tokenA))

	req := f.by["a"].session(tokenA)
	b.now.pass(25 * time.Hour)
	refused("an old one", b, tokenA, req)
}

// TestAnEventStreamsMessagesComeByAnyServer: a message for an event stream is answered there, whichever server it came to.
func TestAnEventStreamsMessagesComeByAnyServer(t *testing.T) {
	f := newFleet(t, "a", "b")
	a, b := f.by["a"], f.by["b"]
	r, query, hangUp := a.sseStream(tokenA)
	for i := range 3 {
		if res, body := b.post("/message"+query, tokenA, call(fmt.Sprint(i), "who", `{}`)); res.StatusCode != 202 {
			t.Fatalf("at another server: %d %s", res.StatusCode, body)
		}
		want(t, event(t, r), "anna by sse")
	}
	if res, _ := b.post("/message"+query, tokenB, call("5", "who", `{}`)); res.StatusCode != 404 {
		t.Errorf("a stranger on the stream: %d", res.StatusCode)
	}
	if res, _ := b.post("/mcp", tokenA, call("5", "who", `{}`), "Mcp-Session-Id", strings.TrimPrefix(query, "?sessionId=")); res.StatusCode != 404 {
		t.Errorf("an event stream's session at /mcp: %d", res.StatusCode)
	}
	if res, _ := b.post("/message?sessionId="+a.session(tokenA), tokenA, call("5", "who", `{}`)); res.StatusCode != 404 {
		t.Errorf("a session of /mcp at /message: %d", res.StatusCode)
	}
	hangUp()
	for code := 0; code != 404; { // the server sees the end of the stream when it does
		res, _ := b.post("/message"+query, tokenA, call("6", "who", `{}`))
		code = res.StatusCode
	}
	delete(f.by, "a")
	if res, body := b.post("/message"+query, tokenA, call("7", "who", `{}`)); res.StatusCode != 503 {
		t.Errorf("its server is gone: %d %s", res.StatusCode, body)
	}
}
