package vault_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/contract"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/vault/variable"
)

func names(project string, names ...string) vault.EnvironmentRequest {
	return vault.EnvironmentRequest{Project: project, Names: names}
}

func (h *house) resolve(q vault.EnvironmentRequest) vault.ResolvedEnvironment {
	h.t.Helper()
	e, err := h.ResolveEnvironment(ctx, operator, q)
	must(h.t, err)
	return e
}

// contractOf parses one fragment's entries.
func contractOf(t *testing.T, entries string) *contract.Contract {
	t.Helper()
	f, err := contract.Parse("f", []byte("version: \"1\"\nowner: o\nentries:\n"+entries))
	must(t, err)
	c, err := contract.Merge(f)
	must(t, err)
	return &c
}

func TestAnEnvironmentIsResolvedOnce(t *testing.T) {
	h := newHouse(t)
	p := h.project("bot")
	q := names("bot", "APP_NAME", "DATABASE_URL", "JWT_SECRET", "STRIPE_SECRET")
	hinted := map[string]json.RawMessage{"env_hints": json.RawMessage(`{"STRIPE_SECRET":"of the shop"}`)}
	_, err := h.EditProject(ctx, operator, "bot", vault.ProjectEdit{Config: hinted})
	must(t, err)
	dry := q
	dry.DryRun = true
	if e := h.resolve(dry); e.Outcome != variable.Waiting || len(e.Generated) != 0 || e.Resource.ID != "" || len(h.secretsOf("bot")) != 0 {
		t.Errorf("a dry run made something: %+v", e)
	}
	e := h.resolve(q)
	if e.Outcome != variable.Waiting || !slices.Equal(e.Generated, []string{"JWT_SECRET", "POSTGRES_PASSWORD"}) || len(e.Missing()) != 1 || e.Missing()[0].Name != "STRIPE_SECRET" || e.Missing()[0].Description != "of the shop" {
		t.Errorf("%s, %v", e.Outcome, e.Generated)
	}
	if e.Resource.Kind != kind.Environment || !strings.HasPrefix(e.Resource.Handle, "env_bot_") || e.Resource.Attrs["variables"] != "APP_NAME DATABASE_URL JWT_SECRET STRIPE_SECRET" {
		t.Errorf("%+v", e.Resource)
	}
	made := h.secretsOf("bot")
	_, err = h.EnvironmentOf(ctx, operator, e.Resource)
	wantCode(t, err, fault.SecretMissing)
	h.merge("bot", given("STRIPE_SECRET", "sk_live_"+strings.Repeat("a1", 16)))
	again := h.resolve(q)
	if again.Outcome != variable.Complete || len(again.Generated) != 0 || again.Resource.ID != e.Resource.ID {
		t.Errorf("%s, %v, %s", again.Outcome, again.Generated, again.Resource.ID)
	}
	for name, value := range made {
		if got := h.secretsOf("bot")[name]; got != value || len(value) != 43 {
			t.Errorf("%s was made again", name)
		}
	}
	values, err := h.EnvironmentOf(ctx, operator, again.Resource)
	must(t, err)
	if len(values.Variables) != 4 || !slices.Equal(slices.Sorted(maps.Keys(values.Secrets)), []string{"JWT_SECRET", "POSTGRES_PASSWORD", "STRIPE_SECRET"}) {
		t.Errorf("%+v", values)
	}
	s := values.Secrets["JWT_SECRET"]
	if v, err := h.opener.Open(s.Ref, s.Sealed); err != nil || string(v.Reveal()) != made["JWT_SECRET"] || s.Known.Type != vault.SecretInfra {
		t.Errorf("%v", err)
	}
	if got := h.resolve(names(p.ID, "STRIPE_SECRET", "JWT_SECRET", "DATABASE_URL", "APP_NAME", "JWT_SECRET")); got.Resource.ID != e.Resource.ID {
		t.Error("the same names in another order are another environment")
	}
	if n := len(h.audited("environment.resolve")); n != 1 {
		t.Errorf("%d records of what was made", n)
	}
}

