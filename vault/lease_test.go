package vault_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/id"
	"github.com/zavhoz/zavhoz/vault/policy"
)

func ask(handle string) vault.AllocateRequest {
	return vault.AllocateRequest{Handle: handle, Purpose: "test"}
}

// TestAttack63: a lease guessed, stolen, replayed by another agent, or used after its end gives nothing.
func TestAttack63_LeaseIsNotPermission(t *testing.T) {
	h := newHouse(t)
	h.addBot("b")
	one, _ := h.addAgent(vault.NewAgent{Name: "one"})
	two, _ := h.addAgent(vault.NewAgent{Name: "two"})
	a, err := h.Allocate(ctx, one, ask("b"))
	must(t, err)
	_, err = h.Authorise(ctx, one, []string{a.Lease.ID})
	must(t, err)
	_, err = h.Authorise(ctx, two, []string{a.Lease.ID})
	wantCode(t, err, fault.LeaseNotYours)
	_, err = h.Authorise(ctx, two, []string{id.New(id.Lease)})
	wantCode(t, err, fault.UnknownLease)
	_, err = h.Release(ctx, two, a.Lease.ID)
	wantCode(t, err, fault.UnknownLease)
	_, err = h.Release(ctx, one, a.Lease.ID)
	must(t, err)
	_, err = h.Release(ctx, one, a.Lease.ID)
	must(t, err) // twice is fine
	_, err = h.Authorise(ctx, one, []string{a.Lease.ID})
	wantCode(t, err, fault.LeaseReleased)

	b, err := h.Allocate(ctx, one, vault.AllocateRequest{Handle: "b", Purpose: "x", TTL: time.Minute})
	must(t, err)
	h.pass(time.Minute)
	_, err = h.Authorise(ctx, one, []string{b.Lease.ID})
	wantCode(t, err, fault.LeaseExpired)
}

func TestGrantsDecideWhatIsSeen(t *testing.T) {
	h := newHouse(t)
	h.addBot("b")
	_, err := h.AddProject(ctx, operator, "other", "")
	must(t, err)
	slug := "other"
	h.addBot("elsewhere")
	_, err = h.EditResource(ctx, operator, "elsewhere", vault.Edit{Project: &slug, Labels: map[string]string{"env": "prod"}})
	must(t, err)
	cases := []struct {
		name   string
		grants vault.Grants
		want   []string
	}{
		{"default", vault.Grants{}, []string{"b"}},
		{"all", vault.Grants{Projects: []string{"*"}}, []string{"b", "elsewhere"}},
		{"kind", vault.Grants{Projects: []string{"*"}, Kinds: []string{"server"}}, nil},
		{"label", vault.Grants{Projects: []string{"*"}, Labels: []string{"env=prod"}}, []string{"elsewhere"}},
		{"otherlabel", vault.Grants{Projects: []string{"*"}, Labels: []string{"env=dev"}}, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			who, _ := h.addAgent(vault.NewAgent{Name: c.name, Grants: c.grants})
			rs, _, err := h.Visible(ctx, who, vault.Filter{})
			must(t, err)
			var got []string
			for _, r := range rs {
				got = append(got, r.Handle)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("sees %v, want %v", got, c.want)
			}
			for _, handle := range []string{"b", "elsewhere"} {
				_, err := h.Authorise(ctx, who, []string{handle})
				if slices.Contains(c.want, handle) {
					must(t, err)
				} else {
					wantCode(t, err, fault.UnknownResource) // the same answer as for what is not there
				}
			}
		})
	}
}

func TestPolicyNamesAgents(t *testing.T) {
	h := newHouse(t)
	r := h.addBot("b")
	p := r.Policy
	p.Agents = []string{"ci"}
	_, err := h.EditResource(ctx, operator, "b", vault.Edit{Policy: &p})
	must(t, err)
	_, err = h.AddProject(ctx, operator, "nothing", "")
	must(t, err)
	ci, _ := h.addAgent(vault.NewAgent{Name: "ci", Grants: vault.Grants{Projects: []string{"nothing"}}})
	_, err = h.Authorise(ctx, ci, []string{"b"})
	must(t, err) // named: a grant of its own
	_, err = h.Authorise(ctx, h.local(), []string{"b"})
	wantCode(t, err, fault.UnknownResource)
}

