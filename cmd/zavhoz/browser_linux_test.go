package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// browserScript is a script beside the browser that testdata/needs/install installed: modules are looked for where the script is.
func browserScript(t *testing.T, name string) (dir, script string) {
	t.Helper()
	needs := filepath.Join("..", "..", "testdata", "needs", "browser")
	lock, err := os.ReadFile(filepath.Join(needs, "package-lock.json"))
	if err != nil {
		t.Fatal(err)
	}
	cache, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(lock)
	installed := filepath.Join(filepath.Dir(strings.TrimSpace(string(cache))), "zavhoz-needs", "browser-"+hex.EncodeToString(sum[:])[:16])
	if _, err := os.Stat(filepath.Join(installed, "complete")); err != nil {
		t.Fatal("the browser is not there: run testdata/needs/install")
	}
	dir = shortDir(t)
	text, err := os.ReadFile(filepath.Join(needs, name))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name), text, 0o600)
	}
	if err == nil {
		err = os.Symlink(filepath.Join(installed, "node_modules"), filepath.Join(dir, "node_modules"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir, filepath.Join(dir, name)
}

// TestAPersonGivesASecretInABrowser: an agent asks, a person makes a code, another opens the link in a real browser, and the agent's run has the secret, by stand-in. What the browser sends, shows and
// keeps is looked at: a form says where it comes from, the pages load nothing from elsewhere, and the value is in none of them, nor in the browser's way back.
func TestAPersonGivesASecretInABrowser(t *testing.T) {
	t.Parallel()
	p := initialised(t)
	url, _ := p.listens()
	p.ok("project", "create", "shop")
	var agent struct{ Token string }
	decode(t, p.ok("agent", "add", "ci", "--projects", "shop", "--json"), &agent)
	d := p.open("ZAVHOZ_AGENT_TOKEN=" + agent.Token)
	d.greet()
	ask := map[string]any{"project": "shop", "key": "STRIPE_SECRET", "reason": "to charge cards"}
	var asked struct {
		State, Link string
		ID          string `json:"request_id"`
	}
	d.tool("request_secret", ask, &asked)
	if asked.State != "waiting" || asked.Link != url+"/intake/"+asked.ID {
		t.Fatalf("%+v at %s", asked, url)
	}
	var made struct{ Code, Link string }
	decode(t, p.ok("intake", "code", asked.ID, "--json"), &made)
	const value = "sk_live_correct-horse-battery-staple"
	dir, script := browserScript(t, "intake.mjs")
	c := exec.CommandContext(t.Context(), "node", script, made.Link, "AAAA-BBBB-CCCC-DDDD", made.Code)
	c.Env, c.Stdin = append(cleanEnv(), "HOME="+dir, "TMPDIR="+dir), strings.NewReader(value)
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, exitText(err))
	}
	var saw struct {
		Seen, Complaints, Requested []string
		Masked, Styled              string
		Kept                        bool
	}
	if err := json.Unmarshal(out, &saw); err != nil || len(saw.Seen) != 5 {
		t.Fatalf("%v: %s", err, out)
	}
	for i, holds := range []string{"If all you have is this link", "That is not the code", "to charge cards", "in the vault, sealed", ""} {
		if !strings.Contains(saw.Seen[i], holds) {
			t.Errorf("page %d: %q, want %q", i, saw.Seen[i], holds)
		}
	}
	for i, before := range saw.Seen[:2] {
		if strings.Contains(before, "STRIPE") || strings.Contains(before, "shop") {
			t.Errorf("page %d tells before the code: %q", i, before)
		}
	}
	if strings.Contains(string(out), "correct-horse") || saw.Kept {
		t.Errorf("the value is shown, or kept: %s", out)
	}
	if saw.Masked != "disc" || saw.Styled == "none" {
		t.Errorf("masked %q, styled %q", saw.Masked, saw.Styled)
	}
	for _, r := range saw.Requested {
		if !strings.Contains(r, " "+url+"/intake/") || strings.HasPrefix(r, "POST") && !strings.HasSuffix(r, " from "+url) {
			t.Errorf("the browser asked: %s", r)
		}
	}
	for _, line := range saw.Complaints {
		if !strings.Contains(line, "401") && !strings.HasPrefix(line, "Autofocus processing was blocked") { // of the wrong code; and of who types sooner than a busy machine's browser focuses the field
			t.Errorf("the browser complains: %s", line)
		}
	}
	d.tool("request_secret", ask, &asked)
	if asked.State != "given" {
		t.Errorf("%+v", asked)
	}
	var env struct{ Outcome, Handle string }
	d.tool("resolve_environment", map[string]any{"project": "shop", "names": []string{"STRIPE_SECRET"}}, &env)
	if env.Outcome != "resolved" || env.Handle == "" {
		t.Errorf("%+v", env)
	}
}

// exitText is what a program said before it failed.
func exitText(err error) string {
	if x, ok := err.(*exec.ExitError); ok {
		return string(x.Stderr)
	}
	return ""
}
