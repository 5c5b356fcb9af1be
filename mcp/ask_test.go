package mcp_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/mcp"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// asks gives a world tools that have something for the person. rounds counts how often they ran.
func asks(rounds *atomic.Int64) func(*mcp.Options) {
	return func(o *mcp.Options) {
		o.Limits.AskTimeout, o.Limits.AsksPerHour = time.Minute, 1<<20
		tool := func(name string, h func(c *mcp.Call) (mcp.Result, error)) {
			o.Tools = append(o.Tools, mcp.Tool{Name: name, Description: name, Input: schema(""), Output: schema(`"said":{"type":"string"}`),
				Handle: func(_ context.Context, c *mcp.Call) (mcp.Result, error) {
					rounds.Add(1)
					return h(c)
				}})
		}
		tool("page", func(c *mcp.Call) (mcp.Result, error) { // asks in each round: the door asks once
			return mcp.Result{Text: "said " + string(c.Answer), Structured: map[string]string{"said": string(c.Answer)}, Ask: &mcp.Ask{Message: "A page & more.", URL: "https://vault.example/intake/x"}}, nil
		})
		tool("notice", func(c *mcp.Call) (mcp.Result, error) {
			if c.Answer == mcp.AnswerAccept {
				return mcp.Result{Text: "it ran"}, nil
			}
			return mcp.Result{Ask: &mcp.Ask{Message: "A call waits."}}, fault.New(fault.ApprovalRequired, "a person approves this", "ask them")
		})
	}
}

const (
	bothModes = `{"elicitation":{"form":{},"url":{}}}`
	formsOnly = `{"elicitation":{}}`
	pagesOnly = `{"elicitation":{"url":{}}}`
)

func initializeAs(version, caps string) string {
	return `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"` + version + `","capabilities":` + caps + `,"clientInfo":{"name":"t","version":"1"}}}`
}

func modernAs(id, tool, caps, more string) string {
	return `{"jsonrpc":"2.0","id":` + id + `,"method":"tools/call","params":{"name":"` + tool + `","arguments":{}` + more +
		`,"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":` + caps + `}}}`
}

func answer(id, result string) string {
	return `{"jsonrpc":"2.0","id":` + id + `,"result":` + result + `}`
}

// question is what a client is asked.
type question struct {
	id     string // raw
	Method string
	Params struct {
		Mode, Message, URL, ElicitationID string
		RequestedSchema                   map[string]any
	}
}

// asked reads a question, and looks at whether it is a sound one.
func asked(t testing.TB, line string) (q question) {
	t.Helper()
	var raw struct {
		ID     json.RawMessage
		Method string
		Params json.RawMessage
	}
	if err := json.Unmarshal([]byte(line), &raw); err != nil || raw.Method != "elicitation/create" || json.Unmarshal(raw.Params, &q.Params) != nil {
		t.Fatalf("no question: %s", line)
	}
	q.id, q.Method = string(raw.ID), raw.Method
	if len(q.id) < 28 {
		t.Errorf("an id that can be guessed: %s", q.id)
	}
	switch p := q.Params; {
	case p.URL != "" && (p.Mode != "url" || p.ElicitationID == "" || p.RequestedSchema != nil || p.Message != "A page & more." || p.URL != "https://vault.example/intake/x"):
		t.Errorf("a page: %s", line)
	case p.URL == "" && (p.Mode != "" || p.RequestedSchema["type"] != "object" || len(p.RequestedSchema["properties"].(map[string]any)) != 0 || p.Message != "A call waits."):
		t.Errorf("a notice: %s", line)
	}
	return q
}

// door is a client's way in, by which it says and hears lines.
type door struct {
	name string
	open func(t *testing.T, w *web, caps string) (say func(string), hear func() string)
}

// streamOf posts a call whose reply is a stream, and gives its events.
func (w *web) streamOf(token, sid, msg string) (hear func() string, hangUp func()) {
	w.t.Helper()
	req, _ := http.NewRequest("POST", w.url+"/mcp", strings.NewReader(msg))
	for k, v := range map[string]string{"Content-Type": "application/json", "Accept": "application/json, text/event-stream", "Authorization": "Bearer " + token, "Mcp-Session-Id": sid} {
		req.Header.Set(k, v)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { res.Body.Close() })
	r := bufio.NewReader(res.Body)
	if !strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		return func() string { line, _ := r.ReadString('\n'); return line }, func() { res.Body.Close() }
	}
	return func() string { return event(w.t, r) }, func() { res.Body.Close() }
}

