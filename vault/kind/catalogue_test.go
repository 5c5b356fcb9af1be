package kind_test

import (
	"net/textproto"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// TestEveryServiceIsConsistent holds each row to what api_key makes of it.
func TestEveryServiceIsConsistent(t *testing.T) {
	k := get(t, "api_key")
	served := 0
	for _, s := range kind.Services() {
		t.Run(s.Name, func(t *testing.T) {
			if !regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`).MatchString(s.Name) || s.Title == "" {
				t.Error("name or title")
			}
			if u, err := url.Parse(s.Doc); err != nil || u.Scheme != "https" || u.Host == "" {
				t.Error("doc")
			}
			if s.Refused != "" {
				return
			}
			for i, e := range append(slices.Clone(s.Env), s.UserEnv) {
				if (e != "" || i < len(s.Env)) && (!kind.EnvNameAllowed(e) || slices.Contains(s.Env[:min(i, len(s.Env))], e)) {
					t.Errorf("variable %q", e)
				}
			}
			if len(s.Env) == 0 || strings.Count(s.Template, "{value}") != 1 || s.NeedsUsername() && s.UserEnv == "" {
				t.Error("variables or template")
			}
			if s.Key != "" && !(strings.HasPrefix(s.Key, "^") && strings.HasSuffix(s.Key, "$")) {
				t.Error("the key's shape is not anchored")
			}
			if s.NoStandIn == "" {
				served++
				checkServed(t, s)
			}
			n, err := k.Validate(attrs("service", s.Name, "username", "AC0123456789"), sealed("key", "canary-key-0123456789"))
			if err != nil {
				t.Fatal(err)
			}
			checkUse(t, k, n)
			if standIn, why := k.StandIns(n.Attrs); (len(standIn) == 0) != (s.NoStandIn != "") || (why != "") != (s.NoStandIn != "") {
				t.Error("stand-ins")
			}
		})
	}
	if served < 30 {
		t.Errorf("only %d services", served)
	}
}

// checkServed: a header that is one, some request that is allowed, and denials that deny something the rule would allow (else they are
// misspelt).
func checkServed(t *testing.T, s kind.Service) {
	t.Helper()
	if s.Header == "" || textproto.CanonicalMIMEHeaderKey(s.Header) != s.Header || s.Basic != strings.Contains(s.Template, ":") {
		t.Error("header")
	}
	rules := s.Rules()
	if err := policy.Validate(policy.Policy{Hosts: rules}, nil, nil); err != nil || len(rules) == 0 {
		t.Fatalf("hosts: %v", err)
	}
	for _, r := range rules {
		host := strings.Replace(r.Host, "*", "w", 1)
		path := "/w/w/w/w"
		if len(r.Paths) > 0 {
			path = strings.ReplaceAll(r.Paths[0], "*", "w")
		}
		if !slices.ContainsFunc(policy.Methods, func(m string) bool { return policy.MatchRequest(rules, m, host, 443, path).Allowed }) {
			t.Errorf("%s allows nothing", r.Host)
		}
		open := r
		open.Deny = nil
		for _, d := range r.Deny {
			methods, pattern := policy.Methods, d
			if named, p, ok := strings.Cut(d, ":/"); ok && !strings.HasPrefix(d, "/") {
				methods, pattern = strings.Split(named, ","), "/"+p
			}
			path := strings.ReplaceAll(pattern, "*", "w")
			for _, m := range methods {
				if policy.MatchRequest(rules, m, host, 443, path).Allowed || policy.MatchRequest(rules, m, host, 443, strings.ToUpper(path)).Allowed {
					t.Errorf("%s %s is allowed", m, path)
				}
			}
			if !policy.MatchRequest([]policy.HostRule{open}, methods[0], host, 443, path).Allowed {
				t.Errorf("denying %s changes nothing: it is not allowed anyway", d)
			}
		}
	}
}

func TestKeysAreNotMadeBehindThePolicysBack(t *testing.T) {
	k := get(t, "api_key")
	a := attrs("service", "openrouter")
	own, err := policy.ParseHostRules("openrouter.ai")
	if err != nil {
		t.Fatal(err)
	}
	if policy.MatchRequest(k.Rules(a, policy.Policy{Hosts: own}), "POST", "openrouter.ai", 443, "/api/v1/keys").Allowed {
		t.Error("a host rule of the policy opens what the service denies")
	}
	own[0].KeyEndpoints = true
	if !policy.MatchRequest(k.Rules(a, policy.Policy{Hosts: own}), "POST", "openrouter.ai", 443, "/api/v1/keys").Allowed {
		t.Error("a person cannot open it either")
	}
	self := attrs("service", "gitlab", "hosts", "git.acme.example")
	if policy.MatchRequest(k.Rules(self, policy.Policy{}), "POST", "git.acme.example", 443, "/api/v4/user/personal_access_tokens").Allowed {
		t.Error("a GitLab of one's own makes tokens")
	}
	bot := get(t, "telegram_bot").Rules(nil, policy.Policy{})
	if policy.MatchRequest(bot, "POST", "api.telegram.org", 443, "/bot1:x/LOGOUT").Allowed || !policy.MatchRequest(bot, "POST", "api.telegram.org", 443, "/bot1:x/sendMessage").Allowed {
		t.Error("telegram's methods")
	}
	if h := get(t, "github_app").Rules(nil, policy.Policy{}); policy.MatchRequest(h, "POST", "api.github.com", 443, "/app/installations/1/access_tokens").Allowed {
		t.Error("an app's token makes tokens")
	}
}
