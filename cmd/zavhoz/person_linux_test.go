package main

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/run/ssh/sshtest"
)

const phrase = "open sesame, said the person"

func TestInitAsksForAPassphraseTwice(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	tm := p.sit()
	tm.types("zavhoz init")
	tm.expect("Operator passphrase (empty for none): ")
	tm.types("short")
	tm.expect("At least 8 characters")
	tm.expect("Operator passphrase (empty for none): ")
	tm.types(phrase)
	tm.expect("The same again: ")
	tm.types(phrase + "!")
	tm.expect("They differ")
	tm.expect("Operator passphrase (empty for none): ")
	tm.types(phrase)
	tm.expect("The same again: ")
	tm.types(phrase)
	tm.expect("Make one, and show it? [y/N] ")
	tm.types("y")
	identity := strings.Fields(tm.expect("With it and vault.db"))
	tm.expect("operator passphrase: set")
	tm.expect("> ")
	tm.never(phrase)
	if !p.status().Presence {
		t.Fatal("init set no passphrase")
	}
	i := slices.IndexFunc(identity, func(w string) bool { return strings.HasPrefix(w, "AGE-SECRET-KEY-1") })
	if i < 0 {
		t.Fatalf("no recovery identity is shown: %q", identity)
	}
	found := p.write("recovery.txt", identity[i]+"\n")
	tm.types("zavhoz key check " + found)
	tm.expect("Operator passphrase: ")
	tm.types(phrase)
	tm.expect("by the slot recovery")
	tm.expect("> ")
	// a second init refuses before it asks
	if shown, code := tm.do("zavhoz init"); code != 4 || strings.Contains(shown, "passphrase") {
		t.Fatalf("exit %d: %s", code, shown)
	}
}

func TestInitWithAnEmptyPassphrase(t *testing.T) {
	p := newPlace(t)
	tm := p.sit()
	tm.types("zavhoz init")
	tm.expect("Operator passphrase (empty for none): ")
	tm.types("")
	tm.expect("Make one, and show it? [y/N] ")
	tm.types("")
	tm.expect("operator passphrase: none")
	if p.status().Presence {
		t.Fatal("an empty passphrase was set")
	}
}

func TestInterruptAtAPromptGivesTheTerminalBack(t *testing.T) {
	p := newPlace(t)
	tm := p.sit()
	tm.types("zavhoz init; echo \"[exit $?]\"")
	tm.expect("\n")
	tm.expect("Operator passphrase (empty for none): ")
	tm.press("half a phrase\x03")
	tm.expect("canceled")
	tm.expect("[exit 1]")
	tm.expect("> ")
	tm.types("echo visible again")
	tm.expect("echo visible again") // echoed: the terminal is as it was
	tm.expect("visible again")
	if _, err := os.Stat(p.dir.Path()); !os.IsNotExist(err) {
		t.Fatalf("an interrupted init left something behind: %v", err)
	}
}

func TestMissingSecretsAreAskedWithoutEcho(t *testing.T) {
	p := initialised(t)
	tm := p.sit()
	const token = "123456789:AAExampleTokenOfThirtyFiveCharsxxxx"
	tm.types("zavhoz resource add telegram_bot weather_bot --set username=@weather_bot")
	tm.expect("token (")
	tm.expect("): ")
	tm.types(token)
	tm.expect("Added weather_bot")
	tm.expect("> ")
	tm.never("AAExample")

	// what has several lines is asked for as a file
	if shown, code := tm.do("zavhoz resource add github_app builder --set app_id=123456"); code != 2 || !strings.Contains(shown, "private_key=@FILE") {
		t.Fatalf("exit %d: %s", code, shown)
	}
	// a removal is asked about, and no is the default
	tm.types("zavhoz resource rm weather_bot")
	tm.expect("[y/N] ")
	tm.types("")
	tm.expect("nothing was changed")
	tm.expect("> ")
	p.ok("resource", "show", "weather_bot")
	tm.types("zavhoz resource rm weather_bot")
	tm.expect("[y/N] ")
	tm.types("y")
	tm.expect("Removed weather_bot")
}

