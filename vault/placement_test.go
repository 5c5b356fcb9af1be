package vault_test

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/vaulttest"
)

func TestNothingIsPromisedTwiceUnderACrowd(t *testing.T) {
	h := newHouse(t)
	vaulttest.Contend(t, h.clock(), h.Vault)
	must(t, h.Verify(ctx))
}

// adopted is the one server of h.machine(), adopted and managed, changed as change says.
func (h *house) adopted(change func(*vault.Server)) {
	h.t.Helper()
	h.provide(h.machine(), "198.51.100.7")
	h.adopt()
	h.seen(change)
}

// seen plays a cycle that sees the adopted server as change says.
func (h *house) seen(change func(*vault.Server)) {
	h.t.Helper()
	s := h.machine()
	s.Status, s.IsManaged = "active", true
	if change != nil {
		change(&s)
	}
	h.provide(s, "198.51.100.7")
}

func (h *house) want(d vault.Demand) (vault.Allocation, error) {
	return h.Allocate(ctx, h.local(), vault.AllocateRequest{Kind: "server", Purpose: "x", Demand: d})
}

// Every measure has its own refusal, when others reserved it and when it is in use; each says what was required, why and what follows.
func TestEveryMeasureHasItsRefusal(t *testing.T) {
	for _, c := range []struct {
		name   string
		held   vault.Demand
		used   func(*vault.Server)
		want   vault.Demand
		code   fault.Code
		reason string
		leads  string
	}{
		{"memory for ever", vault.Demand{}, nil, vault.Demand{RAMMB: 4096 - 255}, fault.ImpossibleCapacity, "impossible_capacity", "operator_review"},
		{"disk for ever", vault.Demand{}, nil, vault.Demand{DiskMB: 40961}, fault.ImpossibleCapacity, "impossible_capacity", "operator_review"},
		{"cores for ever", vault.Demand{}, nil, vault.Demand{CPU: 3}, fault.ImpossibleCapacity, "impossible_capacity", "operator_review"},
		{"away", vault.Demand{}, func(s *vault.Server) { s.Status = "maintenance" }, vault.Demand{RAMMB: 1}, fault.ServerNotReady, "server_not_provisioned", "infrastructure_wait"},
		{"away, for a port", vault.Demand{}, func(s *vault.Server) { s.Status = "missing" }, vault.Demand{Ports: []int{0}}, fault.ServerNotReady, "server_not_provisioned", "infrastructure_wait"},
		{"away, for nothing", vault.Demand{}, func(s *vault.Server) { s.Status = "missing" }, vault.Demand{}, fault.ServerNotReady, "server_not_provisioned", "infrastructure_wait"},
		{"old numbers", vault.Demand{}, func(s *vault.Server) { s.ObservedAt = s.ObservedAt.Add(-301 * time.Second) }, vault.Demand{CPU: 1}, fault.StaleMetrics, "no_fresh_metrics", "technical_failure"},
		{"numbers of the future", vault.Demand{}, func(s *vault.Server) { s.ObservedAt = s.ObservedAt.Add(time.Second) }, vault.Demand{RAMMB: 1}, fault.StaleMetrics, "no_fresh_metrics", "technical_failure"},
		{"no numbers", vault.Demand{}, func(s *vault.Server) { s.ObservedAt = time.Time{} }, vault.Demand{RAMMB: 1}, fault.StaleMetrics, "no_fresh_metrics", "technical_failure"},
		{"memory reserved", vault.Demand{RAMMB: 2840}, nil, vault.Demand{RAMMB: 1001}, fault.ReservedMemory, "insufficient_reserved_memory", "infrastructure_wait"},
		{"memory in use", vault.Demand{}, func(s *vault.Server) { s.UsedRAMMB = 3000 }, vault.Demand{RAMMB: 841}, fault.FreeMemory, "insufficient_free_memory", "infrastructure_wait"},
		{"disk reserved", vault.Demand{DiskMB: 40000}, nil, vault.Demand{DiskMB: 961}, fault.ReservedDisk, "insufficient_reserved_disk", "infrastructure_wait"},
		{"disk in use", vault.Demand{}, func(s *vault.Server) { s.UsedDiskMB = 40000 }, vault.Demand{DiskMB: 961}, fault.FreeDisk, "insufficient_free_disk", "infrastructure_wait"},
		{"cores reserved", vault.Demand{CPU: 1}, nil, vault.Demand{CPU: 2}, fault.ReservedCPU, "insufficient_reserved_cpu", "infrastructure_wait"},
		{"port taken", vault.Demand{Ports: []int{9000}}, nil, vault.Demand{Services: map[string]int{"web": 9000}}, fault.NoFreePort, "no_free_port", "infrastructure_wait"},
		{"port of the system", vault.Demand{}, nil, vault.Demand{Ports: []int{443}}, fault.PortNotAllowed, "port_not_allowed", "operator_review"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t)
			h.adopted(nil)
			if !reflect.DeepEqual(c.held, vault.Demand{}) {
				_, err := h.want(c.held)
				must(t, err)
			}
			h.seen(c.used)
			_, err := h.want(c.want)
			wantCode(t, err, c.code)
			d := fault.Of(err).Details
			if d["reason"] != c.reason || d["disposition"] != c.leads || (d["wait_at_most_s"] == 86400) != (c.leads == "infrastructure_wait") {
				t.Errorf("%v", d)
			}
			if d["required_ram_mb"] != c.want.RAMMB || d["required_disk_mb"] != c.want.DiskMB || d["required_cpu"] != c.want.CPU || d["required_ports"] != len(c.want.Ports)+len(c.want.Services) {
				t.Errorf("required: %v", d)
			}
			if fault.Of(err).Next == "" {
				t.Error("no next step")
			}
		})
	}
}

