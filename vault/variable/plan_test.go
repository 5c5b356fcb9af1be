package variable_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault/contract"
	"github.com/zavhoz/zavhoz/vault/variable"
)

func facts(stored ...string) variable.Facts {
	f := variable.Facts{
		ID: "prj_ab-cd", Slug: "weather-bot", Modules: []string{"backend", "tg_bot"}, Images: "reg.example/Org/Weather", Stored: map[string]bool{},
		Ports:      map[string][]int{"backend": {8001}, "twice": {1, 2}},
		Attributes: map[string]map[string]string{"tgbot_main": {"username": "weather_bot"}},
	}
	for _, n := range stored {
		f.Stored[n] = true
	}
	return f
}

// shown writes how a value is put together: secrets in braces.
func shown(r variable.Resolved) string {
	s := ""
	for _, p := range r.Parts {
		switch {
		case p.Secret == "":
			s += p.Text
		case p.As == "":
			s += "{" + p.Secret + "}"
		default:
			s += "{" + p.Secret + ":" + p.As + "}"
		}
	}
	return s
}

func line(r variable.Resolved) string {
	s := fmt.Sprintf("%s %s %s", r.Name, r.Class, r.State)
	if r.Problem != "" {
		s += " " + string(r.Problem) + "(" + r.Cause + ")"
	}
	if r.Hidden {
		s += " hidden"
	}
	if r.Sensitive {
		s += " sensitive"
	}
	return s + " " + shown(r)
}

