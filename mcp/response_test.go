package mcp_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/mcp"
)

// malformed are answers to a question that are no sound responses, and must do nothing.
func malformed(id string) map[string]string {
	return map[string]string{
		"a key too many":      `{"jsonrpc":"2.0","id":` + id + `,"result":{"action":"accept"},"` + canary + `":1}`,
		"two results":         `{"jsonrpc":"2.0","id":` + id + `,"result":{"action":"accept"},"result":{"action":"` + canary + `"}}`,
		"both":                `{"jsonrpc":"2.0","id":` + id + `,"result":{"action":"accept"},"error":{"code":1,"message":"` + canary + `"}}`,
		"neither":             `{"jsonrpc":"2.0","id":` + id + `}`,
		"a text for an error": `{"jsonrpc":"2.0","id":` + id + `,"error":"` + canary + `"}`,
		"another version":     `{"jsonrpc":"1.0","id":` + id + `,"result":{"action":"accept"}}`,
		"no version":          `{"id":` + id + `,"result":{"action":"accept"}}`,
		"a result by case":    `{"jsonrpc":"2.0","id":` + id + `,"Result":{"action":"accept"}}`,
		"cut":                 `{"jsonrpc":"2.0","id":` + id + `,"result":{"action":"accept","content":"` + canary,
		"no JSON":             `{"jsonrpc":"2.0","id":` + id + `,"result":{accept ` + canary + `}}`,
		"no UTF-8":            `{"jsonrpc":"2.0","id":` + id + `,"result":{"action":"accept","content":"` + "\xff" + `"}}`,
		"deep":                `{"jsonrpc":"2.0","id":` + id + `,"result":{"action":"accept","content":` + strings.Repeat(`[`, 100) + strings.Repeat(`]`, 100) + `}}`,
		"an id of null":       `{"jsonrpc":"2.0","id":null,"result":{"action":"accept"}}`,
		"no id":               `{"jsonrpc":"2.0","result":{"action":"accept"}}`,
		"an object for an id": `{"jsonrpc":"2.0","id":{"a":` + id + `},"result":{"action":"accept"}}`,
	}
}

func tooLong(id string) string {
	return `{"jsonrpc":"2.0","id":` + id + `,"result":{"action":"accept","content":"` + strings.Repeat(canary, 2000) + `"}}`
}

