package vault

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// Reserve is what the operator keeps of a server from allocation, or of every server: amounts that stay free, the ports that are given, and those that never are.
// What one server's reserve leaves out is as for all, and what that leaves out as built in: 256 MB of memory, the ports of docs/allocation.md.
type Reserve struct {
	Format    int        `json:"format"` // 1
	RAMMB     *int       `json:"ram_mb,omitempty"`
	DiskMB    *int       `json:"disk_mb,omitempty"`
	CPU       *int       `json:"cpu,omitempty"`
	Ports     PortRanges `json:"ports,omitempty"`      // every port that is given lies in these
	KeptPorts PortRanges `json:"kept_ports,omitempty"` // never given; those of all servers count on each
	Version   uint64     `json:"version"`
	UpdatedAt time.Time  `json:"updated_at"`
	UpdatedBy string     `json:"updated_by"`
}

const cReserves store.Collection = "reserves"

// everyServer is the key of the reserve of all servers; the others' keys are the ids of their resources.
const everyServer = "all"

// ramReserveMB stays free on every server, where the operator says nothing else.
const ramReserveMB = 256

// maxAmount bounds amounts, in megabytes and cores, so that no sum of them overflows.
const maxAmount = 1 << 30

// ReserveEdit changes a reserve: what is nil or empty stays.
type ReserveEdit struct {
	RAMMB, DiskMB, CPU *int
	Ports              *PortRanges // none: as for all, or as built in
	Keep, Free         PortRanges  // ports to keep from now on, and no longer
	Reset              bool        // first forget all that it said
}

// Narrows tells whether e can only leave agents less than before.
func (e ReserveEdit) Narrows() bool {
	return e.RAMMB == nil && e.DiskMB == nil && e.CPU == nil && e.Ports == nil && len(e.Free) == 0 && !e.Reset
}

func (e ReserveEdit) check() error {
	for _, n := range []*int{e.RAMMB, e.DiskMB, e.CPU} {
		if n != nil && (*n < 0 || *n > maxAmount) {
			return fault.New(fault.InvalidArgument, "a reserve is not negative: megabytes and cores", "")
		}
	}
	if !e.Reset && len(e.Keep) == 0 && e.Narrows() {
		return fault.New(fault.InvalidArgument, "nothing is to be changed", "say what to keep: `zavhoz server reserve --help`")
	}
	return nil
}

func (e ReserveEdit) applied(r Reserve) Reserve {
	if e.Reset {
		r = Reserve{Version: r.Version}
	}
	for _, x := range []struct{ to, from **int }{{&r.RAMMB, &e.RAMMB}, {&r.DiskMB, &e.DiskMB}, {&r.CPU, &e.CPU}} {
		if *x.from != nil {
			*x.to = *x.from
		}
	}
	if e.Ports != nil {
		r.Ports = *e.Ports
	}
	r.KeptPorts = r.KeptPorts.Without(e.Free).With(e.Keep)
	return r
}

// EditReserve changes what is kept of the server with that handle, of all servers where ref is "". Leases keep what they hold. Errors: invalid_argument,
// unknown_resource.
func (v *Vault) EditReserve(ctx context.Context, actor Actor, ref string, e ReserveEdit) (out Reserve, err error) {
	if err := e.check(); err != nil {
		return out, err
	}
	err = v.update(ctx, func(tx store.Tx) error {
		event := audit.Event{Actor: actor, Action: audit.ServerReserve, Outcome: audit.Allowed, Handle: ref}
		key := everyServer
		if ref != "" {
			r, err := v.serverResource(tx, ref)
			if err != nil {
				return err
			}
			key, event.Subject, event.Handle = r.ID, r.ID, r.Handle
		}
		was, err := v.reserves.Get(tx, key)
		if err = ignoreNotFound(err); err != nil {
			return err
		}
		out = e.applied(was)
		if len(out.Ports) > maxPortRanges || len(out.KeptPorts) > maxPortRanges {
			return fault.Newf(fault.InvalidArgument, "at most %d ranges of ports", maxPortRanges).WithNext("keep wider ranges")
		}
		out.Format, out.Version, out.UpdatedAt, out.UpdatedBy = 1, was.Version+1, v.now(), actor.Name
		event.Detail = out.detail()
		return errors.Join(v.reserves.Put(tx, key, out), v.audit.Append(tx, event))
	})
	return out, err
}

// detail is what a reserve says, for the audit record.
func (r Reserve) detail() map[string]string {
	d := map[string]string{}
	for name, n := range map[string]*int{"ram_mb": r.RAMMB, "disk_mb": r.DiskMB, "cpu": r.CPU} {
		if n != nil {
			d[name] = strconv.Itoa(*n)
		}
	}
	for name, p := range map[string]PortRanges{"ports": r.Ports, "kept_ports": r.KeptPorts} {
		if len(p) > 0 {
			d[name] = p.String()
		}
	}
	return d
}

// NamedReserve is a reserve and whose it is.
type NamedReserve struct {
	Handle string `json:"handle"` // of the server; "" of all
	Reserve
}

