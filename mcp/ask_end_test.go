package mcp_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/mcp"
)

// A question outlives the time that one write may take, over HTTP/2 too, where a deadline that passes ends the request.
func TestAQuestionOutlivesAWrite(t *testing.T) {
	const write = 100 * time.Millisecond
	var rounds atomic.Int64
	w := newWorld(t, asks(&rounds), func(o *mcp.Options) { o.Limits.WriteTimeout = write })
	for proto, h2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true} {
		ts := httptest.NewUnstartedServer(w.srv.HTTPHandler())
		ts.EnableHTTP2 = h2
		ts.StartTLS()
		post := func(sid, msg string) *http.Response {
			req, err := http.NewRequest("POST", ts.URL+"/mcp", strings.NewReader(msg))
			if err != nil {
				t.Fatal(err)
			}
			for k, v := range map[string]string{"Content-Type": "application/json", "Accept": "application/json, text/event-stream", "Authorization": "Bearer " + tokenA, "Mcp-Session-Id": sid} {
				if v != "" {
					req.Header.Set(k, v)
				}
			}
			res, err := ts.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			return res
		}
		res := post("", initializeAs("2025-11-25", bothModes))
		sid := res.Header.Get("Mcp-Session-Id")
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		res = post(sid, call("7", "notice", `{}`))
		r := bufio.NewReader(res.Body)
		q := asked(t, event(t, r))
		time.Sleep(4 * write) // the time itself is what is tried
		yes := post(sid, answer(q.id, `{"action":"accept"}`))
		yes.Body.Close()
		if got := event(t, r); res.Proto != proto || !strings.Contains(got, "it ran") {
			t.Errorf("%s: %s", res.Proto, got)
		}
		res.Body.Close()
		ts.Close()
	}
}

// A question that is open does not hold up the end of the server.
func TestAQuestionHoldsNoShutdownUp(t *testing.T) {
	var rounds atomic.Int64
	w := newWorld(t, asks(&rounds))
	ts := httptest.NewServer(w.srv.HTTPHandler())
	defer ts.Close()
	hear, _ := (&web{w, ts.URL}).streamOf(tokenA, (&web{w, ts.URL}).sessionAs(bothModes), call("7", "notice", `{}`))
	asked(t, hear())
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // the question has a minute
	defer cancel()
	w.srv.CloseSessions()
	w.srv.CloseSessions()
	if err := ts.Config.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if rounds.Load() != 1 {
		t.Errorf("the call was made %d times", rounds.Load())
	}
}

// Who closes a notice has the call not tried again, and a question that is not put to the person does not count as one.
func TestAClosedNoticeTriesNothing(t *testing.T) {
	var rounds atomic.Int64
	w := newWeb(t, asks(&rounds), func(o *mcp.Options) { o.Limits.AsksPerHour = 3 })
	c := w.connect(tokenA)
	c.ask(initializeAs("2025-11-25", bothModes))
	for _, action := range []string{"decline", "cancel"} {
		q := asked(t, c.ask(call("7", "notice", `{}`)))
		before := rounds.Load()
		for range 4 {
			if got := c.ask(call("8", "page", `{}`)); !strings.Contains(got, "said") { // one is open
				t.Errorf("beside it: %s", got)
			}
		}
		if got := c.ask(answer(q.id, `{"action":"`+action+`"}`)); !strings.Contains(got, `"code":"approval_required"`) || rounds.Load() != before+4 {
			t.Errorf("%s: %d rounds, %s", action, rounds.Load()-before, got)
		}
	}
	asked(t, c.ask(call("9", "page", `{}`)))
}
