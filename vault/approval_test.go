package vault_test

import (
	"testing"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// Where a person approves each run, an agent runs nothing: not by a lease from before, not by a bare handle, not when a person attends it.
// What a person does about it, a run of their own, asks no agent.
func TestAttack70_AnAgentDoesNotApproveItself(t *testing.T) {
	h := newHouse(t)
	r := h.addBot("bot")
	agent, _ := h.addAgent(vault.NewAgent{Name: "one", Attended: true})
	before, err := h.Allocate(ctx, agent, ask("bot"))
	must(t, err)
	p := r.Policy
	p.Approval = policy.ApprovalAlways
	_, err = h.EditResource(ctx, operator, "bot", vault.Edit{Policy: &p})
	must(t, err)
	for _, ref := range []string{"bot", before.Lease.ID} {
		_, err = h.Authorise(ctx, agent, []string{ref})
		wantCode(t, err, fault.ApprovalRequired)
	}
	_, _, err = h.StartRun(ctx, agent, vault.Run{}, []vault.Use{{Resource: r}}) // planned before the policy changed
	wantCode(t, err, fault.ApprovalRequired)
	uses, err := h.Authorise(ctx, operator, []string{"bot"})
	must(t, err)
	if len(uses) != 1 {
		t.Errorf("%d uses", len(uses))
	}
}

// Proof of presence is the passphrase itself, and each try is written down.
func TestAttack70_PresenceIsThePassphrase(t *testing.T) {
	h := newHouse(t)
	must(t, h.SetPresence(ctx, operator, secret.FromString("open sesame, said the person")))
	for _, guess := range []string{"", "open sesame", "open sesame, said the person ", "Open sesame, said the person"} {
		wantCode(t, h.CheckPresence(ctx, operator, secret.FromString(guess)), fault.PresenceRequired)
	}
	must(t, h.CheckPresence(ctx, operator, secret.FromString("open sesame, said the person")))
	must(t, h.reopen().CheckPresence(ctx, operator, secret.FromString("open sesame, said the person")))
}
