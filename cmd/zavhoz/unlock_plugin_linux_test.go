package main

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/web/api"
)

// pinned is a place whose vault has a slot of a plugin that wants a PIN, and the plugin's identity file beside the home.
func pinned(t *testing.T) (p *place, file string) {
	t.Helper()
	p = initialised(t)
	made, err := exec.Command("age-plugin-mirror", "-keygen", "-pin").Output()
	if err != nil {
		t.Fatal(err)
	}
	p.ok("key", "add", strings.Fields(strings.SplitN(string(made), "\n", 2)[0])[3], "--label", "token")
	return p, p.write("pin.key", string(made))
}

// A plugin's PIN is asked for at the person's own terminal, and never by a daemon that nobody hears: by unlock, from the daemon's own identity file or another, and by key check.
func TestAPluginsPINIsAskedForAtTheTerminal(t *testing.T) {
	t.Parallel()
	p, file := pinned(t)
	if r := p.run("", "key", "check", file); r.code != 1 || !strings.Contains(r.stderr, "nobody is there to answer") || !strings.Contains(r.stderr, "terminal of your own") {
		t.Fatalf("key check without a terminal: %v", r)
	}
	tm := p.sit()
	answer := func(command, pin string) (shown string, code int) {
		t.Helper()
		tm.types(command + "; echo \"[exit $?]\"")
		tm.expect("\n")
		tm.expect("PIN of the mirror:")
		tm.types(pin)
		shown = tm.expect("[exit ")
		code = int(tm.expect("]")[0] - '0')
		tm.expect("> ")
		return shown, code
	}
	if shown, code := answer("zavhoz key check "+file, mirrorPIN); code != 0 || !strings.Contains(shown, "by the slot token") {
		t.Fatalf("key check: exit %d: %s", code, shown)
	}
	p.stop()
	b, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(p.dir.Identity(), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if r := p.run("", "resource", "list"); r.code != 6 || !strings.Contains(r.stderr, "vault_locked") { // the daemon starts, and waits for a person
		t.Fatalf("a daemon that nobody can answer: %v", r)
	}
	if r := p.run("", "unlock"); r.code != 6 || !strings.Contains(r.stderr, "--passphrase-from") || strings.Contains(r.stderr, "unlocks it: `zavhoz unlock`") {
		t.Fatalf("unlock without a terminal: %v", r)
	}
	if shown, code := answer("zavhoz unlock", "not the pin"); code == 0 || !p.status().Locked || !strings.Contains(shown, "did not do its part") {
		t.Fatalf("a wrong PIN: exit %d: %s", code, shown)
	}
	if shown, code := answer("zavhoz unlock", mirrorPIN); code != 0 || !strings.Contains(shown, "unlocked, by the identity") {
		t.Fatalf("exit %d: %s", code, shown)
	}
	if shown, code := tm.do("zavhoz unlock"); code != 0 || !strings.Contains(shown, "unlocked already") { // and nobody is asked again
		t.Fatalf("exit %d: %s", code, shown)
	}
	p.ok("lock")
	if shown, code := answer("zavhoz unlock --identity "+file, mirrorPIN); code != 0 || p.status().Locked {
		t.Fatalf("exit %d: %s", code, shown)
	}
	var k api.Keys
	decode(t, p.ok("key", "list", "--json"), &k)
	for _, s := range k.Slots {
		if s.Unlocks != (s.Label == "token") {
			t.Errorf("unlocked by %+v", s)
		}
	}
	tm.never(mirrorPIN)
}

// The PIN is asked for once, and the operator's presence besides; an identity that a passphrase encrypts is opened here, too. A Ctrl-C at the PIN gives the terminal back.
func TestAPluginsPINAndPresence(t *testing.T) {
	t.Parallel()
	p, file := pinned(t)
	p.okIn(phrase+"\n", "presence", "set", "--operator-passphrase-from", "-")
	p.ok("lock")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.dir.Identity(), sealedBy(t, phrase, b), 0o600); err != nil {
		t.Fatal(err)
	}
	tm := p.sit()
	before := tm.settings()
	tm.types("zavhoz unlock")
	tm.expect("\n")
	tm.expect("Passphrase of the identity file: ")
	tm.types(phrase)
	tm.expect("PIN of the mirror:")
	tm.press("\x03")
	tm.expect("> ")
	if after := tm.settings(); after != before {
		t.Errorf("the terminal is left as %q, was %q", after, before)
	}
	tm.types("zavhoz unlock")
	tm.expect("\n")
	tm.expect("Passphrase of the identity file: ")
	tm.types(phrase)
	tm.expect("PIN of the mirror:")
	tm.types(mirrorPIN)
	if shown := tm.expect("Operator passphrase: "); strings.Contains(shown, "PIN of") {
		t.Errorf("asked twice: %s", shown)
	}
	tm.types(phrase)
	tm.expect("unlocked, by the identity")
	tm.expect("> ")
	if p.status().Locked {
		t.Error("still locked")
	}
	tm.never(mirrorPIN)
	tm.never(phrase)
}

// sealedBy encrypts an identity file as age -p does.
func sealedBy(t *testing.T, word string, text []byte) []byte {
	t.Helper()
	r, err := age.NewScryptRecipient(word)
	if err != nil {
		t.Fatal(err)
	}
	r.SetWorkFactor(10)
	var out bytes.Buffer
	w, err := age.Encrypt(&out, r)
	if err == nil {
		_, err = w.Write(text)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// An identity.txt with a passphrase unlocks without being named: its passphrase is asked for, not the vault's, which there may be none of.
func TestUnlockAsksForTheWordOfTheFile(t *testing.T) {
	p := initialised(t)
	p.ok("lock")
	b, err := os.ReadFile(p.dir.Identity())
	if err == nil {
		err = os.WriteFile(p.dir.Identity(), sealedBy(t, phrase, b), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	tm := p.sit()
	tm.types("zavhoz unlock")
	tm.expect("\n")
	tm.expect("Passphrase of the identity file: ")
	tm.types(phrase)
	tm.expect("unlocked, by the identity")
	tm.expect("> ")
	tm.never(phrase)
}
