package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/run/postgres/postgrestest"
)

// TestAQuestionIsAnsweredAtAnyDaemon: a client over streamable HTTP is told that its call waits. The person approves through one daemon, the client's answer comes to another than the one whose call waits for it, and
// that call runs. The client's answer alone, to whichever daemon, has nothing run.
func TestAQuestionIsAnsweredAtAnyDaemon(t *testing.T) {
	t.Parallel()
	address := postgrestest.Start(t).URL("sslmode=disable")
	all := replicas(t, address, address)
	token := strings.TrimSpace(all[0].ok("agent", "add", "web", "--attended"))
	all[0].watched("web")
	var doors []string
	for _, p := range all {
		p.stop()
		addr, _ := p.serveHTTP()
		doors = append(doors, "http://"+addr+"/mcp")
	}
	post := func(door, session string, message any) *http.Response {
		t.Helper()
		b, err := json.Marshal(message)
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequest("POST", door, strings.NewReader(string(b)))
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range map[string]string{"Authorization": "Bearer " + token, "Content-Type": "application/json", "Accept": "application/json, text/event-stream", "Mcp-Session-Id": session} {
			if v != "" {
				req.Header.Set(k, v)
			}
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { res.Body.Close() })
		return res
	}
	hello := handshake()
	hello["capabilities"] = map[string]any{"elicitation": map[string]any{}}
	res := post(doors[1], "", map[string]any{"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello})
	session := res.Header.Get("Mcp-Session-Id")
	for _, decided := range []bool{false, true} {
		words := map[bool]string{false: "alone", true: "decided"}[decided]
		args := map[string]any{"resources": []string{"job"}, "command": []string{"pin:say", words}}
		event := eventsOf(t, post(doors[0], session, map[string]any{"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": map[string]any{"name": "run_with_resource", "arguments": args}}).Body)
		var q struct {
			ID     string
			Method string
			Params struct{ Message string }
		}
		decode(t, event(), &q)
		ref := aprID.FindString(q.Params.Message)
		if q.Method != "elicitation/create" || ref == "" {
			t.Fatalf("%+v", q)
		}
		if decided {
			all[1].ok("approve", ref)
		}
		until(t, "an answer at another daemon is taken", func() bool { // a client that is told 503 sends it again
			answered := post(doors[1], session, map[string]any{"jsonrpc": "2.0", "id": q.ID, "result": map[string]any{"action": "accept"}})
			b, err := io.ReadAll(answered.Body)
			if err != nil || answered.StatusCode != http.StatusAccepted && answered.StatusCode != http.StatusServiceUnavailable {
				t.Fatalf("an answer at another daemon: %d %s %v", answered.StatusCode, b, err)
			}
			return answered.StatusCode == http.StatusAccepted
		})
		got := event()
		if ran := strings.Contains(got, `"stdout":"`+words+`\n"`); ran != decided || !decided && !strings.Contains(got, "approval_required") {
			t.Errorf("decided %t: %s", decided, got)
		}
		if s, want := all[0].stateOf(ref), map[bool]string{false: "waiting", true: "spent"}[decided]; s != want {
			t.Errorf("decided %t: %s", decided, s)
		}
	}
}
