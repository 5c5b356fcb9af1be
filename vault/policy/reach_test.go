package policy_test

import (
	"testing"

	"github.com/zavhoz/zavhoz/vault/policy"
)

func TestReaches(t *testing.T) {
	r := rules(t, "a.example; *.b.example:8443 GET /x; 10.0.0.5")
	for host, want := range map[string]bool{"a.example:443": true, "A.example:443": true, "10.0.0.5:443": true, "a.example:8443": false, "x.a.example:443": false, "a.example.:443": false,
		"x.b.example:8443": true, "b.example:8443": false, "x.b.example:443": false} {
		name, port := host[:len(host)-4], 443
		if host[len(host)-4:] == "8443" {
			name, port = host[:len(host)-5], 8443
		}
		if policy.Reaches(r, name, port) != want {
			t.Errorf("%s: %v", host, !want)
		}
	}
}

// TestAttack40_LiftedEndpointsAreKnown: what "+keys" lifts is still known as what makes keys, at exactly the hosts where it is lifted.
func TestAttack40_LiftedEndpointsAreKnown(t *testing.T) {
	base := rules(t, "api.example !/v1/keys/* !POST:/v1/tokens; other.example !/keys")
	own := rules(t, "api.example /v1/* !/v1/own +keys; other.example")
	lifted := policy.Lifted(own, base)
	all := policy.WithDenials(own, base)
	for _, c := range []struct {
		method, host, path string
		makes, allowed     bool
	}{
		{"GET", "api.example", "/v1/keys", true, true}, {"GET", "api.example", "/v1/KEYS/1/", true, true}, {"POST", "api.example", "/v1/tokens", true, true},
		{"GET", "api.example", "/v1/tokens", false, true}, {"GET", "api.example", "/v1/own", false, false}, {"GET", "other.example", "/keys", false, false},
		{"GET", "api.example", "/v1/chat", false, true},
	} {
		if got := policy.Denies(lifted, c.method, c.host, 443, c.path); got != c.makes {
			t.Errorf("%s %s%s makes keys: %v", c.method, c.host, c.path, got)
		}
		if got := policy.MatchRequest(all, c.method, c.host, 443, c.path).Allowed; got != c.allowed && c.path != "/v1/KEYS/1/" {
			t.Errorf("%s %s%s allowed: %v", c.method, c.host, c.path, got)
		}
	}
	if policy.Denies(nil, "GET", "api.example", 443, "/") || !policy.Denies(nil, "GET", "api.example", 443, "") || !policy.Denies(nil, "GET", "api.example.", 443, "/") {
		t.Error("no rules, or what has no canonical form")
	}
	if wild := policy.Lifted(rules(t, "*.example.org +keys"), rules(t, "api.example.org !/keys")); !policy.Denies(wild, "GET", "api.example.org", 443, "/keys") {
		t.Error("a wild rule lifts what a host under it denies, unnoticed")
	}
}
