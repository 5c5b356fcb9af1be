package policy

import (
	"errors"
	"slices"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// maxPassThrough is how many hosts a policy passes through.
const maxPassThrough = 64

const passThroughSyntax = "write --pass-through registry.npmjs.org, host:port where the port is not 443, or *.example.org"

// ParsePassThrough reads a host that is passed through, host[:port]: a name or "*." and a name, in canonical form. An address is none: a tunnel is held to the
// server name that its TLS begins with. Its String gives the entry back.
func ParsePassThrough(entry string) (HostRule, error) {
	refused := func(why error) (HostRule, error) {
		return HostRule{}, fault.New(fault.InvalidArgument, "a host to pass through is not valid: "+why.Error(), passThroughSyntax)
	}
	host, port, err := splitPort(entry)
	if err != nil {
		return refused(err)
	}
	if port == 443 {
		port = 0
	}
	if isIP(host) {
		return refused(errors.New("it is a name, not an address"))
	}
	return HostRule{Host: host, Port: port}, nil
}

// PassThroughRules gives PassThrough as rules, for the egress proxy. An entry that cannot be read, which Validate lets through nowhere, is left out: fail closed.
func (p Policy) PassThroughRules() []HostRule {
	var rules []HostRule
	for _, entry := range p.PassThrough {
		if r, err := ParsePassThrough(entry); err == nil {
			rules = append(rules, r)
		}
	}
	return rules
}

// AllowsCopy tells whether sftp, scp and rsync may be used on the server: with patterns of commands, only where the policy says so, for each of them
// writes any file that its user may.
func (p Policy) AllowsCopy() bool { return len(p.Exec) == 0 || p.SFTP }

func checkPassThrough(p Policy) error {
	if len(p.PassThrough) > maxPassThrough {
		return bad("the policy passes too many hosts through", passThroughSyntax)
	}
	for i, entry := range p.PassThrough {
		r, err := ParsePassThrough(entry)
		if err != nil {
			return err
		}
		if r.String() != entry || slices.Contains(p.PassThrough[:i], entry) {
			return bad("a host to pass through is written in lower case, without port 443, once", passThroughSyntax)
		}
		if slices.ContainsFunc(p.Hosts, func(h HostRule) bool { return h.overlaps(r) }) {
			return bad("the policy passes a host through that its host rules allow: methods, paths and the swap of the credential would not hold there", "name it in one of the two")
		}
	}
	return nil
}

// overlaps tells whether one host could fall under both.
func (r HostRule) overlaps(o HostRule) bool {
	return r.port() == o.port() && r.meets(o)
}

// wildOver tells whether the wild pattern a holds hosts of the wild pattern b.
func wildOver(a, b string) bool {
	return len(b) > 2 && b[:2] == "*." && covers(a, b[2:])
}

// passWider: nothing is passed through where none is named.
func passWider(a, b Policy) bool {
	old := a.PassThroughRules()
	return slices.ContainsFunc(b.PassThroughRules(), func(fresh HostRule) bool {
		return !slices.ContainsFunc(old, func(o HostRule) bool { return o.contains(fresh) })
	})
}

// checkSSH refuses what only a server has.
func checkSSH(p Policy, all []Delivery) error {
	if (p.SSHAgent || p.SFTP) && !slices.Contains(all, SSH) {
		return fault.New(fault.DeliveryRefused, "only a server has an ssh agent or sftp", "leave --ssh-agent and --sftp away")
	}
	return nil
}

// meets tells whether a host exists that both rules are of, whatever the port.
func (r HostRule) meets(o HostRule) bool {
	return r.Host == o.Host || covers(r.Host, o.Host) || covers(o.Host, r.Host) || wildOver(r.Host, o.Host) || wildOver(o.Host, r.Host)
}
