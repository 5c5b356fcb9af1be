package policy_test

import (
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

func TestParsePassThrough(t *testing.T) {
	for entry, want := range map[string]policy.HostRule{
		"registry.npmjs.org": {Host: "registry.npmjs.org"}, "PyPI.org": {Host: "pypi.org"}, "proxy.golang.org:443": {Host: "proxy.golang.org"},
		"api.example.org:8443": {Host: "api.example.org", Port: 8443}, "*.pythonhosted.org": {Host: "*.pythonhosted.org"},
	} {
		if r, err := policy.ParsePassThrough(entry); err != nil || r.String() != want.String() {
			t.Errorf("%s: %+v %v", entry, r, err)
		}
	}
	for _, entry := range []string{
		"", "*", "*.com", "*.co.uk", "*.github.io", "a.example GET", "a.example /v1", "https://a.example", "a.example/", "a.example:0", "a.example:65536", "a.example:x", "a_b c",
		"192.0.2.1", "[2001:db8::1]:443", "2001:db8::1", "169.254.169.254", "2130706433", "a.example.", "user@a.example", "a.example\n", "a.*.example", "0x7f.1",
	} {
		if r, err := policy.ParsePassThrough(entry); fault.CodeOf(err) != fault.InvalidArgument {
			t.Errorf("%q is read as %+v: %v", entry, r, err)
		}
	}
}

func TestPassThrough(t *testing.T) {
	hosts := func(text string) []policy.HostRule { return rules(t, text) }
	for name, c := range map[string]struct {
		p  policy.Policy
		ok bool
	}{
		"a registry":              {policy.Policy{PassThrough: []string{"registry.npmjs.org"}}, true},
		"beside the kind's rules": {policy.Policy{PassThrough: []string{"pypi.org", "*.pythonhosted.org"}, Hosts: hosts("api.acme.example GET")}, true},
		"another port":            {policy.Policy{PassThrough: []string{"acme.example:8443"}, Hosts: hosts("acme.example")}, true},
		"not canonical":           {policy.Policy{PassThrough: []string{"PyPI.org"}}, false},
		"port 443":                {policy.Policy{PassThrough: []string{"pypi.org:443"}}, false},
		"twice":                   {policy.Policy{PassThrough: []string{"pypi.org", "pypi.org"}}, false},
		"an address":              {policy.Policy{PassThrough: []string{"10.0.0.5"}, Private: true}, false},
		"a host of the rules":     {policy.Policy{PassThrough: []string{"api.acme.example"}, Hosts: hosts("api.acme.example GET /v1/*")}, false},
		"its explicit port":       {policy.Policy{PassThrough: []string{"api.acme.example"}, Hosts: hosts("api.acme.example:443 GET")}, false},
		"wild over a rule":        {policy.Policy{PassThrough: []string{"*.acme.example"}, Hosts: hosts("api.acme.example GET")}, false},
		"under a wild rule":       {policy.Policy{PassThrough: []string{"api.acme.example"}, Hosts: hosts("*.acme.example GET")}, false},
		"wild over wild":          {policy.Policy{PassThrough: []string{"*.acme.example"}, Hosts: hosts("*.api.acme.example GET")}, false},
		"wild under wild":         {policy.Policy{PassThrough: []string{"*.api.acme.example"}, Hosts: hosts("*.acme.example GET")}, false},
		"too many":                {policy.Policy{PassThrough: many(65)}, false},
	} {
		if err := policy.Validate(c.p, standIn, all); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	p := policy.Policy{PassThrough: []string{"pypi.org", "not a host", "a.example:8443"}}
	if got := policy.FormatHostRules(p.PassThroughRules()); got != "pypi.org; a.example:8443" {
		t.Errorf("the rules are %s", got)
	}
	if policy.MatchRequest(policy.Policy{PassThrough: []string{"pypi.org"}}.Hosts, "GET", "pypi.org", 443, "/").Allowed {
		t.Error("a host that is passed through is allowed as one that gets the credential")
	}
}

func many(n int) (out []string) {
	for i := range n {
		out = append(out, "h"+strings.Repeat("a", i)+".example")
	}
	return out
}

func TestOnlyServersCopyAndSign(t *testing.T) {
	server := []policy.Delivery{policy.SSH}
	for _, p := range []policy.Policy{{SFTP: true}, {SSHAgent: true}, {SFTP: true, SSHAgent: true, Exec: []string{"uptime"}}} {
		if err := policy.Validate(p, server, server); err != nil {
			t.Errorf("%+v: %v", p, err)
		}
		if err := policy.Validate(p, standIn, all); fault.CodeOf(err) != fault.DeliveryRefused {
			t.Errorf("%+v for what is no server: %v", p, err)
		}
	}
	if (policy.Policy{Exec: []string{"uptime"}}).AllowsCopy() || !(policy.Policy{}).AllowsCopy() || !(policy.Policy{Exec: []string{"uptime"}, SFTP: true}).AllowsCopy() {
		t.Error("patterns of commands do not hold for copying")
	}
}