// What just fits, fits: at every measure, to the last megabyte.
func TestTheLastMegabyte(t *testing.T) {
	h := newHouse(t)
	h.adopted(func(s *vault.Server) {
		s.UsedRAMMB, s.UsedDiskMB, s.ObservedAt = 1000, 5000, s.ObservedAt.Add(-300*time.Second)
	})
	_, err := h.want(vault.Demand{RAMMB: 4096 - 256 - 1000, DiskMB: 40960 - 5000, CPU: 2})
	must(t, err)
	_, err = h.want(vault.Demand{RAMMB: 1001}) // what was observed is part of what is reserved by now
	wantCode(t, err, fault.ReservedMemory)
	_, err = h.want(vault.Demand{RAMMB: 1000})
	must(t, err)
}

// Labels that say how far a server is set up count where there are any.
func TestAServerThatIsBeingSetUpTakesNoWork(t *testing.T) {
	h := newHouse(t)
	s := h.machine()
	s.Labels = map[string]string{"provisioning_phase": "software_installation"}
	h.provide(s, "198.51.100.7")
	h.adopt()
	_, err := h.want(vault.Demand{Ports: []int{0}})
	wantCode(t, err, fault.ServerNotReady)
	if fault.Of(err).Details["admission"] != "provisioning_incomplete" {
		t.Errorf("%v", fault.Of(err).Details)
	}
	_, err = h.Allocate(ctx, h.local(), vault.AllocateRequest{Handle: "vps", Purpose: "look at it"})
	must(t, err) // who names it and asks for nothing may look after it
}

