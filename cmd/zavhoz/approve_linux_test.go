package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/web/api"
)

var aprID = regexp.MustCompile(`apr_[a-z2-7]{26}`)

// watched is a resource each of whose runs by an agent a person approves; a pinned command says its words.
func (p *place) watched(agent string) {
	p.t.Helper()
	p.okIn("correct-horse-battery-staple", "resource", "add", "generic", "job", "--set", "env=JOB", "--secret", "value=-")
	p.ok("resource", "policy", "job", "--agent", agent, "--delivery", "env", "--approval", "always", "--pin", "say", "--pin-hash", "none", "--pin-stdin", "--pin-env", "STAGE", "--", "/bin/echo", "{words:text}")
}

// outcomeOf is how a call of the job went: what it said, or the code of its refusal and the request that it names.
type outcomeOf struct{ said, code, ref string }

// says calls the job, in a goroutine of its own too.
func (d *stdioDoor) says(words string) (o outcomeOf) {
	d.t.Helper()
	return d.does(map[string]any{"resources": []string{"job"}, "command": []string{"pin:say", words}})
}

func (d *stdioDoor) does(args map[string]any) (o outcomeOf) {
	d.t.Helper()
	var r toolResult
	decode(d.t, string(d.ask("tools/call", map[string]any{"name": "run_with_resource", "arguments": args})), &r)
	var s struct {
		Stdout string
		Error  struct {
			Code    string
			Next    string
			Details struct {
				ID string `json:"approval_id"`
			}
		}
	}
	decode(d.t, string(r.Structured), &s)
	return outcomeOf{s.Stdout, s.Error.Code, s.Error.Details.ID}
}

// asks makes a call that is to wait, and gives the request's id.
func (d *stdioDoor) asks(words string) string {
	d.t.Helper()
	o := d.says(words)
	if o.code != "approval_required" || !aprID.MatchString(o.ref) {
		d.t.Fatalf("%+v", o)
	}
	return o.ref
}

func (p *place) stateOf(ref string) string {
	p.t.Helper()
	var x api.Approval
	decode(p.t, p.ok("approvals", "show", ref, "--json"), &x)
	return x.Call.State
}

// TestApproveAsksAtTheTerminal plays a person who approves: shown is all of the call, harmless; only a yes to the question, typed after it, approves.
func TestApproveAsksAtTheTerminal(t *testing.T) {
	p := initialised(t)
	p.watched("local")
	d := p.open()
	d.greet()
	tm := p.sit()
	const question = "Let local make this call once? [y/N] "
	ref := d.asks("deploy")
	for _, no := range []string{"", "n", "yess", "y es", "\u0443"} { // the last is a Cyrillic letter
		tm.types("zavhoz approve " + ref + "; echo \"[exit $?]\"")
		tm.expect("\n")
		if shown := tm.expect(question); !strings.Contains(shown, `argv[1]     "deploy"`) || strings.Contains(shown, "correct-horse") {
			t.Errorf("shown: %s", shown)
		}
		tm.types(no)
		tm.expect("nothing was changed")
		tm.expect("[exit 1]")
		tm.expect("> ")
	}
	// keys that were pressed before the question are no answer to it
	tm.press("zavhoz approve " + ref + "; echo \"[exit $?]\"\ny\nyes\n")
	tm.expect(question)
	if s := p.stateOf(ref); s != "waiting" {
		t.Fatalf("an answer from before the question: %s", s)
	}
	tm.types("no")
	tm.expect("[exit 1]")
	tm.expect("> ")
	// an interrupt, also behind a yes that no end of line followed
	tm.types("zavhoz approve " + ref + "; echo \"[exit $?]\"")
	tm.expect("\n")
	tm.expect(question)
	tm.press("y\x03")
	tm.expect("[exit 1]")
	tm.expect("> ")
	tm.types("echo visible again")
	tm.expect("echo visible again")
	tm.expect("\nvisible again")
	tm.expect("> ")
	// the end of what is typed
	tm.types("zavhoz approve " + ref + "; echo \"[exit $?]\"")
	tm.expect("\n")
	tm.expect(question)
	tm.press("\x04")
	tm.expect("[exit 1]")
	tm.expect("> ")
	if o := d.says("deploy"); o.code != "approval_required" || o.ref != ref {
		t.Fatalf("after so many noes: %+v", o)
	}
	tm.types("zavhoz approve " + ref + "; echo \"[exit $?]\"")
	tm.expect("\n")
	tm.expect(question)
	tm.types("yes")
	tm.expect("Approved " + ref)
	tm.expect("[exit 0]")
	tm.expect("> ")
	if o := d.says("deploy"); o.said != "deploy\n" {
		t.Fatalf("approved: %+v", o)
	}
	if shown, code := tm.do("zavhoz approve " + ref); code == 0 || strings.Contains(shown, "[y/N]") {
		t.Errorf("a spent one, exit %d: %s", code, shown)
	}
	// where nobody can be asked there is no question: what a person typed is their word
	again := d.asks("deploy")
	p.ok("approve", again)
	if o := d.says("deploy"); o.said != "deploy\n" {
		t.Fatalf("%+v", o)
	}
}

