package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web/api"
)

// writes has an agent's run write beside the project's folder, and gives the run's id.
func (d *stdioDoor) writes(t *testing.T, project string, command ...string) string {
	t.Helper()
	var told toolResult
	decode(t, string(d.ask("tools/call", map[string]any{"name": "run_with_resource", "arguments": map[string]any{
		"resources": []string{"openai"}, "command": command, "cwd": project}})), &told)
	if told.IsError || !strings.Contains(fmt.Sprint(told.Content), "your next run there goes on from them") {
		t.Fatalf("the agent is told %s", told.Content)
	}
	var out struct {
		RunID string `json:"run_id"`
	}
	if err := json.Unmarshal(told.Structured, &out); err != nil {
		t.Fatal(err)
	}
	return out.RunID
}

// What an agent's run wrote beside a folder outlives every end of the daemon, and is kept, or not, as it was listed.
func TestHeldChangesOutliveTheDaemon(t *testing.T) {
	t.Parallel()
	p, project := withOpenAI(t)
	p.ok("workdir", "add", project, "--mode", "overlay")
	if err := os.WriteFile(filepath.Join(project, "mine"), []byte("mine\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	d := p.open()
	d.greet()
	first := d.writes(t, project, "sh", "-c", "echo one > made; echo theirs >> mine; ln -s /etc/passwd way")
	shows := func(when string, want ...string) {
		t.Helper()
		out := p.ok("runs", "changes")
		for _, w := range want {
			if !strings.Contains(out, w) {
				t.Fatalf("%s: no %q in %s", when, w, out)
			}
		}
	}
	shows("at first", first, filepath.Join(project, "made"), "a link to /etc/passwd; THE LINK LEADS OUT OF THE FOLDER")
	if out := p.ok("stop"); out != "Stopped.\n" {
		t.Errorf("stop said %s", out)
	}
	shows("after a stop", first, "made")
	if out := p.ok("status"); !strings.Contains(out, "held changes: 1 run") {
		t.Errorf("status said %s", out)
	}
	pid := p.status().PID
	p.kill(pid)
	shows("after a kill", first, "made")

	d = p.open()
	d.greet()
	second := d.writes(t, project, "sh", "-c", "cat made; echo two >> made")
	shows("after a second run", second, "with those of: "+first, "way")
	if r := p.run("", "runs", "keep", first); !strings.Contains(r.stderr, second) {
		t.Errorf("the first run's changes: %v", r)
	}
	if out := p.ok("runs", "changes", second, "--diff"); !strings.Contains(out, "\n+one\n+two\n") || !strings.Contains(out, "\n mine\n+theirs\n") {
		t.Errorf("diff: %s", out)
	}

	if err := os.WriteFile(filepath.Join(project, "mine"), []byte("edited\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := p.run("", "runs", "keep", second)
	if r.code != fault.ExitConflict || !strings.Contains(r.stderr, filepath.Join(project, "mine")+" changed meanwhile") {
		t.Errorf("over an edit: %v", r)
	}
	if _, err := os.Lstat(filepath.Join(project, "made")); err == nil {
		t.Error("half of it was kept")
	}
	p.ok("runs", "keep", second, filepath.Join(project, "made"))
	if b, err := os.ReadFile(filepath.Join(project, "made")); err != nil || string(b) != "one\ntwo\n" {
		t.Errorf("made: %q %v", b, err)
	}
	var page api.Page[api.HeldChanges]
	decode(t, p.ok("runs", "changes", "--json"), &page)
	if len(page.Items) != 1 || len(page.Items[0].Changes) != 2 || !page.Items[0].Lasting {
		t.Errorf("the rest: %+v", page)
	}
	p.ok("runs", "keep", second, "--force")
	if b, err := os.ReadFile(filepath.Join(project, "mine")); err != nil || string(b) != "mine\ntheirs\n" {
		t.Errorf("mine: %q %v", b, err)
	}
	if out := p.ok("runs", "changes"); out != "No changes are held.\n" {
		t.Errorf("at last: %s", out)
	}
	if left, err := os.ReadDir(filepath.Join(p.dir.Path(), "shelf")); err != nil || len(left) != 0 {
		t.Errorf("left: %v %v", left, err)
	}
}

// A script that does not say --yes throws nothing away.
func TestDiscardingAsksFirst(t *testing.T) {
	p, project := withOpenAI(t)
	p.ok("workdir", "add", project, "--mode", "overlay")
	d := p.open()
	d.greet()
	id := d.writes(t, project, "touch", "made")
	if r := p.run("", "runs", "discard", id); r.code != fault.ExitUsage || !strings.Contains(r.stderr, "give --yes") || !strings.Contains(p.ok("runs", "changes"), id) {
		t.Errorf("discarded by a script that did not say --yes: %v", r)
	}
	p.ok("runs", "discard", id, "--yes")
	if out := p.ok("runs", "changes"); out != "No changes are held.\n" {
		t.Errorf("after it: %s", out)
	}
}
