//go:build unix

package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web/api"
)

// The operator sees an agent's run, and ends it; a person's own open run is theirs to end.
func TestOperatorStopsAnAgentsRun(t *testing.T) {
	p := initialised(t)
	if out := p.ok("runs", "list"); !strings.Contains(out, "Nothing runs") {
		t.Errorf("runs list said %s", out)
	}
	p.okIn("correct-horse-battery-staple", "resource", "add", "generic", "job", "--set", "env=JOB", "--secret", "value=-")
	p.ok("resource", "policy", "job", "--agent", "local", "--delivery", "env", "--pin", "wait", "--pin-hash", "none", "--", "/bin/sleep", "100000")
	d := p.open()
	d.greet()
	var run struct {
		RunID string `json:"run_id"`
		State string `json:"state"`
	}
	d.tool("run_with_resource", map[string]any{"resources": []string{"job"}, "command": []string{"pin:wait"}, "background": true}, &run)

	var page api.Page[vault.Run]
	decode(t, p.ok("runs", "list", "--json"), &page)
	if len(page.Items) != 1 || page.Items[0].ID != run.RunID || page.Items[0].Actor.Name != "local" {
		t.Errorf("under way: %+v", page.Items)
	}
	if out := p.ok("runs", "list"); !strings.Contains(out, run.RunID) || !strings.Contains(out, "pin:wait") {
		t.Errorf("runs list said %s", out)
	}
	if out := p.ok("__complete", "runs", "stop", ""); !strings.Contains(out, run.RunID+"\tlocal: job") {
		t.Errorf("completion: %s", out)
	}
	if out := p.ok("runs", "stop", run.RunID); out != run.RunID+": stopped.\n" {
		t.Errorf("runs stop said %s", out)
	}
	var out api.StoppedRun
	decode(t, p.ok("runs", "stop", run.RunID, "--json"), &out) // again is fine
	if out.State != "stopped" {
		t.Errorf("stopped again: %+v", out)
	}
	d.tool("get_run", map[string]any{"run_id": run.RunID, "offset": 0}, &run)
	if run.State != "stopped" {
		t.Errorf("the agent is told %s", run.State)
	}
	if r := p.run("", "runs", "stop", "run_"+strings.Repeat("a", 26)); r.code != fault.ExitNotFound {
		t.Errorf("no such run: %v", r)
	}
	if r := p.run("", "runs", "stop", "job"); r.code != fault.ExitNotFound {
		t.Errorf("no id: %v", r)
	}
	if log := p.ok("audit", "list", "--action", "run.stop", "--json"); strings.Count(log, fmt.Sprintf("%q", run.RunID)) != 2 {
		t.Errorf("recorded: %s", log)
	}
}

func TestShortened(t *testing.T) {
	for in, want := range map[string]string{"": "", "abc": "abc", "abcd": "ab…", "éèêë": "éè…"} {
		if got := shortened(in, 3); got != want {
			t.Errorf("%q becomes %q", in, got)
		}
	}
}