// Attack 67: a response is never answered by a message, which its sender would take for the reply to a call of its own, or answer in turn. One that cannot be read does nothing: the question stays open.
func TestNoResponseIsAnswered(t *testing.T) {
	var rounds atomic.Int64
	w := newWeb(t, asks(&rounds), func(o *mcp.Options) { o.Limits.MessageBytes = 20_000 })
	bare := func(what, path, sid, msg string, status int) {
		t.Helper()
		res, body := w.post(path, tokenA, msg, "Mcp-Session-Id", sid)
		if res.StatusCode != status || body != "" {
			t.Errorf("%s at %s: %d %q", what, path, res.StatusCode, body)
		}
	}
	sid := w.sessionAs(bothModes)
	r, query, _ := w.sseStream(tokenA)
	w.post("/message"+query, tokenA, initializeAs("2025-11-25", bothModes))
	event(t, r)
	stdio := w.connect(tokenA)
	stdio.ask(initializeAs("2025-11-25", bothModes))
	hear, _ := w.streamOf(tokenA, sid, call("7", "page", `{}`))
	overHTTP := asked(t, hear()).id
	w.post("/message"+query, tokenA, call("7", "page", `{}`))
	overSSE := asked(t, event(t, r)).id
	overStdio := asked(t, stdio.ask(call("7", "page", `{}`))).id

	for what, msg := range malformed(overHTTP) {
		bare(what, "/mcp", sid, msg, http.StatusBadRequest)
	}
	for what, msg := range malformed(overSSE) {
		bare(what, "/message"+query, "", msg, http.StatusBadRequest)
	}
	for _, msg := range malformed(overStdio) {
		stdio.send(msg)
	}
	bare("too long", "/mcp", sid, tooLong(overHTTP), http.StatusRequestEntityTooLarge)
	bare("too long", "/message"+query, "", tooLong(overSSE), http.StatusRequestEntityTooLarge)
	stdio.send(tooLong(overStdio))
	for what, msg := range map[string]string{"nobody's": answer(`"ask_x"`, `{}`), "an error": `{"jsonrpc":"2.0","id":"ask_x","error":{"code":1,"message":""}}`,
		"an error about what they could not read": `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"` + canary + `"}}`} {
		bare(what, "/mcp", sid, msg, http.StatusAccepted)
		bare(what, "/message"+query, "", msg, http.StatusAccepted)
		stdio.send(msg)
	}
	bare("no session", "/mcp", "", answer(overHTTP, `{"action":"accept"}`), http.StatusBadRequest)
	bare("another session", "/mcp", "x", answer(overHTTP, `{"action":"accept"}`), http.StatusNotFound)
	want(t, stdio.ask(call("8", "who", `{}`)), `"id":8,`)
	w.post("/message"+query, tokenA, call("8", "who", `{}`))
	want(t, event(t, r), `"id":8,`)
	if n := rounds.Load(); n != 3 {
		t.Errorf("%d rounds before anybody answered", n)
	}
	w.post("/mcp", tokenA, answer(overHTTP, `{"action":"accept"}`), "Mcp-Session-Id", sid)
	want(t, hear(), `"id":7,`, "said accept")
	w.post("/message"+query, tokenA, answer(overSSE, `{"action":"accept"}`))
	want(t, event(t, r), `"id":7,`, "said accept")
	want(t, stdio.ask(answer(overStdio, `{"action":"accept"}`)), `"id":7,`, "said accept")
	want(t, w.log.String(), "a response was dropped", "agent=anna door=stdio", "it is too long", "twice")
}

// Nor at another server than that of its session, whatever becomes of it there.
func TestNoResponseIsAnsweredElsewhere(t *testing.T) {
	var rounds atomic.Int64
	f, l := newLossyFleet(t, asks(&rounds), "a", "b")
	a, b := f.by["a"], f.by["b"]
	sid := a.sessionAs(bothModes)
	hear, _ := a.streamOf(tokenA, sid, call("7", "page", `{}`))
	q := asked(t, hear())
	r, query, _ := a.sseStream(tokenA)
	a.post("/message"+query, tokenA, initializeAs("2025-11-25", bothModes))
	event(t, r)
	try := func(what, path, msg string, status int, tries int64) {
		t.Helper()
		res, body := b.post(path, tokenA, msg, "Mcp-Session-Id", sid)
		if res.StatusCode != status || body != "" || l.tried.Load() != tries {
			t.Errorf("%s at %s: %d %q, %d tries", what, path, res.StatusCode, body, l.tried.Load())
		}
	}
	for _, path := range []string{"/mcp", "/message" + query} {
		l.next(1<<20, 0)
		for what, msg := range malformed(q.id) {
			try(what, path, msg, http.StatusBadRequest, 0)
		}
		try("not reached", path, answer(q.id, `{"action":"accept"}`), http.StatusServiceUnavailable, 3)
	}
	b.ids.set(tokenA, &mcp.Agent{ID: "agt_a", Name: "anna", PerMinute: 1})
	for _, path := range []string{"/mcp", "/message" + query} {
		l.next(1<<20, 0)
		try("not reached", path, answer(q.id, `{"action":"accept"}`), http.StatusServiceUnavailable, 3)
		try("too many", path, answer(q.id, `{"action":"accept"}`), http.StatusTooManyRequests, 3)
		b.now.pass(time.Minute)
	}
	try("no session", "/message"+query+"x", answer(q.id, `{"action":"accept"}`), http.StatusNotFound, 3)
	try("not an event stream's", "/message?sessionId="+sid, answer(q.id, `{"action":"accept"}`), http.StatusNotFound, 3)
	if n := rounds.Load(); n != 1 {
		t.Errorf("%d rounds", n)
	}
}
