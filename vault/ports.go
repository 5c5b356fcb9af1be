package vault

import (
	"slices"
	"strconv"
	"strings"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// PortRange is a run of ports; both ends belong to it.
type PortRange struct{ From, To int }

// PortRanges are ports: ranges in ascending order that neither touch nor overlap. As text, and in JSON, they are "8000-8999,9100".
type PortRanges []PortRange

const (
	lastPort      = 65535
	maxPortRanges = 64
)

// What holds where the operator says nothing. A free port is looked for from 8000 on, below what systems give to outgoing connections; a port that is asked for by its
// number is none of the well-known ones and none that Linux gives to outgoing connections (net.ipv4.ip_local_port_range), where it would collide by chance.
var (
	freePorts   = PortRanges{{8000, 29999}}
	numberPorts = PortRanges{{1024, 32767}, {61000, lastPort}}
)

// ParsePorts reads "8000-8999,9100", in any order; "" is none. Errors: fault invalid_argument.
func ParsePorts(text string) (PortRanges, error) {
	bad := fault.New(fault.InvalidArgument, "ports are numbers and ranges from 1 to 65535, with commas between them", "for example 8000-8999,9100")
	var all PortRanges
	if text == "" {
		return all, nil
	}
	parts := strings.Split(text, ",")
	if len(parts) > maxPortRanges {
		return nil, bad
	}
	for _, part := range parts {
		from, to, ranged := strings.Cut(part, "-")
		if !ranged {
			to = from
		}
		low, ok := portNumber(from)
		high, ok2 := portNumber(to)
		if !ok || !ok2 || low > high {
			return nil, bad
		}
		all = append(all, PortRange{low, high})
	}
	return all.tidy(), nil
}

// portNumber reads a port in its one spelling: no sign, no zero in front.
func portNumber(s string) (int, bool) {
	n, err := strconv.Atoi(s)
	return n, err == nil && n >= 1 && n <= lastPort && strconv.Itoa(n) == s
}

// String is the text that ParsePorts reads.
func (p PortRanges) String() string {
	var out []string
	for _, r := range p {
		if r.From == r.To {
			out = append(out, strconv.Itoa(r.From))
		} else {
			out = append(out, strconv.Itoa(r.From)+"-"+strconv.Itoa(r.To))
		}
	}
	return strings.Join(out, ",")
}

// MarshalText gives String.
func (p PortRanges) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText is ParsePorts.
func (p *PortRanges) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePorts(string(text))
	return err
}

// Has tells whether port is among them.
func (p PortRanges) Has(port int) bool {
	return slices.ContainsFunc(p, func(r PortRange) bool { return r.From <= port && port <= r.To })
}

// With gives p and q together.
func (p PortRanges) With(q PortRanges) PortRanges { return slices.Concat(p, q).tidy() }

// Without gives what of p is not in q.
func (p PortRanges) Without(q PortRanges) PortRanges {
	out := slices.Clone(p)
	for _, cut := range q {
		var rest PortRanges
		for _, r := range out {
			if r.From < cut.From {
				rest = append(rest, PortRange{r.From, min(r.To, cut.From-1)})
			}
			if r.To > cut.To {
				rest = append(rest, PortRange{max(r.From, cut.To+1), r.To})
			}
		}
		out = rest
	}
	return out
}

// first gives the smallest port that is not taken, 0 where all are.
func (p PortRanges) first(taken func(int) bool) int {
	for _, r := range p {
		for port := r.From; port <= r.To; port++ {
			if !taken(port) {
				return port
			}
		}
	}
	return 0
}

// tidy sorts, and joins what touches.
func (p PortRanges) tidy() PortRanges {
	sorted := slices.SortedFunc(slices.Values(p), func(a, b PortRange) int { return a.From - b.From })
	var out PortRanges
	for _, r := range sorted {
		if n := len(out); n > 0 && r.From <= out[n-1].To+1 {
			out[n-1].To = max(out[n-1].To, r.To)
		} else {
			out = append(out, r)
		}
	}
	return out
}
