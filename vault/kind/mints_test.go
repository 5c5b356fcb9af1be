package kind_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// TestAttack40_LiftedKeyEndpointsAreNamed: whichever way a person lifts what a service denies, by policy or by an attribute, it is known as what makes keys.
func TestAttack40_LiftedKeyEndpointsAreNamed(t *testing.T) {
	k := get(t, "api_key")
	own, err := policy.ParseHostRules("openrouter.ai +keys")
	if err != nil {
		t.Fatal(err)
	}
	for name, mints := range map[string][]policy.HostRule{
		"by policy":    k.Mints(attrs("service", "openrouter"), policy.Policy{Hosts: own}),
		"by attribute": k.Mints(attrs("service", "openrouter", "hosts", "openrouter.ai +keys"), policy.Policy{}),
		"by both":      k.Mints(attrs("service", "openrouter", "hosts", "openrouter.ai +keys"), policy.Policy{Hosts: own}),
	} {
		if !policy.Denies(mints, "POST", "openrouter.ai", 443, "/api/v1/keys") || policy.Denies(mints, "POST", "openrouter.ai", 443, "/api/v1/chat/completions") {
			t.Errorf("%s: %v", name, mints)
		}
	}
	if m := k.Mints(attrs("service", "openrouter"), policy.Policy{}); m != nil {
		t.Errorf("nothing was lifted, but %v", m)
	}
	if m := get(t, "generic").Mints(nil, policy.Policy{Hosts: own}); m != nil {
		t.Errorf("generic denies nothing, but %v", m)
	}
}

// TestFirstSwapIsWhole: zavhoz fills the first place in by itself, so nothing of it is left open.
func TestFirstSwapIsWhole(t *testing.T) {
	check := func(name string, swaps []kind.Swap) {
		for i, s := range swaps {
			if i == 0 && strings.Contains(s.Template, "*") || s.Basic && strings.Count(s.Template, ":") != 1 || strings.Contains(s.Template, "*") && !s.Basic {
				t.Errorf("%s: %+v", name, s)
			}
			if slices.Contains(swaps[:i], s) {
				t.Errorf("%s: %+v twice", name, s)
			}
		}
	}
	for _, s := range kind.Services() {
		check(s.Name, get(t, "api_key").Swaps(attrs("service", s.Name, "username", "u")))
	}
	for _, name := range []string{"telegram_bot", "domain", "github_app"} {
		check(name, get(t, name).Swaps(attrs()))
	}
	if n := len(get(t, "api_key").Swaps(attrs("service", "github"))); n != 4 {
		t.Errorf("github takes a token in %d places", n)
	}
	if n := len(get(t, "api_key").Swaps(attrs("service", "github", "header", "X-Key: {value}"))); n != 1 {
		t.Errorf("a header of one's own leaves %d places", n)
	}
}
