package migrate_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/bolt"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/migrate"
	"github.com/zavhoz/zavhoz/vault/open"
	"github.com/zavhoz/zavhoz/vault/secret"
)

var (
	ctx      = context.Background()
	operator = vault.OperatorActor()
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t testing.TB, err error, code fault.Code) {
	t.Helper()
	if fault.CodeOf(err) != code {
		t.Errorf("%v (%s), want %s", err, fault.CodeOf(err), code)
	}
}

// house is a vault on a file, which nobody has open but the test.
type house struct {
	st     *bolt.Store
	k      *keyring.Keyring
	opener *open.Opener
}

func newHouse(t testing.TB, secrets int) *house {
	t.Helper()
	owner, err := age.GenerateX25519Identity()
	must(t, err)
	k, header, err := keyring.Create([]age.Recipient{owner.Recipient()})
	must(t, err)
	t.Cleanup(k.Close)
	h := &house{st: empty(t), k: k, opener: open.New(k)}
	must(t, vault.PutHeader(ctx, h.st, header))
	v, err := vault.Open(ctx, vault.Options{Store: h.st, Keyring: k, Opener: h.opener})
	must(t, err)
	must(t, v.Setup(ctx))
	for i := range secrets {
		_, err := v.AddResource(ctx, operator, vault.NewResource{Kind: "generic", Handle: fmt.Sprintf("g%d", i), Attrs: map[string]string{"env": "G", "fields": "value,other"},
			Secrets: map[string]secret.Secret{"value": secret.FromString("canary-value"), "other": secret.FromString("another-value")}})
		must(t, err)
	}
	must(t, v.Close(ctx))
	return h
}

// empty is a store with nothing in it.
func empty(t testing.TB) *bolt.Store {
	t.Helper()
	st, err := bolt.Create(ctx, bolt.Options{Path: filepath.Join(t.TempDir(), "vault.db")})
	must(t, err)
	t.Cleanup(func() { must(t, st.Close()) })
	return st
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