func TestPortsByNumberAndByService(t *testing.T) {
	h := newHouse(t)
	h.adopted(nil)
	a, err := h.want(vault.Demand{Ports: []int{0, 8001, 0}, Services: map[string]int{"web": 0, "backend": 0, "db": 5432}})
	must(t, err)
	if !slices.Equal(a.Lease.Ports, []int{8000, 8001, 8002}) || !maps.Equal(a.Lease.Services, map[string]int{"backend": 8003, "web": 8004, "db": 5432}) {
		t.Errorf("gave %v and %v", a.Lease.Ports, a.Lease.Services)
	}
	p, err := h.Ports(ctx, "vps")
	must(t, err)
	if p.Next != 8005 || len(p.Held) != 6 || p.Held[0].Port != 5432 || p.Held[0].Service != "db" || p.Held[0].Agent != "local" || p.Held[0].Lease != a.Lease.ID || p.Held[1].Service != "" {
		t.Errorf("%+v", p)
	}
	_, err = h.Release(ctx, h.local(), a.Lease.ID)
	must(t, err)
	a, err = h.want(vault.Demand{Ports: []int{5432}, Services: map[string]int{"any": 0}})
	must(t, err) // all of them are free again
	if a.Lease.Services["any"] != 8000 {
		t.Errorf("then %v", a.Lease.Services)
	}
	for _, d := range []vault.Demand{
		{Ports: []int{-1}}, {Ports: []int{65536}}, {Ports: []int{9000, 9000}}, {Ports: []int{9000}, Services: map[string]int{"a": 9000}}, {Services: map[string]int{"a": 9000, "b": 9000}},
		{Services: map[string]int{"Web": 0}}, {Services: map[string]int{"": 0}}, {Ports: make([]int, 10), Services: map[string]int{"a": 0, "b": 0, "c": 0, "d": 0, "e": 0, "f": 0, "g": 0}},
	} {
		_, err := h.want(d)
		wantCode(t, err, fault.InvalidArgument)
	}
}

// The operator decides which ports are given, and what stays free: of one server, or of all.
func TestWhatTheOperatorKeeps(t *testing.T) {
	h := newHouse(t)
	h.adopted(nil)
	number := func(n int) *int { return &n }
	ranges := func(text string) vault.PortRanges {
		p, err := vault.ParsePorts(text)
		must(t, err)
		return p
	}
	edit := func(ref string, e vault.ReserveEdit) vault.Reserve {
		r, err := h.EditReserve(ctx, operator, ref, e)
		must(t, err)
		return r
	}
	ports := func(d vault.Demand) []int {
		a, err := h.want(d)
		must(t, err)
		_, err = h.Release(ctx, h.local(), a.Lease.ID)
		must(t, err)
		return a.Lease.Ports
	}
	edit("", vault.ReserveEdit{Keep: ranges("8000-8002"), RAMMB: number(1000)})
	edit("vps", vault.ReserveEdit{Keep: ranges("8003,8005")})
	if got := ports(vault.Demand{Ports: []int{0, 0}}); !slices.Equal(got, []int{8004, 8006}) {
		t.Errorf("gave %v", got)
	}
	for _, p := range []int{8001, 8003, 22, 80, 1023, 32768, 45000, 60999} { // kept, well-known, for outgoing connections
		_, err := h.want(vault.Demand{Ports: []int{p}})
		wantCode(t, err, fault.PortNotAllowed)
	}
	ports(vault.Demand{Ports: []int{1024, 3000, 32767, 61000, 65535}})
	_, err := h.want(vault.Demand{RAMMB: 3097})
	wantCode(t, err, fault.ImpossibleCapacity) // 4096 less the 1000 of all servers
	edit("vps", vault.ReserveEdit{RAMMB: number(0)})
	_, err = h.want(vault.Demand{RAMMB: 3097})
	wantCode(t, err, fault.FreeMemory) // it uses 1000
	edit("vps", vault.ReserveEdit{Ports: ptr(ranges("443,9000-9001")), Free: ranges("8003"), DiskMB: number(40000), CPU: number(1)})
	if got := ports(vault.Demand{Ports: []int{0, 0}}); !slices.Equal(got, []int{443, 9000}) {
		t.Errorf("gave %v", got)
	}
	_, err = h.want(vault.Demand{Ports: []int{3000}})
	wantCode(t, err, fault.PortNotAllowed) // the operator's ranges bind numbers as well
	_, err = h.want(vault.Demand{Ports: []int{0, 0, 0, 0}})
	wantCode(t, err, fault.NoFreePort)
	_, err = h.want(vault.Demand{DiskMB: 961})
	wantCode(t, err, fault.ImpossibleCapacity)
	_, err = h.want(vault.Demand{CPU: 2})
	wantCode(t, err, fault.ImpossibleCapacity)
	s, err := h.Server(ctx, "vps")
	must(t, err)
	if s.FreeRAMMB() != 3096 || s.FreeDiskMB() != 960 || s.FreeCPU() != 1 {
		t.Errorf("free: %d %d %d", s.FreeRAMMB(), s.FreeDiskMB(), s.FreeCPU())
	}
	if r := edit("vps", vault.ReserveEdit{Reset: true}); r.RAMMB != nil || r.Ports != nil || r.KeptPorts != nil || r.Version != 4 {
		t.Errorf("after a reset: %+v", r)
	}
	if got := ports(vault.Demand{Ports: []int{0}}); !slices.Equal(got, []int{8003}) {
		t.Errorf("gave %v", got)
	}
	_, err = h.EditReserve(ctx, operator, "vps", vault.ReserveEdit{})
	wantCode(t, err, fault.InvalidArgument)
	_, err = h.EditReserve(ctx, operator, "vps", vault.ReserveEdit{RAMMB: number(-1)})
	wantCode(t, err, fault.InvalidArgument)
	_, err = h.EditReserve(ctx, operator, "nothing", vault.ReserveEdit{RAMMB: number(1)})
	wantCode(t, err, fault.UnknownServer)
	h.addBot("b")
	_, err = h.EditReserve(ctx, operator, "b", vault.ReserveEdit{RAMMB: number(1)})
	wantCode(t, err, fault.UnknownServer)
	edit("vps", vault.ReserveEdit{RAMMB: number(9)})
	_, err = h.RemoveResource(ctx, operator, "vps")
	must(t, err)
	if n := h.rowsOf("reserves"); n != 1 {
		t.Errorf("%d reserves are left, of all servers and of none", n)
	}
	must(t, h.Verify(ctx))
}

