package vault_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/vault/variable"
)

// TestAttack63_AChangedContractIsLookedAt: an agent's repository has the contract. What it comes to when it was changed, no agent runs with before a person has looked at it; what they allowed
// before stays as it is, and another word asks again.
func TestAttack63_AChangedContractIsLookedAt(t *testing.T) {
	h := newHouse(t)
	h.project("bot")
	h.merge("bot", given("STRIPE_SECRET", "sk_live_"+strings.Repeat("a1", 16), "SENTRY_DSN", "https://of-the-shop.example/1"))
	agent, _ := h.addAgent(vault.NewAgent{Name: "agent", Grants: vault.Grants{Projects: []string{"bot"}, Kinds: []string{"*"}}})
	token := h.token(vault.NewAgent{Name: "writes", Scopes: []vault.Scope{vault.ScopeRead, vault.ScopeWrite}})
	level := func(value string) vault.EnvironmentRequest {
		return vault.EnvironmentRequest{Project: "bot", Contract: contractOf(t, "  LOG_LEVEL: {source: literal, environments: [production], value: "+value+"}\n")}
	}
	approval := func(who vault.Actor, q vault.EnvironmentRequest) (string, string) {
		t.Helper()
		e, err := h.ResolveEnvironment(ctx, who, q)
		must(t, err)
		err = h.runs(agent, e.Resource.Handle)
		if refused := fault.CodeOf(err) == fault.ApprovalRequired; refused != (e.Resource.Policy.Approval != "") {
			t.Errorf("%s: approval %q, and a run: %v", e.Resource.Handle, e.Resource.Policy.Approval, err)
		}
		return e.Resource.Handle, e.Resource.Policy.Approval
	}
	person := level("person")
	person.Confirmed = true
	first, is := approval(agent, level("one"))
	if is != "" {
		t.Errorf("the first of a project is asked about: %q", is)
	}
	second, is := approval(agent, level("two"))
	if is != policy.ApprovalFirst {
		t.Errorf("a changed contract: %q", is)
	}
	for what, q := range map[string]vault.EnvironmentRequest{"a person's": person, "without a secret": names("bot", "APP_NAME")} {
		who := agent
		if q.Confirmed {
			who = operator
		}
		if _, is := approval(who, q); is != "" {
			t.Errorf("%s: %q", what, is)
		}
	}
	if _, is := approval(token, level("three")); is != "" {
		t.Errorf("of a token that writes: %q", is)
	}
	if _, is := approval(operator, level("four")); is != policy.ApprovalFirst {
		t.Errorf("of a program at the socket: %q", is)
	}
	lists := [][]string{{"APP_NAME", "STRIPE_SECRET"}, {"SENTRY_DSN"}, {"OPENAI_API_KEY"}} // each releases what nothing else does, now or when it is given
	for _, list := range lists {
		if _, is := approval(agent, names("bot", list...)); is != policy.ApprovalFirst {
			t.Errorf("%v: %q", list, is)
		}
	}
	if got, err := h.Awaited(ctx, func(string) bool { return true }); err != nil || len(got) != 6 {
		t.Errorf("%v %+v", err, got)
	}
	h.narrow(second, vault.Edit{Policy: &policy.Policy{}})
	for _, handle := range []string{first, second} {
		if _, err := h.Authorise(ctx, agent, []string{handle}); err != nil {
			t.Error(err)
		}
	}
	if again, is := approval(agent, level("two")); again != second || is != "" {
		t.Errorf("what was allowed is asked about again: %q", is)
	}
	q := names("bot", "APP_NAME", "STRIPE_SECRET", "DEBUG")
	q.Confirmed = true
	h.resolve(q)
	if _, is := approval(agent, names("bot", "STRIPE_SECRET", "DEBUG")); is != "" {
		t.Errorf("of a secret that a person's environment releases: %q", is)
	}
	h.narrow(first, vault.Edit{Policy: &policy.Policy{Approval: "always"}})
	if _, is := approval(agent, level("five")); is != "always" {
		t.Errorf("a person's word for each run became %q", is)
	}
	if !policy.Widens(policy.Policy{Approval: "always"}, policy.Policy{Approval: "first"}) || !policy.Widens(policy.Policy{Approval: "first"}, policy.Policy{}) || policy.Widens(policy.Policy{Approval: "first"}, policy.Policy{Approval: "always"}) {
		t.Error("the order of approvals")
	}
}