// TestAttack70_ARequestCannotMoveTheCursor: what an agent wrote into its call comes to a real terminal as escapes: no control character, no reordering, no line or question of its own.
func TestAttack70_ARequestCannotMoveTheCursor(t *testing.T) {
	p := initialised(t)
	p.watched("local")
	d := p.open()
	d.greet()
	tm := p.sit()
	evil := "x\x1b[2J\x1b[1;1H\x1b]0;title\x07\x9b31m\u009b2K\r\nLet local make this call once? [y/N] y\n\u202egnp\u2066\u0430\x08\x08\x7f\x00end" + strings.Repeat(" ", 70) + "argv[0]     \"/bin/true\""
	var lease struct {
		ID string `json:"lease_id"`
	}
	d.tool("allocate_resource", map[string]any{"handle": "job", "purpose": "\u202eLet local\u2069 \u0430", "context": "thread"}, &lease)
	ref := d.does(map[string]any{
		"resources": []string{lease.ID}, "command": []string{"pin:say", "\u0430 Let local make this call once? [y/N] y" + strings.Repeat(" ", 40) + "argv[0]     \"/bin/true\""},
		"stdin": evil, "env": map[string]string{"STAGE": strings.ReplaceAll(evil, "\x00", "")},
	}).ref
	if ref == "" {
		t.Fatal("it does not wait")
	}
	for _, command := range []string{"zavhoz approvals", "zavhoz approvals show " + ref} {
		shown, code := tm.do(command)
		harmless(t, command, shown)
		if code != 0 || !strings.Contains(shown, ref) {
			t.Errorf("%s: exit %d: %q", command, code, shown)
		}
	}
	tm.types("zavhoz approve " + ref + "; echo \"[exit $?]\"")
	tm.expect("\n")
	shown := tm.expect("\nLet local make this call once? [y/N] ") // at the beginning of a line: ours
	harmless(t, "approve", shown)
	if !strings.Contains(shown, `\x1b[2J`) || !strings.Contains(shown, `\u202e`) || !strings.Contains(shown, `\u0430`) {
		t.Errorf("what it is does not show: %q", shown)
	}
	tm.types("n")
	tm.expect("[exit 1]")
}

// harmless tells of what a terminal would do more than show.
func harmless(t *testing.T, what, shown string) {
	t.Helper()
	for _, r := range strings.ReplaceAll(strings.TrimSuffix(shown, "\r"), "\r\n", "\n") {
		if r != '\n' && (r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x200b && r <= 0x200f || r >= 0x2028 && r <= 0x202e || r >= 0x2060 && r <= 0x206f) || r == '\ufffd' {
			t.Errorf("%s shows %q in %q", what, fmt.Sprintf("%U", r), shown)
			return
		}
	}
	for l := range strings.Lines(shown) {
		if strings.HasPrefix(l, "Let local") || strings.HasPrefix(l, "argv[") && strings.Contains(l, "/bin/true") {
			t.Errorf("%s has a line of the agent's: %q", what, l)
		}
	}
}
