package run

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/run/capture"
	"github.com/zavhoz/zavhoz/run/sandbox"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/vault/secret"
)

const kept = "kept-canary-8c1f0e9d7b"

// proposing is an engine whose vault holds one secret, and a plan that a person approves.
func proposing(t *testing.T) (*Engine, func() (*plan, Request)) {
	e := New(Options{Secrets: func(_ context.Context, add func(string, secret.Secret)) error {
		add("vault.kept", secret.FromString(kept))
		return nil
	}})
	t.Cleanup(func() {
		if err := e.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return e, func() (*plan, Request) {
		uses := []vault.Use{{Asks: policy.ApprovalAlways, Lease: vault.Lease{ID: "lse_x", Purpose: "deploy with " + kept, Context: "thread\u202e 7"}}}
		return &plan{uses: uses, argv: []string{"/bin/tool", "a", "b"}, workdirs: []sandbox.Workdir{{Path: "/srv", Mode: sandbox.ReadOnly}}, dir: "/srv"},
			Request{Command: []string{"tool", "a", "b"}, Cwd: "/srv", Env: map[string]string{"A": "1", "B": "2"}, Stdin: []byte("in"), Timeout: time.Minute, Capture: &capture.Spec{Handle: "made", Kind: "generic", Fields: map[string]capture.Field{"value": {JSONPointer: "/a"}}}}
	}
}

// TestAttack70_WhatIsBoundIsTheWholeCall: whatever of a call may differ, what the word is bound to differs; two calls that are one are one.
func TestAttack70_WhatIsBoundIsTheWholeCall(t *testing.T) {
	e, same := proposing(t)
	bound := func(change func(*plan, *Request)) []byte {
		p, r := same()
		change(p, &r)
		got, err := e.propose(t.Context(), p, r)
		if err != nil || got == nil {
			t.Fatal(got, err)
		}
		return got.Call
	}
	first := bound(func(*plan, *Request) {})
	if !bytes.Equal(first, bound(func(*plan, *Request) {})) {
		t.Error("one call is two")
	}
	seen := map[string]string{string(first): "the call"}
	for what, change := range map[string]func(*plan, *Request){
		"a word":           func(_ *plan, r *Request) { r.Command[2] = "c" },
		"words cut anew":   func(_ *plan, r *Request) { r.Command = []string{"tool", "a b"} },
		"no UTF-8":         func(_ *plan, r *Request) { r.Command[2] = "\xff" },
		"other no UTF-8":   func(_ *plan, r *Request) { r.Command[2] = "\xfe" },
		"what a pin means": func(p *plan, _ *Request) { p.argv[2] = "c" },
		"the pin":          func(p *plan, _ *Request) { p.pin.Name = "other" },
		"folder":           func(_ *plan, r *Request) { r.Cwd = "/srv/app" },
		"mode of a folder": func(p *plan, _ *Request) { p.workdirs[0].Mode = sandbox.ReadWrite },
		"another folder": func(p *plan, _ *Request) {
			p.workdirs = append(p.workdirs, sandbox.Workdir{Path: "/a", Mode: sandbox.ReadOnly})
		},
		"a value":           func(_ *plan, r *Request) { r.Env["A"] = "3" },
		"a name":            func(_ *plan, r *Request) { delete(r.Env, "A"); r.Env["C"] = "1" },
		"values exchanged":  func(_ *plan, r *Request) { r.Env["A"], r.Env["B"] = "2", "1" },
		"no variables":      func(_ *plan, r *Request) { r.Env = nil },
		"input":             func(_ *plan, r *Request) { r.Stdin = []byte("in\x00") },
		"no input":          func(_ *plan, r *Request) { r.Stdin = nil },
		"time":              func(_ *plan, r *Request) { r.Timeout++ },
		"capture":           func(_ *plan, r *Request) { r.Capture.Fields["value"] = capture.Field{JSONPointer: "/b"} },
		"captured handle":   func(_ *plan, r *Request) { r.Capture.Handle = "other" },
		"captured for what": func(_ *plan, r *Request) { r.Capture.Purpose = "another" },
		"nothing captured":  func(_ *plan, r *Request) { r.Capture = nil },
		"a capture by name": func(_ *plan, r *Request) { r.Capture.Fields["value"] = capture.Field{Pattern: "/a"} },
	} {
		got := string(bound(change))
		if was := seen[got]; was != "" {
			t.Errorf("%s is bound as %s is", what, was)
		}
		seen[got] = what
	}
	if p, r := same(); true {
		p.uses[0].Asks = ""
		if got, err := e.propose(t.Context(), p, r); got != nil || err != nil {
			t.Error("a call that nobody is asked about is proposed")
		}
	}
}

// TestAttack70_WhatIsShownHidesNothing: of the whole call, however it is written: no secret, no letter that looks like another, nothing that moves or reorders, and every cut in sight, within a bound.
func TestAttack70_WhatIsShownHidesNothing(t *testing.T) {
	e, same := proposing(t)
	shown := func(change func(*plan, *Request)) vault.ApprovalCall {
		p, r := same()
		change(p, &r)
		got, err := e.propose(t.Context(), p, r)
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(got.Shown)
		if err != nil || bytes.Contains(b, []byte(kept[5:])) || len(b) > 64<<10 {
			t.Errorf("%v, %d bytes: %.300s", err, len(b), b)
		}
		return got.Shown
	}
	c := shown(func(p *plan, r *Request) {
		odd := "\u202e\x1b[31m\u0430\\\n\xff" + kept + "\""
		r.Command[1], r.Cwd, p.workdirs[0].Path, r.Env["A"], r.Stdin, r.Capture.Handle = odd, odd, odd, odd, []byte(odd), odd
	})
	want := `\u202e\x1b[31m\u0430\\\n\xff[redacted:vault.kept]"`
	for what, got := range map[string]string{"argv": c.Argv[1], "cwd": c.Cwd, "folder": strings.TrimPrefix(c.Folders[0], "ro "), "env": c.Env["A"], "stdin": c.Stdin.Text, "capture": strings.Fields(c.Capture)[1]} {
		if got != want {
			t.Errorf("%s is shown as %s", what, got)
		}
	}
	if c.Purpose != "deploy with [redacted:vault.kept]" || c.Context != `thread\u{202e} 7` || c.Stdin.Bytes == 0 || len(c.Stdin.SHA256) != 64 {
		t.Errorf("%+v", c)
	}
	c = shown(func(_ *plan, r *Request) { r.Capture.Purpose = "\u0434\u043b\u044f \u202e\n" + kept + "\x1b[2K" })
	if want := "generic made value=/a purpose: \u0434\u043b\u044f " + `\u{202e} [redacted:vault.kept]`; !strings.HasPrefix(c.Capture, want) || strings.ContainsAny(c.Capture, "\x1b\n\u202e") {
		t.Errorf("captured for: %q", c.Capture)
	}
	long := func(tail string) vault.ApprovalCall {
		return shown(func(_ *plan, r *Request) {
			r.Command = r.Command[:1]
			for range maxCommand - 2 {
				r.Command = append(r.Command, strings.Repeat("\u0430", 3000))
			}
			r.Command = append(r.Command, "a"+strings.Repeat("b", 9000)+tail)
			r.Stdin = bytes.Repeat([]byte{0xff}, maxStdin)
		})
	}
	a, b := long("x"), long("y")
	if n := len(a.Argv); n != shownElements+1 || !strings.Contains(a.Argv[n-1], "⟨192 more elements are not shown") || a.Argv[n-1] == b.Argv[n-1] {
		t.Errorf("%d: %q %q", n, a.Argv[n-1], b.Argv[n-1])
	}
	if !strings.Contains(a.Argv[1], " bytes are not shown; sha256 of all as shown: ") || !strings.Contains(a.Argv[shownElements-1], "⟨") || !strings.Contains(a.Stdin.Text, "⟨") {
		t.Errorf("%.100q %.100q", a.Argv[1], a.Stdin.Text)
	}
	if got := shown(func(_ *plan, r *Request) { r.Command[1] = "⟨3 bytes are not shown⟩" }).Argv[1]; strings.ContainsAny(got, "⟨⟩") {
		t.Errorf("a cut is made up: %s", got)
	}
}

// TestADenialsWordsAreMasked: what a person says of a denial reaches a model, so no secret of the vault does, nor the name of one.
func TestADenialsWordsAreMasked(t *testing.T) {
	e, _ := proposing(t)
	err := e.turnedDown(t.Context(), fault.New(fault.ApprovalDenied, "denied", "stop").With("why", "use "+kept+"\u202e instead").With("approval_id", "apr_x"))
	f := fault.Of(err)
	if f.Code != fault.ApprovalDenied || f.Message != `denied: use [redacted]\u{202e} instead` || f.Details["why"] != nil || f.Details["approval_id"] != "apr_x" {
		t.Errorf("%v %v", err, f.Details)
	}
	other := fault.New(fault.ApprovalRequired, "x", "")
	if e.turnedDown(t.Context(), other) != error(other) {
		t.Error("another refusal is changed")
	}
}
