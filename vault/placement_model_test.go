package vault_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// toyServer, toyLease and toy are allocation as a child would do it: lists, loops and the sentences of docs/allocation.md, one after the other.
type toyServer struct {
	handle, status                                      string
	managed                                             bool
	cpu, ram, disk, usedRAM, usedDisk, keepRAM, keepCPU int
	observed                                            time.Time
	kept                                                map[int]bool
	firstGiven, lastGiven                               int // 0: as built in
	row                                                 vault.Server
}

type toyLease struct {
	id, key, request string
	on               *toyServer
	d                vault.Demand
	ports            []int
	services         map[string]int
	expires          time.Time
}

type toy struct {
	now     time.Time
	servers []*toyServer
	leases  []*toyLease // those that were not released, in order
	keys    map[string]*toyLease
}

func (m *toy) live() (out []*toyLease) {
	for _, l := range m.leases {
		if m.now.Before(l.expires) {
			out = append(out, l)
		}
	}
	return out
}

func (s *toyServer) gives(port int) bool {
	if s.kept[port] || port == 22 {
		return false
	}
	if s.firstGiven > 0 {
		return port >= s.firstGiven && port <= s.lastGiven
	}
	return port >= 1024 && (port < 32768 || port > 60999)
}

// try is the refusal of one server, or its ports.
func (m *toy) try(s *toyServer, d vault.Demand) (code fault.Code, left, leases int, ports []int, services map[string]int) {
	var ram, disk, cpu int
	taken := map[int]bool{}
	for _, l := range m.live() {
		if l.on == s {
			leases++
			ram, disk, cpu = ram+l.d.RAMMB, disk+l.d.DiskMB, cpu+l.d.CPU
			for _, p := range slices.AppendSeq(slices.Clone(l.ports), maps.Values(l.services)) {
				taken[p] = true
			}
		}
	}
	asks := d.RAMMB+d.DiskMB+d.CPU > 0
	names := slices.Sorted(maps.Keys(d.Services))
	wanted := slices.Clone(d.Ports)
	for _, n := range names {
		wanted = append(wanted, d.Services[n])
	}
	left = max(0, s.ram-max(ram, s.usedRAM)-s.keepRAM-d.RAMMB)
	if s.managed {
		if d.RAMMB > 0 && d.RAMMB+s.keepRAM > s.ram || d.DiskMB > s.disk || d.CPU > 0 && d.CPU+s.keepCPU > s.cpu {
			return fault.ImpossibleCapacity, 0, 0, nil, nil
		}
		for _, p := range wanted {
			if p != 0 && !s.gives(p) {
				return fault.PortNotAllowed, 0, 0, nil, nil
			}
		}
	}
	if !s.managed || s.status != "active" {
		return fault.ServerNotReady, 0, 0, nil, nil
	}
	if asks && (m.now.Before(s.observed) || m.now.After(s.observed.Add(300*time.Second))) {
		return fault.StaleMetrics, 0, 0, nil, nil
	}
	switch {
	case d.RAMMB > 0 && ram+d.RAMMB+s.keepRAM > s.ram:
		return fault.ReservedMemory, 0, 0, nil, nil
	case d.RAMMB > 0 && s.usedRAM+d.RAMMB+s.keepRAM > s.ram:
		return fault.FreeMemory, 0, 0, nil, nil
	case d.DiskMB > 0 && disk+d.DiskMB > s.disk:
		return fault.ReservedDisk, 0, 0, nil, nil
	case d.DiskMB > 0 && s.usedDisk+d.DiskMB > s.disk:
		return fault.FreeDisk, 0, 0, nil, nil
	case d.CPU > 0 && cpu+d.CPU+s.keepCPU > s.cpu:
		return fault.ReservedCPU, 0, 0, nil, nil
	}
	for _, p := range wanted {
		if p != 0 && taken[p] {
			return fault.NoFreePort, 0, 0, nil, nil
		}
	}
	for _, p := range wanted {
		taken[p] = true
	}
	first, last, got := 8000, 29999, []int(nil)
	if s.firstGiven > 0 {
		first, last = s.firstGiven, s.lastGiven
	}
	for _, p := range wanted {
		for q := first; p == 0 && q <= last; q++ {
			if s.gives(q) && !taken[q] {
				p = q
			}
		}
		if p == 0 {
			return fault.NoFreePort, 0, 0, nil, nil
		}
		taken[p] = true
		got = append(got, p)
	}
	services = map[string]int{}
	for i, n := range names {
		services[n] = got[len(d.Ports)+i]
	}
	return "", left, leases, got[:len(d.Ports)], services
}

