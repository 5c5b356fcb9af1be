package policy

import "slices"

// Decision is what MatchRequest found. Its sentence holds nothing of the request.
type Decision struct {
	Allowed bool
	Rule    int    // index of the rule that allowed, or that denied; -1 where none had a say
	Path    string // the normal path that was compared; "" where it was refused as ambiguous
	Why     string // of a refusal
}

// MatchRequest decides one request by its method, the host and port that the connection is made to, and the raw path as sent (without
// query). It is pure and refuses by default: an unknown host, a rule missed by spelling or anything ambiguous is a refusal (threat-model.md 55). What one
// rule denies no other allows.
//
// What it cannot see and the caller must stop: method overrides in headers or the query, and a path rewritten after this look.
func MatchRequest(rules []HostRule, method, host string, port int, rawPath string) Decision {
	d := Decision{Rule: -1}
	if !slices.Contains(Methods, method) {
		d.Why = "the method is never allowed"
		return d
	}
	h, err := CanonicalHost(host)
	if err != nil {
		d.Why = "the host is not a plain name or address"
		return d
	}
	d.Why = "the host is not among those that the resource allows"
	mine := make([]int, 0, 4)
	for i, r := range rules {
		if covers(r.Host, h) && r.port() == port {
			mine = append(mine, i)
		}
	}
	if len(mine) == 0 {
		return d
	}
	if d.Path, err = NormalPath(rawPath); err != nil {
		d.Why = "the path can be read in more than one way"
		return d
	}
	for _, i := range mine {
		if rules[i].denies(method, d.Path) {
			d.Rule, d.Why = i, "the policy denies this method and path, as what makes or shows keys is denied by default"
			return d
		}
	}
	d.Why = "the resource allows the host, but not this method and path"
	for _, i := range mine {
		if rules[i].allows(method, d.Path) {
			return Decision{Allowed: true, Rule: i, Path: d.Path}
		}
	}
	return d
}

func (r HostRule) denies(method, path string) bool {
	for _, d := range r.Deny {
		methods, pattern := splitDenial(d)
		if pattern == "" || pattern[0] != '/' {
			return true // not a denial that Validate lets through: fail closed
		}
		if (len(methods) == 0 || slices.Contains(methods, method)) && denyPath(pattern, path) {
			return true
		}
	}
	return false
}

func (r HostRule) allows(method, path string) bool {
	if !slices.Contains(r.methods(), method) {
		return false
	}
	return len(r.Paths) == 0 || slices.ContainsFunc(r.Paths, func(p string) bool { return p != "" && p[0] == '/' && matchPath(p, path) })
}

// WithDenials gives rules with what base denies on the same hosts added, at any port, except to rules that say KeyEndpoints. Neither is changed.
func WithDenials(rules, base []HostRule) []HostRule {
	out := slices.Clone(rules)
	for i, r := range out {
		if r.KeyEndpoints {
			continue
		}
		deny := slices.Clone(r.Deny)
		for _, b := range base {
			if b.meets(r) {
				deny = append(deny, b.Deny...)
			}
		}
		out[i].Deny = deny
	}
	return out
}
