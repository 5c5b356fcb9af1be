package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// What an agent's run wrote beside a folder is not lost by a stop that nobody meant like that.
func TestStopLosesNoHeldChanges(t *testing.T) {
	p, project := withOpenAI(t)
	p.ok("workdir", "add", project, "--mode", "overlay")
	d := p.open()
	d.greet()
	var told toolResult
	decode(t, string(d.ask("tools/call", map[string]any{"name": "run_with_resource", "arguments": map[string]any{
		"resources": []string{"openai"}, "command": []string{"touch", "made"}, "cwd": project}})), &told)
	if !strings.Contains(fmt.Sprint(told.Content), "no later run sees them until the operator keeps them") {
		t.Errorf("the agent is told %s", told.Content)
	}

	if out := p.ok("status"); !strings.Contains(out, "held changes: 1 run") {
		t.Errorf("status said %s", out)
	}
	if out := p.ok("runs", "changes"); !strings.Contains(out, filepath.Join(project, "made")) {
		t.Fatalf("held: %s", out)
	}
	r := p.run("", "stop")
	if r.code != fault.Busy.Of().Exit || !strings.Contains(r.stderr, "the changes of 1 run are held") || !strings.Contains(r.stderr, "zavhoz stop --discard") {
		t.Errorf("%v", r)
	}
	if out := p.ok("runs", "changes"); !strings.Contains(out, "made") {
		t.Errorf("after the refusal: %s", out)
	}
	id := strings.Fields(p.ok("runs", "changes"))[0]
	if r := p.run("", "runs", "discard", id); r.code != fault.ExitUsage || !strings.Contains(r.stderr, "give --yes") || !strings.Contains(p.ok("runs", "changes"), id) {
		t.Errorf("discarded by a script that did not say --yes: %v", r)
	}
	if out := p.ok("stop", "--discard"); out != "Stopped.\n" {
		t.Errorf("stop --discard said %s", out)
	}
	if out := p.ok("status"); strings.Contains(out, "held changes") {
		t.Errorf("after it: %s", out)
	}
}
