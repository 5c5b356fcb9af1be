package vault_test

import (
	"context"
	"errors"
	"testing"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/vault/vaulttest"
)

// A vault is made by one transaction, with presence or without, and only where nothing of another is: not where one is, not where all but its header is, not where a copy is under way.
func TestAVaultIsMadeAtOnceAndOnlyWhereNothingIs(t *testing.T) {
	made := func(st store.Store, pass string) error {
		t.Helper()
		i, err := age.GenerateX25519Identity()
		vaulttest.Must(t, err)
		ring, header, err := keyring.Create([]age.Recipient{i.Recipient()})
		vaulttest.Must(t, err)
		defer ring.Close()
		v, err := vault.Open(t.Context(), vault.Options{Store: st, Keyring: ring})
		vaulttest.Must(t, err)
		defer v.Close(t.Context())
		if err := v.Make(t.Context(), header, secret.FromString(pass)); err != nil {
			return err
		}
		vaulttest.Must(t, v.Verify(t.Context()))
		p, err := v.Presence(t.Context())
		vaulttest.Must(t, err)
		if (p.Format != 0) != (pass != "") {
			t.Errorf("presence: %+v", p)
		}
		return nil
	}
	counted := &counting{Store: vaulttest.Empty(t)}
	vaulttest.Must(t, made(counted, "correct horse battery"))
	if counted.updates != 1 {
		t.Errorf("it took %d transactions", counted.updates)
	}
	vaulttest.Must(t, made(vaulttest.Empty(t), ""))

	vaulttest.WantCode(t, made(counted, ""), fault.AlreadyInitialized)
	vaulttest.Must(t, counted.Update(t.Context(), func(tx store.Tx) error { return tx.Delete(keyring.Collection, "header") }))
	if _, err := vault.Header(t.Context(), counted); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("the header is there: %v", err)
	}
	vaulttest.WantCode(t, made(counted, ""), fault.AlreadyInitialized)
	vaulttest.Must(t, counted.View(t.Context(), func(tx store.Tx) error {
		n := 0
		err := tx.Scan(audit.Records, "", "", func(string, []byte) (bool, error) { n++; return true, nil })
		if n != 2 {
			t.Errorf("%d audit records of the vault whose header is gone", n)
		}
		return err
	}))
	half := vaulttest.Empty(t)
	vaulttest.Must(t, half.Update(t.Context(), func(tx store.Tx) error { return vault.MarkUnfinished(tx, vault.Unfinished{VaultID: "vlt_x"}) }))
	vaulttest.WantCode(t, made(half, ""), fault.NotInitialized)
}

// counting counts transactions that write.
type counting struct {
	store.Store
	updates int
}

func (c *counting) Update(ctx context.Context, fn func(store.Tx) error) error {
	c.updates++
	return c.Store.Update(ctx, fn)
}