func TestLocalGetsStandInsOnly(t *testing.T) {
	h := newHouse(t)
	r := h.addBot("b")
	start := func() error {
		uses, err := h.Authorise(ctx, h.local(), []string{"b"})
		must(t, err)
		_, _, err = h.StartRun(ctx, h.local(), vault.Run{Delivered: map[string]string{"b": string(policy.Env)}}, uses)
		return err
	}
	wantCode(t, start(), fault.DeliveryRefused)
	p := r.Policy
	p.Agents = []string{"local"}
	_, err := h.EditResource(ctx, operator, "b", vault.Edit{Policy: &p})
	must(t, err)
	must(t, start())
}

func TestUsesAreCounted(t *testing.T) {
	h := newHouse(t)
	r := h.addBot("b")
	who, _ := h.addAgent(vault.NewAgent{Name: "a"})
	l, err := h.Allocate(ctx, who, vault.AllocateRequest{Handle: "b", Purpose: "x", MaxUses: 2})
	must(t, err)
	for i := range 3 {
		uses, err := h.Authorise(ctx, who, []string{l.Lease.ID})
		if i == 2 {
			wantCode(t, err, fault.LeaseExhausted)
			break
		}
		must(t, err)
		run, _, err := h.StartRun(ctx, who, vault.Run{}, uses)
		must(t, err)
		must(t, h.EndRun(ctx, run))
	}
	p := r.Policy
	p.MaxUses = 3
	_, err = h.EditResource(ctx, operator, "b", vault.Edit{Policy: &p})
	must(t, err)
	uses, err := h.Authorise(ctx, who, []string{"b"})
	must(t, err)
	run, used, err := h.StartRun(ctx, who, vault.Run{}, uses)
	must(t, err)
	if !used[0].Lease.Implicit || used[0].Lease.ID == "" {
		t.Error("a bare handle made no implicit lease")
	}
	must(t, h.EndRun(ctx, run))
	_, err = h.Authorise(ctx, who, []string{used[0].Lease.ID})
	wantCode(t, err, fault.LeaseReleased) // the implicit lease went with its run
	_, err = h.Authorise(ctx, who, []string{"b"})
	wantCode(t, err, fault.ResourceExhausted)
}

func TestIdempotencyKey(t *testing.T) {
	h := newHouse(t)
	h.addBot("b")
	who, _ := h.addAgent(vault.NewAgent{Name: "a"})
	other, _ := h.addAgent(vault.NewAgent{Name: "o"})
	q := ask("b")
	q.IdemKey = "k1"
	first, err := h.Allocate(ctx, who, q)
	must(t, err)
	again, err := h.Allocate(ctx, who, q)
	must(t, err)
	if again.Lease.ID != first.Lease.ID || !again.Repeated {
		t.Error("the same key gave another lease")
	}
	theirs, err := h.Allocate(ctx, other, q)
	must(t, err)
	if theirs.Lease.ID == first.Lease.ID {
		t.Error("another agent's key gave the first one's lease")
	}
	q.Purpose = "something else"
	_, err = h.Allocate(ctx, who, q)
	wantCode(t, err, fault.IdempotencyMismatch)
	q.Purpose = "test"
	_, err = h.Release(ctx, who, first.Lease.ID)
	must(t, err)
	fresh, err := h.Allocate(ctx, who, q)
	must(t, err)
	if fresh.Lease.ID == first.Lease.ID {
		t.Error("a released lease came back")
	}
}

// Whoever repeats a call gets what the first one got, also where each use asks for an approval; and 200 characters are 200 in any script.
func TestRepeatedWhereApprovalIsAsked(t *testing.T) {
	h := newHouse(t)
	r := h.addBot("b")
	p := r.Policy
	p.Approval = "always"
	_, err := h.EditResource(ctx, operator, "b", vault.Edit{Policy: &p})
	must(t, err)
	who, _ := h.addAgent(vault.NewAgent{Name: "a"})
	q := vault.AllocateRequest{Handle: "b", Purpose: strings.Repeat("ы", 200), IdemKey: "k"}
	first, err := h.Allocate(ctx, who, q)
	must(t, err)
	again, err := h.Allocate(ctx, who, q)
	must(t, err)
	if again.Lease.ID != first.Lease.ID {
		t.Error("another lease")
	}
	for _, ref := range []string{"b", first.Lease.ID} {
		wantCode(t, h.runs(who, ref), fault.ApprovalRequired)
	}
	q.Purpose += "ы"
	_, err = h.Allocate(ctx, who, q)
	wantCode(t, err, fault.InvalidArgument)
}

