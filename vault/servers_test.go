package vault_test

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// provide plays a sync cycle that puts one server in, or writes it anew with another address.
func (h *house) provide(s vault.Server, ip string) {
	h.t.Helper()
	addr := secret.FromString(ip)
	s.Prints = map[string]string{"ip": h.ServerPrint("ip", addr)}
	must(h.t, h.ApplyServers(ctx, "time4vps", func(rows []vault.Server, _ json.RawMessage) (vault.ServerOutcome, error) {
		s.Version = 0
		for _, r := range rows {
			if r.ID == s.ID {
				s.Version = r.Version
			}
		}
		return vault.ServerOutcome{State: json.RawMessage(`{}`), Changes: []vault.ServerChange{{Server: s, Seal: map[string]secret.Secret{"ip": addr}}}}, nil
	}))
}

const srv = "srv_aaaaaaaaaaaaaaaaaaaaaaaaaa"

func (h *house) machine() vault.Server {
	return vault.Server{ID: srv, ProviderID: "300001", Status: "discovered", Intent: "auto", CPU: 2, RAMMB: 4096, DiskMB: 40960, UsedRAMMB: 1000, ObservedAt: h.clock(), CreatedAt: h.clock()}
}

func (h *house) adopt() vault.Resource {
	h.t.Helper()
	r, err := h.AdoptServer(ctx, operator, srv, vault.NewResource{Handle: "vps", Attrs: map[string]string{"user": "deploy"}, Secrets: values("password", "correct horse battery")})
	must(h.t, err)
	return r
}

func TestAdoptedServerFollowsItsAddress(t *testing.T) {
	h := newHouse(t)
	h.provide(h.machine(), "198.51.100.7")
	r := h.adopt()
	if got := h.reveal(r, "host"); got != "198.51.100.7" {
		t.Fatalf("adopted with host %q", got)
	}
	_, err := h.AdoptServer(ctx, operator, srv, vault.NewResource{Handle: "again"})
	wantCode(t, err, fault.NameTaken)

	moved := h.machine()
	moved.Status, moved.IsManaged = "active", true
	h.provide(moved, "198.51.100.8")
	r, err = h.Resource(ctx, "vps")
	must(t, err)
	if got := h.reveal(r, "host"); got != "198.51.100.8" || r.Version != 2 || r.UpdatedBy != "sync" {
		t.Errorf("after the move: host %q, version %d by %s", got, r.Version, r.UpdatedBy)
	}

	_, err = h.EditResource(ctx, operator, "vps", vault.Edit{Secrets: values("host", "vps.example.org")})
	must(t, err)
	h.provide(moved, "198.51.100.9")
	r, err = h.Resource(ctx, "vps")
	must(t, err)
	if got := h.reveal(r, "host"); got != "vps.example.org" {
		t.Errorf("sync overwrote the operator's own address with %q", got)
	}
	must(t, h.Verify(ctx))
}

func TestRemovingAnAdoptedServerFreesItsRow(t *testing.T) {
	h := newHouse(t)
	h.provide(h.machine(), "198.51.100.7")
	h.adopt()
	_, err := h.RemoveResource(ctx, operator, "vps")
	must(t, err)
	h.adopt()
}

func TestGhostsAreNeverManagedOrAdopted(t *testing.T) {
	h := newHouse(t)
	ghost := h.machine()
	ghost.Ghost = true
	h.provide(ghost, "198.51.100.7")
	_, err := h.ManageServer(ctx, operator, srv, "yes")
	wantCode(t, err, fault.NotPermitted)
	_, err = h.AdoptServer(ctx, operator, srv, vault.NewResource{Handle: "g"})
	wantCode(t, err, fault.NotPermitted)
	seen, err := h.Servers(ctx, h.local())
	must(t, err)
	if len(seen) != 0 {
		t.Error("an agent sees a ghost")
	}
}

// The refusal is the one of highest precedence, and says what was required.
func TestCapacityRefusals(t *testing.T) {
	h := newHouse(t)
	h.provide(h.machine(), "198.51.100.7")
	h.adopt()
	who, _ := h.addAgent(vault.NewAgent{Name: "a"})
	ram := func(mb int) error {
		_, err := h.Allocate(ctx, who, vault.AllocateRequest{Kind: "server", Purpose: "x", Demand: vault.Demand{RAMMB: mb}})
		return err
	}
	err := ram(4000)
	wantCode(t, err, fault.ImpossibleCapacity)
	if fault.Of(err).Details["required_ram_mb"] != 4000 {
		t.Errorf("details: %v", fault.Of(err).Details)
	}
	must(t, ram(1500))
	must(t, ram(1500))
	wantCode(t, ram(1500), fault.ReservedMemory)
	h.pass(10 * time.Minute)
	wantCode(t, ram(1500), fault.StaleMetrics) // before the reservation: what is old promises nothing
	fresh := h.machine()
	fresh.Status, fresh.IsManaged, fresh.UsedRAMMB = "active", true, 3900
	h.provide(fresh, "198.51.100.7")
	wantCode(t, ram(500), fault.FreeMemory)
	fresh.Status = "missing"
	h.provide(fresh, "198.51.100.7")
	wantCode(t, ram(100), fault.ServerNotReady)
}

func TestParallelAllocationNeverOvercommits(t *testing.T) {
	h := newHouse(t)
	h.provide(h.machine(), "198.51.100.7")
	h.adopt()
	who, _ := h.addAgent(vault.NewAgent{Name: "a"})
	var mu sync.Mutex
	var wg sync.WaitGroup
	granted := 0
	for i := range 40 {
		wg.Go(func() {
			_, err := h.Allocate(ctx, who, vault.AllocateRequest{Handle: "vps", Purpose: fmt.Sprint(i), Demand: vault.Demand{RAMMB: 500, Ports: []int{0}}})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				granted++
			} else if c := fault.CodeOf(err); c != fault.ReservedMemory && c != fault.FreeMemory {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if granted != 7 { // (4096 - 256) / 500
		t.Errorf("%d leases of 500 MB on a server of 4096 MB", granted)
	}
}
