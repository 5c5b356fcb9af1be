package vault

import (
	"errors"
	"strconv"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// freshFor is how old a server's numbers may be, in whole seconds; numbers of the future are as worthless as old ones.
const freshFor = 300

// load is what the leases of a resource hold.
type load struct {
	live           []Lease
	over           []Lease // expired, and not ended yet: they hold nothing
	ram, disk, cpu int
	ports          map[int]bool
}

// loadOf adds up the live leases of a resource.
func (v *Vault) loadOf(tx store.Tx, rid string) (load, error) {
	sum := load{ports: map[int]bool{}}
	err := v.live.Scan(tx, rid+"/", "", func(_ string, l link) (bool, error) {
		x, err := v.leases.Get(tx, l.ID)
		switch {
		case err != nil:
			return false, err
		case !x.ReleasedAt.IsZero():
			return true, nil
		case !v.now().Before(x.ExpiresAt):
			sum.over = append(sum.over, x)
			return true, nil
		}
		sum.live = append(sum.live, x)
		sum.ram, sum.disk, sum.cpu = sum.ram+x.Demand.RAMMB, sum.disk+x.Demand.DiskMB, sum.cpu+x.Demand.CPU
		for _, p := range x.AllPorts() {
			sum.ports[p] = true
		}
		return true, nil
	})
	return sum, err
}

// candidate is a resource that a demand may be placed on, with all that decides whether it can carry it.
type candidate struct {
	r     Resource
	s     Server
	known bool // s is there: the capacity is known
	terms terms
	held  load
}

// weigh gathers what decides about a resource, at one instant.
func (v *Vault) weigh(tx store.Tx, r Resource) (c candidate, err error) {
	c.r = r
	if c.held, err = v.loadOf(tx, r.ID); err != nil || r.Kind != "server" {
		return c, err
	}
	if c.terms, err = v.termsOf(tx, r); err != nil {
		return c, err
	}
	c.s, err = v.serverOf(tx, r.ID)
	c.known = err == nil
	return c, ignoreNotFound(err)
}

// amount is one measure of a server, and what is asked of it. kept stays free, reserved is held by leases, used was observed.
type amount struct {
	asked, all, kept, reserved, used int
	what                             string
	whenReserved, whenUsed           fault.Code
}

// left is what can still be given: capacity less max(reserved, observed) and what is kept.
func (a amount) left() int { return a.all - a.kept - max(a.reserved, a.used) }

// amounts are the measures in the order in which a shortage is told.
func (c candidate) amounts(d Demand) []amount {
	return []amount{
		{d.RAMMB, c.s.RAMMB, c.terms.ram, c.held.ram, c.s.UsedRAMMB, "memory", fault.ReservedMemory, fault.FreeMemory},
		{d.DiskMB, c.s.DiskMB, c.terms.disk, c.held.disk, c.s.UsedDiskMB, "disk", fault.ReservedDisk, fault.FreeDisk},
		{d.CPU, c.s.CPU, c.terms.cpu, c.held.cpu, 0, "cores", fault.ReservedCPU, ""},
	}
}

// refusal tells why c cannot carry d now; nil if it can, ports excepted. idle says that nothing is asked and the server was named: then it may be in any state, for
// somebody has to look after it.
func (c candidate) refusal(d Demand, idle bool, now time.Time) *fault.Error {
	if f := c.never(d); f != nil {
		return f
	}
	if f := c.away(d); f != nil && !idle {
		return f
	}
	if !d.amounts() {
		return nil
	}
	if age := int64(now.Sub(c.s.ObservedAt) / time.Second); age < 0 || age > freshFor || c.s.ObservedAt.IsZero() {
		return fault.New(fault.StaleMetrics, "the numbers of "+c.r.Handle+" are too old to promise capacity", "try again in a minute; if it stays, ask the operator to run `zavhoz server sync`")
	}
	for _, a := range c.amounts(d) {
		switch {
		case a.asked == 0:
		case a.all-a.kept-a.reserved < a.asked:
			return fault.New(a.whenReserved, "what is left of the "+a.what+" of "+c.r.Handle+" is reserved by other leases", "release a lease that is not needed, or wait")
		case a.left() < a.asked:
			return fault.New(a.whenUsed, "the server "+c.r.Handle+" has too little "+a.what+" free now", "try again later, or ask for less")
		}
	}
	return nil
}

// never refuses what c could not carry if it were empty and well.
func (c candidate) never(d Demand) *fault.Error {
	if !c.counts(d) {
		return nil
	}
	for _, a := range c.amounts(d) {
		if a.asked > 0 && a.all-a.kept < a.asked {
			return fault.New(fault.ImpossibleCapacity, "no managed server could ever fit this", "ask for less, or ask the operator for a larger server").With("reserve_ram_mb", c.terms.ram)
		}
	}
	for _, p := range d.numbers() {
		if !c.terms.number.Has(p) || c.terms.kept.Has(p) {
			return fault.New(fault.PortNotAllowed, "the operator does not give port "+strconv.Itoa(p)+" of "+c.r.Handle, "ask for port 0 to get any free one; `zavhoz server ports "+c.r.Handle+"` shows a person which are given")
		}
	}
	return nil
}

// away refuses a server that takes no work.
func (c candidate) away(d Demand) *fault.Error {
	no := func(why, message, next string) *fault.Error {
		return fault.New(fault.ServerNotReady, message, next).With("admission", why)
	}
	const wait = "wait, or ask the operator: `zavhoz server list`"
	switch {
	case !c.known && d.amounts():
		return no("capacity_unknown", "the capacity of "+c.r.Handle+" is not known", "leave out memory, disk and cores, or ask the operator to adopt the server from its provider: `zavhoz server adopt`")
	case !c.known:
		return nil
	case !c.s.IsManaged:
		return no("not_managed", "the server "+c.r.Handle+" is not managed", wait)
	case !admits(c.s.Status):
		return no("status_not_admitting", "the server "+c.r.Handle+" is not ready for work", wait)
	case c.s.Labels[phaseLabel] != "" && c.s.Labels[phaseLabel] != "complete":
		return no("provisioning_incomplete", "the server "+c.r.Handle+" is still being set up", wait)
	}
	return nil
}

// phaseLabel is how far a server's setting up is, where something set it up.
const phaseLabel = "provisioning_phase"

// counts tells whether c is a server that could carry d at another time, where it is not too small for ever.
func (c candidate) counts(d Demand) bool { return c.known && c.s.IsManaged || !c.known && !d.amounts() }

// room is the memory that would be left, by which servers are compared; 0 where it is not known.
func (c candidate) room(d Demand) int {
	if !c.known {
		return 0
	}
	return max(0, c.amounts(d)[0].left()-d.RAMMB)
}

// ignoreNotFound is err, or nil where that says that there is no such record.
func ignoreNotFound(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}
