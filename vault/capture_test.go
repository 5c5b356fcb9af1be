package vault_test

import (
	"fmt"
	"testing"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// captured is what a run of the actor's captured.
func captured(a vault.Actor, handle string) vault.NewResource {
	return vault.NewResource{Kind: "generic", Handle: handle, Secrets: values("value", "captured-canary-"+handle), Labels: map[string]string{vault.CapturedBy: a.Name, vault.CapturedFrom: "acme"}, Policy: policy.Policy{Agents: []string{a.Name}}}
}

// What an agent captures is sealed, its own, and never more than a stand-in; the record stands with it.
func TestAttack63_ACaptureIsItsAgentsAlone(t *testing.T) {
	h := newHouse(t)
	ci, _ := h.addAgent(vault.NewAgent{Name: "ci"})
	other, _ := h.addAgent(vault.NewAgent{Name: "other"})
	must(t, h.MayKeep(ctx, ci, "made"))
	r, err := h.Keep(ctx, ci, captured(ci, "made"))
	must(t, err)
	if h.reveal(r, "value") != "captured-canary-made" || r.UpdatedBy != "ci" {
		t.Errorf("%+v", r)
	}
	_, err = h.Authorise(ctx, ci, []string{"made"})
	must(t, err)
	_, err = h.Authorise(ctx, other, []string{"made"})
	wantCode(t, err, fault.UnknownResource)
	wantCode(t, h.MayKeep(ctx, ci, "made"), fault.HandleTaken)
	_, err = h.Keep(ctx, other, captured(other, "made"))
	wantCode(t, err, fault.HandleTaken)

	for name, edit := range map[string]func(*vault.NewResource){
		"everybody":     func(n *vault.NewResource) { n.Policy.Agents = nil },
		"another":       func(n *vault.NewResource) { n.Policy.Agents = []string{"other"} },
		"two":           func(n *vault.NewResource) { n.Policy.Agents = []string{"ci", "other"} },
		"a pin":         func(n *vault.NewResource) { n.Policy.Pins = []policy.Pin{{Name: "p", Argv: []string{"/bin/cat"}}} },
		"by value":      func(n *vault.NewResource) { n.Policy.Deliveries = []policy.Delivery{policy.Env} },
		"no label":      func(n *vault.NewResource) { n.Labels = nil },
		"another's":     func(n *vault.NewResource) { n.Labels[vault.CapturedBy] = "other" },
		"a person acts": nil,
	} {
		n, by := captured(ci, "wide"), ci
		if edit != nil {
			edit(&n)
		} else {
			by = operator
		}
		if _, err := h.Keep(ctx, by, n); fault.CodeOf(err) != fault.NotPermitted {
			t.Errorf("%s: %v", name, err)
		}
		if s := n.Secrets["value"]; !s.IsZero() {
			t.Errorf("%s: the value was not wiped", name)
		}
	}
	_, err = h.RemoveAgent(ctx, operator, "ci")
	must(t, err)
	_, err = h.Keep(ctx, ci, captured(ci, "late"))
	wantCode(t, err, fault.Unauthenticated)
	wantCode(t, h.MayKeep(ctx, ci, "late"), fault.Unauthenticated)
}

// An agent does not fill the vault, nor everybody's redactor.
func TestAttack67_CapturesAreCounted(t *testing.T) {
	h := newHouse(t)
	ci, _ := h.addAgent(vault.NewAgent{Name: "ci"})
	other, _ := h.addAgent(vault.NewAgent{Name: "other"})
	for i := range vault.MaxCaptured {
		_, err := h.Keep(ctx, ci, captured(ci, fmt.Sprint("k", i)))
		must(t, err)
	}
	wantCode(t, h.MayKeep(ctx, ci, "more"), fault.ResourceExhausted)
	_, err := h.Keep(ctx, ci, captured(ci, "more"))
	wantCode(t, err, fault.ResourceExhausted)
	_, err = h.Keep(ctx, other, captured(other, "o"))
	must(t, err)
	_, err = h.RemoveResource(ctx, operator, "k0")
	must(t, err)
	_, err = h.Keep(ctx, ci, captured(ci, "more"))
	must(t, err)
	must(t, h.Vault.Close(ctx))
	log, st := h.Audit()
	var all []audit.Record
	must(t, st.View(ctx, func(tx store.Tx) (err error) {
		all, _, err = log.List(tx, audit.Filter{Action: audit.ResourceAdd, Limit: 500})
		return err
	}))
	kept, denied := 0, 0
	for _, r := range all {
		if r.Outcome == audit.Denied {
			denied++
		} else if r.Detail["captured"] == "yes" {
			kept++
		}
	}
	if kept != vault.MaxCaptured+2 || denied == 0 {
		t.Errorf("%d kept, %d denied on record", kept, denied)
	}
}

// TestAttack40_ACaptureFromAResourceThatWasNarrowed: rules that a person took away while the request was under way do not come back in what it made.
func TestAttack40_ACaptureFromAResourceThatWasNarrowed(t *testing.T) {
	h := newHouse(t)
	ci, _ := h.addAgent(vault.NewAgent{Name: "ci"})
	from := h.addBot("source")
	n := captured(ci, "made")
	n.From = map[string]uint64{from.ID: from.Version}
	_, err := h.EditResource(ctx, operator, "source", vault.Edit{Labels: map[string]string{"a": "b"}})
	must(t, err)
	if _, err := h.Keep(ctx, ci, n); fault.CodeOf(err) != fault.VersionConflict {
		t.Errorf("%v", err)
	}
	n = captured(ci, "made")
	n.From = map[string]uint64{from.ID: from.Version + 1}
	_, err = h.Keep(ctx, ci, n)
	must(t, err)
	_, err = h.RemoveResource(ctx, operator, "source")
	must(t, err)
	n = captured(ci, "later")
	n.From = map[string]uint64{from.ID: from.Version + 1}
	if _, err := h.Keep(ctx, ci, n); fault.CodeOf(err) != fault.VersionConflict {
		t.Errorf("removed: %v", err)
	}
}