var doors = []door{
	{"stdio", func(t *testing.T, w *web, caps string) (func(string), func() string) {
		c := w.connect(tokenA)
		c.ask(initializeAs("2025-11-25", caps))
		return func(s string) { c.send(s) }, c.recv
	}},
	{"sse", func(t *testing.T, w *web, caps string) (func(string), func() string) {
		r, query, _ := w.sseStream(tokenA)
		say := func(s string) { w.post("/message"+query, tokenA, s) }
		say(initializeAs("2025-11-25", caps))
		event(t, r)
		return say, func() string { return event(t, r) }
	}},
	{"http", func(t *testing.T, w *web, caps string) (func(string), func() string) {
		res, _ := w.post("/mcp", tokenA, initializeAs("2025-11-25", caps))
		sid := res.Header.Get("Mcp-Session-Id")
		var hear func() string
		return func(s string) {
			if strings.Contains(s, `"tools/call"`) {
				hear, _ = w.streamOf(tokenA, sid, s)
			} else if res, body := w.post("/mcp", tokenA, s, "Mcp-Session-Id", sid); res.StatusCode != 202 {
				t.Errorf("an answer: %d %s", res.StatusCode, body)
			}
		}, func() string { return hear() }
	}},
}

// TestAPersonIsAsked: over each door a question goes to the client, its answer comes back to the call that asked, once, and an answer that is none leaves the call as it was.
func TestAPersonIsAsked(t *testing.T) {
	for _, d := range doors {
		t.Run(d.name, func(t *testing.T) {
			var rounds atomic.Int64
			w := newWeb(t, asks(&rounds))
			say, hear := d.open(t, w, bothModes)
			for _, x := range []struct {
				tool, result, want string
				rounds             int64
			}{
				{"page", `{"action":"accept"}`, "said accept", 2},
				{"page", `{"action":"decline","content":{"value":"` + canary + `"}}`, "said decline", 2},
				{"page", `{"action":"cancel","_meta":{}}`, "said cancel", 2},
				{"notice", `{"action":"accept"}`, "it ran", 2},
				{"notice", `{"action":"decline"}`, `"code":"approval_required"`, 1},
			} {
				rounds.Store(0)
				say(call("7", x.tool, `{}`))
				say(answer(asked(t, hear()).id, x.result))
				if got := hear(); !strings.Contains(got, x.want) || !strings.Contains(got, `"id":7`) || rounds.Load() != x.rounds {
					t.Errorf("%s after %s: %s, %d rounds", x.tool, x.result, got, rounds.Load())
				}
			}
			for _, bad := range []string{`{"action":"approve"}`, `{"action":"Accept"}`, `{"Action":"accept"}`, `{"action":"accept","action":"decline"}`, `{"action":["accept"]}`, `{"action":null}`, `{}`, `[]`, `"accept"`, `null`,
				`{"action":"accept","content":"` + strings.Repeat("x", 70<<10) + `"}`} {
				rounds.Store(0)
				say(call("8", "notice", `{}`))
				say(answer(asked(t, hear()).id, bad))
				if got := hear(); !strings.Contains(got, `"code":"approval_required"`) || rounds.Load() != 1 {
					t.Errorf("%.60s: %s, %d rounds", bad, got, rounds.Load())
				}
			}
			say(call("9", "notice", `{}`))
			say(`{"jsonrpc":"2.0","id":` + asked(t, hear()).id + `,"error":{"code":-32601,"message":"` + canary + `"}}`)
			if got := hear(); !strings.Contains(got, `"code":"approval_required"`) {
				t.Errorf("a client that cannot: %s", got)
			}
		})
	}
}

