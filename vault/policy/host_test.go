package policy_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

func TestCanonicalHost(t *testing.T) {
	for in, want := range map[string]string{
		"API.Example.org": "api.example.org", "a.b": "a.b", "localhost": "localhost", "xn--bcher-kva.example": "xn--bcher-kva.example", "10.0.0.1": "10.0.0.1",
		"[2001:DB8::1]": "2001:db8::1", "2001:db8:0::1": "2001:db8::1", "my_app.internal": "my_app.internal",
		// each of these is another host to somebody
		"api.example.org.": "", "bücher.example": "", "": "", "a..b": "", ".a": "", "-a.b": "", "a-.b": "", "2130706433": "", "0x7f000001": "", "127.1": "", "0177.0.0.1": "",
		"127.0.0.1.": "", "::ffff:10.0.0.1": "", "fe80::1%eth0": "", "[::1": "", "[10.0.0.1]": "", "a b": "", "a/b": "", "a@b": "", "a:80": "", "1.2.3.4.5": "", "1.2.3.256": "",
		"a.0x1": "", "ａ.example": "", "a\x00b": "", strings.Repeat("a", 64) + ".b": "", strings.Repeat("a.", 127) + "abc": "",
	} {
		got, err := policy.CanonicalHost(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("CanonicalHost(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
}

func TestParseHostRule(t *testing.T) {
	for text, want := range map[string]string{
		"api.acme.example":                           "api.acme.example",
		"API.acme.example:8443 get,POST /v1/*":       "api.acme.example:8443 GET,POST /v1/*",
		"*.acme.example /a /b/ !/admin/* +keys":      "*.acme.example /a /b/ !/admin/* +keys",
		"[2001:db8::1]:8443 !POST,PUT:/keys":         "[2001:db8::1]:8443 !POST,PUT:/keys",
		"2001:db8::1":                                "[2001:db8::1]",
		"10.0.0.5:443":                               "10.0.0.5:443",
		"a.example  /x   DELETE":                     "a.example DELETE /x",
		"a.example /repos/*/*/actions/* !/x/*/y /é/": "a.example /repos/*/*/actions/* /é/ !/x/*/y",
	} {
		r, err := policy.ParseHostRule(text)
		if err != nil || r.String() != want {
			t.Errorf("ParseHostRule(%q) = %q, %v; want %q", text, r, err, want)
		}
	}
	for _, text := range []string{
		"", "https://a.example", "a.example/v1", "a.example:0", "a.example:65536", "a.example:x", "a.example:080", "*.com", "*.co.uk", "*.github.io", "*", "*.10.0.0.1", "a.*.example",
		"a.example TRACE", "a.example CONNECT", "a.example GET,GET", "a.example GET POST", "a.example v1", "a.example /a/../b", "a.example /a//b", "a.example /%2e", "a.example /v1*",
		"a.example !admin", "a.example !FETCH:/x", "a.example /a?b", "a.example /a;b", "user@a.example", "a.example.", "bücher.example",
	} {
		r, err := policy.ParseHostRule(text)
		if fault.CodeOf(err) != fault.InvalidArgument {
			t.Errorf("ParseHostRule(%q) = %q, %v; want invalid_argument", text, r, err)
		}
	}
}

func TestParseHostRules(t *testing.T) {
	for text, want := range map[string]string{
		"a.example,b.example:8443":            "a.example; b.example:8443",
		"a.example GET,POST /v1/*; b.example": "a.example GET,POST /v1/*; b.example",
		"a.example\n\n b.example ;":           "a.example; b.example",
	} {
		rules, err := policy.ParseHostRules(text)
		if got := policy.FormatHostRules(rules); err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"", " ; ", "a.example,", "a.example;b c d", strings.Repeat("a.example;", 65)} {
		if _, err := policy.ParseHostRules(text); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

func rules(t testing.TB, text string) []policy.HostRule {
	t.Helper()
	r, err := policy.ParseHostRules(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestMatchRequest(t *testing.T) {
	rs := rules(t, "api.acme.example GET,POST /pub/* /exact /repos/*/pulls !/pub/keys/* !DELETE:/pub/x; *.wild.example:8443; 10.0.0.5 /; open.example !/admin")
	for _, c := range []struct {
		method, host string
		port         int
		path         string
		want         bool
	}{
		{"GET", "api.acme.example", 443, "/pub/a/b", true},
		{"GET", "API.ACME.example", 443, "/pub/", true},
		{"GET", "api.acme.example", 443, "/pub", false},
		{"GET", "api.acme.example", 443, "/exact", true},
		{"GET", "api.acme.example", 443, "/exact/", false},
		{"GET", "api.acme.example", 443, "/Exact", false},
		{"GET", "api.acme.example", 443, "/%65xact", true},
		{"POST", "api.acme.example", 443, "/repos/x/pulls", true},
		{"POST", "api.acme.example", 443, "/repos/x/y/pulls", false},
		{"POST", "api.acme.example", 443, "/repos//pulls", false},
		{"DELETE", "api.acme.example", 443, "/pub/a", false},
		{"TRACE", "open.example", 443, "/", false},
		{"CONNECT", "open.example", 443, "/", false},
		{"get", "open.example", 443, "/", false},
		{"GET", "api.acme.example", 8443, "/pub/a", false},
		{"GET", "api.acme.example.", 443, "/pub/a", false},
		{"GET", "acme.example", 443, "/pub/a", false},
		{"GET", "xapi.acme.example", 443, "/pub/a", false},
		{"GET", "a.wild.example", 8443, "/", true},
		{"GET", "a.b.wild.example", 8443, "/", true},
		{"GET", "wild.example", 8443, "/", false},
		{"GET", "evilwild.example", 8443, "/", false},
		{"GET", "a.wild.example", 443, "/", false},
		{"GET", "10.0.0.5", 443, "/x", true},
		{"GET", "10.0.0.6", 443, "/x", false},
		{"GET", "0xa000005", 443, "/x", false},
		{"GET", "167772165", 443, "/x", false},
		{"GET", "::ffff:10.0.0.5", 443, "/x", false},
		// denials, in every spelling
		{"GET", "api.acme.example", 443, "/pub/keys", false},
		{"GET", "api.acme.example", 443, "/pub/keys/", false},
		{"GET", "api.acme.example", 443, "/pub/KEYS/1", false},
		{"GET", "api.acme.example", 443, "/pub/keys./1", false},
		{"GET", "api.acme.example", 443, "/pub/%6beys/1", false},
		{"GET", "api.acme.example", 443, "/pub/keys%20/1", false},
		{"GET", "api.acme.example", 443, "/pub/keysX/1", true},
		{"GET", "open.example", 443, "/admin/", false},
		{"GET", "open.example", 443, "/admin/x", true},
		{"GET", "open.example", 443, "/", true},
		// two servers would read these differently
		{"GET", "api.acme.example", 443, "/pub/../other", false},
		{"GET", "api.acme.example", 443, "/pub/%2e%2e/other", false},
		{"GET", "api.acme.example", 443, "/pub/.%2E/other", false},
		{"GET", "api.acme.example", 443, "/pub/..%2fother", false},
		{"GET", "api.acme.example", 443, "/pub/a%5cb", false},
		{"GET", "api.acme.example", 443, `/pub/a\b`, false},
		{"GET", "api.acme.example", 443, "/pub/%252e%252e/other", false},
		{"GET", "api.acme.example", 443, "/pub//a", false},
		{"GET", "api.acme.example", 443, "/pub/a;x=1", false},
		{"GET", "api.acme.example", 443, "/pub/a%3fb", false},
		{"GET", "api.acme.example", 443, "/pub/a%00", false},
		{"GET", "api.acme.example", 443, "/pub/%c0%ae%c0%ae/x", false},
		{"GET", "api.acme.example", 443, "/pub/%ef%bc%8e%ef%bc%8e/x", false},
		{"GET", "api.acme.example", 443, "/pub/é", false},
		{"GET", "api.acme.example", 443, "/pub/%c3%a9", true},
		{"GET", "api.acme.example", 443, "/pub/%zz", false},
		{"GET", "api.acme.example", 443, "/pub/%4", false},
		{"GET", "api.acme.example", 443, "pub/a", false},
		{"GET", "api.acme.example", 443, "", false},
		{"GET", "open.example", 443, "*", false},
	} {
		if d := policy.MatchRequest(rs, c.method, c.host, c.port, c.path); d.Allowed != c.want || (d.Why == "") != c.want {
			t.Errorf("%s %s:%d %s: %+v; want %v", c.method, c.host, c.port, c.path, d, c.want)
		}
	}
	if policy.MatchRequest(nil, "GET", "a.example", 443, "/").Allowed {
		t.Error("no rules allow a request")
	}
}

func TestRulesOutsideValidateFailClosed(t *testing.T) {
	for _, r := range []policy.HostRule{
		{Host: "*.com"}, {Host: "A.example"}, {Host: "a.example", Methods: []string{"TRACE"}}, {Host: "a.example", Deny: []string{"x"}}, {Host: "a.example", Deny: []string{""}},
		{Host: "a.example", Paths: []string{""}}, {Host: ""}, {Host: "*."},
	} {
		if d := policy.MatchRequest([]policy.HostRule{r}, "TRACE", "a.example", 443, "/"); d.Allowed {
			t.Errorf("%+v allows TRACE", r)
		}
		if d := policy.MatchRequest([]policy.HostRule{r}, "GET", "a.example", 443, "/"); d.Allowed {
			t.Errorf("%+v allows a request", r)
		}
	}
}

func TestWithDenials(t *testing.T) {
	base := rules(t, "api.acme.example !/keys/*")
	got := policy.WithDenials(rules(t, "api.acme.example /v1/*; *.acme.example !/x; api.acme.example:8443; other.example; api.acme.example +keys"), base)
	want := "api.acme.example /v1/* !/keys/*; *.acme.example !/x !/keys/*; api.acme.example:8443 !/keys/*; other.example; api.acme.example +keys"
	if s := policy.FormatHostRules(got); s != want {
		t.Errorf("got %s", s)
	}
	if policy.FormatHostRules(base) != "api.acme.example !/keys/*" {
		t.Error("the base was changed")
	}
}

func FuzzHostRule(f *testing.F) {
	for _, s := range []string{"api.acme.example:8443 GET,POST /v1/* !POST:/k +keys", "*.a.example", "[::1]:1", "a.example !/x", "1.2.3.4 /*"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := policy.ParseHostRule(text)
		if err != nil {
			if r.Host != "" {
				t.Fatalf("an error comes with a rule: %+v", r)
			}
			return
		}
		again, err := policy.ParseHostRule(r.String())
		if err != nil || again.String() != r.String() {
			t.Fatalf("%q reads as %q, that as %q, %v", text, r, again, err)
		}
		if err := policy.Validate(policy.Policy{Hosts: []policy.HostRule{r}}, nil, nil); err != nil {
			t.Fatalf("%q parses, but is no valid policy: %v", text, err)
		}
	})
}

// FuzzMatchRequest: whatever is allowed reads the same to a server that resolves dots, folds case or decodes once more.
func FuzzMatchRequest(f *testing.F) {
	for _, s := range []string{"/pub/a", "/pub/%2e%2e/x", "/pub/a%2fb", "/pub/%25", "/keys", "/pub/./", "/pub/%c0%af"} {
		f.Add("GET", "api.acme.example", s)
	}
	rs := rules(f, "api.acme.example /pub/* !/pub/keys/*")
	f.Fuzz(func(t *testing.T, method, host, path string) {
		d := policy.MatchRequest(rs, method, host, 443, path)
		if !d.Allowed {
			return
		}
		if !slices.Contains(policy.Methods, method) || !strings.EqualFold(host, "api.acme.example") || !strings.HasPrefix(d.Path, "/pub/") {
			t.Fatalf("%s %s %s is allowed as %q", method, host, path, d.Path)
		}
		if strings.HasPrefix(strings.ToLower(d.Path), "/pub/keys/") || strings.ContainsAny(d.Path, "%\\;?#\x00") {
			t.Fatalf("%q is allowed", d.Path)
		}
		for s := range strings.SplitSeq(strings.Trim(d.Path, "/"), "/") {
			if s == "." || s == ".." || s == "" && d.Path != "/pub/" {
				t.Fatalf("%q is allowed", d.Path)
			}
		}
	})
}

func FuzzCanonicalHost(f *testing.F) {
	for _, s := range []string{"a.example", "1.2.3.4", "::1", "0x7f.1", "[::ffff:1.2.3.4]", "a.example."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h, err := policy.CanonicalHost(s)
		if err != nil {
			return
		}
		if again, err := policy.CanonicalHost(h); err != nil || again != h {
			t.Fatalf("%q: %q is not canonical: %q", s, h, again)
		}
		if a, err := netip.ParseAddr(h); err == nil && a.Is4In6() {
			t.Fatalf("%q is IPv4 inside IPv6", h)
		}
	})
}
