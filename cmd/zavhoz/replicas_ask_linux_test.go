package main

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/run/postgres/postgrestest"
	"github.com/zavhoz/zavhoz/vault"
)

// TestAQuestionIsAnsweredAtAnyDaemon: a client over streamable HTTP is told that its call waits. The person approves through one daemon, the client's answer comes to another than the one whose call waits for it, and
// that call runs. The client's answer alone, to whichever daemon, has nothing run. A call is given up through another daemon, too, and its command ends.
func TestAQuestionIsAnsweredAtAnyDaemon(t *testing.T) {
	t.Parallel()
	address := postgrestest.Start(t).URL("sslmode=disable")
	all := replicas(t, address, address)
	token := strings.TrimSpace(all[0].ok("agent", "add", "web", "--attended"))
	all[0].watched("web")
	all[0].okIn("correct-horse-battery-staple", "resource", "add", "generic", "long", "--set", "env=LONG", "--secret", "value=-")
	all[0].ok("resource", "policy", "long", "--agent", "web", "--delivery", "env", "--pin", "stay", "--pin-hash", "none", "--", "/bin/sleep", "100000")
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
		if answered := post(doors[1], session, map[string]any{"jsonrpc": "2.0", "id": q.ID, "result": map[string]any{"action": "accept"}}); answered.StatusCode != http.StatusAccepted {
			t.Fatalf("an answer at another daemon: %d", answered.StatusCode)
		}
		got := event()
		if ran := strings.Contains(got, `"stdout":"`+words+`\n"`); ran != decided || !decided && !strings.Contains(got, "approval_required") {
			t.Errorf("decided %t: %s", decided, got)
		}
		if s, want := all[0].stateOf(ref), map[bool]string{false: "waiting", true: "spent"}[decided]; s != want {
			t.Errorf("decided %t: %s", decided, s)
		}
	}
	before := len(all[0].runsUnderWay())
	ended := make(chan string)
	go func() {
		args := map[string]any{"resources": []string{"long"}, "command": []string{"pin:stay"}}
		b, _ := io.ReadAll(post(doors[0], session, map[string]any{"jsonrpc": "2.0", "id": "three", "method": "tools/call", "params": map[string]any{"name": "run_with_resource", "arguments": args}}).Body)
		ended <- string(b)
	}()
	until(t, "the command runs", func() bool {
		runs := all[0].runsUnderWay()
		return len(runs) > before && slices.Contains(slices.Collect(maps.Values(runs)), vault.RunRunning)
	})
	given := post(doors[1], session, map[string]any{"jsonrpc": "2.0", "method": "notifications/cancelled", "params": map[string]any{"requestId": "three"}})
	if given.StatusCode != http.StatusAccepted {
		t.Fatalf("a call given up at another daemon: %d", given.StatusCode)
	}
	var got string
	select {
	case got = <-ended:
	case <-time.After(patience):
		t.Fatal("the call goes on")
	}
	if !strings.Contains(got, `"canceled"`) || slices.Contains(slices.Collect(maps.Values(all[0].runsUnderWay())), vault.RunRunning) {
		t.Errorf("given up: %s", got)
	}
}