// TestWhoCannotBeAskedIsNot: what a client did not declare, or not in a version that has it, is not asked of it, and its calls end as ever.
func TestWhoCannotBeAskedIsNot(t *testing.T) {
	var rounds atomic.Int64
	w := newWeb(t, asks(&rounds))
	for _, x := range []struct {
		version, caps string
		form, page    bool
	}{
		{"2025-11-25", `{}`, false, false}, {"2025-11-25", `{"elicitation":true}`, false, false}, {"2025-11-25", `{"Elicitation":{}}`, false, false},
		{"2025-11-25", formsOnly, true, false}, {"2025-11-25", pagesOnly, false, true}, {"2025-11-25", bothModes, true, true},
		{"2025-11-25", `{"elicitation":{"form":{},"url":{},"url":{}}}`, false, false}, {"2025-11-25", `{"elicitation":{"url":false}}`, false, false},
		{"2025-06-18", bothModes, true, false}, {"2025-03-26", bothModes, false, false},
	} {
		c := w.connect(tokenA)
		c.ask(initializeAs(x.version, x.caps))
		for tool, can := range map[string]bool{"notice": x.form, "page": x.page} {
			got := c.ask(call("2", tool, `{}`))
			if is := strings.Contains(got, "elicitation/create"); is != can {
				t.Errorf("%s %s, %s: %s", x.version, x.caps, tool, got)
			} else if is {
				c.ask(answer(asked(t, got).id, `{"action":"cancel"}`))
			}
		}
	}
	sid := w.session(tokenA)
	if _, body := w.post("/mcp", tokenA, call("2", "page", `{}`), "Mcp-Session-Id", sid); !strings.Contains(body, `said "`) || strings.Contains(body, "elicitation") {
		t.Errorf("a session that declared nothing: %s", body)
	}
	res, _ := w.post("/mcp", tokenA, initializeAs("2025-11-25", bothModes))
	if _, body := w.post("/mcp", tokenA, call("2", "page", `{}`), "Mcp-Session-Id", res.Header.Get("Mcp-Session-Id"), "Accept", "application/json"); !strings.Contains(body, `said "`) || strings.Contains(body, "elicitation") {
		t.Errorf("a client that takes no stream: %s", body)
	}
	for caps, can := range map[string]bool{`{}`: false, formsOnly: false, pagesOnly: true, bothModes: true} {
		got := w.connect(tokenA).ask(modernAs("2", "page", caps, ""))
		if is := strings.Contains(got, "input_required"); is != can || !is && !strings.Contains(got, `"resultType":"complete"`) {
			t.Errorf("modern %s: %s", caps, got)
		}
	}
}

// TestAttack64_AnAnswerIsOfItsOwnSession: nobody else's answer ends a question, not the same agent's in another session, nor twice, nor one that names no question.
func TestAttack64_AnAnswerIsOfItsOwnSession(t *testing.T) {
	for _, d := range doors {
		t.Run(d.name, func(t *testing.T) {
			var rounds atomic.Int64
			w := newWeb(t, asks(&rounds))
			say, hear := d.open(t, w, bothModes)
			say(call("7", "notice", `{}`))
			q := asked(t, hear())
			for _, other := range doors {
				intrude, _ := other.open(t, w, bothModes)
				intrude(answer(q.id, `{"action":"accept"}`))
			}
			stranger := w.connect(tokenB)
			stranger.send(answer(q.id, `{"action":"accept"}`))
			want(t, stranger.ask(call("1", "who", `{}`)), "boris")
			for _, id := range []string{`"ask_"`, `7`, `"7"`, `""`, `"` + strings.Repeat("x", 120) + `"`, q.id[:len(q.id)-2] + `"`} {
				say(answer(id, `{"action":"accept"}`))
			}
			if n := rounds.Load(); n != 1 {
				t.Errorf("%d rounds before the person answered", n)
			}
			say(answer(q.id, `{"action":"decline"}`))
			want(t, hear(), `"code":"approval_required"`)
			say(answer(q.id, `{"action":"accept"}`))
			say(answer(q.id, `{"action":"accept"}`))
			say(call("8", "notice", `{}`))
			next := asked(t, hear())
			say(answer(q.id, `{"action":"accept"}`))
			say(answer(next.id, `{"action":"decline"}`))
			want(t, hear(), `"code":"approval_required"`, `"id":8`)
			if n := rounds.Load(); n != 2 || next.id == q.id {
				t.Errorf("%d rounds", n)
			}
		})
	}
}

