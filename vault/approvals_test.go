package vault_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/id"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/vault/secret"
)

func everywhere(string) bool { return true }

// called is a run as the engine asks for one: authorised, planned as by stand-in, and proposed.
func called(v *vault.Vault, who vault.Actor, call string, refs ...string) (vault.Run, error) {
	uses, err := v.Authorise(ctx, who, refs)
	if err != nil {
		return vault.Run{}, err
	}
	planned := vault.Run{Command: []string{call}, Isolation: "sealed", Delivered: map[string]string{}, Proposal: &vault.Proposal{Call: []byte(call), Shown: vault.ApprovalCall{Sort: "run", Argv: []string{call}}}}
	for _, u := range uses {
		planned.Delivered[u.Resource.Handle] = string(policy.Broker)
	}
	got, _, err := v.StartRun(ctx, who, planned, uses)
	return got, err
}

// runs gives how a run of a handle or lease ends before it begins; nil: it began.
func (h *house) runs(who vault.Actor, ref string) error {
	h.t.Helper()
	_, err := called(h.Vault, who, "true", ref)
	return err
}

// asking puts a word about approvals into the policy of a resource.
func (h *house) asking(handle, approval string) {
	h.t.Helper()
	r, err := h.Resource(ctx, handle)
	must(h.t, err)
	p := r.Policy
	p.Approval = approval
	_, err = h.EditResource(ctx, operator, handle, vault.Edit{Policy: &p})
	must(h.t, err)
}

// waiting makes a call that is to wait, and gives the request's id as the agent is told it.
func waiting(t *testing.T, v *vault.Vault, who vault.Actor, call string, refs ...string) string {
	t.Helper()
	_, err := called(v, who, call, refs...)
	wantCode(t, err, fault.ApprovalRequired)
	f := fault.Of(err)
	ref, _ := f.Details["approval_id"].(string)
	if !id.Is(ref, id.Approval) || !strings.Contains(f.Next, "`zavhoz approve "+ref+"`") || f.Details["state"] != "waiting" {
		t.Fatalf("%v %+v", err, f.Details)
	}
	return ref
}

func decide(v *vault.Vault, ref string, approve bool) error {
	_, err := v.Decide(ctx, operator, ref, vault.Decision{Approve: approve, Within: everywhere})
	return err
}

// asker is a house with a resource whose every run a person approves, and an agent.
func asker(t *testing.T) (*house, vault.Actor) {
	h := newHouse(t)
	h.addBot("bot")
	h.asking("bot", policy.ApprovalAlways)
	who, _ := h.addAgent(vault.NewAgent{Name: "one", Attended: true})
	return h, who
}

// TestAttack70_AnAgentDoesNotApproveItself: where a person approves each run, an agent runs nothing before they did: not by a lease from before, not by a bare handle, not when a person attends it, not by
// a plan that was made before the policy changed, and no agent decides. A person's own run asks nobody.
func TestAttack70_AnAgentDoesNotApproveItself(t *testing.T) {
	h := newHouse(t)
	r := h.addBot("bot")
	agent, _ := h.addAgent(vault.NewAgent{Name: "one", Attended: true})
	before, err := h.Allocate(ctx, agent, ask("bot"))
	must(t, err)
	h.asking("bot", policy.ApprovalAlways)
	ids := map[string]bool{}
	for _, ref := range []string{"bot", before.Lease.ID} {
		ids[waiting(t, h.Vault, agent, "curl", ref)] = true
	}
	if len(ids) != 1 { // the bare handle means the lease
		t.Errorf("%v", ids)
	}
	_, _, err = h.StartRun(ctx, agent, vault.Run{}, []vault.Use{{Resource: r}}) // planned before the policy changed
	wantCode(t, err, fault.ApprovalRequired)
	for ref := range ids {
		_, err := h.Decide(ctx, agent, ref, vault.Decision{Approve: true, Within: everywhere})
		wantCode(t, err, fault.NotPermitted)
	}
	_, err = called(h.Vault, agent, "curl", "bot")
	wantCode(t, err, fault.ApprovalRequired)
	if _, err := called(h.Vault, operator, "curl", "bot"); err != nil {
		t.Error(err)
	}
}

