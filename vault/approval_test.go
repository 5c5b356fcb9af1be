package vault_test

import (
	"testing"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

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
