package policy

import "slices"

// Strictest gives the policy that allows nothing that one of ps does not: what a person narrowed for one resource holds for another that stands for the same secrets. What
// only ever widens (pins, private addresses, ways past a kind's denials, tunnels) is not taken over: a person allows that for one resource, having looked at it. ok is
// false where nothing can be both, or where a count that several would share cannot be shared (MaxUses).
func Strictest(ps ...Policy) (out Policy, ok bool) {
	for _, p := range ps {
		if p.MaxUses > 0 {
			return Policy{}, false
		}
		if p.Approval == ApprovalAlways { // that somebody is to look at one says nothing of another
			out.Approval = p.Approval
		}
		if out.MinLevel.Less(p.MinLevel) {
			out.MinLevel = p.MinLevel
		}
		if p.MaxTTL > 0 && (out.MaxTTL == 0 || p.MaxTTL < out.MaxTTL) {
			out.MaxTTL = p.MaxTTL
		}
		if !p.Expires.IsZero() && (out.Expires.IsZero() || p.Expires.Before(out.Expires)) {
			out.Expires = p.Expires
		}
		if out.Agents, ok = both(out.Agents, p.Agents); !ok {
			return Policy{}, false
		}
		if out.Deliveries, ok = both(out.Deliveries, p.Deliveries); !ok {
			return Policy{}, false
		}
		if out.Hosts, ok = bothHosts(out.Hosts, p.Hosts); !ok {
			return Policy{}, false
		}
	}
	return out, true
}

// both gives what two lists share, where an empty one restricts nothing. ok is false where both restrict and share nothing: an empty list would allow all.
func both[T comparable](a, b []T) (out []T, ok bool) {
	switch {
	case len(a) == 0:
		return slices.Clone(b), true
	case len(b) == 0:
		return a, true
	}
	out = slices.DeleteFunc(slices.Clone(a), func(x T) bool { return !slices.Contains(b, x) })
	return out, len(out) > 0
}

// bothHosts keeps the rules of either that one of the other allows all of, with the denials of both.
func bothHosts(a, b []HostRule) (out []HostRule, ok bool) {
	a, b = withoutKeys(a), withoutKeys(b)
	switch {
	case len(a) == 0:
		return b, true
	case len(b) == 0:
		return a, true
	}
	within := func(rules, of []HostRule) {
		for _, r := range rules {
			if slices.ContainsFunc(of, func(o HostRule) bool { return o.contains(r) }) && !slices.ContainsFunc(out, func(o HostRule) bool { return sameRule(o, r) }) {
				out = append(out, r)
			}
		}
	}
	within(a, b)
	within(b, a)
	out = WithDenials(out, slices.Concat(a, b))
	for i := range out {
		slices.Sort(out[i].Deny)
		out[i].Deny = slices.Compact(out[i].Deny)
	}
	return out, len(out) > 0 && len(out) <= maxRules && !slices.ContainsFunc(out, func(r HostRule) bool { return len(r.Deny) > maxPatterns })
}

func withoutKeys(rules []HostRule) []HostRule {
	out := slices.Clone(rules)
	for i := range out {
		out[i].KeyEndpoints = false
	}
	return out
}

// Narrowed gives the rules for what is within both own and the rules that a person wrote: the narrower host of each pair that overlaps, with what the person allows there. It
// is empty where none overlap, which means that nothing may be reached, and not that everything may.
func Narrowed(own, rules []HostRule) (out []HostRule) {
	for _, r := range rules {
		for _, o := range own {
			fresh := r
			switch {
			case r.Host == o.Host || covers(o.Host, r.Host) || wildOver(o.Host, r.Host):
			case covers(r.Host, o.Host) || wildOver(r.Host, o.Host):
				fresh.Host = o.Host
			default:
				continue
			}
			if !slices.ContainsFunc(out, func(x HostRule) bool { return sameRule(x, fresh) }) {
				out = append(out, fresh)
			}
		}
	}
	return out
}
