package migrate_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/migrate"
	"github.com/zavhoz/zavhoz/vault/open"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/vault/vaulttest"
)

var (
	ctx                   = context.Background()
	operator              = vault.OperatorActor()
	must, wantCode, empty = vaulttest.Must, vaulttest.WantCode, vaulttest.Empty
)

// house is a vault on a file, which nobody has open but the test.
type house struct {
	st     store.Store
	k      *keyring.Keyring
	opener *open.Opener
}

func newHouse(t testing.TB, secrets int) *house {
	t.Helper()
	owner, err := age.GenerateX25519Identity()
	must(t, err)
	made := vaulttest.New(t, vaulttest.Options{}, owner.Recipient())
	for i := range secrets {
		_, err := made.Vault.AddResource(ctx, operator, vault.NewResource{Kind: "generic", Handle: fmt.Sprintf("g%d", i), Attrs: map[string]string{"env": "G", "fields": "value,other"},
			Secrets: map[string]secret.Secret{"value": secret.FromString("canary-value"), "other": secret.FromString("another-value")}})
		must(t, err)
	}
	must(t, made.Vault.Close(ctx))
	return &house{made.Store, made.Keyring, made.Opener}
}

func (h *house) options(to store.Store) migrate.Options {
	return migrate.Options{From: h.st, To: to, Keyring: h.k, Opener: h.opener, Event: audit.Event{Actor: operator, Action: audit.VaultMigrate, Outcome: audit.Allowed}}
}

// all is every row of the collections that a vault has.
func (h *house) all(t testing.TB, st store.Store) string {
	t.Helper()
	var all strings.Builder
	must(t, st.View(ctx, func(tx store.Tx) error {
		for _, c := range []store.Collection{"keyring", "moves", "digests", "audit", "audit_heads", "resources", "handles", "versions", "agents", "projects"} {
			err := tx.Scan(c, "", "", func(key string, v []byte) (bool, error) {
				fmt.Fprintf(&all, "%s %s %x\n", c, key, v)
				return true, nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	}))
	return all.String()
}

// whole tells that st holds a vault: every record, seal and audit record of the house, and one audit record for each copy.
func (h *house) whole(t testing.TB, st store.Store, secrets, copies int) {
	t.Helper()
	if _, err := vault.Header(ctx, st); err != nil {
		t.Fatalf("it does not open: %v", err)
	}
	n, err := migrate.Check(ctx, st, h.k, h.opener)
	if err != nil || n.Seals != uint64(2*secrets) || n.Audit != uint64(1+secrets+copies) {
		t.Fatalf("%+v %v", n, err)
	}
}

// shut tells that nothing opens st.
func shut(t testing.TB, st store.Store) {
	t.Helper()
	_, err := vault.Header(ctx, st)
	if code := fault.CodeOf(err); code != fault.NotInitialized && code != fault.VaultCorrupt {
		t.Fatalf("half a vault opens: %v", err)
	}
}

var errBroken = errors.New("the target fails")

// failing is a store that fails from its n-th transaction on, before it or, with late, after it was made durable: as when the answer is lost.
type failing struct {
	store.Store
	left int
	late bool
}

func (f *failing) step(do func() error) error {
	f.left--
	if f.left < 0 {
		return errBroken
	}
	err := do()
	if f.left == 0 && f.late {
		return errBroken
	}
	return err
}

func (f *failing) Update(ctx context.Context, fn func(store.Tx) error) error {
	return f.step(func() error { return f.Store.Update(ctx, fn) })
}

func (f *failing) View(ctx context.Context, fn func(store.Tx) error) error {
	return f.step(func() error { return f.Store.View(ctx, fn) })
}