// TestParallelFirstResolves: whoever comes first makes the secrets, and all see the same; two vaults on one store stand for replicas.
func TestParallelFirstResolves(t *testing.T) {
	h := newHouse(t)
	h.project("bot")
	other := h.reopen()
	list := []string{"JWT_SECRET", "POSTGRES_PASSWORD", "SESSION_SECRET", "DATABASE_URL"}
	var mu sync.Mutex
	var wg sync.WaitGroup
	generated, ids := 0, map[string]bool{}
	for i := range 64 {
		v := h.Vault
		if i%2 == 1 {
			v = other
		}
		wg.Go(func() {
			e, err := v.ResolveEnvironment(ctx, operator, names("bot", list...))
			mu.Lock()
			defer mu.Unlock()
			if err != nil || e.Outcome != variable.Complete {
				t.Errorf("%v %s", err, e.Outcome)
			}
			generated += len(e.Generated)
			ids[e.Resource.ID] = true
		})
	}
	wg.Wait()
	if generated != 3 || len(ids) != 1 {
		t.Errorf("%d secrets were generated, %d resources made", generated, len(ids))
	}
	for name, m := range mustSecrets(h, "bot") {
		if m.Version != 1 {
			t.Errorf("%s is at version %d", name, m.Version)
		}
	}
}

func mustSecrets(h *house, ref string) map[string]vault.ProjectSecret {
	h.t.Helper()
	_, list, err := h.ProjectSecrets(ctx, operator, ref)
	must(h.t, err)
	out := map[string]vault.ProjectSecret{}
	for _, s := range list {
		out[s.Name] = s
	}
	return out
}

// Another contract is another resource: what a person pinned holds for what they saw.
func TestAnotherDefinitionIsAnotherResource(t *testing.T) {
	h := newHouse(t)
	h.project("bot")
	const one = "  MODE: {source: literal, environments: [production], value: fast}\n"
	a := h.resolve(vault.EnvironmentRequest{Project: "bot", Contract: contractOf(t, one)})
	for _, q := range []vault.EnvironmentRequest{
		{Project: "bot", Contract: contractOf(t, strings.Replace(one, "fast", "slow", 1))},
		{Project: "bot", Contract: contractOf(t, one), Supplied: map[string]string{"MODE": "fast2"}},
		{Project: "bot", Names: []string{"MODE"}},
	} {
		if b := h.resolve(q); b.Resource.ID == a.Resource.ID || b.Resource.Handle == a.Resource.Handle {
			t.Errorf("%+v leads to the same resource", q)
		}
	}
	// A resource says which definition it is; one that was moved or says another is refused.
	moved := a.Resource
	moved.Attrs = map[string]string{kind.EnvironmentDefinition: strings.Repeat("0", 64)}
	_, err := h.EnvironmentOf(ctx, operator, moved)
	wantCode(t, err, fault.ResourceDisabled)
	moved = a.Resource
	moved.Project = vault.DefaultProject
	_, err = h.EnvironmentOf(ctx, operator, moved)
	wantCode(t, err, fault.ResourceDisabled)
	moved = a.Resource
	moved.ID = h.addBot("b").ID
	_, err = h.EnvironmentOf(ctx, operator, moved)
	wantCode(t, err, fault.ResourceDisabled)
	// Its policy can be set, its definition cannot; removed, it comes back where a person says so.
	_, err = h.EditResource(ctx, operator, a.Resource.Handle, vault.Edit{Policy: &policy.Policy{Deliveries: []policy.Delivery{policy.Env}}})
	must(t, err)
	_, err = h.EditResource(ctx, operator, a.Resource.Handle, vault.Edit{Attrs: map[string]string{"variables": "X"}})
	wantCode(t, err, fault.InvalidArgument)
	_, err = h.AddResource(ctx, operator, vault.NewResource{Kind: kind.Environment})
	wantCode(t, err, fault.InvalidArgument)
	_, err = h.RemoveResource(ctx, operator, a.Resource.Handle)
	must(t, err)
	_, err = h.ResolveEnvironment(ctx, operator, vault.EnvironmentRequest{Project: "bot", Contract: contractOf(t, one)})
	wantCode(t, err, fault.ResourceDisabled)
	b := h.resolve(vault.EnvironmentRequest{Project: "bot", Contract: contractOf(t, one), Confirmed: true})
	if b.Resource.ID == a.Resource.ID || b.Resource.ID == "" {
		t.Errorf("%+v", b.Resource)
	}
}

