package rekey_test

import (
	"testing"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// A credential that is being exchanged while the data key changes is sealed anew with the rest: it opens, and nothing is left under the former key.
func TestARotationOfACredentialFollowsTheKey(t *testing.T) {
	h := newHouse(t)
	h.add("box", "one")
	_, x, err := h.BeginRotation(ctx, operator, "box", vault.NewRotation{Method: "guided", Secrets: map[string]secret.Secret{"value": secret.FromString("the-next-value")}})
	must(t, err)
	before := x.Sealed["value"].Value
	stop := h.runs()
	_, err = h.Rotate(ctx, operator, nil)
	must(t, err)
	h.settle()
	stop()
	h.restart()
	_, now, err := h.Rotation(ctx, "box")
	must(t, err)
	if now == nil || now.Sealed["value"].Value == before || !h.k.Seals(now.Sealed["value"].Value) {
		t.Fatalf("%+v", now)
	}
	s, err := h.opener.Open(now.FieldRef("value"), now.Sealed["value"].Value)
	must(t, err)
	if string(s.Reveal()) != "the-next-value" {
		t.Error("another value came back")
	}
}