func TestPresenceIsAskedAndRememberedForThisTerminalAlone(t *testing.T) {
	t.Parallel()
	p := initialised(t)
	p.okIn("correct-horse-battery", "resource", "add", "generic", "one", "--set", "env=ONE", "--secret", "value=-")
	p.okIn(phrase+"\n", "presence", "set", "--operator-passphrase-from", "-")

	mine := p.sit()
	mine.types("zavhoz run one --open -- sh -c 'echo \"got ${#ONE}\"'; echo \"[exit $?]\"")
	mine.expect("\n")
	mine.expect("Operator passphrase: ")
	mine.types("not the passphrase")
	mine.expect("That is not it.")
	mine.expect("Operator passphrase: ")
	mine.types(phrase)
	mine.expect("got 21")
	mine.expect("[exit 0]")
	mine.expect("> ")

	// remembered here
	if shown, code := mine.do("zavhoz run one --open -- sh -c 'echo \"again ${#ONE}\"'"); code != 0 || !strings.Contains(shown, "again 21") {
		t.Fatalf("exit %d: %s", code, shown)
	}
	// also where standard input is a file
	if shown, code := mine.do("echo another-value-123 | zavhoz resource edit one --secret value=-"); code != 0 || strings.Contains(shown, "passphrase") {
		t.Fatalf("exit %d: %s", code, shown)
	}
	// not for another program on this terminal: an agent's shell has another parent
	if shown, code := mine.do("sh -c 'zavhoz run one --open -- true </dev/null 2>out; x=$?; cat out; exit $x'"); code != 125 || !strings.Contains(shown, "presence_required") {
		t.Fatalf("exit %d: %s", code, shown)
	}
	// nor for an agent that the person's own shell started, and that brings a program of its own to speak to the socket
	if shown, code := mine.do("mkdir -p agent && cp \"$(command -v zavhoz)\" agent/ && agent/zavhoz run one --open -- true </dev/null 2>out; x=$?; cat out; (exit $x)"); code != 125 || !strings.Contains(shown, "presence_required") {
		t.Fatalf("exit %d: %s", code, shown)
	}
	// nor in the background, where nobody types
	if shown, code := mine.do("set -m; zavhoz run one --open -- true </dev/null 2>out & wait $!; x=$?; cat out; (exit $x)"); code != 125 || !strings.Contains(shown, "presence_required") {
		t.Fatalf("exit %d: %s", code, shown)
	}
	if shown, code := mine.do("zavhoz run one --open -- true"); code != 0 || strings.Contains(shown, "passphrase") {
		t.Fatalf("the person's own, exit %d: %s", code, shown)
	}
	// nor on another terminal
	other := p.sit()
	other.types("zavhoz run one --open -- true; echo \"[exit $?]\"")
	other.expect("\n")
	other.expect("Operator passphrase: ")
	other.press("\x03")
	other.expect("[exit 125]")
	// nor without one
	if r := p.run("", "run", "one", "--open", "--", "true"); r.code != 125 || !strings.Contains(r.stderr, "presence_required") {
		t.Fatal(r)
	}
	// asked at the terminal where standard input brings a value
	other.expect("> ")
	other.types("echo third-value-12345 | zavhoz resource edit one --secret value=-")
	other.expect("Operator passphrase: ")
	other.types(phrase)
	other.expect("Changed one")
	// three wrong ones are enough
	third := p.sit()
	third.types("zavhoz agent add ci; echo \"[exit $?]\"")
	third.expect("\n")
	for range 3 {
		third.expect("Operator passphrase: ")
		third.types("not the passphrase")
	}
	third.expect("[exit 5]")
	for _, tm := range []*terminal{mine, other, third} {
		tm.never(phrase)
		tm.never("not the passphrase")
	}
	// a changed passphrase forgets every terminal
	mine.types("zavhoz presence set")
	mine.expect("New operator passphrase: ")
	mine.types(phrase + " 2")
	mine.expect("The same again: ")
	mine.types(phrase + " 2")
	mine.expect("is set")
	mine.expect("> ")
	mine.types("zavhoz run one --open -- true")
	mine.expect("Operator passphrase: ")
}

func TestHostKeyNeedsConsent(t *testing.T) {
	srv := sshtest.Start(t, sshtest.Options{})
	p := initialised(t)
	host, key := p.write("host", srv.Host), p.write("key", string(srv.Key))
	p.ok("resource", "add", "server", "vps", "--set", "user="+srv.User, "--set", "port="+strconv.Itoa(srv.Port), "--secret", "host=@"+host, "--secret", "ssh_key=@"+key)

	// nobody there to agree
	r := p.run("", "resource", "edit", "vps", "--pin-host-key")
	if r.code != 5 || !strings.Contains(r.stderr, "SHA256:") || !strings.Contains(r.stderr, "host_key_unknown") {
		t.Fatal(r)
	}
	tm := p.sit()
	tm.types("zavhoz resource edit vps --pin-host-key; echo \"[exit $?]\"")
	tm.expect("\n")
	tm.expect("SHA256:")
	tm.expect("[y/N] ")
	tm.types("n")
	tm.expect("[exit 1]")
	tm.expect("> ")
	if out := p.ok("resource", "show", "vps"); strings.Contains(out, "host_key") {
		t.Fatalf("pinned without consent:\n%s", out)
	}
	tm.types("zavhoz resource edit vps --pin-host-key")
	tm.expect("[y/N] ")
	tm.types("yes")
	tm.expect("Changed vps")
	if out := p.ok("resource", "show", "vps", "--json"); !strings.Contains(out, strings.Fields(srv.HostKey)[1]) {
		t.Fatalf("the host key is not pinned:\n%s", out)
	}
	tm.never(srv.Host)
	// and now an agent's command runs there
	d := p.open()
	d.greet()
	var run struct {
		ExitCode *int `json:"exit_code"`
		Stdout   string
	}
	d.tool("run_with_resource", map[string]any{"resources": []string{"vps"}, "command": []string{"ssh", "vps", "echo", "hello from there"}}, &run)
	if run.ExitCode == nil || *run.ExitCode != 0 || run.Stdout != "hello from there\n" {
		t.Fatalf("%+v", run)
	}
}

func TestRunGivesATerminalToItsCommand(t *testing.T) {
	p := initialised(t)
	p.okIn("correct-horse-battery", "resource", "add", "generic", "one", "--set", "env=ONE", "--secret", "value=-")
	tm := p.sit()
	if shown, _ := tm.do("zavhoz run one --open --tty -- sh -c 'test -t 0 && test -t 1 && test -t 2 && echo all three'"); !strings.Contains(shown, "all three") {
		t.Fatal(shown)
	}
	if shown, _ := tm.do("zavhoz run one --open -- sh -c 'test -t 0 && ! test -t 1 && echo \"only the first $ONE\"'"); !strings.Contains(shown, "only the first [redacted:one.value]") {
		t.Fatal(shown)
	}
	// what is typed at the keyboard is the command's: an interrupt it survives does not end the run
	tm.types("zavhoz run one --open -- sh -c 'trap \"echo caught\" INT; echo ready; read x; echo \"then $x\"'; echo \"[exit $?]\"")
	tm.expect("\n")
	tm.expect("ready")
	tm.press("\x03")
	tm.expect("caught")
	tm.types("done")
	tm.expect("then ")
	tm.expect("[exit 0]")
	tm.never("correct-horse")
}
