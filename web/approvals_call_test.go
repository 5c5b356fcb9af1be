package web_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/mcp"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/id"
	"github.com/zavhoz/zavhoz/web/api"
)

// call makes an agent's call as the engine does: authorised and proposed. It gives the refusal.
func (h *house) call(who vault.Actor, word string, refs ...string) error {
	h.t.Helper()
	uses, err := h.Authorise(ctx, who, refs)
	must(h.t, err)
	p := &vault.Proposal{Call: []byte(word), Shown: vault.ApprovalCall{
		Sort: "run", Argv: []string{"curl", word}, Cwd: "/srv", Env: map[string]string{"A": "1"}, Stdin: &vault.ApprovalText{Bytes: 2, SHA256: "0a", Text: "hi"}, TimeoutS: 60,
	}}
	_, _, err = h.StartRun(ctx, who, vault.Run{Isolation: "sealed", Delivered: map[string]string{refs[0]: "broker"}, Proposal: p}, uses)
	return err
}

// waits makes a call that is to wait, and gives the request's id.
func (h *house) waits(who vault.Actor, word string, refs ...string) string {
	h.t.Helper()
	f := fault.Of(h.call(who, word, refs...))
	ref, _ := f.Details["approval_id"].(string)
	if f.Code != fault.ApprovalRequired || !id.Is(ref, id.Approval) {
		h.t.Fatal(f)
	}
	return ref
}

// callers are a house with an agent of the default project, whose every run with bot a person approves.
func callers(t *testing.T) (*house, vault.Actor) {
	h := newHouse(t)
	h.fill(h.sit(1))
	h.sit(1).ok("PUT", "/resources/bot/policy", `{"policy":{"approval":"always"}}`)
	return h, h.agent("deployer", "default")
}

// TestACallIsShownAndDecided: in the list while it waits, with all that a person judges by; by its name whatever became of it.
func TestACallIsShownAndDecided(t *testing.T) {
	h, who := callers(t)
	c := h.sit(1)
	ref := h.waits(who, "one", "bot")
	ids, by := approvalsOf(t, c.ok("GET", "/approvals", ""))
	if !slices.Contains(ids, ref) {
		t.Fatalf("%q", ids)
	}
	x := by[ref]
	if x.Kind != "call" || x.What != "deployer calls curl one" || x.Command != "zavhoz approve "+ref || x.Until.Sub(x.Since) != vault.ApprovalLife || !slices.Equal(x.Decisions, []string{"approve", "deny"}) {
		t.Errorf("%+v", x)
	}
	if k := x.Call; k.Agent != "deployer" || k.State != "waiting" || k.Env["A"] != "1" || k.Stdin.Text != "hi" || k.Isolation != "sealed" || len(k.Resources) != 1 || k.Resources[0].Handle != "bot" || k.Resources[0].Asks != "always" || k.Resources[0].Delivery != "broker" {
		t.Errorf("%+v", k)
	}
	show := func(ref string) (x api.Approval) {
		t.Helper()
		must(t, json.Unmarshal([]byte(c.ok("GET", "/approvals/"+ref, "").body), &x))
		return x
	}
	c.ok("POST", "/approvals/"+ref, `{"decision":"approve"}`)
	if x := show(ref); x.Call.State != "approved" || !slices.Equal(x.Decisions, []string{"deny"}) || x.Call.DecidedBy != "operator" {
		t.Errorf("%+v %+v", x, x.Call)
	}
	if ids, _ := approvalsOf(t, c.ok("GET", "/approvals", "")); slices.Contains(ids, ref) {
		t.Error("what is decided is still listed")
	}
	must(t, h.call(who, "one", "bot"))
	if x := show(ref); x.Call.State != "spent" || !id.Is(x.Call.Run, id.Run) || len(x.Decisions) != 0 {
		t.Errorf("%+v %+v", x, x.Call)
	}
	c.refused(fault.UnknownApproval, "POST", "/approvals/"+ref, `{"decision":"deny"}`)
	denied := h.waits(who, "two", "bot")
	c.ok("POST", "/approvals/"+denied, `{"decision":"deny","why":"not today"}`)
	if f := fault.Of(h.call(who, "two", "bot")); f.Code != fault.ApprovalDenied || f.Details["why"] != "not today" {
		t.Errorf("%v", f)
	}
	for _, none := range []string{"apr_aaaaaaaaaaaaaaaaaaaaaaaaaa", "apr_", "nothing", "call:" + denied} {
		c.refused(fault.UnknownApproval, "GET", "/approvals/"+none, "")
	}
	long := h.waits(who, strings.Repeat("x", 500), "bot")
	if _, by := approvalsOf(t, c.ok("GET", "/approvals", "")); len(by[long].What) > 200 || !strings.HasSuffix(by[long].What, "… (more: zavhoz approvals show)") || len(by[long].Call.Argv[1]) != 500 {
		t.Errorf("%+v", by[long])
	}
	if x := show("changes:run_held"); x.Kind != "changes" || x.Call != nil {
		t.Errorf("%+v", x)
	}
}