func TestPortsAreNeverGivenTwice(t *testing.T) {
	h := newHouse(t)
	_, err := h.AddResource(ctx, operator, vault.NewResource{Kind: "server", Handle: "s", Attrs: map[string]string{"user": "deploy"}, Secrets: values("host", "server.example.org", "password", "correct horse battery")})
	must(t, err)
	who, _ := h.addAgent(vault.NewAgent{Name: "a"})
	var mu sync.Mutex
	seen := map[int]int{}
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			a, err := h.Allocate(ctx, who, vault.AllocateRequest{Handle: "s", Purpose: fmt.Sprint("n", i), Demand: vault.Demand{Ports: []int{0, 0}}})
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			for _, p := range a.Lease.Ports {
				seen[p]++
			}
		}()
	}
	wg.Wait()
	if len(seen) != 100 {
		t.Errorf("%d different ports for 100 wanted", len(seen))
	}
	_, err = h.Allocate(ctx, who, vault.AllocateRequest{Handle: "s", Purpose: "x", Demand: vault.Demand{Ports: []int{8000}}})
	wantCode(t, err, fault.NoFreePort)
}

// TestAttack60: a lease whose runs print secrets again and again ends.
func TestAttack60_RedactionBudgetEndsTheLease(t *testing.T) {
	h := newHouse(t)
	h.addBot("b")
	who, _ := h.addAgent(vault.NewAgent{Name: "a"})
	a, err := h.Allocate(ctx, who, ask("b"))
	must(t, err)
	ended, err := h.SpendRedactions(ctx, []string{a.Lease.ID}, 5)
	must(t, err)
	if ended {
		t.Fatal("ended within budget")
	}
	ended, err = h.SpendRedactions(ctx, []string{a.Lease.ID}, 1)
	must(t, err)
	if !ended {
		t.Fatal("did not end over budget")
	}
	_, err = h.Authorise(ctx, who, []string{a.Lease.ID})
	wantCode(t, err, fault.LeaseExhausted)
}

// TestAttack64: another's run can be neither read nor stopped.
func TestAttack64_RunsHaveOwners(t *testing.T) {
	h := newHouse(t)
	h.addBot("b")
	one, _ := h.addAgent(vault.NewAgent{Name: "one"})
	two, _ := h.addAgent(vault.NewAgent{Name: "two"})
	uses, err := h.Authorise(ctx, one, []string{"b"})
	must(t, err)
	run, _, err := h.StartRun(ctx, one, vault.Run{}, uses)
	must(t, err)
	_, err = h.GetRun(ctx, two, run.ID)
	wantCode(t, err, fault.RunNotYours)
	rs, err := h.Runs(ctx, two)
	must(t, err)
	if len(rs) != 0 {
		t.Error("another's run is listed")
	}
	got, err := h.GetRun(ctx, one, run.ID)
	must(t, err)
	if got.State != vault.RunRunning {
		t.Error(got.State)
	}
}

func TestADaemonThatDiedLosesRunsPlainly(t *testing.T) {
	h := newHouse(t)
	h.addBot("b")
	who, _ := h.addAgent(vault.NewAgent{Name: "a"})
	uses, err := h.Authorise(ctx, who, []string{"b"})
	must(t, err)
	run, _, err := h.StartRun(ctx, who, vault.Run{}, uses)
	must(t, err)
	next := h.reopen()
	n, err := next.MarkLost(ctx)
	must(t, err)
	got, err := next.GetRun(ctx, who, run.ID)
	must(t, err)
	if n != 1 || got.State != vault.RunLost {
		t.Errorf("%d lost, state %s", n, got.State)
	}
}

func TestRemovedAgentIsOut(t *testing.T) {
	h := newHouse(t)
	h.addBot("b")
	who, token := h.addAgent(vault.NewAgent{Name: "a"})
	_, err := h.Authenticate(ctx, token)
	must(t, err)
	a, err := h.Allocate(ctx, who, ask("b"))
	must(t, err)
	_, err = h.RemoveAgent(ctx, operator, "a")
	must(t, err)
	_, err = h.Authenticate(ctx, token)
	wantCode(t, err, fault.Unauthenticated)
	_, err = h.Authorise(ctx, who, []string{a.Lease.ID})
	wantCode(t, err, fault.Unauthenticated)
	_, err = h.Authenticate(ctx, token[:len(token)-1]+"x")
	wantCode(t, err, fault.Unauthenticated)
	must(t, h.Close(ctx))
	log, st := h.Audit()
	must(t, st.View(ctx, func(tx store.Tx) error {
		rs, _, err := log.List(tx, audit.Filter{Action: audit.AgentLogin})
		if len(rs) != 1 || rs[0].Outcome != audit.Denied || rs[0].Code != string(fault.Unauthenticated) {
			t.Errorf("a removed agent's token left %+v", rs)
		}
		return err
	}))
}