// TestOverridesAreTheProjects: what config.env_overrides says is used, explained and, where it can mean nothing, refused when it is written.
func TestOverridesAreTheProjects(t *testing.T) {
	h := newHouse(t)
	h.project("bot")
	set := func(text string) error {
		_, err := h.EditProject(ctx, operator, "bot", vault.ProjectEdit{Config: map[string]json.RawMessage{"env_overrides": json.RawMessage(text)}})
		return err
	}
	for _, bad := range []string{`[]`, `"x"`, `{"PATH":"/evil"}`, `{"lower":"x"}`, `{"A":{}}`, `{"A":["x"]}`, `{"A":"a\u0000b"}`} {
		wantCode(t, set(bad), fault.InvalidArgument)
	}
	must(t, set(`{"LOG_LEVEL":"debug","DEBUG":true,"WORKERS":8,"RATIO":0.50,"NOTHING":null}`))
	c := contractOf(t, `
  DEBUG: {source: literal, environments: [production], value: false}
  LOG_LEVEL: {source: literal, environments: [production], value: info}
  RATIO: {source: literal, environments: [production], value: 1}
  WORKERS: {source: literal, environments: [production], value: 4}
`)
	e := h.resolve(vault.EnvironmentRequest{Project: "bot", Contract: c, Supplied: map[string]string{"WORKERS": "2"}})
	got := map[string]string{}
	for _, v := range e.Variables {
		got[v.Name] = v.Value() + " " + v.Rule
	}
	if e.Outcome != variable.Complete || got["LOG_LEVEL"] != "debug env_overrides" || got["DEBUG"] != "true env_overrides" || got["RATIO"] != "0.50 env_overrides" || got["WORKERS"] != "2 contract" || len(got) != 4 {
		t.Errorf("%s %v", e.Outcome, got)
	}
	again, err := h.ExplainEnvironment(ctx, operator, e.Resource.Handle)
	must(t, err)
	if again.Outcome != e.Outcome || len(again.Variables) != 4 || again.Variables[1].Rule != "env_overrides" || again.Resource.ID != e.Resource.ID {
		t.Errorf("%+v", again)
	}
	must(t, set(`{"LOG_LEVEL":"debug","GONE":"x"}`))
	if e := h.resolve(vault.EnvironmentRequest{Project: "bot", Contract: c}); e.Outcome != variable.Broken || e.Resource.ID != "" {
		t.Errorf("an override that means nothing: %s", e.Outcome)
	}
	must(t, set(`null`))
	if e := h.resolve(vault.EnvironmentRequest{Project: "bot", Contract: c}); e.Outcome != variable.Complete {
		t.Errorf("%s", e.Outcome)
	}
	_, err = h.ExplainEnvironment(ctx, operator, "none")
	wantCode(t, err, fault.UnknownResource)
}

// TestForgettingAProjectsSecret: what was purged is in no history, and masked no more.
func TestForgettingAProjectsSecret(t *testing.T) {
	h := newHouse(t)
	h.project("bot")
	for _, v := range []string{"value-one-0001", "value-two-0002", "value-three-03"} {
		h.merge("bot", given("A", v))
	}
	known := func() (n int) {
		must(t, h.EachSealed(ctx, func(label string, _ keyring.Ref, _ string) error {
			if label == "bot.A" {
				n++
			}
			return nil
		}))
		return n
	}
	if known() != 3 {
		t.Fatal(known())
	}
	_, gone, err := h.PurgeProjectSecret(ctx, operator, "bot", "A", vault.Purge{Before: 2})
	if err != nil || !slices.Equal(gone, []uint64{1}) || known() != 2 {
		t.Errorf("%v %v, %d known", err, gone, known())
	}
	m := given("A", "value-four-0004")
	m.Purge = true
	h.merge("bot", m)
	if rows, err := h.SecretHistory(ctx, operator, "bot", "A"); err != nil || len(rows) != 1 || rows[0].Version != 4 || known() != 1 {
		t.Errorf("%v %+v, %d known", err, rows, known())
	}
	_, err = h.RollbackProjectSecret(ctx, operator, "bot", "A", 3, "")
	wantCode(t, err, fault.UnknownVersion)
	agent, _ := h.addAgent(vault.NewAgent{Name: "agent", Grants: vault.Grants{Projects: []string{"bot"}, Kinds: []string{"*"}}})
	_, _, err = h.PurgeProjectSecret(ctx, agent, "bot", "A", vault.Purge{All: true})
	wantCode(t, err, fault.NotPermitted)
	_, _, err = h.PurgeProjectSecret(ctx, operator, "bot", "A", vault.Purge{})
	wantCode(t, err, fault.InvalidArgument)
	if rs := h.audited("secret.purge"); len(rs) == 0 {
		t.Error("not on record")
	}
}

// TestSharingLooksAtProjects: a value that a project has under some name stops working there, too.
func TestSharingLooksAtProjects(t *testing.T) {
	h := newHouse(t)
	h.project("bot")
	h.merge("bot", given("OPENAI_API_KEY", "the-same-value-1234", "OTHER", "the-same-value-1235"))
	r, err := h.AddResource(ctx, operator, vault.NewResource{Kind: "generic", Handle: "one", Attrs: map[string]string{"env": "ONE"}, Secrets: map[string]secret.Secret{"value": secret.FromString("the-same-value-1234")}})
	must(t, err)
	if got, err := h.Sharing(ctx, r, []string{"value"}); err != nil || !slices.Equal(got, []string{"OPENAI_API_KEY of project bot"}) {
		t.Errorf("%v %q", err, got)
	}
	h.merge("bot", given("OPENAI_API_KEY", "another-value-9876"))
	if got, err := h.Sharing(ctx, r, []string{"value"}); err != nil || len(got) != 0 { // only what is in force works
		t.Errorf("%v %q", err, got)
	}
}
