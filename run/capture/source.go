package capture

import (
	"cmp"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// Source is what the reply came from.
type Source struct {
	Resources []vault.Resource // of the run; of a request exactly one
	Host      string           // of a request: canonical; "" of a run, and then no api_key can be captured
	Port      int
}

// draft makes the new resource, without its secrets. All of it that anybody reads is made here.
func (s Source) draft(spec Spec, actor vault.Actor) (vault.NewResource, error) {
	from := s.Resources[0]
	n := vault.NewResource{
		Kind: spec.Kind, Handle: spec.Handle, Project: from.Project, Why: spec.Purpose, Attrs: map[string]string{},
		Labels: map[string]string{vault.CapturedBy: actor.Name, vault.CapturedFrom: from.Handle},
		Policy: policy.Policy{Agents: []string{actor.Name}},
	}
	for _, r := range s.Resources { // never less guarded than what it came from
		p := r.Policy
		if p.Approval != "" {
			n.Policy.Approval = p.Approval
		}
		if n.Policy.MinLevel == "" || p.MinLevel != "" && n.Policy.MinLevel.Less(p.MinLevel) {
			n.Policy.MinLevel = p.MinLevel
		}
		if !p.Expires.IsZero() && (n.Policy.Expires.IsZero() || p.Expires.Before(n.Policy.Expires)) {
			n.Policy.Expires = p.Expires
		}
	}
	if spec.Kind == APIKey {
		return n, s.apiKey(&n, from)
	}
	return n, nil
}

// noAPIKey says what to capture instead.
func noAPIKey(why string) error {
	return bad("an api_key cannot be made of this reply: "+why, `leave kind out: a generic resource waits for a person to say where it may go`)
}

// apiKey makes the resource one for the host that the reply came from: the header, rules and denials of the resource that asked, for that host alone.
func (s Source) apiKey(n *vault.NewResource, from vault.Resource) error {
	if s.Host == "" {
		return noAPIKey("it comes from a command, not from a host")
	}
	k, err := kind.Get(from.Kind)
	if err != nil {
		return err
	}
	rules := s.narrow(k.Rules(from.Attrs, from.Policy), k.Mints(from.Attrs, from.Policy))
	if len(rules) == 0 {
		return noAPIKey("its host is none of " + from.Handle)
	}
	if err := s.attributes(n, k, from); err != nil {
		return err
	}
	n.From = map[string]uint64{from.ID: from.Version}
	p := &n.Policy
	p.Hosts, p.Deliveries = rules, []policy.Delivery{policy.Broker, policy.None}
	p.Private, p.UpstreamCA, p.MaxTTL = from.Policy.Private, from.Policy.UpstreamCA, from.Policy.MaxTTL
	for _, line := range from.Policy.Resolve {
		if name, _, _ := strings.Cut(line, "="); name == s.Host {
			p.Resolve = append(p.Resolve, line)
		}
	}
	own, err := kind.Get(APIKey)
	if err != nil {
		return err
	}
	return policy.Validate(*p, own.StandIn, own.Deliveries)
}

// narrow gives the rules that hold for the host, written for it alone; what a person lifted for the resource that asked is denied again.
func (s Source) narrow(rules, lifted []policy.HostRule) (out []policy.HostRule) {
	for _, r := range rules {
		if !policy.Reaches([]policy.HostRule{r}, s.Host, s.Port) {
			continue
		}
		n := policy.HostRule{Host: s.Host, Port: r.Port, Methods: slices.Clone(r.Methods), Paths: slices.Clone(r.Paths), Deny: slices.Clone(r.Deny)}
		for _, m := range lifted {
			if policy.Reaches([]policy.HostRule{m}, s.Host, s.Port) {
				n.Deny = append(n.Deny, m.Deny...)
			}
		}
		slices.Sort(n.Deny)
		n.Deny = slices.Compact(n.Deny)
		out = append(out, n)
	}
	return out
}

// attributes says how the key goes into a request: as that of the resource that asked.
func (s Source) attributes(n *vault.NewResource, k kind.Kind, from vault.Resource) error {
	if k.Swaps == nil {
		return noAPIKey("nothing says how " + from.Handle + " goes into a request")
	}
	host := s.Host
	if s.Port != 443 {
		host = net.JoinHostPort(s.Host, strconv.Itoa(s.Port))
	}
	if service := from.Attrs["service"]; from.Kind == APIKey && service != "" { // the catalogue's denials go along
		n.Attrs["service"] = service
		for _, name := range []string{"header", "username"} {
			if v := from.Attrs[name]; v != "" {
				n.Attrs[name] = v
			}
		}
		if from.Attrs["hosts"] != "" {
			n.Attrs["hosts"] = host
		}
		return nil
	}
	n.Attrs["hosts"], n.Attrs["env"] = host, variable(n.Handle)
	for _, w := range k.Swaps(from.Attrs) {
		if w.Header == "" {
			continue
		}
		if !w.Basic {
			n.Attrs["header"] = w.Header + ": " + w.Template
			return nil
		}
		if user, ok := strings.CutSuffix(w.Template, ":{value}"); ok && user != "" && user != "*" {
			n.Attrs["header"], n.Attrs["username"] = "basic", user
			return nil
		}
	}
	return noAPIKey("nothing says in which header " + from.Handle + " goes")
}

// variable is the name of the variable that a captured key fills: the handle in capitals, with a tail that no reserved name has. Names that steer a loader or a
// tool stay refused by the kind.
func variable(handle string) string {
	name := strings.Map(func(r rune) rune {
		if r == '-' || r == '.' {
			return '_'
		}
		return r
	}, strings.ToUpper(handle))
	if name[0] >= '0' && name[0] <= '9' {
		name = "KEY_" + name
	}
	return name + "_KEY"
}

// public is what anybody can read of the source: none of it is a secret, and none may become one, for then it would be masked everywhere.
func (s Source) public(actor vault.Actor) []string {
	all := []string{actor.Name, cmp.Or(s.Host, actor.Name)}
	for _, r := range s.Resources {
		all = append(all, r.Handle, r.ID, r.Project)
		for _, v := range r.Attrs {
			all = append(all, v)
		}
		for _, v := range r.Labels {
			all = append(all, v)
		}
	}
	if s.Host != "" {
		all = append(all, "https://"+s.Host, "https://"+s.Host+"/")
	}
	return append(all, "application/json", "undefined", "password", "[redacted]", "null", "true", "false")
}
