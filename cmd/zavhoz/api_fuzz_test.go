//go:build unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/sync/time4vps/time4vpstest"
	"github.com/zavhoz/zavhoz/web/api"
)

// schemathesisVersion is the one that testdata/needs/install installs.
const schemathesisVersion = "4.32.5"

// schemathesis is the program, in a Python of its own beside Go's cache.
func schemathesis(t *testing.T) string {
	t.Helper()
	cache, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(filepath.Dir(strings.TrimSpace(string(cache))), "zavhoz-needs", "schemathesis-"+schemathesisVersion)
	if _, err := os.Stat(filepath.Join(dir, "complete")); err != nil {
		t.Fatal("schemathesis is not there: run testdata/needs/install")
	}
	return filepath.Join(dir, "bin", "schemathesis")
}

// passed is schemathesis's word of the end.
var passed = regexp.MustCompile(`(\d+) generated, (\d+) passed`)

// atProvider is a place with a server of a provider's, adopted as bot.
func atProvider(t *testing.T) *place {
	sim := time4vpstest.New()
	sim.SetLogin("owner@example.org", "correct-horse-battery")
	sim.Populate(1)
	running, err := sim.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(running.Close)
	p := initialised(t)
	p.okIn("correct-horse-battery", "resource", "add", "api_key", "time4vps", "--set", "service=time4vps", "--set", "username=owner@example.org", "--secret", "key=-")
	p.ok("resource", "policy", "time4vps", "--host", strings.TrimSuffix(strings.TrimPrefix(running.URL, "http://"), "/api"))
	p.stop()
	p.configure(`resource: ""`, "resource: time4vps")
	p.configure("base_url: https://billing.time4vps.com/api", "base_url: "+running.URL)
	p.configure(`schedule: "@every 1m"`, `schedule: "@every 1h"`)
	p.ok("server", "sync")
	var all api.Servers
	decode(t, p.ok("server", "list", "--json"), &all)
	p.okIn("correct-horse-battery", "server", "adopt", all.Items[0].ID, "bot", "--set", "user=root", "--secret", "password=-")
	p.stop()
	return p
}

// somethingOfEach makes one of each thing that a path of the API names, and says for schemathesis what it is called: an operation that finds nothing is tried no further than that.
// A project and a server are called alike, for one name of a parameter has one value.
func somethingOfEach(p *place) string {
	p.ok("project", "create", "bot")
	p.okIn("correct-horse-battery", "project", "secret", "set", "bot", "A=-")
	p.addGeneric("one", "correct-horse-battery")
	p.ok("agent", "add", "spare")
	d := p.open()
	d.greet()
	var lease struct {
		ID string `json:"lease_id"`
	}
	d.tool("allocate_resource", map[string]any{"handle": "one", "purpose": "a test"}, &lease)
	var first, changed struct{ Handle string }
	d.tool("resolve_environment", map[string]any{"project": "default", "names": []string{"APP_NAME"}}, &first)
	d.tool("resolve_environment", map[string]any{"project": "default", "names": []string{"APP_NAME", "STRIPE_SECRET"}}, &changed)
	p.ok("run", "one", "--open", "--", "true")
	var runs struct {
		Items []struct{ Subject string }
	}
	decode(p.t, p.ok("audit", "list", "--action", "run.end", "--json"), &runs)
	if lease.ID == "" || first.Handle == "" || changed.Handle == "" || len(runs.Items) != 1 {
		p.t.Fatalf("%+v %+v %+v %+v", lease, first, changed, runs)
	}
	p.okIn(`{"host":"203.0.113.9","password":"correct-horse-battery"}`, "resource", "add", "server", "guarded", "--set", "user=root", "--secrets", "-")
	p.ok("resource", "policy", "guarded", "--approval", "always")
	d.ask("tools/call", map[string]any{"name": "run_with_resource", "arguments": map[string]any{"resources": []string{"guarded"}, "command": []string{"ssh", "guarded", "uptime"}}})
	var waits struct {
		Items []struct{ ID, Kind string }
	}
	decode(p.t, p.ok("approvals", "--json"), &waits)
	if len(waits.Items) == 0 || waits.Items[0].Kind != "call" {
		p.t.Fatalf("%+v", waits)
	}
	var asked [3]string // to look at, to give, to deny
	for i := range asked {
		var in struct{ ID string }
		decode(p.t, p.ok("intake", "new", "--project", "bot", "--key", fmt.Sprint("ASKED_", i), "--reason", "a test", "--json"), &in)
		asked[i] = in.ID
	}
	return fmt.Sprintf(`parameters = { id = "bot", key = "A", name = "spare", handle = %q, lease = %q, approval = "environment:%s", intake = %q }
[[operations]]
include-name = "GET /api/v1/approvals/{approval}"
parameters = { approval = %q }
[[operations]]
include-path = "/api/v1/runs/{id}/stop"
parameters = { id = %q }
[[operations]]
include-path = "/api/v1/intakes/{intake}/give"
parameters = { intake = %q }
[[operations]]
include-path = "/api/v1/intakes/{intake}/deny"
parameters = { intake = %q }
`, first.Handle, lease.ID, changed.Handle, asked[0], waits.Items[0].ID, runs.Items[0].Subject, asked[1], asked[2])
}