// TestAttack70_AWordIsForOneCall: an approved request lets exactly that call run, once. Another command, context, delivery, level, version of the resource or of its policy, lease or agent asks
// anew, and what was approved stays there for the call that it is for.
func TestAttack70_AWordIsForOneCall(t *testing.T) {
	h, who := asker(t)
	other, _ := h.addAgent(vault.NewAgent{Name: "two"})
	ref := waiting(t, h.Vault, who, "deploy 1", "bot")
	if again := waiting(t, h.Vault, who, "deploy 1", "bot"); again != ref {
		t.Errorf("the same call asks twice: %s, %s", ref, again)
	}
	must(t, decide(h.Vault, ref, true))
	must(t, decide(h.Vault, ref, true)) // twice is once
	planned := func(change func(*vault.Run, *vault.Actor)) error {
		uses, err := h.Authorise(ctx, who, []string{"bot"})
		must(t, err)
		by, r := who, vault.Run{Command: []string{"x"}, Isolation: "sealed", Delivered: map[string]string{"bot": "broker"}, Proposal: &vault.Proposal{Call: []byte("deploy 1"), Shown: vault.ApprovalCall{Argv: []string{"deploy 1"}}}}
		change(&r, &by)
		_, _, err = h.StartRun(ctx, by, r, uses)
		return err
	}
	seen := map[string]string{ref: "itself"}
	for what, err := range map[string]error{
		"another call":       planned(func(r *vault.Run, _ *vault.Actor) { r.Proposal.Call = []byte("deploy 2") }),
		"what is shown":      planned(func(r *vault.Run, _ *vault.Actor) { r.Proposal.Call = nil }),
		"another level":      planned(func(r *vault.Run, _ *vault.Actor) { r.Isolation = "basic" }),
		"another delivery":   planned(func(r *vault.Run, _ *vault.Actor) { r.Delivered["bot"] = "env" }),
		"in the background":  planned(func(r *vault.Run, _ *vault.Actor) { r.Background = true }),
		"another context":    planned(func(_ *vault.Run, a *vault.Actor) { a.Context = "thread 8" }),
		"another agent":      planned(func(_ *vault.Run, a *vault.Actor) { *a = other }),
		"an agent's name":    planned(func(_ *vault.Run, a *vault.Actor) { a.ID = other.ID }),
		"nothing is to say":  planned(func(r *vault.Run, _ *vault.Actor) { r.Proposal = nil }),
		"an id of its own":   planned(func(r *vault.Run, _ *vault.Actor) { r.Approval = ref; r.Proposal.Call = []byte("deploy 3") }),
		"the call and a bit": planned(func(r *vault.Run, _ *vault.Actor) { r.Proposal.Call = append(r.Proposal.Call, 0) }),
	} {
		if fault.CodeOf(err) != fault.ApprovalRequired {
			t.Errorf("%s: %v", what, err)
			continue
		}
		now, _ := fault.Of(err).Details["approval_id"].(string)
		if was := seen[now]; was != "" && what != "another agent" && what != "an agent's name" { // these two are one call of one agent
			t.Errorf("%s is taken for %s", what, was)
		}
		seen[now] = what
	}
	if _, err := h.Approval(ctx, ref, everywhere); err != nil {
		t.Fatal(err)
	}
	run, err := called(h.Vault, who, "deploy 1", "bot")
	must(t, err)
	if run.Approval != ref {
		t.Errorf("the run says %q", run.Approval)
	}
	if again := waiting(t, h.Vault, who, "deploy 1", "bot"); again == ref {
		t.Error("a word was spent twice")
	}
	a, err := h.Approval(ctx, ref, everywhere)
	must(t, err)
	if a.State != vault.ApprovalSpent || a.Run != run.ID {
		t.Errorf("%+v", a)
	}
	wantCode(t, decide(h.Vault, ref, true), fault.UnknownApproval)
	wantCode(t, decide(h.Vault, ref, false), fault.UnknownApproval)
}

