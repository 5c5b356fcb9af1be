package vaulttest

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// What is contended for: two servers, and less of everything than is asked.
const (
	contenders   = 200
	contendRAM   = 16384 // MB of each server
	contendDisk  = 200000
	contendCores = 64
	contendKeeps = 256 // MB that stay free: the reserve that is built in
	wantRAM      = 150
	wantDisk     = 1000
)

var contendHandles = []string{"contend_a", "contend_b"}

// Contend lets 200 callers at once ask for memory, disk, cores and ports of two servers, and give them back, through replicas of one vault: one, or several that
// share a store. At no instant that anybody can see is more promised than there is, or a port promised twice; callers that share an idempotency key share a lease, whichever
// replica answers; and in the end what is free can be had to the last. now is the replicas' time, whose clocks agree.
func Contend(t *testing.T, now time.Time, replicas ...*vault.Vault) {
	t.Helper()
	c := &contest{t: t, replicas: replicas}
	c.provide(now)
	c.recruit()
	done := make(chan struct{})
	var watch, run sync.WaitGroup
	for _, v := range replicas {
		watch.Go(func() { c.watch(v, done) })
	}
	for i := range contenders {
		run.Go(func() { c.caller(i) })
	}
	run.Wait()
	close(done)
	watch.Wait()
	c.fill()
	if n := c.looks.Load(); n < int64(len(replicas)) {
		t.Errorf("the vault was looked at %d times", n)
	}
}

type contest struct {
	t        *testing.T
	replicas []*vault.Vault
	agents   []vault.Actor
	shared   sync.Map // idempotency key → lease id
	looks    atomic.Int64
}

// provide plays a cycle of sync and the operator who adopts what it found.
func (c *contest) provide(now time.Time) {
	c.t.Helper()
	v, ctx := c.replicas[0], c.t.Context()
	Must(c.t, v.ApplyServers(ctx, "contend", func([]vault.Server, json.RawMessage) (out vault.ServerOutcome, err error) {
		for i := range contendHandles {
			address := secret.FromString(fmt.Sprintf("192.0.2.%d", i+1))
			out.Changes = append(out.Changes, vault.ServerChange{Seal: map[string]secret.Secret{"ip": address}, Server: vault.Server{
				ID: contendID(i), ProviderID: fmt.Sprint(i), Status: "active", Intent: "yes", IsManaged: true, CPU: contendCores, RAMMB: contendRAM, DiskMB: contendDisk,
				UsedRAMMB: 100, UsedDiskMB: 100, ObservedAt: now, CreatedAt: now, Prints: map[string]string{"ip": v.ServerPrint("ip", address)},
			}})
		}
		out.State = json.RawMessage(`{}`)
		return out, nil
	}))
	for i, handle := range contendHandles {
		_, err := v.AdoptServer(ctx, vault.OperatorActor(), contendID(i), vault.NewResource{Handle: handle, Secrets: map[string]secret.Secret{"password": secret.FromString("correct horse battery")}})
		Must(c.t, err)
	}
}

func contendID(i int) string { return "srv_" + "contendcontendcontendconte"[:25] + string(rune('a'+i)) }

func (c *contest) recruit() {
	c.t.Helper()
	for i := range 8 {
		a, _, err := c.replicas[0].AddAgent(c.t.Context(), vault.OperatorActor(), vault.NewAgent{Name: fmt.Sprintf("contender_%d", i)})
		Must(c.t, err)
		c.agents = append(c.agents, vault.Actor{Type: audit.Agent, ID: a.ID, Name: a.Name, Door: "http"})
	}
}

// caller is one of the crowd. Half of them, in pairs, repeat each other's request through different replicas; the others take, give back and take again.
func (c *contest) caller(i int) {
	v := c.replicas[i%len(c.replicas)]
	if i < contenders/2 {
		key := fmt.Sprint("pair ", i/2)
		a := c.ask(v, c.agents[i/2%len(c.agents)], key)
		if a.Lease.ID == "" {
			return
		}
		if was, seen := c.shared.LoadOrStore(key, a.Lease.ID); seen && was != a.Lease.ID {
			c.t.Errorf("%s has two leases", key)
		}
		return
	}
	who := c.agents[i%len(c.agents)]
	for range 2 {
		a := c.ask(v, who, "")
		if a.Lease.ID == "" {
			return
		}
		other := c.replicas[(i+1)%len(c.replicas)]
		if _, err := other.Release(c.t.Context(), who, a.Lease.ID); err != nil {
			c.t.Error(err)
		}
	}
	c.ask(v, who, "")
}

// ask gives the zero Allocation where there was no room.
func (c *contest) ask(v *vault.Vault, who vault.Actor, key string) vault.Allocation {
	a, err := v.Allocate(c.t.Context(), who, vault.AllocateRequest{
		Kind: "server", Purpose: "contend", IdemKey: key,
		Demand: vault.Demand{RAMMB: wantRAM, DiskMB: wantDisk, CPU: 1, Ports: []int{0}, Services: map[string]int{"backend": 0}},
	})
	switch fault.CodeOf(err) {
	case "", fault.ReservedMemory, fault.ReservedCPU, fault.ReservedDisk:
	default:
		c.t.Error(err)
	}
	return a
}

// watch looks at the vault as long as callers run, as anybody might.
func (c *contest) watch(v *vault.Vault, done <-chan struct{}) {
	for {
		c.check(v)
		select {
		case <-done:
			c.check(v)
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// check looks at one instant's leases.
func (c *contest) check(v *vault.Vault) map[string]int {
	leases, err := v.Leases(context.WithoutCancel(c.t.Context()), vault.OperatorActor())
	if err != nil {
		c.t.Error(err)
		return nil
	}
	c.looks.Add(1)
	count, ports := map[string]int{}, map[string]bool{}
	for _, l := range leases {
		count[l.Handle]++
		if len(l.AllPorts()) != 2 {
			c.t.Errorf("a lease has the ports %v", l.AllPorts())
		}
		for _, p := range l.AllPorts() {
			at := fmt.Sprint(l.Handle, " ", p)
			if ports[at] {
				c.t.Errorf("%s is promised twice", at)
			}
			ports[at] = true
		}
	}
	for handle, n := range count {
		if n*wantRAM > contendRAM-contendKeeps || n > contendCores || n*wantDisk > contendDisk {
			c.t.Errorf("%d leases on %s", n, handle)
		}
	}
	return count
}

// fill takes what is left: nothing was lost on the way.
func (c *contest) fill() {
	c.t.Helper()
	for range 2 * contendCores {
		if c.ask(c.replicas[0], c.agents[0], "").Lease.ID == "" {
			break
		}
	}
	for _, v := range c.replicas {
		count := c.check(v)
		for _, handle := range contendHandles {
			if count[handle] != contendCores {
				c.t.Errorf("%s holds %d leases when it is full, not %d", handle, count[handle], contendCores)
			}
		}
	}
}