func TestWhatAnEnvironmentIsMadeOf(t *testing.T) {
	h := newHouse(t)
	h.adopted(nil)
	c := contractOf(t, `
  BACKEND_PORT: {source: allocation, environments: [production], service: backend}
  BOT: {source: allocation, environments: [production], resource: weather, attribute: username}
`)
	q := vault.EnvironmentRequest{Project: vault.DefaultProject, Contract: c}
	if e := h.resolve(q); e.Outcome != variable.Unplaced {
		t.Errorf("%s", e.Outcome)
	}
	h.addBot("weather")
	a, err := h.Allocate(ctx, h.local(), vault.AllocateRequest{Kind: "server", Purpose: "x", Demand: vault.Demand{Services: map[string]int{"backend": 0}}})
	must(t, err)
	e := h.resolve(q)
	if e.Outcome != variable.Complete || e.Variables[0].Value() == "" || e.Variables[1].Value() != "@weather_bot" {
		t.Errorf("%s %+v", e.Outcome, e.Variables)
	}
	_, err = h.Release(ctx, h.local(), a.Lease.ID)
	must(t, err)
	if e := h.resolve(q); e.Outcome != variable.Unplaced {
		t.Errorf("a port that was released is still there: %s", e.Outcome)
	}
}

// TestAttack60_AnotherAgentsPort: no agent leads another's environment to a port of its own choice.
func TestAttack60_AnotherAgentsPort(t *testing.T) {
	h := newHouse(t)
	h.adopted(nil)
	_, err := h.Allocate(ctx, h.local(), vault.AllocateRequest{Kind: "server", Purpose: "x", Demand: vault.Demand{Services: map[string]int{"backend": 0}}})
	must(t, err)
	q := vault.EnvironmentRequest{Project: vault.DefaultProject, DryRun: true, Contract: contractOf(t, "  BACKEND_PORT: {source: allocation, environments: [production], service: backend}\n")}
	other, _ := h.addAgent(vault.NewAgent{Name: "other", Grants: vault.Grants{Projects: []string{"*"}, Kinds: []string{"*"}}})
	for _, x := range []struct {
		who  vault.Actor
		want variable.Outcome
	}{{operator, variable.Complete}, {h.local(), variable.Complete}, {other, variable.Unplaced}} {
		e, err := h.ResolveEnvironment(ctx, x.who, q)
		must(t, err)
		if e.Outcome != x.want {
			t.Errorf("%s: %s", x.who.Name, e.Outcome)
		}
	}
}