// TestAWordEndsWithWhatItIsFor: with the resource's version, its policy, the lease, the agent, the vault's lock and by time; what ended nobody approves any more.
func TestAWordEndsWithWhatItIsFor(t *testing.T) {
	for what, end := range map[string]func(h *house, who vault.Actor, l vault.Lease){
		"version": func(h *house, _ vault.Actor, _ vault.Lease) {
			_, err := h.EditResource(ctx, operator, "bot", vault.Edit{Secrets: values("token", "987654321:BBF4nQzx7Lq0mYcVtR2sWbE8uKpJdH1oGiXvN")})
			must(t, err)
		},
		"policy": func(h *house, _ vault.Actor, _ vault.Lease) {
			p := policy.Policy{Approval: policy.ApprovalAlways, MinLevel: policy.LevelBasic}
			_, err := h.EditResource(ctx, operator, "bot", vault.Edit{Policy: &p})
			must(t, err)
		},
		"lease": func(h *house, who vault.Actor, l vault.Lease) {
			_, err := h.Release(ctx, who, l.ID)
			must(t, err)
		},
		"agent": func(h *house, _ vault.Actor, _ vault.Lease) {
			_, err := h.RemoveAgent(ctx, operator, "one")
			must(t, err)
		},
		"resource": func(h *house, _ vault.Actor, _ vault.Lease) {
			_, err := h.RemoveResource(ctx, operator, "bot")
			must(t, err)
		},
		"disabled": func(h *house, _ vault.Actor, _ vault.Lease) {
			off := vault.Disabled
			_, err := h.EditResource(ctx, operator, "bot", vault.Edit{Status: &off})
			must(t, err)
		},
		"time": func(h *house, _ vault.Actor, _ vault.Lease) { h.pass(vault.ApprovalLife) },
		"lock": func(h *house, _ vault.Actor, _ vault.Lease) { must(t, h.WithdrawApprovals(ctx, vault.WithdrawnLocked)) },
	} {
		t.Run(what, func(t *testing.T) {
			h, who := asker(t)
			q := ask("bot")
			q.TTL = 3 * time.Hour
			lent, err := h.Allocate(ctx, who, q)
			must(t, err)
			ready, waits := waiting(t, h.Vault, who, "ready", lent.Lease.ID), waiting(t, h.Vault, who, "waits", lent.Lease.ID)
			must(t, decide(h.Vault, ready, true))
			end(h, who, lent.Lease)
			if _, err := called(h.Vault, who, "ready", lent.Lease.ID); err == nil {
				t.Error("it ran")
			} else if f := fault.Of(err); f.Details["approval_id"] == ready {
				t.Errorf("the old request: %v", err)
			}
			if what != "lock" { // what waits there may be approved after
				wantCode(t, decide(h.Vault, waits, true), fault.UnknownApproval)
			}
			wantCode(t, decide(h.Vault, ready, true), fault.UnknownApproval)
			if a, err := h.Approval(ctx, ready, everywhere); err != nil || a.State != vault.ApprovalExpired {
				t.Errorf("%v %+v", err, a)
			}
			all, err := h.Approvals(ctx, operator, everywhere)
			must(t, err)
			for _, a := range all {
				if a.ID == ready {
					t.Errorf("%+v", a)
				}
			}
		})
	}
}

// TestADenialIsToldAndEnds: the same call is refused as denied, with the person's words apart, until it may be asked again; what was approved can be taken back.
func TestADenialIsToldAndEnds(t *testing.T) {
	h, who := asker(t)
	ref := waiting(t, h.Vault, who, "rm -rf", "bot")
	_, err := h.Decide(ctx, operator, ref, vault.Decision{Why: "not on a Friday", Within: everywhere})
	must(t, err)
	_, err = called(h.Vault, who, "rm -rf", "bot")
	wantCode(t, err, fault.ApprovalDenied)
	if f := fault.Of(err); f.Details["why"] != "not on a Friday" || strings.Contains(f.Error(), "Friday") {
		t.Errorf("%v %v", err, f.Details)
	}
	wantCode(t, decide(h.Vault, ref, true), fault.UnknownApproval)
	taken := waiting(t, h.Vault, who, "curl", "bot")
	must(t, decide(h.Vault, taken, true))
	must(t, decide(h.Vault, taken, false))
	_, err = called(h.Vault, who, "curl", "bot")
	wantCode(t, err, fault.ApprovalDenied)
	wantCode(t, decide(h.Vault, taken, true), fault.UnknownApproval)
	mine, err := h.Approvals(ctx, who, nil)
	must(t, err)
	if len(mine) != 2 || mine[0].State != vault.ApprovalDenied {
		t.Errorf("%+v", mine)
	}
	if all, err := h.Approvals(ctx, operator, everywhere); err != nil || len(all) != 0 {
		t.Errorf("%v %+v", err, all)
	}
	_, err = h.Decide(ctx, operator, ref, vault.Decision{Why: "two\nlines", Within: everywhere})
	wantCode(t, err, fault.InvalidArgument)
	h.pass(vault.ApprovalLife)
	if again := waiting(t, h.Vault, who, "rm -rf", "bot"); again == ref {
		t.Error("the denial holds for ever")
	}
}

