package variable_test

import (
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault/variable"
)

// TestOverridesOfTheProject: what config.env_overrides says holds in the place of a contract's literal, and of nothing else; what a request brings wins over both.
func TestOverridesOfTheProject(t *testing.T) {
	c := merged(t, `
  LOG_LEVEL: {source: literal, environments: [production], value: info}
  WORKERS: {source: literal, environments: [production], value: 4}
  STAGED: {source: literal, environments: [staging], value: s}
  STRIPE_SECRET: {source: user_secret, description: d, consumers: [a], environments: [production]}
  SHOWN: {source: derived, environments: [production], template: "level ${LOG_LEVEL}"}
`)
	f := facts("STRIPE_SECRET")
	f.Overrides = map[string]variable.Override{"LOG_LEVEL": {Text: "debug"}, "WORKERS": {Text: "8"}, "STAGED": {Text: "x"}}
	d := variable.Definition{Contract: c, Supplied: map[string]string{"WORKERS": "2"}}
	check(t, variable.Plan(d, f), "LOG_LEVEL literal supplied debug", "SHOWN computed computed level debug", "STRIPE_SECRET user stored sensitive {STRIPE_SECRET}", "WORKERS literal supplied 2")
	for _, r := range variable.Plan(d, f) {
		if r.Name == "LOG_LEVEL" && r.Rule != "env_overrides" || r.Name == "WORKERS" && r.Rule != "contract" {
			t.Errorf("explained as %s: %s", r.Rule, r.Why)
		}
	}
	for _, x := range []struct {
		name string
		o    variable.Override
		want string
	}{
		{"STRIPE_SECRET", variable.Override{Text: "sk"}, "STRIPE_SECRET user failed not_allowed(STRIPE_SECRET) sensitive"},
		{"SHOWN", variable.Override{Text: "x"}, "SHOWN computed failed not_allowed(SHOWN)"},
		{"LOG_LEVEL", variable.Override{Odd: true}, "LOG_LEVEL literal failed not_allowed(LOG_LEVEL)"},
		{"NOBODYS", variable.Override{Text: "x"}, "NOBODYS literal failed not_allowed(NOBODYS) hidden"},
		{"POSTGRES_HOST", variable.Override{Text: "evil.example"}, "POSTGRES_HOST literal failed not_allowed(POSTGRES_HOST) hidden"},
	} {
		f.Overrides = map[string]variable.Override{x.name: x.o}
		rs := variable.Plan(variable.Definition{Contract: c}, f)
		got := ""
		for _, r := range rs {
			if r.Name == x.name {
				got = line(r)
			}
		}
		if strings.TrimSpace(got) != x.want || variable.OutcomeOf(rs) != variable.Broken {
			t.Errorf("%s: %q, want %q; %s", x.name, got, x.want, variable.OutcomeOf(rs))
		}
	}
}

// TestOverridesWithoutAContract: they set what is computed, of the names that are asked for; a secret is nobody's to set so.
func TestOverridesWithoutAContract(t *testing.T) {
	f := facts("JWT_SECRET")
	f.Overrides = map[string]variable.Override{"APP_NAME": {Text: "Shop"}, "NOBODYS": {Text: "x"}}
	check(t, variable.Plan(variable.Definition{Names: []string{"APP_NAME", "JWT_SECRET"}}, f), "APP_NAME computed supplied Shop", "JWT_SECRET infra stored sensitive {JWT_SECRET}")
	check(t, variable.Plan(variable.Definition{Names: []string{"APP_NAME"}, Supplied: map[string]string{"APP_NAME": "Mine"}}, f), "APP_NAME computed supplied Mine")
	for _, name := range []string{"JWT_SECRET", "STRIPE_SECRET"} {
		f.Overrides = map[string]variable.Override{name: {Text: "x"}}
		if rs := variable.Plan(variable.Definition{Names: []string{name}}, f); rs[0].State != variable.Failed || rs[0].Problem != variable.NotAllowed {
			t.Errorf("%+v", rs)
		}
	}
}
