//go:build unix

package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
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

// TestTheAPIUnderFuzz has schemathesis try the real daemon by the API's own description: no fault of ours (5xx), no reply that is not as described, no body taken that the
// description forbids, no call without a token. Locking is left out, for it ends the rest; so is what the description cannot say: which of the values that it allows are good.
func TestTheAPIUnderFuzz(t *testing.T) {
	p, url := onHTTP(t)
	var agent struct{ Token string }
	if err := json.Unmarshal([]byte(p.ok("agent", "add", "fuzz", "--role", "operator", "--scope", "read,write,admin", "--per-minute", "1000000", "--json")), &agent); err != nil {
		t.Fatal(err)
	}
	p.ok("project", "create", "bot")
	p.addGeneric("one", "correct-horse-battery")
	dir := shortDir(t)
	config := "color = false\nheaders = { Authorization = \"Bearer ${ZVH_FUZZ_TOKEN}\" }\nparameters = { id = \"bot\", key = \"A\" }\n"
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
	if strings.Contains(string(out), "correct-horse-battery") {
		t.Error("a reply holds a value")
	}
	p.ok("audit", "verify")
}