// TestRequestsAreBounded: an agent that asks for one thing after another is held up, another is not; what has ended makes room.
func TestRequestsAreBounded(t *testing.T) {
	h, who := asker(t)
	other, _ := h.addAgent(vault.NewAgent{Name: "two"})
	for i := range vault.MaxApprovals {
		waiting(t, h.Vault, who, fmt.Sprint("call ", i), "bot")
	}
	for range 3 {
		_, err := called(h.Vault, who, "one more", "bot")
		wantCode(t, err, fault.RateLimited)
	}
	waiting(t, h.Vault, who, "call 3", "bot")
	waiting(t, h.Vault, other, "one more", "bot")
	h.asking("bot", policy.ApprovalAlways) // another version: none of them can come to anything
	waiting(t, h.Vault, who, "one more", "bot")
	if mine, err := h.Approvals(ctx, who, nil); err != nil || len(mine) != 1 {
		t.Errorf("%v %d", err, len(mine))
	}
}

// TestAFirstWordHolds: where the first run is approved, those after it are not asked about: of this agent, with this version under this policy.
func TestAFirstWordHolds(t *testing.T) {
	h, who := asker(t)
	h.asking("bot", policy.ApprovalFirst)
	other, _ := h.addAgent(vault.NewAgent{Name: "two"})
	ref := waiting(t, h.Vault, who, "look", "bot")
	must(t, decide(h.Vault, ref, true))
	waiting(t, h.Vault, who, "another", "bot") // until the approved one ran
	for _, call := range []string{"look", "look", "another"} {
		if _, err := called(h.Vault, who, call, "bot"); err != nil {
			t.Fatal(call, err)
		}
	}
	waiting(t, h.Vault, other, "look", "bot")
	h.asking("bot", policy.ApprovalFirst)
	waiting(t, h.Vault, who, "look", "bot")
	h.asking("bot", policy.ApprovalAlways)
	waiting(t, h.Vault, who, "look", "bot")
}

// TestSeveralResourcesAreOneRequest: one word for the call, whichever of its resources asks; who may not see one of them sees nothing.
func TestSeveralResourcesAreOneRequest(t *testing.T) {
	h, who := asker(t)
	h.addBot("free")
	ref := waiting(t, h.Vault, who, "both", "free", "bot")
	a, err := h.Approval(ctx, ref, everywhere)
	must(t, err)
	if len(a.Uses) != 2 || a.Uses[0].Asks != "" || a.Uses[1].Asks != "always" || a.Uses[1].Delivery != "broker" {
		t.Errorf("%+v", a.Uses)
	}
	for _, in := range []func(string) bool{func(string) bool { return false }, func(s string) bool { return s == "elsewhere" }} {
		_, err := h.Approval(ctx, ref, in)
		wantCode(t, err, fault.UnknownApproval)
		_, err = h.Decide(ctx, operator, ref, vault.Decision{Within: in})
		wantCode(t, err, fault.UnknownApproval)
		if all, err := h.Approvals(ctx, operator, in); err != nil || len(all) != 0 {
			t.Errorf("%v %+v", err, all)
		}
	}
	_, err = called(h.Vault, who, "both", "free")
	must(t, err)
	for _, ref := range []string{"", "apr_x", "lse_aaaaaaaaaaaaaaaaaaaaaaaaaa", "apr_aaaaaaaaaaaaaaaaaaaaaaaaaa", strings.Repeat("a", 10000)} {
		wantCode(t, decide(h.Vault, ref, true), fault.UnknownApproval)
	}
}

// TestRequestsOfOthersAreNotSeen: an agent is told of its own alone.
func TestRequestsOfOthersAreNotSeen(t *testing.T) {
	h, who := asker(t)
	other, _ := h.addAgent(vault.NewAgent{Name: "two"})
	mine := waiting(t, h.Vault, who, "look", "bot")
	if waiting(t, h.Vault, other, "look", "bot") == mine {
		t.Error("two agents share a request")
	}
	got, err := h.Approvals(ctx, other, everywhere)
	must(t, err)
	if len(got) != 1 || got[0].ID == mine || got[0].Actor.ID != other.ID {
		t.Errorf("%+v", got)
	}
}

