package vault_test

import (
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/secret"
)

func beginRotation(t *testing.T, h *house) (vault.Resource, vault.Rotation) {
	t.Helper()
	r, x, err := h.BeginRotation(ctx, operator, "one", vault.NewRotation{Method: "guided", Overlap: time.Hour, Secrets: map[string]secret.Secret{"value": secret.FromString("value-of-the-rotation\n")}})
	must(t, err)
	return r, x
}

// What is sealed is what the resource will have: the kind's own form of it.
func TestARotationSealsTheCanonicalValue(t *testing.T) {
	h := newHouse(t)
	addGeneric(t, h.Vault, "one")
	_, x := beginRotation(t, h)
	for _, to := range []vault.RotationStep{vault.RotationInstalled, vault.RotationProven} {
		var err error
		x, err = h.AdvanceRotation(ctx, operator, x, to)
		must(t, err)
	}
	r, x, err := h.SwitchRotation(ctx, operator, x)
	must(t, err)
	if got := h.reveal(r, "value"); got != "value-of-the-rotation" || r.Version != 2 || x.Switched != 2 || x.Base != 1 {
		t.Errorf("%q, %+v", got, x)
	}
}

// Steps are taken in their order, once, and by who saw the last: another process on the same store may have been faster.
func TestStepsOfARotationAreInOrder(t *testing.T) {
	h := newHouse(t)
	addGeneric(t, h.Vault, "one")
	_, made := beginRotation(t, h)
	_, _, err := h.SwitchRotation(ctx, operator, made)
	wantCode(t, err, fault.VersionConflict)
	_, err = h.AdvanceRotation(ctx, operator, made, vault.RotationProven)
	wantCode(t, err, fault.VersionConflict)
	_, err = h.EndRotation(ctx, operator, made, true)
	wantCode(t, err, fault.VersionConflict)
	_, err = h.AdvanceRotation(ctx, operator, made, vault.RotationInstalled)
	must(t, err)
	_, err = h.AdvanceRotation(ctx, operator, made, vault.RotationInstalled)
	wantCode(t, err, fault.VersionConflict)
	_, _, err = h.BeginRotation(ctx, operator, "one", vault.NewRotation{Method: "guided", Secrets: map[string]secret.Secret{"value": secret.FromString("yet-another-value")}})
	wantCode(t, err, fault.ResourceBusy)
	_, err = h.Rotations(ctx)
	must(t, err)
}

// A check of all seals opens those of rotations too, and a record of a rotation that is changed from outside is refused.
func TestARotationIsSealedAndAuthentic(t *testing.T) {
	h := newHouse(t)
	r := addGeneric(t, h.Vault, "one")
	beginRotation(t, h)
	found := false
	must(t, h.EachSeal(ctx, func(ref keyring.Ref, _ string) error {
		found = found || ref.Type == "rotation" && ref.ID == r.ID
		return nil
	}))
	if !found {
		t.Error("the new credential is not among the seals")
	}
	h.replaceIn("rotations", r.ID, `"step":"made"`, `"step":"proven"`)
	_, _, err := h.Rotation(ctx, "one")
	wantCode(t, err, fault.RecordTampered)
	h.startFails(fault.RecordTampered)
}