// TestQuestionsEnd: by time, by the client's cancelling the call, by its end; and one at a time is open, however many calls a model makes.
func TestQuestionsEnd(t *testing.T) {
	var rounds atomic.Int64
	w := newWeb(t, asks(&rounds), func(o *mcp.Options) { o.Limits.AskTimeout = 50 * time.Millisecond })
	for _, d := range doors {
		say, hear := d.open(t, w, bothModes)
		say(call("7", "notice", `{}`))
		q := asked(t, hear())
		want(t, hear(), `"notifications/cancelled"`, `"requestId":`+q.id)
		want(t, hear(), `"code":"approval_required"`, `"id":7`)
		say(answer(q.id, `{"action":"accept"}`))
	}
	w = newWeb(t, asks(&rounds))
	c := w.connect(tokenA)
	c.ask(initializeAs("2025-11-25", bothModes))
	q := asked(t, c.ask(call("7", "notice", `{}`)))
	want(t, c.ask(call("8", "page", `{}`)), `said "`, `"id":8`)
	c.send(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}`)
	want(t, c.recv(), `"notifications/cancelled"`, `"requestId":`+q.id)
	q = asked(t, c.ask(call("9", "page", `{}`)))
	c.conn.Close() // the server's end waits for the call: the cleanup would hang
	hear, hangUp := w.streamOf(tokenA, w.sessionAs(bothModes), call("7", "notice", `{}`))
	asked(t, hear())
	hangUp()
}

// TestAPersonIsNotWornOut: however many calls have something for them, over however many sessions, they are asked so often in an hour, and not more.
func TestAPersonIsNotWornOut(t *testing.T) {
	var rounds atomic.Int64
	w := newWeb(t, asks(&rounds), func(o *mcp.Options) { o.Limits.AsksPerHour = 3 })
	count := func(token string) (n int) {
		for range 4 {
			c := w.connect(token)
			c.ask(initializeAs("2025-11-25", bothModes))
			if got := c.ask(call("7", "page", `{}`)); strings.Contains(got, "elicitation/create") {
				n++
				c.ask(answer(asked(t, got).id, `{"action":"cancel"}`))
			} else {
				want(t, got, `said "`)
			}
			if strings.Contains(c.ask(modernAs("8", "page", bothModes, "")), "input_required") {
				n++
			}
		}
		return n
	}
	if n := count(tokenA); n != 3 {
		t.Errorf("asked %d times", n)
	}
	if n := count(tokenB); n != 3 {
		t.Errorf("another's person: %d times", n)
	}
	w.now.pass(21 * time.Minute)
	if n := count(tokenA); n != 1 {
		t.Errorf("after a third of an hour: %d times", n)
	}
}

func (w *web) sessionAs(caps string) string {
	res, _ := w.post("/mcp", tokenA, initializeAs("2025-11-25", caps))
	return res.Header.Get("Mcp-Session-Id")
}

// TestAModernCallAsksByItsResult: without a word from us and without a state: the client asks its person, and the same call comes again, to whichever server. It is not asked twice,
// whatever it brings.
func TestAModernCallAsksByItsResult(t *testing.T) {
	var rounds atomic.Int64
	a, b := newWeb(t, asks(&rounds)), newWeb(t, asks(&rounds))
	h := []string{"Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "page"}
	_, body := a.post("/mcp", tokenA, modernAs("1", "page", bothModes, ""), h...)
	var m struct {
		Result struct {
			ResultType    string
			RequestState  *string
			Content       any
			InputRequests map[string]json.RawMessage
		}
	}
	if err := json.Unmarshal([]byte(body), &m); err != nil || m.Result.ResultType != "input_required" || m.Result.RequestState != nil || m.Result.Content != nil || len(m.Result.InputRequests) != 1 {
		t.Fatalf("%s %v", body, err)
	}
	for key, q := range m.Result.InputRequests {
		asked(t, `{"id":"`+strings.Repeat("x", 30)+`",`+string(q[1:]))
		for result, said := range map[string]string{`{"action":"accept"}`: "accept", `{"action":"decline"}`: "decline", `{"action":"cancel","content":{}}`: "cancel", `{"action":"no"}`: "", `5`: "", `null`: ""} {
			_, body := b.post("/mcp", tokenA, modernAs("2", "page", bothModes, fmt.Sprintf(`,"inputResponses":{%q:%s}`, key, result)), h...)
			want(t, body, `"resultType":"complete"`, `"text":"said `+said+`"`)
		}
	}
	for _, more := range []string{`,"inputResponses":{}`, `,"inputResponses":{"other":{"action":"accept"}}`, `,"inputResponses":{"person":{"action":"accept"},"person":{"action":"decline"}}`, `,"requestState":"x"`, `,"inputResponses":{"person":{"action":"` + strings.Repeat("accept", 20000) + `"}}`} {
		_, body := a.post("/mcp", tokenA, modernAs("3", "page", bothModes, more), h...)
		want(t, body, `"resultType":"complete"`, `"text":"said "`)
	}
	h[5] = "notice"
	_, body = a.post("/mcp", tokenA, modernAs("4", "notice", formsOnly, ""), h...)
	want(t, body, `"input_required"`, `"message":"A call waits."`)
	_, body = b.post("/mcp", tokenA, modernAs("5", "notice", formsOnly, `,"inputResponses":{"person":{"action":"accept"}}`), h...)
	want(t, body, "it ran")
}
