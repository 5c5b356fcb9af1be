package vault_test

import (
	"slices"
	"testing"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// known gives every value that a redactor learns from the vault, with its label.
func (h *house) known() []string {
	h.t.Helper()
	var all []string
	must(h.t, h.EachSealed(ctx, func(label string, ref keyring.Ref, sealed string) error {
		s, err := h.opener.Open(ref, sealed)
		if err == nil {
			all = append(all, label+" "+string(s.Reveal()))
			s.Wipe()
		}
		return err
	}))
	slices.Sort(all)
	return all
}

// A key that was changed in the vault may still work, and still stand in the .env of a server: while its version is kept, the redactor knows it.
func TestAttack68_FormerValuesAreKnown(t *testing.T) {
	h := newHouse(t)
	add := func(v string) map[string]secret.Secret {
		return map[string]secret.Secret{"value": secret.FromString(v)}
	}
	actor := vault.OperatorActor()
	_, err := h.AddResource(ctx, actor, vault.NewResource{Kind: "generic", Handle: "box", Secrets: add("first-value-1")})
	must(t, err)
	_, err = h.EditResource(ctx, actor, "box", vault.Edit{Secrets: add("second-value-2")})
	must(t, err)
	_, err = h.EditResource(ctx, actor, "box", vault.Edit{Labels: map[string]string{"env": "prod"}}) // a version with nothing new in it
	must(t, err)
	_, err = h.RenameResource(ctx, actor, "box", "crate")
	must(t, err)
	if got, want := h.known(), []string{"crate.value first-value-1", "crate.value second-value-2"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	_, err = h.RollbackResource(ctx, actor, "crate", 1, "")
	must(t, err)
	if got, want := h.known(), []string{"crate.value first-value-1", "crate.value second-value-2"}; !slices.Equal(got, want) {
		t.Errorf("after going back: %q, want %q", got, want)
	}
	_, err = h.RemoveResource(ctx, actor, "crate")
	must(t, err)
	if got := h.known(); len(got) != 0 {
		t.Errorf("removed with its history, and still %q", got)
	}
}
