package rotate

import (
	"slices"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// What else holds the old value is named, in the plan where it may be told and in the result always; that it is no value, and nothing of one, is seen too.
func TestARotationNamesWhoSharesTheValue(t *testing.T) {
	h := newHouse(t)
	h.addOne()
	h.add(vault.NewResource{Kind: "generic", Handle: "twin", Attrs: map[string]string{"env": "TWIN"}, Secrets: map[string]secret.Secret{"value": secret.FromString(oldValue + "\n")}})
	h.add(vault.NewResource{Kind: "generic", Handle: "other", Attrs: map[string]string{"env": "OTHER"}, Secrets: map[string]secret.Secret{"value": secret.FromString(oldValue + "x")}})
	p, err := h.r.Plan(t.Context(), "one", Request{Generate: 32}, true)
	must(t, err)
	if !p.Compared || !slices.Equal(p.Shared, []string{"twin"}) {
		t.Errorf("%+v", p)
	}
	p, err = h.r.Plan(t.Context(), "one", Request{Generate: 32}, false)
	must(t, err)
	if p.Compared || p.Shared != nil {
		t.Errorf("told who may not know: %+v", p)
	}
	state, err := h.r.Start(t.Context(), operator, "one", Request{Generate: 32})
	must(t, err)
	said := strings.Join(state.Remarks, "\n")
	if !strings.Contains(said, "held by twin:") || strings.Contains(said, oldValue) {
		t.Errorf("%q", said)
	}
	state, err = h.r.Start(t.Context(), operator, "other", Request{Generate: 32})
	must(t, err)
	if len(state.Remarks) != 0 {
		t.Errorf("%q", state.Remarks)
	}
}

// --purge is kept with the rotation: whoever ends it, the versions from before are gone, and the old value is masked no more; without it they stay.
func TestAnEndForgetsWhereItWasAskedTo(t *testing.T) {
	for purge, want := range map[bool]bool{true: false, false: true} {
		h := newHouse(t)
		h.addOne()
		_, x, err := h.Vault.BeginRotation(t.Context(), operator, "one", vault.NewRotation{Method: "ssh_key", Purge: purge, Secrets: one(newValue)})
		must(t, err)
		for _, to := range []vault.RotationStep{vault.RotationInstalled, vault.RotationProven} {
			x, err = h.Vault.AdvanceRotation(t.Context(), operator, x, to)
			must(t, err)
		}
		_, _, err = h.Vault.SwitchRotation(t.Context(), operator, x)
		must(t, err)
		h.Leave() // another daemon ends it, and knows what was asked for
		h.enter()
		now := h.rotation("one")
		if now == nil || now.Purge != purge {
			t.Fatalf("%+v", now)
		}
		_, err = h.Vault.EndRotation(t.Context(), operator, *now, false)
		must(t, err)
		rows, err := h.Vault.History(t.Context(), "one")
		must(t, err)
		if known := strings.Contains(h.known(), oldValue); known != want || (len(rows) > 1) != want {
			t.Errorf("purge %v: known %v, %d versions", purge, known, len(rows))
		}
	}
}
