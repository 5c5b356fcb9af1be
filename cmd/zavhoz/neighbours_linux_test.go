package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestConnectTellsTheTruthAboutASharedUID asks of every client, on a vault without and with presence, with the key in a file and in a passphrase alone, and over a service's socket.
func TestConnectTellsTheTruthAboutASharedUID(t *testing.T) {
	t.Parallel()
	p := initialised(t)
	clients := []string{"claude-code", "codex", "cursor", "vscode", "langgraph"}
	says := func(p *place, client string, args ...string) (c connection, text string) {
		t.Helper()
		decode(t, p.ok(append([]string{"connect", client, "--json"}, args...)...), &c)
		return c, p.ok(append([]string{"connect", client}, args...)...)
	}
	holds := func(what, text string, want ...string) {
		t.Helper()
		for _, w := range want {
			if absent := strings.HasPrefix(w, "!"); strings.Contains(text, strings.TrimPrefix(w, "!")) == absent {
				t.Errorf("%s: %q: %s", what, w, text)
			}
		}
	}
	for _, client := range clients { // nothing runs, and nothing is started to find out
		c, text := says(p, client)
		if !c.SharedUID || c.Shell == "" || c.Loses == nil || !strings.Contains(c.Remedies[0], "service of the system") {
			t.Errorf("%s: %+v", client, c)
		}
		holds(client, text, c.Shell, "With your uid", "could not be looked up", "read the key", "What helps")
	}
	if held(p.dir.Vault()) {
		t.Error("connect started a daemon")
	}
	p.status()
	_, text := says(p, "codex")
	holds("no presence", text, "nothing asks for your presence", "reveal every secret", "zavhoz presence set", "read the key", "docs/install.md")
	p.okIn(phrase+"\n", "presence", "set", "--operator-passphrase-from", "-")
	c, text := says(p, "claude-code")
	holds("a passphrase", text, "asks for your presence (passphrase)", "read the key", "stop, lock and replace", "docs/install.md", "!nothing asks", "!presence set", "fence, not a wall")
	if c.Keeps == "" || slices.Contains(c.Remedies, "zavhoz presence set") {
		t.Errorf("%+v", c)
	}
	p.ok("lock") // a locked vault tells nothing of presence, and nothing is made up
	_, text = says(p, "codex")
	holds("locked", text, "could not be looked up")

	q := newPlace(t)
	q.okIn(phrase+"\n", "init", "--unlock", "passphrase", "--passphrase-from", "-")
	q.okIn(phrase+"\n", "unlock", "--passphrase-from", "-")
	_, text = says(q, "codex")
	holds("a passphrase opens the vault", text, "nothing asks for your presence", "!read the key", "!let a passphrase alone")

	// a service's socket: another user's keeps the shell apart; one of this user's, or seen by root, does not
	sock := filepath.Join(shortDir(t), "agent.sock")
	if err := os.WriteFile(sock, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c, text = says(p, "codex", "--socket", sock)
	if !c.SharedUID {
		t.Errorf("its own socket: %+v", c)
	}
	holds("its own socket", text, "With your uid")
}

// TestConnectOfAnotherUser: who has not the service's uid is told so.
func TestConnectOfAnotherUser(t *testing.T) {
	s := newService(t, serviceUID)
	c := s.as(agentUID, s.program("zavhoz"), "connect", "codex", "--socket", s.sock)
	c.Env = append(c.Env, "ZAVHOZ_HOME="+filepath.Join(s.root, "tmp", "h"))
	out, err := c.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Not of the daemon's uid: Codex's shell") || !strings.Contains(string(out), "agents' socket alone") || strings.Contains(string(out), "What helps") {
		t.Errorf("%v\n%s", err, out)
	}
}