// TestTheAPIUnderFuzz has schemathesis try the real daemon by the API's own description: no fault of ours (5xx), no reply that is not as described, no body taken that the
// description forbids, no call without a token; and every operation is reached, with something that it is for. Locking is left out, for it ends the rest; so is what the description cannot say: which of the values that it allows are good.
func TestTheAPIUnderFuzz(t *testing.T) {
	t.Parallel()
	p := atProvider(t)
	url, _ := p.listens()
	var agent struct{ Token string }
	if err := json.Unmarshal([]byte(p.ok("agent", "add", "fuzz", "--role", "operator", "--scope", "read,write,admin", "--per-minute", "1000000", "--json")), &agent); err != nil {
		t.Fatal(err)
	}
	dir := shortDir(t)
	config := "color = false\nheaders = { Authorization = \"Bearer ${ZVH_FUZZ_TOKEN}\" }\n" + somethingOfEach(p) +
		"[checks.negative_data_rejection]\nexpected-statuses = [400, 401, 403, 404, 405, 406, 409, 412, 415, 422, 428, 429]\n" // RFC 9110, 13.2.1: If-Match is looked at before the body
	if err := os.WriteFile(filepath.Join(dir, "schemathesis.toml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	examples := "8"
	if os.Getenv("ZAVHOZ_LONG") != "" {
		examples = "200"
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, schemathesis(t), "--config-file", "schemathesis.toml", "run", url+"/api/v1/openapi.json", "--url", url,
		"--phases", "examples,coverage,fuzzing", "--max-examples", examples, "--generation-deterministic", "--workers", "1", "--request-timeout", "30",
		"--exclude-path", "/api/v1/lock", "--exclude-checks", "positive_data_acceptance", "--suppress-health-check", "all")
	c.Dir, c.Env = dir, append(cleanEnv(), "ZVH_FUZZ_TOKEN="+agent.Token, "NO_PROXY=*", "HOME="+dir)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, strings.ReplaceAll(string(out), agent.Token, "[token]"))
	}
	if n := passed.FindSubmatch(out); n == nil || string(n[1]) != string(n[2]) || len(n[1]) < 4 {
		t.Errorf("schemathesis did not pass a thousand cases:\n%s", out)
	}
	if strings.Contains(string(out), "returned only 401/403") || strings.Contains(string(out), "returned 404") { // its own word for operations whose good path it never saw
		t.Errorf("schemathesis did not reach every operation:\n%s", out)
	}
	if strings.Contains(string(out), "correct-horse-battery") {
		t.Error("a reply holds a value")
	}
	p.ok("audit", "verify")
}