// TestAttack70_ACallIsApprovedByAPersonAlone: not over HTTP, whatever the token; not from a shell where nobody proved to be there; not by an agent's token. Who is bound to other projects sees nothing
// of it, and a denial is what a token may say.
func TestAttack70_ACallIsApprovedByAPersonAlone(t *testing.T) {
	h, who := callers(t)
	ref := h.waits(who, "one", "bot")
	at := "/approvals/" + ref
	s := h.street(mcp.Limits{})
	all := s.bearer(vault.NewAgent{Name: "all", Scopes: allScopes})
	elsewhere := s.bearer(vault.NewAgent{Name: "elsewhere", Grants: vault.Grants{Projects: []string{"other"}}, Scopes: allScopes})
	reads := s.bearer(vault.NewAgent{Name: "reads", Scopes: []vault.Scope{vault.ScopeRead}})
	all.refused(fault.PresenceRequired, 403, "POST", at, `{"decision":"approve"}`)
	elsewhere.refused(fault.PresenceRequired, 403, "POST", at, `{"decision":"approve"}`)
	reads.refused(fault.NotPermitted, 403, "POST", at, `{"decision":"deny"}`)
	elsewhere.refused(fault.UnknownApproval, 404, "POST", at, `{"decision":"deny"}`)
	elsewhere.refused(fault.UnknownApproval, 404, "GET", at, "")
	if a := elsewhere.ok("GET", "/approvals", ""); strings.Contains(a.body, ref) {
		t.Error(a.body)
	}
	if a := reads.ok("GET", at, ""); a.get("decisions") == nil || strings.Contains(a.body, `"approve"`) || strings.Contains(a.body, canary) {
		t.Error(a.body)
	}
	h.setPassphrase(h.sit(1))
	person, shell := h.sit(1), h.sit(2)
	shell.refused(fault.PresenceRequired, "POST", at, `{"decision":"approve"}`)
	if f := fault.Of(h.call(who, "one", "bot")); f.Code != fault.ApprovalRequired {
		t.Fatal(f)
	}
	person.ok("POST", "/presence", right)
	person.ok("POST", at, `{"decision":"approve"}`)
	all.ok("POST", at, `{"decision":"deny"}`) // it takes away what nobody has used
	if f := fault.Of(h.call(who, "one", "bot")); f.Code != fault.ApprovalDenied {
		t.Fatal(f)
	}
	_, err := h.Decide(ctx, vault.Actor{Type: audit.Agent, ID: who.ID, Name: "operator"}, ref, vault.Decision{Approve: true, Within: func(string) bool { return true }})
	if fault.CodeOf(err) != fault.NotPermitted {
		t.Error(err)
	}
}