func ptr[T any](v T) *T { return &v }

// The port of a server's own ssh is not given away, wherever it listens.
func TestTheSSHPortIsNeverGiven(t *testing.T) {
	h := newHouse(t)
	_, err := h.AddResource(ctx, operator, vault.NewResource{Kind: "server", Handle: "s", Attrs: map[string]string{"port": "8000"}, Secrets: values("host", "server.example.org", "password", "correct horse battery")})
	must(t, err)
	all, err := vault.ParsePorts("1-65535")
	must(t, err)
	_, err = h.EditReserve(ctx, operator, "s", vault.ReserveEdit{Ports: &all})
	must(t, err)
	_, err = h.want(vault.Demand{Ports: []int{8000}})
	wantCode(t, err, fault.PortNotAllowed)
	_, err = h.EditReserve(ctx, operator, "s", vault.ReserveEdit{Free: all})
	must(t, err)
	_, err = h.want(vault.Demand{Ports: []int{8000}})
	wantCode(t, err, fault.PortNotAllowed)
	a, err := h.want(vault.Demand{Ports: []int{0, 22}})
	must(t, err) // ssh is elsewhere, and the operator gives them all
	if a.Lease.Ports[0] != 1 {
		t.Errorf("gave %v", a.Lease.Ports)
	}
}

