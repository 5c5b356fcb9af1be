package egress

import "net/netip"

// reserved are the blocks of the special-purpose registries (IANA, RFC 6890 and later) and cloud addresses that answer only from inside. Of IPv6 only 2000::/3 is
// global unicast at all: mapped and compatible IPv4, NAT64 (64:ff9b::/96 and 64:ff9b:1::/48), ULA, link-local and multicast lie outside of it (threat-model.md
// 45, 54).
var reserved = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24",
	"192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"168.63.129.16/32",                                             // Azure's host agent
	"2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", // Teredo, ORCHID, benchmarks; documentation; 6to4; AS112
	"3fff::/20", // documentation
)

// private are blocks inside reserved that a resource with Private may reach: one's own networks and machine. Link-local is never among them: metadata services are
// there.
var private = prefixes("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "::1/128", "fc00::/7")

// metadata are the metadata services that lie in such a block.
var metadata = prefixes("100.100.100.200/32", "fd00:ec2::254/128", "fd20:ce::254/128")

var global6 = netip.MustParsePrefix("2000::/3")

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

func within(a netip.Addr, list []netip.Prefix) bool {
	for _, p := range list {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// dialable tells whether an address may be connected to. IPv4 inside IPv6 never: unmap it where it comes from a resolver.
func dialable(a netip.Addr, allowPrivate bool) bool {
	switch {
	case !a.IsValid() || a.Is4In6() || a.Zone() != "" || within(a, metadata):
		return false
	case allowPrivate && within(a, private):
		return true
	case a.Is6() && !global6.Contains(a):
		return false
	}
	return !within(a, reserved)
}