// decide is the answer over all servers, or over the one that is named.
func (m *toy) decide(handle string, d vault.Demand) (code fault.Code, on *toyServer, ports []int, services map[string]int) {
	type answer struct {
		s            *toyServer
		left, leases int
		ports        []int
		services     map[string]int
	}
	var good []answer
	codes := map[fault.Code]bool{}
	hope := false // a managed server could, at another time
	for _, s := range m.servers {
		if handle != "" && s.handle != handle {
			continue
		}
		code, left, leases, ports, services := m.try(s, d)
		if code == "" {
			good = append(good, answer{s, left, leases, ports, services})
		}
		codes[code] = true
		hope = hope || s.managed && code != fault.ImpossibleCapacity && code != fault.PortNotAllowed
	}
	if len(good) == 0 {
		for _, c := range []fault.Code{fault.ImpossibleCapacity, fault.PortNotAllowed} {
			if !hope && codes[c] {
				return c, nil, nil, nil
			}
		}
		for _, c := range []fault.Code{
			fault.ServerNotReady, fault.StaleMetrics, fault.ReservedMemory, fault.FreeMemory, fault.ReservedDisk, fault.FreeDisk, fault.ReservedCPU, fault.NoFreePort,
		} {
			if codes[c] {
				return c, nil, nil, nil
			}
		}
	}
	sort.SliceStable(good, func(i, j int) bool { // servers are in order of handle
		if good[i].left != good[j].left {
			return good[i].left > good[j].left
		}
		return good[i].leases < good[j].leases
	})
	return "", good[0].s, good[0].ports, good[0].services
}

// TestAllocationAgainstAModel plays random days: whatever is asked, given back, expires, is observed or kept, the vault answers as the model does.
func TestAllocationAgainstAModel(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			g := &game{t: t, h: newHouse(t), r: rand.New(rand.NewPCG(seed, 7)), seen: map[fault.Code]int{}}
			g.begin()
			for range 120 {
				g.step()
			}
			if g.seen[""] < 5 || len(g.seen) < 4 {
				t.Errorf("a dull day: %v", g.seen)
			}
			must(t, g.h.Verify(ctx))
		})
	}
}

type game struct {
	t    *testing.T
	h    *house
	r    *rand.Rand
	m    toy
	seen map[fault.Code]int
}

func (g *game) begin() {
	g.m = toy{now: g.h.clock(), keys: map[string]*toyLease{}}
	for i := range 3 {
		s := &toyServer{handle: fmt.Sprint("s", i), status: "active", managed: true, cpu: 1 + g.r.IntN(4), ram: 1024 << g.r.IntN(3), disk: 10000, keepRAM: 256, kept: map[int]bool{}, observed: g.m.now}
		s.row = vault.Server{ID: srv[:len(srv)-1] + string(rune('a'+i)), ProviderID: fmt.Sprint(i), Status: "discovered", Intent: "auto", CreatedAt: g.m.now}
		g.m.servers = append(g.m.servers, s)
		g.sync(s)
		_, err := g.h.AdoptServer(ctx, operator, s.row.ID, vault.NewResource{Handle: s.handle, Secrets: values("password", "correct horse battery")})
		must(g.t, err)
		g.sync(s)
	}
}

