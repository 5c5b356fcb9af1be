package policy_test

import (
	"slices"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/vault/policy"
)

func TestStrictest(t *testing.T) {
	soon := time.Unix(1000, 0)
	a := policy.Policy{Approval: "always", Agents: []string{"one", "two"}, Hosts: []policy.HostRule{{Host: "*.example.org", KeyEndpoints: true, Deny: []string{"/keys"}}}, MaxTTL: 60,
		Pins: []policy.Pin{{Name: "x"}}, Private: true, Resolve: []string{"a=1.2.3.4"}, UpstreamCA: "x", PassThrough: []string{"a"}, Deliveries: []policy.Delivery{policy.Env, policy.Broker}}
	b := policy.Policy{MinLevel: policy.LevelSealed, Agents: []string{"two"}, Hosts: []policy.HostRule{{Host: "api.example.org"}, {Host: "other.example.com"}}, MaxTTL: 90, Expires: soon, Deliveries: []policy.Delivery{policy.Env}}
	for _, ps := range [][]policy.Policy{{a, b}, {b, a}, {{}, a, b}} {
		got, ok := policy.Strictest(ps...)
		if !ok || got.Approval != "always" || got.MinLevel != policy.LevelSealed || got.MaxTTL != 60 || !got.Expires.Equal(soon) || !slices.Equal(got.Agents, []string{"two"}) ||
			!slices.Equal(got.Deliveries, []policy.Delivery{policy.Env}) || policy.FormatHostRules(got.Hosts) != "api.example.org !/keys" {
			t.Errorf("%v %+v", ok, got)
		}
		if len(got.Pins) > 0 || got.Private || len(got.Resolve) > 0 || got.UpstreamCA != "" || len(got.PassThrough) > 0 {
			t.Errorf("what was allowed for one is allowed for another: %+v", got)
		}
	}
	for _, ps := range [][]policy.Policy{
		{{MaxUses: 5}},
		{{Agents: []string{"one"}}, {Agents: []string{"two"}}},
		{{Hosts: []policy.HostRule{{Host: "a.example"}}}, {Hosts: []policy.HostRule{{Host: "b.example"}}}},
		{{Deliveries: []policy.Delivery{policy.Env}}, {Deliveries: []policy.Delivery{policy.Broker}}},
	} {
		if got, ok := policy.Strictest(ps...); ok {
			t.Errorf("%+v came to %+v", ps, got)
		}
	}
}

func TestNarrowed(t *testing.T) {
	own := []policy.HostRule{{Host: "api.github.com"}, {Host: "*.githubusercontent.com"}}
	for rules, want := range map[string]string{
		"api.github.com:8443 GET":                 "api.github.com:8443 GET",
		"*.github.com GET":                        "api.github.com GET",
		"raw.githubusercontent.com; evil.example": "raw.githubusercontent.com",
		"evil.example":                            "",
	} {
		in, err := policy.ParseHostRules(rules)
		if err != nil {
			t.Fatal(err)
		}
		if got := policy.FormatHostRules(policy.Narrowed(own, in)); got != want {
			t.Errorf("%s: %s", rules, got)
		}
	}
}
