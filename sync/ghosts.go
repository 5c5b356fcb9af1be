package sync

import (
	"net/netip"
	"strings"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/id"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// maxGhosts bounds the list: more is a mistake.
const maxGhosts = 10_000

// Ghosts are servers that are never managed, by id or by address.
type Ghosts struct {
	ids map[string]bool // provider's, or ours (srv_…)
	ips map[string]bool // canonical text
}

// SplitGhosts cuts the text form of GHOST_SERVERS (comma-separated) into elements. A blank text has none.
func SplitGhosts(text string) []string {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	return strings.Split(text, ",")
}

// ParseGhosts reads the elements of a ghost list: a provider's id (decimal, without leading zeros), an id of ours (srv_…), or an IP address.
// Anything else is an error, an empty element too: a typing slip must not make a machine fair game.
func ParseGhosts(elements []string) (Ghosts, error) {
	g := Ghosts{ids: map[string]bool{}, ips: map[string]bool{}}
	if len(elements) > maxGhosts {
		return Ghosts{}, fault.Newf(fault.InvalidArgument, "ghost_servers has more than %d elements", maxGhosts)
	}
	for i, e := range elements {
		e = strings.TrimSpace(e)
		if decimal(e) || id.Is(e, id.Server) {
			g.ids[e] = true
			continue
		}
		ip, err := netip.ParseAddr(e)
		if err != nil || ip.Zone() != "" {
			return Ghosts{}, fault.Newf(fault.InvalidArgument, "element %d of ghost_servers is neither a server's id nor an IP address", i+1).
				WithNext("mend ghost_servers in the configuration: until then no cycle runs")
		}
		g.ips[ip.Unmap().String()] = true
	}
	return g, nil
}

func decimal(s string) bool {
	return len(s) > 0 && len(s) <= 20 && s[0] != '0' && strings.Trim(s, "0123456789") == ""
}

// matcher is Ghosts with the addresses as the registry's fingerprints.
type matcher struct{ ids, prints map[string]bool }

func (g Ghosts) matcher(print func(field string, v secret.Secret) string) matcher {
	m := matcher{g.ids, make(map[string]bool, len(g.ips))}
	for ip := range g.ips {
		m.prints[print(FieldIP, secret.FromString(ip))] = true
	}
	return m
}

func (m matcher) match(r Row) bool {
	return m.ids[r.ProviderID] && r.ProviderID != "" || m.ids[r.ID] || m.prints[r.Prints[FieldIP]] && r.Prints[FieldIP] != ""
}
