package vault

import (
	"maps"
	"slices"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/internal/lazyregexp"
)

// maxPorts is how many ports one lease may hold.
const maxPorts = 16

var serviceShape = lazyregexp.New(`^[a-z][a-z0-9_-]{0,31}$`)

// amounts tells whether memory, disk or cores are asked for: what the numbers of a server must be known for.
func (d Demand) amounts() bool { return d.RAMMB > 0 || d.DiskMB > 0 || d.CPU > 0 }

// none tells whether nothing is asked for.
func (d Demand) none() bool { return !d.amounts() && len(d.Ports)+len(d.Services) == 0 }

// numbers are the ports that are asked for by their number.
func (d Demand) numbers() (out []int) {
	for _, p := range slices.Concat(d.Ports, slices.Sorted(maps.Values(d.Services))) {
		if p != 0 {
			out = append(out, p)
		}
	}
	return out
}

func (d Demand) check() error {
	bad := func(text string) error { return fault.New(fault.InvalidArgument, text, "") }
	if min(d.RAMMB, d.DiskMB, d.CPU) < 0 || max(d.RAMMB, d.DiskMB) > maxAmount || d.CPU > 1<<16 {
		return bad("requirements are positive numbers: megabytes and cores")
	}
	if len(d.Ports)+len(d.Services) > maxPorts {
		return bad("at most 16 ports in one lease")
	}
	for name := range d.Services {
		if !serviceShape.MatchString(name) {
			return bad("a service's name has 1 to 32 lower-case letters, digits, `_` and `-`, and begins with a letter")
		}
	}
	seen := map[int]bool{}
	for _, p := range slices.Concat(d.Ports, slices.Sorted(maps.Values(d.Services))) {
		if p < 0 || p > lastPort || p != 0 && seen[p] {
			return bad("a port is 0 (any free one) or between 1 and 65535, each once")
		}
		seen[p] = true
	}
	return nil
}

// AllPorts are the ports that a lease holds: those without a name, and those of services, in order of their names.
func (l Lease) AllPorts() []int {
	out := slices.Clone(l.Ports)
	for _, name := range slices.Sorted(maps.Keys(l.Services)) {
		out = append(out, l.Services[name])
	}
	return out
}

// serviceOf names what listens on a port of the lease; "" for one without a name.
func (l Lease) serviceOf(port int) string {
	for name, p := range l.Services {
		if p == port {
			return name
		}
	}
	return ""
}
