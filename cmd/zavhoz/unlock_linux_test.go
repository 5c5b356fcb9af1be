package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A person unlocks at their terminal: the vault's passphrase is asked for without echo, and where the key is a file, the operator's.
func TestUnlockAtATerminal(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.okIn(phrase+"\n", "init", "--unlock", "passphrase", "--passphrase-from", "-")
	tm := p.sit()
	tm.types("zavhoz unlock; echo \"[exit $?]\"")
	tm.expect("\n")
	tm.expect("Passphrase of the vault: ")
	tm.types("not the passphrase")
	tm.expect("That is not it.")
	tm.expect("Passphrase of the vault: ")
	tm.types(phrase)
	tm.expect("unlocked, by the passphrase")
	tm.expect("[exit 0]")
	tm.expect("> ")
	tm.never(phrase)

	q := initialised(t)
	q.okIn(phrase+"\n", "presence", "set", "--operator-passphrase-from", "-")
	q.ok("lock")
	tm = q.sit()
	tm.types("zavhoz unlock")
	tm.expect("\n")
	tm.expect("Operator passphrase: ")
	tm.types(phrase)
	tm.expect("unlocked, by the file")
	tm.expect("> ")
	if shown, code := tm.do("zavhoz agent add ci >/dev/null"); code != 0 || strings.Contains(shown, "passphrase") { // this seat has proven it
		t.Errorf("exit %d: %s", code, shown)
	}
}

// An age plugin's key proves presence: over a guarded act, and over an unlocking.
func TestPresenceByAPluginsKey(t *testing.T) {
	t.Parallel()
	p := initialised(t)
	made, err := exec.Command("age-plugin-mirror", "-keygen").Output()
	if err != nil {
		t.Fatal(err)
	}
	file := p.write("mirror.key", string(made))
	recipient := strings.Fields(strings.SplitN(string(made), "\n", 2)[0])[3]
	if r := p.run("", "presence", "set", "--by", "plugin", "--identity", file, "--recipient", recipient); r.code != 5 { // nobody is there to use the key
		t.Fatalf("%v", r)
	}
	native := p.write("native.key", "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX\n")
	if r := p.run("", "presence", "set", "--by", "plugin", "--identity", native, "--recipient", recipient); r.code != 2 {
		t.Fatalf("a key that lies in a file: %v", r)
	}
	tm := p.sit()
	if shown, code := tm.do("zavhoz presence set --by plugin --identity " + file + " --recipient " + recipient); code != 0 {
		t.Fatalf("exit %d: %s", code, shown)
	}
	if s := p.status(); !s.Presence || s.PresenceBy != "plugin" {
		t.Fatalf("%+v", s)
	}
	if r := p.run("", "agent", "add", "ci"); r.code != 5 || !strings.Contains(r.stderr, "presence_required") {
		t.Fatalf("no terminal: %v", r)
	}
	if shown, code := tm.do("zavhoz agent add ci >/dev/null"); code != 0 || !strings.Contains(shown, "touch it") {
		t.Fatalf("exit %d: %s", code, shown)
	}
	p.ok("lock")
	if r := p.run("", "unlock"); r.code != 5 {
		t.Fatalf("unlock without a terminal: %v", r)
	}
	if shown, code := tm.do("zavhoz unlock"); code != 0 || !strings.Contains(shown, "unlocked, by the file") {
		t.Fatalf("exit %d: %s", code, shown)
	}
	p.stop() // no daemon: the command itself asks the key
	if r := p.run("", "compact"); r.code != 5 || !strings.Contains(r.stderr, "presence_required") {
		t.Fatalf("compact without a terminal: %v", r)
	}
	if shown, code := tm.do("zavhoz compact"); code != 0 || !strings.Contains(shown, "touch it") {
		t.Fatalf("exit %d: %s", code, shown)
	}
}

// A daemon without a keyring says so, and makes no home whose key is nowhere.
func TestNoKeyringNoHome(t *testing.T) {
	p := newPlace(t)
	p.env = append(p.env, "DBUS_SESSION_BUS_ADDRESS=unix:path=/nonexistent")
	if r := p.run("", "init", "--unlock", "keyring"); r.code == 0 || !strings.Contains(r.stderr, "not_supported") {
		t.Fatalf("without a keyring: %v", r)
	}
	if _, err := os.Stat(p.dir.Path()); err == nil {
		t.Error("a home was made whose key is nowhere")
	}
}

// The system's keyring is a real one: gnome-keyring's Secret Service, on a bus of the test's own.
func TestTheKeyIsInTheSystemsKeyring(t *testing.T) {
	p := newPlace(t)
	script := `set -e
mkdir -p "$XDG_DATA_HOME"; export HOME="$XDG_DATA_HOME"
eval $(printf pw | gnome-keyring-daemon --unlock --components=secrets 2>/dev/null)
zavhoz init --unlock keyring
test ! -e "$ZAVHOZ_HOME/identity.txt"
zavhoz status --json | grep '"locked": false'
zavhoz lock; zavhoz unlock; zavhoz stop
zavhoz resource list
zavhoz stop
`
	c := exec.Command("dbus-run-session", "--", "sh", "-c", script)
	c.Env = append(p.env, "XDG_DATA_HOME="+filepath.Join(filepath.Dir(p.dir.Path()), "keyrings"))
	out, err := c.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "unlocked, by the keyring") || strings.Contains(string(out), "AGE-SECRET-KEY") {
		t.Fatalf("%v\n%s", err, out)
	}
	p.env = append(p.env, "DBUS_SESSION_BUS_ADDRESS=unix:path=/nonexistent") // the session is over
	if r := p.run("", "resource", "list"); r.code == 0 || !strings.Contains(r.stderr, "not_supported") {
		t.Fatalf("without a session: %v", r)
	}
}
