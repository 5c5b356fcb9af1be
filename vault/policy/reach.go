package policy

import "slices"

// Reaches tells whether some rule is about the host and port, whatever it allows there. The host may be in any spelling; one that has no canonical form is
// reached by none.
func Reaches(rules []HostRule, host string, port int) bool {
	h, err := CanonicalHost(host)
	return err == nil && slices.ContainsFunc(rules, func(r HostRule) bool { return r.port() == port && covers(r.Host, h) })
}

// Denies tells whether the denials of some rule for the host and port take in the method and normal path (Decision.Path). What has no canonical form is denied.
func Denies(rules []HostRule, method, host string, port int, path string) bool {
	h, err := CanonicalHost(host)
	if err != nil || path == "" || path[0] != '/' {
		return true
	}
	return slices.ContainsFunc(rules, func(r HostRule) bool { return r.port() == port && covers(r.Host, h) && r.denies(method, path) })
}

// EffectivePort is the port that the rule means: 443 where it names none.
func (r HostRule) EffectivePort() int { return r.port() }

// Lifted gives what rules let through although base denies it: for each rule that says KeyEndpoints, its host with the denials of base there. Whoever
// forwards a request that these deny must capture what the reply makes (threat-model.md 40). It is the other half of WithDenials.
func Lifted(rules, base []HostRule) []HostRule {
	var out []HostRule
	for _, r := range rules {
		if !r.KeyEndpoints {
			continue
		}
		lifted := HostRule{Host: r.Host, Port: r.Port}
		for _, b := range base {
			if b.meets(r) {
				lifted.Deny = append(lifted.Deny, b.Deny...)
			}
		}
		if len(lifted.Deny) > 0 {
			slices.Sort(lifted.Deny)
			lifted.Deny = slices.Compact(lifted.Deny)
			out = append(out, lifted)
		}
	}
	return out
}