// A dry run answers as the call would, and leaves nothing but the record that it was asked.
func TestADryRunWritesNothing(t *testing.T) {
	h := newHouse(t)
	h.adopted(nil)
	q := vault.AllocateRequest{Kind: "server", Purpose: "x", Demand: vault.Demand{RAMMB: 2000, Ports: []int{0}}, IdemKey: "k"}
	what := q
	what.DryRun = true
	written := []store.Collection{"leases", "live_leases", "idempotency", "counters"}
	before := h.rowsOf(written...)
	if1, err := h.Allocate(ctx, h.local(), what)
	must(t, err)
	if if1.Lease.ID != "" || if1.Repeated || if1.Resource.Handle != "vps" || !slices.Equal(if1.Lease.Ports, []int{8000}) {
		t.Errorf("%+v", if1)
	}
	if after := h.rowsOf(written...); after != before {
		t.Errorf("a dry run left %d rows, before it were %d", after, before)
	}
	real, err := h.Allocate(ctx, h.local(), q)
	must(t, err)
	if real.Repeated {
		t.Error("a dry run took the key")
	}
	if2, err := h.Allocate(ctx, h.local(), what)
	must(t, err)
	if !if2.Repeated || if2.Lease.ID != real.Lease.ID {
		t.Errorf("of a key that is answered: %+v", if2)
	}
	other := what
	other.Purpose = "y"
	_, err = h.Allocate(ctx, h.local(), other)
	wantCode(t, err, fault.IdempotencyMismatch)
	what.IdemKey = ""
	_, err = h.Allocate(ctx, h.local(), what)
	wantCode(t, err, fault.ReservedMemory)
	must(t, h.Vault.Close(ctx)) // what is queued is written
	log, st := h.Audit()
	var dry, denied int
	must(t, st.View(ctx, func(tx store.Tx) error {
		rs, _, err := log.List(tx, audit.Filter{Action: audit.LeaseAllocate, Limit: 100})
		for _, r := range rs {
			if r.Detail["dry_run"] == "true" {
				dry++
			}
			if r.Outcome == audit.Denied {
				denied++
			}
		}
		return err
	}))
	if dry != 2 || denied != 2 {
		t.Errorf("%d dry runs and %d refusals on record", dry, denied)
	}
}

// rowsOf counts the rows of collections.
func (h *house) rowsOf(of ...store.Collection) (n int) {
	h.t.Helper()
	must(h.t, h.store.View(ctx, func(tx store.Tx) error {
		for _, c := range of {
			if err := tx.Scan(c, "", "", func(string, []byte) (bool, error) { n++; return true, nil }); err != nil {
				return err
			}
		}
		return nil
	}))
	return n
}

// A lease that is over gives way, and is over for whoever looks afterwards, by whatever clock.
func TestAnExpiredLeaseGivesWay(t *testing.T) {
	h := newHouse(t)
	h.adopted(nil)
	first, err := h.Allocate(ctx, h.local(), vault.AllocateRequest{Kind: "server", Purpose: "x", TTL: 4 * time.Minute, Demand: vault.Demand{RAMMB: 2500, Ports: []int{9000}}})
	must(t, err)
	h.pass(4*time.Minute - time.Second)
	_, err = h.want(vault.Demand{RAMMB: 2500})
	wantCode(t, err, fault.ReservedMemory)
	h.pass(time.Second)
	_, err = h.want(vault.Demand{RAMMB: 2500, Ports: []int{9000}})
	must(t, err)
	h.pass(-10 * time.Second) // a replica whose clock is behind
	_, err = h.Authorise(ctx, h.local(), []string{first.Lease.ID})
	wantCode(t, err, fault.LeaseExpired)
	live, err := h.Leases(ctx, operator)
	must(t, err)
	if len(live) != 1 {
		t.Errorf("%d leases hold port 9000", len(live))
	}
}

// Equal servers are taken by fewest leases, then by handle: the same each time.
func TestTiesAreDecided(t *testing.T) {
	h := newHouse(t)
	for _, handle := range []string{"s2", "s0", "s1"} {
		_, err := h.AddResource(ctx, operator, vault.NewResource{Kind: "server", Handle: handle, Secrets: values("host", handle+".example.org", "password", "correct horse battery")})
		must(t, err)
	}
	var got []string
	for range 4 {
		a, err := h.want(vault.Demand{Ports: []int{0}})
		must(t, err)
		got = append(got, fmt.Sprint(a.Resource.Handle, a.Lease.Ports))
	}
	if !slices.Equal(got, []string{"s0[8000]", "s1[8000]", "s2[8000]", "s0[8001]"}) {
		t.Errorf("went to %v", got)
	}
}
