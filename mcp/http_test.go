package mcp_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/mcp"
)

// web is a world behind HTTP.
type web struct {
	*world
	url string
}

func newWeb(t testing.TB, change ...func(*mcp.Options)) *web {
	w := newWorld(t, change...)
	ts := httptest.NewServer(w.srv.HTTPHandler())
	t.Cleanup(func() { w.srv.CloseSessions(); ts.Close() })
	return &web{w, ts.URL}
}

// post sends a message with headers given in pairs; an empty value removes a header.
func (w *web) post(path, token, message string, headers ...string) (*http.Response, string) {
	w.t.Helper()
	req, err := http.NewRequest("POST", w.url+path, strings.NewReader(message))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	req.Header.Set("Authorization", "Bearer "+token)
	return w.do(req, headers...)
}

func (w *web) do(req *http.Request, headers ...string) (*http.Response, string) {
	w.t.Helper()
	for i := 0; i < len(headers); i += 2 {
		switch {
		case headers[i] == "Host":
			req.Host = headers[i+1]
		case headers[i+1] == "":
			req.Header.Del(headers[i])
		default:
			req.Header.Set(headers[i], headers[i+1])
		}
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	if strings.Contains(string(body), canary) {
		w.t.Errorf("a reply holds a value: %s", body)
	}
	for h := range res.Header {
		if strings.HasPrefix(h, "Access-Control-") {
			w.t.Errorf("a CORS header: %s", h)
		}
	}
	return res, string(body)
}

const initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`

func (w *web) session(token string) string {
	w.t.Helper()
	res, body := w.post("/mcp", token, initialize)
	sid := res.Header.Get("Mcp-Session-Id")
	if res.StatusCode != 200 || sid == "" || !strings.Contains(body, `"protocolVersion":"2025-11-25"`) {
		w.t.Fatalf("initialize: %d %q %s", res.StatusCode, sid, body)
	}
	return sid
}

const modernMeta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`

func modernCall(id, tool string) (string, []string) {
	return `{"jsonrpc":"2.0","id":` + id + `,"method":"tools/call","params":{"name":"` + tool + `","arguments":{},` + modernMeta + `}}`,
		[]string{"Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", tool}
}

func TestBothErasOnOneEndpoint(t *testing.T) {
	w := newWeb(t)
	sid := w.session(tokenA)
	res, body := w.post("/mcp", tokenA, call("2", "who", `{}`), "Mcp-Session-Id", sid)
	want(t, body, "anna by http")
	if res.Header.Get("Content-Type") != "application/json" || res.Header.Get("X-Request-Id") == "" {
		t.Errorf("headers %v", res.Header)
	}
	if res, _ := w.post("/mcp", tokenA, `{"jsonrpc":"2.0","method":"notifications/initialized"}`, "Mcp-Session-Id", sid); res.StatusCode != http.StatusAccepted {
		t.Errorf("notification: %d", res.StatusCode)
	}
	msg, h := modernCall("3", "who")
	_, body = w.post("/mcp", tokenB, msg, h...)
	want(t, body, "boris by http", `"resultType":"complete"`)
	res, body = w.post("/mcp", tokenB, `{"jsonrpc":"2.0","id":4,"method":"server/discover","params":{`+modernMeta+`}}`, "Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "server/discover")
	want(t, body, `"supportedVersions":["2026-07-28"`, `"instructions":"Call list first."`)
	if res.Header.Get("Mcp-Session-Id") != "" {
		t.Error("a session in the modern era")
	}
	for _, bad := range [][]string{{"Mcp-Method", "tools/list"}, {"Mcp-Name", "fail"}, {"Mcp-Name", ""}, {"Mcp-Protocol-Version", "2025-11-25"}, {"Mcp-Protocol-Version", ""}} {
		res, body := w.post("/mcp", tokenB, msg, append(h[:len(h):len(h)], bad...)...)
		if res.StatusCode != http.StatusBadRequest && !strings.Contains(body, "session") {
			t.Errorf("%v: %d %s", bad, res.StatusCode, body)
		}
	}
	if res, _ := w.post("/mcp", tokenA, `{"jsonrpc":"2.0","id":5,"method":"ping"}`, "Mcp-Session-Id", sid, "Mcp-Protocol-Version", "1999-01-01"); res.StatusCode != 400 {
		t.Errorf("unknown version: %d", res.StatusCode)
	}
}

// Attack 63: a stolen session id opens nothing without its agent's token. Defect 11: an ended session is over.
func TestSessionBelongsToItsAgent(t *testing.T) {
	w := newWeb(t)
	sid := w.session(tokenA)
	if res, body := w.post("/mcp", tokenB, call("2", "who", `{}`), "Mcp-Session-Id", sid); res.StatusCode != 404 || strings.Contains(body, "anna") {
		t.Errorf("stolen session: %d %s", res.StatusCode, body)
	}
	del := func(token, sid string) int {
		req, _ := http.NewRequest("DELETE", w.url+"/mcp", nil)
		res, _ := w.do(req, "Authorization", "Bearer "+token, "Mcp-Session-Id", sid)
		return res.StatusCode
	}
	if got := del(tokenB, sid); got != 404 {
		t.Errorf("a stranger's DELETE: %d", got)
	}
	if res, _ := w.post("/mcp", tokenA, call("3", "who", `{}`), "Mcp-Session-Id", sid); res.StatusCode != 200 {
		t.Errorf("own session: %d", res.StatusCode)
	}
	if res, _ := w.post("/mcp", tokenA, call("3", "who", `{}`)); res.StatusCode != 400 {
		t.Errorf("no session: %d", res.StatusCode)
	}
	if got := del(tokenA, sid); got != 200 {
		t.Errorf("own DELETE: %d", got)
	}
	if res, _ := w.post("/mcp", tokenA, call("4", "who", `{}`), "Mcp-Session-Id", sid); res.StatusCode != 404 {
		t.Errorf("ended session: %d", res.StatusCode)
	}
	sid = w.session(tokenA)
	w.now.pass(time.Hour)
	if res, _ := w.post("/mcp", tokenA, call("4", "who", `{}`), "Mcp-Session-Id", sid); res.StatusCode != 404 {
		t.Errorf("idle session: %d", res.StatusCode)
	}
}

// Defect 10: sessions are bounded, and an agent that opens them without end loses its own only.
func TestSessionsAreBounded(t *testing.T) {
	w := newWeb(t, func(o *mcp.Options) { o.Limits.MaxSessions = 40 })
	other := w.session(tokenB)
	first := w.session(tokenA)
	var last string
	for range 500 {
		w.now.pass(time.Second)
		last = w.session(tokenA)
	}
	if n := mcp.SessionCount(w.srv); n != 11 {
		t.Errorf("%d sessions are kept, want a quarter of 40 and one", n)
	}
	for sid, status := range map[string]int{other: 404, first: 404, last: 200} {
		token := tokenA
		if sid == other {
			token, status = tokenB, 200
		}
		if res, _ := w.post("/mcp", token, call("3", "who", `{}`), "Mcp-Session-Id", sid); res.StatusCode != status {
			t.Errorf("session %s: %d, want %d", sid, res.StatusCode, status)
		}
	}
	if res, _ := w.post("/mcp", tokenA, `{"jsonrpc":"2.0","id":1,"method":"initialize","params":5}`); res.Header.Get("Mcp-Session-Id") != "" || mcp.SessionCount(w.srv) > 11 {
		t.Error("a failed initialize opened a session")
	}
}

// Defect 3 over HTTP: no cancel reaches another's call, in either era; one's own legacy session can be cancelled.
func TestCancelOverHTTP(t *testing.T) {
	w := newWeb(t)
	cancel := `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`
	msg, h := modernCall("1", "block")
	replies := make(chan string, 3)
	post := func(token, msg string, h ...string) {
		_, body := w.post("/mcp", token, msg, h...)
		replies <- body
	}
	sidA, sidB := w.session(tokenA), w.session(tokenB)
	go post(tokenA, msg, h...)
	go post(tokenA, call("1", "block", `{}`), "Mcp-Session-Id", sidA)
	<-w.blocked
	<-w.blocked
	modernCancel := strings.Replace(cancel, `"requestId":1`, `"requestId":1,`+modernMeta, 1)
	w.post("/mcp", tokenB, modernCancel, "Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "notifications/cancelled")
	w.post("/mcp", tokenB, cancel, "Mcp-Session-Id", sidB)
	w.post("/mcp", tokenB, cancel, "Mcp-Session-Id", sidA)
	w.post("/mcp", tokenA, modernCancel, "Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "notifications/cancelled")
	if n := len(w.ended); n != 0 {
		t.Fatalf("%d calls were cancelled by strangers", n)
	}
	w.post("/mcp", tokenA, cancel, "Mcp-Session-Id", sidA)
	if err := <-w.ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	want(t, <-replies, `"canceled"`)
	close(w.release)
	want(t, <-replies, "released", "resultType")
}

func TestLeavingCancelsTheCall(t *testing.T) {
	w := newWeb(t)
	msg, h := modernCall("1", "block")
	ctx, cancel := context.WithCancel(context.Background())
	req, _ := http.NewRequestWithContext(ctx, "POST", w.url+"/mcp", strings.NewReader(msg))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+tokenA)
	for i := 0; i < len(h); i += 2 {
		req.Header.Set(h[i], h[i+1])
	}
	go func() {
		<-w.blocked
		cancel()
	}()
	if _, err := http.DefaultClient.Do(req); err == nil {
		t.Error("the call went through")
	}
	if err := <-w.ended; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

// Defect 4 over HTTP: progress turns the reply into a stream, in order; a client that takes no stream gets plain JSON.
func TestProgressOverHTTP(t *testing.T) {
	w := newWeb(t)
	msg := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"steps","arguments":{},"_meta":{"progressToken":7}}}`
	sid := w.session(tokenA)
	for range 50 {
		res, body := w.post("/mcp", tokenA, msg, "Mcp-Session-Id", sid)
		if res.Header.Get("Content-Type") != "text/event-stream" {
			t.Fatalf("type %s", res.Header.Get("Content-Type"))
		}
		events := strings.Split(strings.TrimSpace(body), "\n\n")
		if len(events) != 6 {
			t.Fatalf("%d events: %s", len(events), body)
		}
		for i, e := range events[:5] {
			want(t, e, "event: message\ndata: ", fmt.Sprintf(`"progressToken":7,"progress":%d,`, i+1))
		}
		want(t, events[5], `"id":1,`, `"done"`)
	}
	res, body := w.post("/mcp", tokenA, msg, "Mcp-Session-Id", sid, "Accept", "application/json")
	if res.Header.Get("Content-Type") != "application/json" || strings.Contains(body, "progress") {
		t.Errorf("unasked stream: %s", body)
	}
}

func TestHTTPBodyIsBounded(t *testing.T) {
	w := newWeb(t, func(o *mcp.Options) { o.Limits.MessageBytes = 10_000 })
	res, body := w.post("/mcp", tokenA, call("1", "echo", `{"text":"`+strings.Repeat("x", 50_000)+`"}`))
	if res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	for _, bad := range []string{"", "{", `[` + initialize + `]`, `{"jsonrpc":"2.0","id":1,"method":"initialize","Method":"ping"}`, strings.Repeat("[", 9000)} {
		if res, body := w.post("/mcp", tokenA, bad); res.StatusCode != 400 || !strings.Contains(body, `"error":{"code":-32`) {
			t.Errorf("%.40q: %d %s", bad, res.StatusCode, body)
		}
	}
	sid := w.session(tokenA)
	if res, _ := w.post("/mcp", tokenA, strings.Repeat(" ", 5000)+`{"jsonrpc":"2.0","id":1,"method":"ping"}`, "Mcp-Session-Id", sid); res.StatusCode != 200 {
		t.Error("white space is refused")
	}
}

// A body that never arrives does not hold its connection.
func TestHalfOpenBody(t *testing.T) {
	w := newWeb(t, func(o *mcp.Options) { o.Limits.HelloTimeout = time.Millisecond })
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /mcp HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", conn.RemoteAddr(), tokenA)
	_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || res.StatusCode != http.StatusRequestTimeout {
		t.Errorf("%v %v", res, err)
	}
}

func TestRateOverHTTP(t *testing.T) {
	w := newWeb(t)
	w.ids.set(tokenA, &mcp.Agent{ID: "agt_a", Name: "anna", PerMinute: 2})
	sid := w.session(tokenA)
	w.post("/mcp", tokenA, call("1", "who", `{}`), "Mcp-Session-Id", sid)
	res, body := w.post("/mcp", tokenA, call("2", "who", `{}`), "Mcp-Session-Id", sid)
	if res.StatusCode != 429 || res.Header.Get("Retry-After") != "30" {
		t.Errorf("%d %q", res.StatusCode, res.Header.Get("Retry-After"))
	}
	want(t, body, `"code":"rate_limited"`, `"id":2`)
	if n := mcp.SessionCount(w.srv); n != 1 {
		t.Errorf("%d sessions", n)
	}
	res, _ = w.post("/mcp", tokenA, initialize)
	if res.StatusCode != 429 || mcp.SessionCount(w.srv) != 1 || res.Header.Get("Mcp-Session-Id") != "" {
		t.Errorf("a refused initialize opened a session: %d", res.StatusCode)
	}
}