// Reserves lists what is kept: first of all servers, then of single ones, where anything was said.
func (v *Vault) Reserves(ctx context.Context) (out []NamedReserve, err error) {
	err = v.view(ctx, func(tx store.Tx) error {
		out = nil
		return v.reserves.Scan(tx, "", "", func(key string, r Reserve) (bool, error) {
			n := NamedReserve{Reserve: r}
			if key != everyServer {
				s, err := v.resources.Get(tx, key)
				if err != nil {
					return false, found(err, fault.New(fault.VaultCorrupt, "a reserve is of a server that is lost", "restore from a backup"))
				}
				n.Handle = s.Handle
			}
			out = append(out, n)
			return true, nil
		})
	})
	slices.SortFunc(out, func(a, b NamedReserve) int { return strings.Compare(a.Handle, b.Handle) })
	return out, err
}

// serverResource finds a server's resource by its handle, or by the id of the provider's row.
func (v *Vault) serverResource(tx store.Tx, ref string) (Resource, error) {
	r, err := v.byHandle(tx, ref)
	if fault.CodeOf(err) == fault.UnknownResource {
		var s Server
		if s, err = v.findServer(tx, ref); err != nil {
			return r, err
		}
		if s.ResourceID == "" {
			return r, fault.New(fault.ServerNotReady, "the server is not adopted, so no work is given to it", "`zavhoz server adopt` makes it a resource")
		}
		r, err = v.resources.Get(tx, s.ResourceID)
		err = found(err, noResource())
	}
	if err == nil && r.Kind != "server" {
		err = fault.New(fault.UnknownServer, "that is a resource of another kind", "`zavhoz server list` shows the servers")
	}
	return r, err
}

// terms are the rules for one server: what stays free of it, and which ports are given.
type terms struct {
	ram, disk, cpu int
	free           PortRanges // where any free one is looked for
	number         PortRanges // where one lies that is asked for by its number
	kept           PortRanges
}

// termsOf puts together what is built in, what is kept of all servers and what of this one. Its own ssh port is never given.
func (v *Vault) termsOf(tx store.Tx, r Resource) (terms, error) {
	t := terms{ram: ramReserveMB, free: freePorts, number: numberPorts}
	keys := []string{everyServer}
	if r.ID != "" { // one that nobody adopted has none of its own
		keys = append(keys, r.ID)
	}
	for _, key := range keys {
		own, err := v.reserves.Get(tx, key)
		if err = ignoreNotFound(err); err != nil {
			return t, err
		}
		for _, x := range []struct {
			to   *int
			from *int
		}{{&t.ram, own.RAMMB}, {&t.disk, own.DiskMB}, {&t.cpu, own.CPU}} {
			if x.from != nil {
				*x.to = *x.from
			}
		}
		if len(own.Ports) > 0 {
			t.free, t.number = own.Ports, own.Ports
		}
		t.kept = t.kept.With(own.KeptPorts)
	}
	if port, ok := portNumber(r.Attrs["port"]); ok {
		t.kept = t.kept.With(PortRanges{{port, port}})
	}
	return t, nil
}

// HeldPort is a port that a live lease holds.
type HeldPort struct {
	Port      int       `json:"port"`
	Service   string    `json:"service,omitempty"`
	Lease     string    `json:"lease_id"`
	Agent     string    `json:"agent"` // name
	Project   string    `json:"project"`
	Purpose   string    `json:"purpose"`
	ExpiresAt time.Time `json:"expires_at"`
}

// ServerPorts are the ports of a server: which are given, which never, and who holds one.
type ServerPorts struct {
	Handle string     `json:"handle"`
	Free   PortRanges `json:"ports"`      // where any free one is looked for
	Number PortRanges `json:"by_number"`  // where one may be that is asked for by its number
	Kept   PortRanges `json:"kept_ports"` // never given
	Next   int        `json:"next"`       // the smallest free one; 0: none
	Held   []HeldPort `json:"held"`       // in order of port
}

// Ports tells of the ports of a server, adopted or added by hand. Errors: unknown_server.
func (v *Vault) Ports(ctx context.Context, ref string) (out ServerPorts, err error) {
	err = v.view(ctx, func(tx store.Tx) error {
		r, err := v.serverResource(tx, ref)
		if err != nil {
			return err
		}
		c, err := v.weigh(tx, r)
		if err != nil {
			return err
		}
		out = ServerPorts{Handle: r.Handle, Free: c.terms.free, Number: c.terms.number, Kept: c.terms.kept, Held: []HeldPort{}}
		out.Next = c.terms.free.first(func(p int) bool { return c.held.ports[p] || c.terms.kept.Has(p) })
		for _, l := range c.held.live {
			a, err := v.agents.Get(tx, l.Agent) // there is none without its agent: a removed one's leases end
			if err != nil {
				return found(err, fault.New(fault.VaultCorrupt, "a lease has an agent that is lost", "restore from a backup"))
			}
			for _, p := range l.AllPorts() {
				out.Held = append(out.Held, HeldPort{Port: p, Service: l.serviceOf(p), Lease: l.ID, Agent: a.Name, Project: l.Project, Purpose: l.Purpose, ExpiresAt: l.ExpiresAt})
			}
		}
		slices.SortFunc(out.Held, func(a, b HeldPort) int { return a.Port - b.Port })
		return nil
	})
	return out, err
}