// sync writes the provider's row as the model has it.
func (g *game) sync(s *toyServer) {
	row := s.row
	row.Status, row.IsManaged, row.CPU, row.RAMMB, row.DiskMB, row.UsedRAMMB, row.UsedDiskMB, row.ObservedAt = s.status, s.managed, s.cpu, s.ram, s.disk, s.usedRAM, s.usedDisk, s.observed
	addr := secret.FromString("198.51.100.7")
	row.Prints = map[string]string{"ip": g.h.ServerPrint("ip", addr)}
	must(g.t, g.h.ApplyServers(ctx, "toy", func(rows []vault.Server, _ json.RawMessage) (vault.ServerOutcome, error) {
		for _, r := range rows {
			if r.ID == row.ID {
				row.Version = r.Version
			}
		}
		return vault.ServerOutcome{State: json.RawMessage(`{}`), Changes: []vault.ServerChange{{Server: row, Seal: map[string]secret.Secret{"ip": addr}}}}, nil
	}))
}

func (g *game) step() {
	switch n := g.r.IntN(100); {
	case n < 55:
		g.allocate()
	case n < 67:
		g.release()
	case n < 77:
		d := time.Duration(g.r.IntN(200)) * time.Second
		g.h.pass(d)
		g.m.now = g.m.now.Add(d)
	case n < 91:
		s := g.m.servers[g.r.IntN(3)]
		s.observed, s.usedRAM, s.usedDisk = g.m.now.Add(-time.Duration(g.r.IntN(40))*time.Second), g.r.IntN(s.ram), g.r.IntN(s.disk)
		s.status, s.managed = "active", g.r.IntN(8) > 0
		if g.r.IntN(8) == 0 {
			s.status = "unreachable"
		}
		g.sync(s)
	case n < 96:
		g.keep(g.m.servers[g.r.IntN(3)])
	default:
		must(g.t, g.h.Sweep(ctx))
	}
	g.compare()
}

// keep changes what the operator keeps of a server.
func (g *game) keep(s *toyServer) {
	var e vault.ReserveEdit
	switch g.r.IntN(3) {
	case 0:
		s.keepRAM, s.keepCPU = g.r.IntN(600), g.r.IntN(2)
		e.RAMMB, e.CPU = ptr(s.keepRAM), ptr(s.keepCPU)
	case 1:
		p := 8000 + g.r.IntN(4)
		s.kept[p] = true
		e.Keep = vault.PortRanges{{From: p, To: p}}
	case 2:
		s.firstGiven = 7998 + g.r.IntN(4)
		s.lastGiven = s.firstGiven + g.r.IntN(6)
		e.Ports = &vault.PortRanges{{From: s.firstGiven, To: s.lastGiven}}
	}
	_, err := g.h.EditReserve(ctx, operator, s.handle, e)
	must(g.t, err)
}

func (g *game) demand() (d vault.Demand) {
	if g.r.IntN(3) > 0 {
		d.RAMMB = g.r.IntN(1200)
	}
	if g.r.IntN(3) == 0 {
		d.DiskMB = g.r.IntN(6000)
	}
	if g.r.IntN(3) == 0 {
		d.CPU = g.r.IntN(3)
	}
	used := map[int]bool{}
	port := func() int {
		p := 0
		if g.r.IntN(2) == 0 {
			p = []int{22, 8000, 8001, 8002, 8003, 3000, 40000}[g.r.IntN(7)]
		}
		if used[p] {
			return 0
		}
		used[p] = true
		return p
	}
	for range g.r.IntN(3) {
		d.Ports = append(d.Ports, port())
	}
	if g.r.IntN(3) == 0 {
		d.Services = map[string]int{"web": port(), "db": port()}
	}
	if d.RAMMB+d.DiskMB+d.CPU+len(d.Ports)+len(d.Services) == 0 { // what asks for nothing is placed otherwise: TestTiesAreDecided
		d.RAMMB = 1
	}
	return d
}