// TestAttack63_WhoMayResolve: an agent resolves its own projects' environments, gets names and no value, and makes up nothing that somebody else issues; who may not
// is told the same as of a project that is not there.
func TestAttack63_WhoMayResolve(t *testing.T) {
	h := newHouse(t)
	h.project("bot")
	h.project("shop")
	agent, _ := h.addAgent(vault.NewAgent{Name: "agent", Grants: vault.Grants{Projects: []string{"bot"}, Kinds: []string{"*"}}})
	e, err := h.ResolveEnvironment(ctx, agent, names("bot", "JWT_SECRET"))
	must(t, err)
	if e.Outcome != variable.Complete || !slices.Equal(e.Generated, []string{"JWT_SECRET"}) {
		t.Errorf("%+v", e)
	}
	_, err = h.ResolveEnvironment(ctx, agent, names("shop", "JWT_SECRET"))
	wantCode(t, err, fault.UnknownProject)
	_, err = h.ResolveEnvironment(ctx, h.local(), names("bot", "JWT_SECRET"))
	wantCode(t, err, fault.UnknownProject)
	reads := h.token(vault.NewAgent{Name: "reads", Scopes: []vault.Scope{vault.ScopeRead}})
	_, err = h.ResolveEnvironment(ctx, reads, names("shop", "JWT_SECRET"))
	wantCode(t, err, fault.NotPermitted)
	dry := names("shop", "JWT_SECRET")
	dry.DryRun = true
	_, err = h.ResolveEnvironment(ctx, reads, dry)
	must(t, err)
	if len(h.secretsOf("shop")) != 0 {
		t.Error("somebody made a secret of a project that is not theirs")
	}
	for _, name := range []string{"OPENAI_API_KEY", "GOOGLE_CLIENT_SECRET"} {
		e, err := h.ResolveEnvironment(ctx, agent, vault.EnvironmentRequest{Project: "bot", Contract: contractOf(t, "  "+name+": {source: generated_secret, environments: [production]}\n")})
		must(t, err)
		if e.Outcome != variable.Broken || len(e.Generated) != 0 || e.Resource.ID != "" {
			t.Errorf("%s is made up: %+v", name, e)
		}
	}
}

func TestRefusedRequests(t *testing.T) {
	h := newHouse(t)
	h.project("bot")
	c := contractOf(t, "  MODE: {source: literal, environments: [production], value: fast}\n")
	for _, x := range []struct {
		q    vault.EnvironmentRequest
		code fault.Code
	}{
		{vault.EnvironmentRequest{Project: "bot"}, fault.InvalidArgument},
		{vault.EnvironmentRequest{Project: "bot", Contract: c, Names: []string{"A"}}, fault.InvalidArgument},
		{names("bot", "LD_PRELOAD"), fault.InvalidArgument},
		{names("bot", "a"), fault.InvalidArgument},
		{names("bot", slices.Repeat([]string{"A"}, 600)...), fault.InvalidArgument},
		{vault.EnvironmentRequest{Project: "bot", Contract: c, Environment: "staging"}, fault.InvalidArgument},
		{vault.EnvironmentRequest{Project: "bot", Contract: c, Supplied: map[string]string{"OTHER": "x"}}, fault.InvalidArgument},
		{vault.EnvironmentRequest{Project: "bot", Contract: c, Supplied: map[string]string{"MODE": "a\x00"}}, fault.InvalidArgument},
		{vault.EnvironmentRequest{Project: "bot", Contract: c, Supplied: map[string]string{"MODE": botToken}}, fault.SecretInvalid},
		{names("nowhere", "A"), fault.UnknownProject},
	} {
		_, err := h.ResolveEnvironment(ctx, operator, x.q)
		if fault.CodeOf(err) != x.code || strings.Contains(err.Error(), botToken) {
			t.Errorf("%+v: %v", x.q, err)
		}
	}
	for i := range vault.MaxEnvironments {
		h.resolve(names("bot", "APP_NAME", "A"+strings.Repeat("B", i)))
	}
	_, err := h.ResolveEnvironment(ctx, operator, names("bot", "JWT_SECRET"))
	wantCode(t, err, fault.ResourceExhausted)
	if len(h.secretsOf("bot")) != 0 {
		t.Error("what was refused left a secret")
	}
	_, err = h.RemoveResource(ctx, operator, h.resolve(names("bot", "APP_NAME", "A")).Resource.Handle)
	must(t, err)
	q := names("bot", "JWT_SECRET")
	q.Confirmed = true
	h.resolve(q)
}
