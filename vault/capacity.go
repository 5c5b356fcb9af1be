package vault

import (
	"errors"
	"slices"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// Rules of capacity; source: the domain's allocator, with reservations counted from the first instant.
const (
	ramReserveMB = 256             // kept free on every server
	freshFor     = 5 * time.Minute // how old a server's numbers may be
	firstPort    = 8000
	lastPort     = 29999
)

// load is what the live leases of a resource hold.
type load struct {
	leases, ram, disk, cpu int
	ports                  map[int]bool
}

// fit picks the first resource (for servers with demands: the one with the most memory left) that can carry the demand, with its
// ports. The refusal is the one of highest precedence over all candidates: impossible_capacity, server_not_ready, stale_metrics,
// insufficient_reserved_memory, insufficient_free_memory.
func (v *Vault) fit(tx store.Tx, candidates []Resource, d Demand) (Resource, []int, error) {
	asks := d.RAMMB > 0 || d.DiskMB > 0 || d.CPU > 0
	var best Resource
	var bestPorts []int
	var why refusals
	bestLeft, bestLeases, managed := -1, 0, 0
	for _, r := range candidates {
		if (asks || len(d.Ports) > 0) && r.Kind != "server" {
			return r, nil, fault.New(fault.InvalidArgument, "requirements and ports are for servers", "leave them out")
		}
		held, err := v.loadOf(tx, r.ID)
		if err != nil {
			return r, nil, err
		}
		left := 0
		if asks {
			var counts bool
			if left, counts, err = v.carries(tx, r, d, held); counts {
				managed++
			}
			if err != nil && !slices.Contains(precedence, fault.CodeOf(err)) {
				return r, nil, err // a row that is damaged is no refusal of one server
			}
			if err != nil {
				why = append(why, fault.Of(err))
				continue
			}
		}
		ports, err := freePorts(d.Ports, held.ports)
		if err != nil {
			why = append(why, fault.Of(err))
			continue
		}
		if left > bestLeft || left == bestLeft && held.leases < bestLeases {
			best, bestPorts, bestLeft, bestLeases = r, ports, left, held.leases
		}
	}
	if bestLeft < 0 {
		return best, nil, why.first(managed).With("required_ram_mb", d.RAMMB).With("required_disk_mb", d.DiskMB).With("required_cpu", d.CPU)
	}
	return best, bestPorts, nil
}

// loadOf adds up the live leases of a resource.
func (v *Vault) loadOf(tx store.Tx, rid string) (load, error) {
	sum := load{ports: map[int]bool{}}
	err := v.live.Scan(tx, rid+"/", "", func(_ string, l link) (bool, error) {
		x, err := v.leases.Get(tx, l.ID)
		if err != nil {
			return false, err
		}
		if !x.ReleasedAt.IsZero() || !v.now().Before(x.ExpiresAt) {
			return true, nil
		}
		sum.leases++
		sum.ram, sum.disk, sum.cpu = sum.ram+x.Demand.RAMMB, sum.disk+x.Demand.DiskMB, sum.cpu+x.Demand.CPU
		for _, p := range x.Ports {
			sum.ports[p] = true
		}
		return true, nil
	})
	return sum, err
}

// carries tells how much memory (MB) is left when r's machine carries d besides what it holds, and whether the machine is a managed one, whose
// capacity counts.
func (v *Vault) carries(tx store.Tx, r Resource, d Demand, held load) (left int, managed bool, err error) {
	s, err := v.serverOf(tx, r.ID)
	if errors.Is(err, store.ErrNotFound) {
		return 0, false, fault.New(fault.ServerNotReady, "the capacity of "+r.Handle+" is not known", "leave out the requirements, or ask the operator to adopt the server from its provider: `zavhoz server adopt`")
	}
	if err != nil {
		return 0, false, err
	}
	needRAM := d.RAMMB + ramReserveMB
	if s.IsManaged && (s.RAMMB < needRAM || s.DiskMB < d.DiskMB || s.CPU < d.CPU) {
		return 0, true, fault.New(fault.ImpossibleCapacity, "no managed server could ever fit this", "ask for less, or ask the operator for a larger server")
	}
	switch {
	case !s.IsManaged || !admits(s.Status):
		err = fault.New(fault.ServerNotReady, "the server "+r.Handle+" is not ready for work", "wait, or ask the operator: `zavhoz server list`")
	case v.now().Sub(s.ObservedAt) > freshFor:
		err = fault.New(fault.StaleMetrics, "the numbers of "+r.Handle+" are too old to promise capacity", "try again in a minute; if it stays, ask the operator to run `zavhoz server sync`")
	case s.RAMMB < held.ram+needRAM || s.DiskMB < held.disk+d.DiskMB || s.CPU < held.cpu+d.CPU:
		err = fault.New(fault.ReservedMemory, "what is left of "+r.Handle+" is reserved by other leases", "release a lease that is not needed, or wait")
	case s.RAMMB < max(held.ram, s.UsedRAMMB)+needRAM || s.DiskMB < max(held.disk, s.UsedDiskMB)+d.DiskMB:
		err = fault.New(fault.FreeMemory, "the server "+r.Handle+" has too little free now", "try again later, or ask for less")
	}
	return s.RAMMB - max(held.ram, s.UsedRAMMB) - needRAM, s.IsManaged, err
}

// freePorts gives the wanted ports, and for every 0 the smallest free one.
func freePorts(wanted []int, taken map[int]bool) ([]int, error) {
	var out []int
	mine := map[int]bool{}
	for _, p := range wanted {
		if p != 0 {
			if taken[p] {
				return nil, fault.Newf(fault.NoFreePort, "port %d is taken", p).WithNext("ask for port 0 to get any free one")
			}
			mine[p] = true
		}
	}
	for _, p := range wanted {
		for next := firstPort; p == 0; next++ {
			if next > lastPort {
				return nil, fault.New(fault.NoFreePort, "no port is free on the server", "release a lease that is not needed")
			}
			if !taken[next] && !mine[next] {
				p, mine[next] = next, true
			}
		}
		out = append(out, p)
	}
	return out, nil
}

// refusals are why each candidate was refused.
type refusals []*fault.Error

var precedence = []fault.Code{fault.ImpossibleCapacity, fault.ServerNotReady, fault.StaleMetrics, fault.ReservedMemory, fault.FreeMemory, fault.NoFreePort}

// first gives the refusal to show: impossible_capacity only when none of the managed servers could ever fit.
func (rs refusals) first(managed int) *fault.Error {
	impossible := 0
	for _, e := range rs {
		if e.Code == fault.ImpossibleCapacity {
			impossible++
		}
	}
	for _, c := range precedence {
		if c == fault.ImpossibleCapacity && impossible < managed {
			continue
		}
		for _, e := range rs {
			if e.Code == c {
				return e
			}
		}
	}
	return fault.New(fault.NoneAvailable, "no server is available", "call list_managed_servers to see what there is")
}