func (g *game) allocate() {
	q := vault.AllocateRequest{Kind: "server", Purpose: "x", Demand: g.demand(), TTL: time.Duration(1+g.r.IntN(900)) * time.Second}
	if g.r.IntN(3) == 0 {
		q.Kind, q.Handle = "", g.m.servers[g.r.IntN(3)].handle
	}
	if g.r.IntN(3) == 0 {
		q.IdemKey = fmt.Sprint(g.r.IntN(6))
	}
	if old := g.m.keys[q.IdemKey]; q.IdemKey != "" && old != nil && g.r.IntN(2) == 0 {
		q = vault.AllocateRequest{} // the same again
		must(g.t, json.Unmarshal([]byte(old.request), &q))
	}
	request, err := json.Marshal(q)
	must(g.t, err)
	old := g.m.keys[q.IdemKey]
	answered := q.IdemKey != "" && old != nil && g.m.now.Before(old.expires)
	code, on, ports, services := g.m.decide(q.Handle, q.Demand)
	dry, repeated := q, false
	switch {
	case answered && old.request != string(request):
		code = fault.IdempotencyMismatch
	case answered && slices.Contains(g.m.live(), old):
		code, on, ports, services, repeated = "", old.on, old.ports, old.services, true
	}
	dry.DryRun = true
	for _, ask := range []vault.AllocateRequest{dry, q} {
		a, err := g.h.Allocate(ctx, g.h.local(), ask)
		if fault.CodeOf(err) != code {
			g.t.Fatalf("%+v: %v, the model says %q of %+v", ask, err, code, g.m.servers)
		}
		if code != "" {
			continue
		}
		if a.Resource.Handle != on.handle || a.Repeated != repeated || fmt.Sprint(a.Lease.Ports, a.Lease.Services) != fmt.Sprint(ports, services) {
			g.t.Fatalf("%+v: gave %s %v %v, the model %s %v %v", ask, a.Resource.Handle, a.Lease.Ports, a.Lease.Services, on.handle, ports, services)
		}
		if !ask.DryRun && !repeated {
			l := &toyLease{id: a.Lease.ID, key: q.IdemKey, request: string(request), on: on, d: q.Demand, ports: ports, services: services, expires: g.m.now.Add(q.TTL)}
			g.m.leases = append(g.m.leases, l)
			if q.IdemKey != "" {
				g.m.keys[q.IdemKey] = l
			}
		}
	}
	g.seen[code]++
}

func (g *game) release() {
	if len(g.m.leases) == 0 {
		return
	}
	i := g.r.IntN(len(g.m.leases))
	_, err := g.h.Release(ctx, g.h.local(), g.m.leases[i].id)
	must(g.t, err)
	g.m.leases = slices.Delete(g.m.leases, i, i+1)
}

// compare holds what the vault tells of its servers and leases to the model.
func (g *game) compare() {
	views, err := g.h.Servers(ctx, operator)
	must(g.t, err)
	for i, s := range g.m.servers {
		var ram, disk, cpu int
		for _, l := range g.m.live() {
			if l.on == s {
				ram, disk, cpu = ram+l.d.RAMMB, disk+l.d.DiskMB, cpu+l.d.CPU
			}
		}
		v := views[i]
		if v.ReservedRAMMB != ram || v.ReservedDisk != disk || v.ReservedCPU != cpu || v.FreeRAMMB() != max(0, s.ram-s.keepRAM-max(ram, s.usedRAM)) {
			g.t.Fatalf("%s: reserved %d %d %d, free %d; the model %d %d %d", s.handle, v.ReservedRAMMB, v.ReservedDisk, v.ReservedCPU, v.FreeRAMMB(), ram, disk, cpu)
		}
	}
	leases, err := g.h.Leases(ctx, operator)
	must(g.t, err)
	if len(leases) != len(g.m.live()) {
		g.t.Fatalf("%d live leases, the model has %d", len(leases), len(g.m.live()))
	}
}