// TestAWordIsOnRecord: that it was asked, decided, spent, and by which run.
func TestAWordIsOnRecord(t *testing.T) {
	h, who := asker(t)
	ref := waiting(t, h.Vault, who, "look", "bot")
	must(t, decide(h.Vault, ref, true))
	run, err := called(h.Vault, who, "look", "bot")
	must(t, err)
	denied := waiting(t, h.Vault, who, "other", "bot")
	must(t, decide(h.Vault, denied, false))
	_, err = h.Decide(ctx, who, denied, vault.Decision{Approve: true, Within: everywhere})
	wantCode(t, err, fault.NotPermitted)
	must(t, h.Noted(ctx))
	log, st := h.Audit()
	var got []string
	must(t, st.View(ctx, func(tx store.Tx) error {
		got = nil
		rs, _, err := log.List(tx, audit.Filter{Limit: 500})
		for _, r := range rs {
			if strings.HasPrefix(string(r.Action), "approval.") || r.Action == audit.RunStart && r.Outcome == audit.Allowed {
				got = append([]string{fmt.Sprint(r.Action, " ", r.Actor.Name, " ", r.Outcome, " ", r.Subject, " ", r.Detail["decision"], r.Detail["run"], r.Detail["approval"])}, got...)
			}
		}
		return err
	}))
	want := []string{
		"approval.ask one allowed " + ref + " ", "approval.decide operator allowed " + ref + " approve", "approval.spend one allowed " + ref + " " + run.ID, "run.start one allowed " + run.ID + " " + ref,
		"approval.ask one allowed " + denied + " ", "approval.decide operator allowed " + denied + " deny",
	}
	if len(got) < len(want) || strings.Join(got[:len(want)], "\n") != strings.Join(want, "\n") {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
}

// TestRequestsArePruned: time ends them, and what ended is forgotten as runs are.
func TestRequestsArePruned(t *testing.T) {
	h, who := asker(t)
	ref := waiting(t, h.Vault, who, "look", "bot")
	must(t, h.Sweep(ctx))
	if a, err := h.Approval(ctx, ref, everywhere); err != nil || a.State != vault.ApprovalWaiting {
		t.Fatalf("%v %+v", err, a)
	}
	h.pass(vault.ApprovalLife)
	must(t, h.Sweep(ctx))
	a, err := h.Approval(ctx, ref, everywhere)
	must(t, err)
	if b, _ := json.Marshal(a); a.State != vault.ApprovalExpired || a.EndedAt.IsZero() || a.Call.Argv != nil {
		t.Errorf("%s", b)
	}
	h.pass(vault.KeepEnded + time.Minute)
	must(t, h.Sweep(ctx))
	_, err = h.Approval(ctx, ref, everywhere)
	wantCode(t, err, fault.UnknownApproval)
	h.reopen() // the accounts of the collections hold
}

// TestAttack70_TwoSpendOneWord: of many that make the approved call at once, over one file and over replicas, one runs.
func TestAttack70_TwoSpendOneWord(t *testing.T) {
	h, who := asker(t)
	contend(t, who, h.Vault)
	r := newReplicas(t, 3)
	_, err := r.all[0].AddResource(ctx, operator, vault.NewResource{Kind: "generic", Handle: "bot", Policy: policy.Policy{Approval: policy.ApprovalAlways}, Secrets: map[string]secret.Secret{"value": secret.FromString("a value of it")}})
	must(t, err)
	local, err := r.all[1].Local(ctx)
	must(t, err)
	contend(t, vault.Actor{Type: audit.Agent, ID: local.ID, Name: local.Name, Door: "stdio"}, r.all...)
	r.check(t)
}

// contend asks at one vault, approves at another, and spends at all of them at once; asking at once is one request too.
func contend(t *testing.T, who vault.Actor, all ...*vault.Vault) {
	t.Helper()
	for round := range 4 {
		call := fmt.Sprint("round ", round)
		var ids sync.Map
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() { ids.Store(waiting(t, all[i%len(all)], who, call, "bot"), true) })
		}
		wg.Wait()
		ref, n := "", 0
		ids.Range(func(k, _ any) bool { ref, n = k.(string), n+1; return true })
		if n != 1 {
			t.Fatalf("%d requests for one call", n)
		}
		must(t, decide(all[1%len(all)], ref, true))
		var ran atomic.Int64
		for i := range 9 {
			wg.Go(func() {
				switch r, err := called(all[i%len(all)], who, call, "bot"); {
				case err == nil && r.Approval == ref:
					ran.Add(1)
				case fault.CodeOf(err) != fault.ApprovalRequired:
					t.Errorf("%v %v", r, err)
				}
			})
		}
		wg.Wait()
		if ran.Load() != 1 {
			t.Errorf("one word let %d runs start", ran.Load())
		}
	}
}
