package vault

import (
	"cmp"
	"maps"
	"slices"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// placement is where a demand goes, and with which ports.
type placement struct {
	candidate
	ports    []int
	services map[string]int
}

// place picks of all the one that carries d: for servers the one with the most memory left, then the one with the fewest leases, then the first by handle. It only
// reads. The refusal is the one that comes first in precedence over all candidates.
func (v *Vault) place(tx store.Tx, all []Resource, d Demand, named bool) (best placement, err error) {
	var why refusals
	can := 0
	for _, r := range all {
		if !d.none() && r.Kind != "server" {
			return best, fault.New(fault.InvalidArgument, "requirements and ports are for servers", "leave them out")
		}
		c, err := v.weigh(tx, r)
		if err != nil {
			return best, err
		}
		if c.counts(d) {
			why.counted++
		}
		f := c.refusal(d, named && d.none(), v.now())
		p := placement{candidate: c}
		if f == nil {
			p.ports, p.services, f = c.assign(d)
		}
		if f != nil {
			why.all = append(why.all, f)
			continue
		}
		if can++; can == 1 || p.before(best, d) {
			best = p
		}
	}
	if can == 0 {
		return best, why.told(d)
	}
	return best, nil
}

// before tells whether p is the better place for d. What asks for nothing holds nothing, so that only the number of leases spreads it.
func (p placement) before(q placement, d Demand) bool {
	byRoom, byLeases := cmp.Compare(q.room(d), p.room(d)), cmp.Compare(len(p.held.live), len(q.held.live))
	if d.none() {
		byRoom, byLeases = byLeases, byRoom
	}
	return cmp.Or(byRoom, byLeases, cmp.Compare(p.r.Handle, q.r.Handle)) < 0
}

// assign gives the ports that were asked for by number, and for every other the smallest free one: first those without a name, in the order asked, then the services
// in order of name.
func (c candidate) assign(d Demand) (ports []int, services map[string]int, refused *fault.Error) {
	mine := map[int]bool{}
	for _, p := range d.numbers() {
		if c.held.ports[p] {
			return nil, nil, fault.Newf(fault.NoFreePort, "port %d is taken", p).WithNext("ask for port 0 to get any free one")
		}
		mine[p] = true
	}
	give := func(wanted int) int {
		if wanted == 0 {
			wanted = c.terms.free.first(func(p int) bool { return c.held.ports[p] || mine[p] || c.terms.kept.Has(p) })
			mine[wanted] = true
		}
		return wanted
	}
	for _, p := range d.Ports {
		ports = append(ports, give(p))
	}
	for _, name := range slices.Sorted(maps.Keys(d.Services)) {
		if services == nil {
			services = map[string]int{}
		}
		services[name] = give(d.Services[name])
	}
	if mine[0] {
		return nil, nil, fault.New(fault.NoFreePort, "no port is free on the server "+c.r.Handle, "release a lease that is not needed")
	}
	return ports, services, nil
}

// refusals are why each candidate was refused.
type refusals struct {
	all     []*fault.Error
	counted int // candidates that could be the one, at another time
}

// precedence is the order in which refusals are told; the first two only where nothing that counts could ever do. It is public: docs/allocation.md.
var precedence = []fault.Code{
	fault.ImpossibleCapacity, fault.PortNotAllowed, fault.ServerNotReady, fault.StaleMetrics, fault.ReservedMemory, fault.FreeMemory, fault.ReservedDisk, fault.FreeDisk,
	fault.ReservedCPU, fault.NoFreePort,
}

// Dispositions tell a program what to do with a refusal, besides its code.
const (
	waitForRoom      = "infrastructure_wait" // it passes by itself, or when others release
	askOperator      = "operator_review"     // it stays until a person changes something, or less is asked for
	technicalFailure = "technical_failure"   // something that should work does not

	waitAtMostS = 24 * 3600 // seconds after which waiting is over: a person is asked
)

// reasons are what the earlier system of this domain calls the codes, where it has another word, and what is to be done.
var reasons = map[fault.Code]struct{ reason, disposition string }{
	fault.ImpossibleCapacity: {"impossible_capacity", askOperator}, fault.PortNotAllowed: {"port_not_allowed", askOperator},
	fault.ServerNotReady: {"server_not_provisioned", waitForRoom}, fault.StaleMetrics: {"no_fresh_metrics", technicalFailure},
}

// told is the refusal to show, with what was required and what it leads to.
func (rs refusals) told(d Demand) *fault.Error {
	never := func(c fault.Code) bool { return c == fault.ImpossibleCapacity || c == fault.PortNotAllowed }
	hopeless := 0
	for _, f := range rs.all {
		if never(f.Code) {
			hopeless++
		}
	}
	for _, code := range precedence {
		if never(code) && hopeless < rs.counted {
			continue
		}
		if i := slices.IndexFunc(rs.all, func(f *fault.Error) bool { return f.Code == code }); i >= 0 {
			return explained(rs.all[i], d)
		}
	}
	return fault.New(fault.NoneAvailable, "no server is available", "call list_managed_servers to see what there is")
}

func explained(f *fault.Error, d Demand) *fault.Error {
	why, ok := reasons[f.Code]
	if !ok {
		why.reason, why.disposition = string(f.Code), waitForRoom
	}
	f = f.With("required_ram_mb", d.RAMMB).With("required_disk_mb", d.DiskMB).With("required_cpu", d.CPU).With("required_ports", len(d.Ports)+len(d.Services)).
		With("reason", why.reason).With("disposition", why.disposition)
	if why.disposition == waitForRoom {
		f = f.With("wait_at_most_s", waitAtMostS)
	}
	return f
}
