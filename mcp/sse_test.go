package mcp_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/mcp"
)

// sseStream opens an event stream and gives its message address.
func (w *web) sseStream(token string) (*bufio.Reader, string, func()) {
	w.t.Helper()
	req, _ := http.NewRequest("GET", w.url+"/sse", nil)
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { res.Body.Close() })
	if res.StatusCode != 200 || res.Header.Get("Access-Control-Allow-Origin") != "" {
		w.t.Fatalf("%d %v", res.StatusCode, res.Header)
	}
	r := bufio.NewReader(res.Body)
	return r, strings.TrimPrefix(event(w.t, r), "/message"), func() { res.Body.Close() }
}

// event gives the next event's data.
func event(t testing.TB, r *bufio.Reader) string {
	t.Helper()
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			if strings.Contains(data, canary) {
				t.Errorf("an event holds a value: %s", data)
			}
			return strings.TrimSpace(data)
		}
	}
}

func TestSSE(t *testing.T) {
	w := newWeb(t)
	r, query, hangUp := w.sseStream(tokenA)
	send := func(token, msg string) int {
		res, _ := w.post("/message"+query, token, msg)
		return res.StatusCode
	}
	if got := send(tokenA, initialize); got != 202 {
		t.Fatalf("status %d", got)
	}
	want(t, event(t, r), `"protocolVersion"`)
	send(tokenA, call("2", "who", `{}`))
	want(t, event(t, r), "anna by sse")
	send(tokenA, `{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"steps","arguments":{},"_meta":{"progressToken":7}}}`)
	for i := range 5 {
		want(t, event(t, r), fmt.Sprintf(`"progress":%d,`, i+1))
	}
	want(t, event(t, r), `"done"`)
	send(tokenA, call("4", "boom", `{"text":"`+canary+`"}`))
	want(t, event(t, r), `"internal"`)
	if got := send(tokenB, call("5", "who", `{}`)); got != 404 {
		t.Errorf("a stranger on the stream: %d", got)
	}
	sid := strings.TrimPrefix(query, "?sessionId=")
	if res, _ := w.post("/mcp", tokenA, call("5", "who", `{}`), "Mcp-Session-Id", sid); res.StatusCode != 404 {
		t.Errorf("an SSE session at /mcp: %d", res.StatusCode)
	}
	if res, _ := w.post("/message?sessionId="+w.session(tokenA), tokenA, call("5", "who", `{}`)); res.StatusCode != 404 {
		t.Errorf("a session of /mcp at /message: %d", res.StatusCode)
	}
	send(tokenA, call("6", "block", `{}`))
	<-w.blocked
	hangUp()
	if err := <-w.ended; !errors.Is(err, context.Canceled) {
		t.Errorf("after the stream closed: %v", err)
	}
}

func TestSSEStreamsAreBounded(t *testing.T) {
	w := newWeb(t, func(o *mcp.Options) { o.Limits.MaxSessions = 8 })
	w.sseStream(tokenA)
	w.sseStream(tokenA)
	req, _ := http.NewRequest("GET", w.url+"/sse", nil)
	res, _ := w.do(req, "Authorization", "Bearer "+tokenA)
	if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" {
		t.Errorf("status %d", res.StatusCode)
	}
	w.sseStream(tokenB)
}