func check(t *testing.T, rs []variable.Resolved, want ...string) {
	t.Helper()
	var got []string
	for _, r := range rs {
		got = append(got, strings.TrimSpace(line(r)))
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func named(f variable.Facts, names ...string) []variable.Resolved {
	return variable.Plan(variable.Definition{Names: names}, f)
}

func TestOnePasswordForAGroup(t *testing.T) {
	check(t, named(facts(), "DATABASE_URL", "ASYNC_DATABASE_URL", "DB_PASSWORD"),
		"ASYNC_DATABASE_URL infra computed sensitive postgresql+asyncpg://postgres:{POSTGRES_PASSWORD:url}@postgres:5432/db_prj_ab_cd",
		"DATABASE_URL infra computed sensitive postgresql://postgres:{POSTGRES_PASSWORD:url}@postgres:5432/db_prj_ab_cd",
		"DB_PASSWORD infra computed sensitive {POSTGRES_PASSWORD}",
		"POSTGRES_DB infra computed hidden db_prj_ab_cd",
		"POSTGRES_PASSWORD infra generate hidden sensitive {POSTGRES_PASSWORD}")
	// What the environment says of the parts holds for the URL.
	check(t, named(facts("POSTGRES_PASSWORD", "POSTGRES_USER"), "DATABASE_URL", "POSTGRES_HOST", "POSTGRES_PASSWORD"),
		"DATABASE_URL infra computed sensitive postgresql://{POSTGRES_USER:url}:{POSTGRES_PASSWORD:url}@db:5432/db_prj_ab_cd",
		"POSTGRES_DB infra computed hidden db_prj_ab_cd",
		"POSTGRES_HOST computed computed db",
		"POSTGRES_PASSWORD infra stored sensitive {POSTGRES_PASSWORD}",
		"POSTGRES_USER infra stored hidden sensitive {POSTGRES_USER}")
}

// A database that a person named by its URL has the password of that URL: none is generated beside it.
func TestPartsOfAGivenURL(t *testing.T) {
	check(t, named(facts("DATABASE_URL"), "ASYNC_DATABASE_URL", "DATABASE_URL", "DB_PASSWORD", "POSTGRES_HOST", "POSTGRES_PASSWORD", "POSTGRES_USER"),
		"ASYNC_DATABASE_URL infra computed sensitive {DATABASE_URL:async}",
		"DATABASE_URL infra stored sensitive {DATABASE_URL}",
		"DB_PASSWORD infra computed sensitive {DATABASE_URL:password}",
		"POSTGRES_HOST computed computed sensitive {DATABASE_URL:host}",
		"POSTGRES_PASSWORD infra computed sensitive {DATABASE_URL:password}",
		"POSTGRES_USER infra computed sensitive {DATABASE_URL:username}")
}

func TestOtherGroups(t *testing.T) {
	check(t, named(facts(), "REDIS_URL"), "REDIS_URL infra computed redis://redis:6379/0")
	check(t, named(facts(), "REDIS_PASSWORD", "REDIS_URL"),
		"REDIS_PASSWORD infra generate sensitive {REDIS_PASSWORD}", "REDIS_URL infra computed sensitive redis://:{REDIS_PASSWORD:url}@redis:6379/0")
	check(t, named(facts("REDIS_PASSWORD"), "REDIS_URL"),
		"REDIS_PASSWORD infra stored hidden sensitive {REDIS_PASSWORD}", "REDIS_URL infra computed sensitive redis://:{REDIS_PASSWORD:url}@redis:6379/0")
}

func TestComputedFromTheProject(t *testing.T) {
	check(t, named(facts(), "APP_NAME", "BACKEND_PORT", "ENABLED_MODULES", "FRONTEND_PORT", "TG_BOT_IMAGE", "TWICE_PORT", "STRIPE_SECRET", "APP_NAME"),
		"APP_NAME computed computed weather-bot",
		"BACKEND_PORT computed computed 8001",
		"ENABLED_MODULES computed computed backend,tg_bot",
		"FRONTEND_PORT computed failed allocation_missing(frontend)",
		"STRIPE_SECRET user missing sensitive",
		"TG_BOT_IMAGE computed computed reg.example/org/weather-tg-bot:latest",
		"TWICE_PORT computed failed ambiguous(twice)")
	bare := variable.Facts{ID: "prj_x", Slug: "x", Ports: map[string][]int{"backend": {70000}}}
	check(t, named(bare, "BACKEND_PORT", "ENABLED_MODULES", "WEB_IMAGE"),
		"BACKEND_PORT computed failed allocation_missing(backend)", "ENABLED_MODULES computed failed no_fact(modules)", "WEB_IMAGE computed failed no_fact(registry)")
}

func merged(t *testing.T, entries string) *contract.Contract {
	t.Helper()
	f, err := contract.Parse("f", []byte("version: \"1\"\nowner: o\nentries:\n"+entries))
	if err != nil {
		t.Fatal(err)
	}
	c, err := contract.Merge(f)
	if err != nil {
		t.Fatal(err)
	}
	return &c
}

const shop = `
  APP_KEY: {source: generated_secret, environments: [production], form: hex}
  BACKEND_PORT: {source: allocation, environments: [production], service: backend}
  BOT: {source: allocation, environments: [production], resource: tgbot_main, attribute: username}
  COPY: {source: derived, environments: [production], template: "x${STRIPE_SECRET}"}
  DATABASE_URL: {source: derived, environments: [production]}
  DEV_ONLY: {source: user_secret, description: d, consumers: [a], environments: [dev]}
  GONE: {source: allocation, environments: [production], resource: other, attribute: username, required: false}
  MODE: {source: literal, environments: [production], value: fast}
  ODD: {source: derived, environments: [production]}
  OPTIONAL: {source: user_secret, description: o, consumers: [a], environments: [production], required: false}
  POSTGRES_PASSWORD: {source: generated_secret, environments: [production]}
  STRIPE_SECRET: {source: user_secret, description: The key of the shop, consumers: [a], environments: [production]}
  USES_OPTIONAL: {source: derived, environments: [production], template: "a${OPTIONAL?none}b"}
`

func TestByContract(t *testing.T) {
	c := merged(t, shop)
	check(t, variable.Plan(variable.Definition{Contract: c}, facts("APP_KEY", "UNDECLARED")),
		"APP_KEY infra stored sensitive {APP_KEY}",
		"BACKEND_PORT computed computed 8001",
		"BOT computed computed weather_bot",
		"COPY computed failed not_there(STRIPE_SECRET)",
		"DATABASE_URL computed computed sensitive postgresql://postgres:{POSTGRES_PASSWORD:url}@postgres:5432/db_prj_ab_cd",
		"GONE computed absent allocation_missing(other.username)",
		"MODE literal literal fast",
		"ODD computed failed no_rule(ODD)",
		"OPTIONAL user absent sensitive",
		"POSTGRES_DB infra computed hidden db_prj_ab_cd",
		"POSTGRES_PASSWORD infra generate sensitive {POSTGRES_PASSWORD}",
		"STRIPE_SECRET user missing sensitive",
		"USES_OPTIONAL computed computed anoneb")
	// What is made of a secret is as secret, whatever the contract says; stored values of derived names are not used.
	rs := variable.Plan(variable.Definition{Contract: c, Supplied: map[string]string{"MODE": "slow", "BACKEND_PORT": "1"}}, facts("STRIPE_SECRET", "COPY", "POSTGRES_PASSWORD"))
	for _, r := range rs {
		switch r.Name {
		case "COPY":
			if !r.Sensitive || shown(r) != "x{STRIPE_SECRET}" {
				t.Error(line(r))
			}
		case "MODE":
			if r.State != variable.Supplied || r.Value() != "slow" {
				t.Error(line(r))
			}
		case "BACKEND_PORT":
			if r.Problem != variable.NotAllowed {
				t.Error(line(r))
			}
		}
	}
}

// A request sets no secret, whatever it calls it.
func TestARequestSuppliesNoSecret(t *testing.T) {
	rs := variable.Plan(variable.Definition{Names: []string{"STRIPE_SECRET", "POSTGRES_PASSWORD", "APP_ENV", "API_URL"}, Supplied: map[string]string{"STRIPE_SECRET": "x", "POSTGRES_PASSWORD": "x", "APP_ENV": "staging", "API_URL": "y"}}, facts("API_URL"))
	check(t, rs, "API_URL computed failed not_allowed(API_URL)", "APP_ENV computed supplied staging", "POSTGRES_PASSWORD infra failed not_allowed(POSTGRES_PASSWORD)", "STRIPE_SECRET user failed not_allowed(STRIPE_SECRET)")
	if o := variable.OutcomeOf(rs); o != variable.Broken {
		t.Error(o)
	}
}

func TestOutcomes(t *testing.T) {
	for want, names := range map[variable.Outcome][]string{
		variable.Complete: {"APP_NAME", "JWT_SECRET"}, variable.Waiting: {"STRIPE_SECRET", "APP_NAME"}, variable.Unplaced: {"STRIPE_SECRET", "FRONTEND_PORT"}, variable.Broken: {"FRONTEND_PORT", "TWICE_PORT"},
	} {
		if got := variable.OutcomeOf(named(facts(), names...)); got != want {
			t.Errorf("%v: %s", names, got)
		}
	}
	c := merged(t, "  A: {source: derived, environments: [production], template: \"${B}\"}\n  B: {source: user_secret, description: d, consumers: [a], environments: [production]}\n")
	if got := variable.OutcomeOf(variable.Plan(variable.Definition{Contract: c}, facts())); got != variable.Waiting {
		t.Errorf("what is made of a missing secret waits for it: %s", got)
	}
}

// References that double at each step end at a bound, and so do those by name that lead back.
func TestBounds(t *testing.T) {
	var b strings.Builder
	for i := range 40 {
		fmt.Fprintf(&b, "  A%02d: {source: derived, environments: [production], template: \"${A%02d}${A%02d}\"}\n", i, i+1, i+1)
	}
	b.WriteString("  A40: {source: generated_secret, environments: [production]}\n")
	rs := variable.Plan(variable.Definition{Contract: merged(t, b.String())}, facts())
	if rs[0].Problem != variable.TooLong || len(rs) != 41 {
		t.Error(line(rs[0]))
	}
	b.Reset()
	for i := range 40 {
		fmt.Fprintf(&b, "  A%02d: {source: derived, environments: [production], template: \"${A%02d}${A%02d}\"}\n", i, i+1, i+1)
	}
	b.WriteString("  A40: {source: literal, environments: [production], value: xxxxxxxx}\n")
	if rs = variable.Plan(variable.Definition{Contract: merged(t, b.String())}, facts()); rs[0].Problem != variable.TooLong {
		t.Error(rs[0].Problem)
	}
	c := merged(t, "  POSTGRES_DB: {source: derived, environments: [production], template: \"${PGDATABASE?x}\"}\n  PGDATABASE: {source: derived, environments: [production]}\n")
	for _, r := range variable.Plan(variable.Definition{Contract: c}, facts()) {
		if r.Problem != variable.Circular {
			t.Error(line(r))
		}
	}
}

func TestGenerate(t *testing.T) {
	for form, shape := range map[contract.Form]string{
		contract.URLSafe: `^[A-Za-z0-9_-]{43}$`, contract.Hex: `^[0-9a-f]{64}$`, contract.Hex64: `^[0-9a-f]{128}$`, contract.Fernet: `^[A-Za-z0-9_-]{43}=$`,
		contract.LaravelKey: `^base64:[A-Za-z0-9+/]{43}=$`, contract.AlphaNumber: `^[A-Za-z0-9]{43}$`, contract.Password: `^[A-Za-z0-9]{32}$`,
	} {
		seen := map[string]bool{}
		for range 50 {
			s, err := variable.Generate(form, nil)
			if err != nil {
				t.Fatal(err)
			}
			v := string(s.Reveal())
			if seen[v] || !matches(shape, v) {
				t.Errorf("%s: %q", form, v)
			}
			seen[v] = true
		}
	}
	if _, err := variable.Generate("x", nil); err == nil {
		t.Error("an unknown form")
	}
	if _, err := variable.Generate(contract.Password, strings.NewReader("short")); err == nil {
		t.Error("no entropy, and yet a secret")
	}
	if len(contract.Forms()) != 7 {
		t.Error("a form that is not tested")
	}
}

// What another party issues is generated by no contract; an agent's contract has only what is the project's own by its name generated too.
func TestWhatIsNotGenerated(t *testing.T) {
	for _, x := range []struct {
		name  string
		agent bool
		state variable.State
	}{
		{"STRIPE_SECRET", false, variable.Failed}, {"SMTP_PASSWORD", false, variable.Failed}, {"GOOGLE_CLIENT_SECRET", false, variable.Failed},
		{"ACME_THING", false, variable.Pending}, {"ACME_THING", true, variable.Failed}, {"JWT_SECRET", true, variable.Pending}, {"HAD_THING", true, variable.Stored},
	} {
		f := facts("HAD_THING")
		f.Agent = x.agent
		c := &contract.Contract{Entries: map[string]contract.Entry{x.name: {Source: contract.Generated, Form: contract.URLSafe, Required: true, Environments: []string{"production"}}}}
		if r := variable.Plan(variable.Definition{Contract: c}, f)[0]; r.State != x.state || x.state == variable.Failed && r.Problem != variable.NotAllowed {
			t.Errorf("%s, %v: %s", x.name, x.agent, line(r))
		}
	}
}

// TestAttack67_APlanHasBounds: whatever refers to what, all texts of a plan together stay within bounds.
func TestAttack67_APlanHasBounds(t *testing.T) {
	all := map[string]contract.Entry{"A0": {Source: contract.Literal, Required: true, Environments: []string{"production"}, Value: strings.Repeat(" ", 400)}}
	for i := 1; i < 500; i++ {
		all[fmt.Sprintf("A%d", i)] = contract.Entry{Source: contract.Derived, Required: true, Environments: []string{"production"}, Template: strings.Repeat("${A0:url}", 100)}
	}
	sum, failed := 0, 0
	for _, r := range variable.Plan(variable.Definition{Contract: &contract.Contract{Entries: all}}, facts()) {
		sum += len(r.Value())
		if r.Problem == variable.TooLong {
			failed++
		}
	}
	if sum > 4<<20 || failed < 400 {
		t.Errorf("%d bytes, %d refused", sum, failed)
	}
}
