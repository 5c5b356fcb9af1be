package policy

import (
	"crypto/x509"
	"encoding/pem"
	"net/netip"
	"slices"
	"strings"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/internal/lazyregexp"
)

// Limits of a policy.
const (
	maxAgents = 256
	maxExec   = 64
	maxTTL    = 366 * 24 * 3600 // seconds
	maxCA     = 64 << 10        // bytes
	maxUses   = 1<<53 - 1       // what every reader of JSON takes exactly: another number would be another limit
)

var agentName = lazyregexp.New(`^[a-z0-9][a-z0-9_.-]{0,63}$`)

// What approval asks for.
const (
	ApprovalFirst  = "first"  // a person looks at it once: until then no agent runs with it
	ApprovalAlways = "always" // a person approves each run
)

// Validate checks a policy whole, for a kind that can be delivered as all says, and as standIn says where the policy names nothing. A policy that
// contradicts itself is refused: a person would believe the half that does not hold. Errors: invalid_argument, delivery_refused.
func Validate(p Policy, standIn, all []Delivery) error {
	for _, check := range []func(Policy) error{checkAgents, checkHosts, checkPins, checkLimits, checkResolve, checkCA, checkExec, checkPassThrough} {
		if err := check(p); err != nil {
			return err
		}
	}
	if err := checkSSH(p, all); err != nil {
		return err
	}
	return checkDeliveries(p, standIn, all)
}

func bad(message, next string) *fault.Error { return fault.New(fault.InvalidArgument, message, next) }

func checkAgents(p Policy) error {
	if len(p.Agents) > maxAgents {
		return bad("the policy names too many agents", "leave the list empty for every agent whose grants cover the resource")
	}
	for i, a := range p.Agents {
		if !agentName.MatchString(a) || slices.Contains(p.Agents[:i], a) {
			return bad("an agent in the policy is no agent's name, or is named twice", "see `zavhoz agent list`")
		}
	}
	return nil
}

func checkDeliveries(p Policy, standIn, all []Delivery) error {
	for i, d := range p.Deliveries {
		if !slices.Contains(deliveries, d) || slices.Contains(p.Deliveries[:i], d) {
			return bad("a delivery in the policy is none, or is named twice", "the deliveries are "+list(deliveries, ""))
		}
		if !slices.Contains(all, d) {
			return fault.Newf(fault.DeliveryRefused, "this kind cannot be delivered by %s", d).WithNext("it can by %s", list(all, "nothing"))
		}
	}
	handsOver := func(d Delivery) bool { return !d.StandIn() }
	if len(p.Pins) > 0 && !slices.ContainsFunc(all, handsOver) && !slices.ContainsFunc(p.Deliveries, handsOver) {
		return fault.New(fault.DeliveryRefused, "this kind never hands its value to a command, so there is nothing to pin a command for", "it is delivered by "+list(standIn, "nothing"))
	}
	return nil
}

func checkHosts(p Policy) error {
	if len(p.Hosts) > maxRules {
		return bad("the policy has too many host rules", hostSyntax)
	}
	for _, r := range p.Hosts {
		if err := r.check(); err != nil {
			return badRule(err)
		}
	}
	return nil
}

func checkPins(p Policy) error {
	if len(p.Pins) > maxPins {
		return bad("the policy has too many pinned commands", "")
	}
	names := map[string]bool{}
	for _, pin := range p.Pins {
		if err := pin.Validate(); err != nil {
			return err
		}
		if names[pin.Name] {
			return bad("two pinned commands have one name", "give each its own")
		}
		names[pin.Name] = true
	}
	return nil
}

func checkLimits(p Policy) error {
	if p.Approval != "" && p.Approval != ApprovalFirst && p.Approval != ApprovalAlways {
		return bad("approval is none, first or always", "")
	}
	if p.MinLevel != "" {
		if _, err := ParseLevel(string(p.MinLevel)); err != nil {
			return err
		}
	}
	if p.MaxUses > maxUses {
		return bad("uses are from 0 (no limit) to 9007199254740991", "")
	}
	if p.MaxTTL < 0 || p.MaxTTL > maxTTL {
		return bad("the longest lease is from 0 (no limit) to 31622400 seconds", "")
	}
	if y := p.Expires.Year(); !p.Expires.IsZero() && (y < 2000 || y > 9999) {
		return bad("the expiry is a time from the year 2000 to 9999", "write it as 2030-01-31T00:00:00Z")
	}
	return nil
}

func checkResolve(p Policy) error {
	if len(p.Resolve) > maxRules {
		return bad("the policy resolves too many hosts", "")
	}
	for _, entry := range p.Resolve {
		host, ip, err := ParseResolve(entry)
		if err != nil {
			return err
		}
		if !p.Private && (ip.IsPrivate() || ip.IsLoopback()) {
			return bad("the policy resolves a host to a private address, but does not allow private addresses", "add `--allow-private`, or resolve to a public address")
		}
		if len(p.Hosts) > 0 && !slices.ContainsFunc(p.Hosts, func(r HostRule) bool { return covers(r.Host, host) }) {
			return bad("the policy resolves a host that none of its host rules allows", "add a host rule for it")
		}
	}
	return nil
}

// ParseResolve reads "host=ip". Link-local (the metadata services), multicast and unspecified addresses are never a service (threat-model.md 45).
func ParseResolve(entry string) (host string, ip netip.Addr, err error) {
	name, addr, ok := strings.Cut(entry, "=")
	refused := bad("a `resolve` entry is not a host name, `=` and an address of a service", "write --resolve api.acme.internal=10.0.0.5")
	if host, err = CanonicalHost(name); !ok || err != nil || host != name || isIP(host) {
		return "", netip.Addr{}, refused
	}
	if ip, err = netip.ParseAddr(addr); err != nil || ip.Zone() != "" || ip.Is4In6() || ip.IsUnspecified() || ip.IsMulticast() || ip.IsLinkLocalUnicast() {
		return "", netip.Addr{}, refused
	}
	return host, ip, nil
}

func checkCA(p Policy) error {
	if p.UpstreamCA == "" {
		return nil
	}
	next := "give a file of PEM certificates with `--upstream-ca @FILE`"
	if len(p.UpstreamCA) > maxCA {
		return bad("the upstream certificates are longer than 64 KiB", next)
	}
	rest := []byte(p.UpstreamCA)
	for {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		if b.Type != "CERTIFICATE" {
			return bad("the upstream certificates hold something that is no certificate: a private key does not belong there", next)
		}
		if _, err := x509.ParseCertificate(b.Bytes); err != nil {
			return bad("one of the upstream certificates cannot be read", next)
		}
	}
	if strings.TrimSpace(string(rest)) != "" || len(rest) == len(p.UpstreamCA) {
		return bad("the upstream certificates are not PEM", next)
	}
	return nil
}

func checkExec(p Policy) error {
	if len(p.Exec) > maxExec {
		return bad("the policy has too many command patterns", "")
	}
	for _, x := range p.Exec {
		if _, err := parseExec(x); err != nil {
			return err
		}
	}
	return nil
}