func TestDisabledAndExpired(t *testing.T) {
	h := newHouse(t)
	r := h.addBot("b")
	off, on := vault.Disabled, vault.Active
	_, err := h.EditResource(ctx, operator, "b", vault.Edit{Status: &off})
	must(t, err)
	_, err = h.Authorise(ctx, h.local(), []string{"b"})
	wantCode(t, err, fault.ResourceDisabled)
	p := r.Policy
	p.Expires = h.clock().Add(time.Hour)
	_, err = h.EditResource(ctx, operator, "b", vault.Edit{Status: &on, Policy: &p})
	must(t, err)
	a, err := h.Allocate(ctx, h.local(), vault.AllocateRequest{Handle: "b", Purpose: "x", TTL: 5 * time.Hour})
	must(t, err)
	if !a.Lease.ExpiresAt.Equal(p.Expires) {
		t.Error("a lease outlives its resource")
	}
	h.pass(time.Hour)
	_, err = h.Authorise(ctx, h.local(), []string{"b"})
	wantCode(t, err, fault.ResourceExpired)
}

func TestSweepEndsAndForgets(t *testing.T) {
	h := newHouse(t)
	h.addBot("b")
	a, err := h.Allocate(ctx, h.local(), ask("b"))
	must(t, err)
	h.pass(2 * time.Hour)
	must(t, h.Sweep(ctx))
	live, err := h.Leases(ctx, operator)
	must(t, err)
	if len(live) != 0 {
		t.Error("an expired lease is live")
	}
	uses, err := h.Authorise(ctx, h.local(), []string{"b"})
	must(t, err)
	run, _, err := h.StartRun(ctx, h.local(), vault.Run{}, uses)
	must(t, err)
	run.State = vault.RunExited
	must(t, h.EndRun(ctx, run))
	h.pass(vault.KeepEnded - time.Hour)
	must(t, h.Sweep(ctx))
	_, err = h.GetRun(ctx, h.local(), run.ID)
	must(t, err) // not yet
	h.pass(2 * time.Hour)
	must(t, h.Sweep(ctx))
	_, err = h.GetRun(ctx, h.local(), run.ID)
	wantCode(t, err, fault.UnknownRun)
	_, err = h.Authorise(ctx, h.local(), []string{a.Lease.ID})
	wantCode(t, err, fault.UnknownLease)
	must(t, h.Verify(ctx))
}

// Every act and every refusal leaves its record, and the chain holds.
func TestEverythingIsAudited(t *testing.T) {
	h := newHouse(t)
	h.addBot("b")
	who, _ := h.addAgent(vault.NewAgent{Name: "a"})
	a, err := h.Allocate(ctx, who, ask("b"))
	must(t, err)
	for range 5 {
		_, err = h.Authorise(ctx, who, []string{"nothing"})
		wantCode(t, err, fault.UnknownResource)
	}
	for _, handle := range []string{"nobody", "Correct Horse"} { // the second could be a value in the wrong place
		_, err = h.Allocate(ctx, who, ask(handle))
		wantCode(t, err, fault.UnknownResource)
	}
	_, err = h.Release(ctx, who, a.Lease.ID)
	must(t, err)
	v := h.reopen()
	must(t, errors.Join(h.Vault.Close(ctx), v.Close(ctx))) // flushes what is queued
	log, st := v.Audit()
	rep, err := log.Verify(ctx, st)
	must(t, err)
	count := map[audit.Action]int{}
	var denied []audit.Record
	var asked []string
	must(t, err)
	err = st.View(ctx, func(tx store.Tx) error {
		rs, _, err := log.List(tx, audit.Filter{Limit: 100})
		for _, r := range rs {
			count[r.Action]++
			switch {
			case r.Outcome == audit.Denied && r.Action == audit.LeaseAllocate:
				asked = append(asked, r.Handle)
			case r.Outcome == audit.Denied:
				denied = append(denied, r)
			}
		}
		return err
	})
	must(t, err)
	for _, want := range []audit.Action{audit.VaultInit, audit.VaultOpen, audit.ResourceAdd, audit.AgentAdd, audit.LeaseAllocate, audit.LeaseRelease} {
		if count[want] == 0 {
			t.Errorf("no record of %s", want)
		}
	}
	if len(denied) != 2 || denied[0].Count != 4 && denied[1].Count != 4 {
		t.Errorf("five equal denials became %d records: %+v", len(denied), denied)
	}
	if slices.Sort(asked); !slices.Equal(asked, []string{"", "nobody"}) {
		t.Errorf("refused allocations are recorded for %q", asked)
	}
	if rep.Records == 0 {
		t.Error("the chain holds nothing")
	}
}
