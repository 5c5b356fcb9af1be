package policy

import (
	"maps"
	"slices"
	"strings"
)

// aspect is one field of a policy: its JSON name, and whether b allows what a does not.
type aspect struct {
	name  string
	wider func(a, b Policy) bool
}

// aspects has one entry for each field of Policy (a test counts them): a field that nobody compares would widen in silence.
var aspects = []aspect{
	{"agents", agentsWider},
	{"deliveries", deliveriesWider},
	{"hosts", func(a, b Policy) bool { return hostsWider(a.Hosts, b.Hosts) }},
	{"pins", pinsWider},
	{"approval", func(a, b Policy) bool { return asks[b.Approval] < asks[a.Approval] }},
	{"min_level", func(a, b Policy) bool { return b.MinLevel.Less(a.MinLevel) }},
	{"max_uses", func(a, b Policy) bool { return limitWider(a.MaxUses, b.MaxUses) }},
	{"max_ttl_s", func(a, b Policy) bool { return limitWider(a.MaxTTL, b.MaxTTL) }},
	{"expires_at", expiryWider},
	{"resolve", func(a, b Policy) bool { return !subset(b.Resolve, a.Resolve) }},
	{"allow_private", func(a, b Policy) bool { return !a.Private && b.Private }},
	{"upstream_ca", func(a, b Policy) bool { return b.UpstreamCA != "" && b.UpstreamCA != a.UpstreamCA }},
	{"exec", func(a, b Policy) bool { return listWider(a.Exec, b.Exec) }},
	{"sftp", func(a, b Policy) bool { return !a.SFTP && b.SFTP }},
	{"ssh_agent", func(a, b Policy) bool { return !a.SSHAgent && b.SSHAgent }},
	{"pass_through", passWider},
}

// asks orders what approval asks for.
var asks = map[string]int{"": 0, ApprovalFirst: 1, ApprovalAlways: 2}

// Widens tells whether fresh allows anything that old did not, or could: where that cannot be told cheaply, it says yes. It drives the proof of
// presence, so an error to that side costs a passphrase, one to the other a wall.
func Widens(old, fresh Policy) bool {
	return slices.ContainsFunc(aspects, func(a aspect) bool { return a.wider(old, fresh) })
}

// listWider compares lists in which empty means anything.
func listWider(a, b []string) bool { return len(a) > 0 && (len(b) == 0 || !subset(b, a)) }

// agentsWider: whom a policy names, it gives the resource beyond their grants, and to `local` the true value; to name somebody is wider also than "any".
func agentsWider(a, b Policy) bool {
	return !subset(b.Agents, a.Agents) || listWider(a.Agents, b.Agents)
}

func subset[T comparable](small, big []T) bool {
	return !slices.ContainsFunc(small, func(x T) bool { return !slices.Contains(big, x) })
}

func deliveriesWider(a, b Policy) bool {
	old, fresh := a.Deliveries, b.Deliveries
	standIns := []Delivery{Broker, SSH, None}
	if len(fresh) == 0 {
		fresh = standIns
	}
	if len(old) == 0 {
		old = standIns
	}
	return !subset(fresh, old)
}

// hostsWider: a rule is no wider if one old rule allowed all of it. Nothing stands for the kind's own hosts, which are not known here.
func hostsWider(a, b []HostRule) bool {
	if slices.EqualFunc(a, b, sameRule) {
		return false
	}
	if len(a) == 0 || len(b) == 0 {
		return true
	}
	for _, fresh := range b {
		if !slices.ContainsFunc(a, func(old HostRule) bool { return old.contains(fresh) }) {
			return true
		}
	}
	return deniesLess(a, b)
}

func sameRule(a, b HostRule) bool { return a.String() == b.String() }

// deniesLess: a denial holds for all rules of its host, so losing any may let something in.
func deniesLess(a, b []HostRule) bool {
	for _, old := range a {
		for _, d := range old.Deny {
			if !slices.ContainsFunc(b, func(r HostRule) bool {
				return r.Host == old.Host && r.port() == old.port() && slices.Contains(r.Deny, d)
			}) {
				return true
			}
		}
	}
	return false
}

// contains tells whether r allows whatever o allows, denials aside: deniesLess looks at those.
func (r HostRule) contains(o HostRule) bool {
	sameHosts := r.Host == o.Host || (strings.HasPrefix(r.Host, "*.") && covers(r.Host, strings.TrimPrefix(o.Host, "*.")))
	if !sameHosts || r.port() != o.port() || (o.KeyEndpoints && !r.KeyEndpoints) {
		return false
	}
	if !subset(o.methods(), r.methods()) {
		return false
	}
	if len(r.Paths) == 0 {
		return true
	}
	return len(o.Paths) > 0 && !slices.ContainsFunc(o.Paths, func(p string) bool {
		return !slices.ContainsFunc(r.Paths, func(q string) bool { return q == p || prefixOf(q, p) })
	})
}

// prefixOf tells whether pattern q, a plain prefix, holds all that p can match.
func prefixOf(q, p string) bool {
	head := strings.TrimSuffix(q, "*")
	return strings.HasSuffix(head, "/") && !strings.Contains(head, "*") && strings.HasPrefix(p, head)
}

func pinsWider(a, b Policy) bool {
	for _, fresh := range b.Pins {
		if !slices.ContainsFunc(a.Pins, func(old Pin) bool { return old.contains(fresh) }) {
			return true
		}
	}
	return false
}

// contains tells whether o allows no more than p.
func (p Pin) contains(o Pin) bool {
	return slices.Equal(p.Argv, o.Argv) && (p.SHA256 == "" || p.SHA256 == o.SHA256) && p.Cwd == o.Cwd && subset(o.Env, p.Env) && (p.Stdin || !o.Stdin) && (p.Open || !o.Open) && (len(p.Files) == 0 || maps.Equal(p.Files, o.Files))
}

func expiryWider(a, b Policy) bool {
	return !a.Expires.IsZero() && (b.Expires.IsZero() || b.Expires.After(a.Expires))
}
