package migrate_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/migrate"
	"github.com/zavhoz/zavhoz/vault/record"
)

func TestACopyIsTheVaultAndTheSourceStays(t *testing.T) {
	h, to := newHouse(t, 30), empty(t)
	before := h.all(t, h.st)
	var seen uint64
	asked := false
	o := h.options(to)
	o.Progress = func(rows uint64) { seen = rows }
	o.Confirm = func(ctx context.Context, v *vault.Vault) error {
		asked = true
		shut(t, to) // nothing opens it before the last word
		_, err := v.Resource(ctx, "g7")
		return err
	}
	rep, err := migrate.Run(ctx, o)
	must(t, err)
	if rep.VaultID != h.k.VaultID() || rep.Seals != 60 || rep.Audit != 31 || rep.Rows < 90 || seen == 0 || !asked || rep.Collections[0].Name != "keyring" {
		t.Errorf("%+v, %d seen, asked: %v", rep, seen, asked)
	}
	if h.all(t, h.st) != before {
		t.Error("the source changed")
	}
	h.whole(t, h.st, 30, 0)
	h.whole(t, to, 30, 1)
	v, err := vault.Open(ctx, vault.Options{Store: to, Keyring: h.k, Opener: h.opener, Verify: true})
	must(t, err)
	log, _ := v.Audit()
	must(t, to.View(ctx, func(tx store.Tx) error {
		rs, _, err := log.List(tx, audit.Filter{Action: audit.VaultMigrate})
		if len(rs) != 1 {
			t.Errorf("the record of it: %+v", rs)
		}
		return err
	}))
	must(t, v.Close(ctx))
	_, err = migrate.Run(ctx, h.options(to))
	wantCode(t, err, fault.AlreadyInitialized)
	h.whole(t, to, 30, 2) // it was opened once
}

// Whatever step of the target fails, before or after it was durable, nothing half opens, the source is as it was, and the same call brings it to its end.
func TestEveryStepMayFail(t *testing.T) {
	h := newHouse(t, 3)
	before := h.all(t, h.st)
	for _, late := range []bool{false, true} {
		for n := 0; ; n++ {
			to := empty(t)
			_, err := migrate.Run(ctx, h.options(&failing{Store: to, left: n, late: late}))
			if err == nil {
				if n < 10 {
					t.Fatalf("only %d steps", n)
				}
				break
			}
			if !errors.Is(err, errBroken) {
				t.Fatalf("step %d: %v", n, err)
			}
			if _, herr := vault.Header(ctx, to); herr == nil { // the last step was durable, and only its answer was lost
				h.whole(t, to, 3, 1)
				if !late {
					t.Fatalf("step %d failed before it was done, and the copy opens", n)
				}
				continue
			}
			shut(t, to)
			if _, err := migrate.Run(ctx, h.options(to)); err != nil {
				t.Fatalf("again after step %d (late: %v): %v", n, late, err)
			}
			h.whole(t, to, 3, 1)
		}
	}
	if h.all(t, h.st) != before {
		t.Error("the source changed")
	}
}

// A copy that was broken off is finished with what the source is by then, also where records went meanwhile.
func TestABrokenCopyStartsOver(t *testing.T) {
	h, to := newHouse(t, 5), empty(t)
	o := h.options(to)
	o.Confirm = func(context.Context, *vault.Vault) error {
		return fault.New(fault.PresenceRequired, "nobody is there", "")
	}
	_, err := migrate.Run(ctx, o)
	wantCode(t, err, fault.PresenceRequired)
	shut(t, to)
	v, err := vault.Open(ctx, vault.Options{Store: h.st, Keyring: h.k, Opener: h.opener})
	must(t, err)
	_, err = v.RemoveResource(ctx, operator, "g3")
	must(t, err)
	must(t, v.Close(ctx))
	_, err = migrate.Run(ctx, h.options(to))
	must(t, err)
	n, err := migrate.Check(ctx, to, h.k, h.opener)
	if err != nil || n.Seals != 8 {
		t.Errorf("%+v %v", n, err)
	}
	// what another vault left is not ours to wipe
	other, half := newHouse(t, 1), empty(t)
	o = other.options(half)
	o.Confirm = func(context.Context, *vault.Vault) error { return errBroken }
	_, err = migrate.Run(ctx, o)
	if !errors.Is(err, errBroken) {
		t.Fatal(err)
	}
	left := h.all(t, half)
	_, err = migrate.Run(ctx, h.options(half))
	wantCode(t, err, fault.AlreadyInitialized)
	if h.all(t, half) != left {
		t.Error("another vault's copy was touched")
	}
}

func TestCancelled(t *testing.T) {
	h, to := newHouse(t, 3), empty(t)
	gone, cancel := context.WithCancel(ctx)
	o := h.options(to)
	o.Progress = func(uint64) { cancel() }
	_, err := migrate.Run(gone, o)
	wantCode(t, err, fault.Canceled)
	shut(t, to)
	_, err = migrate.Run(ctx, h.options(to))
	must(t, err)
}

// edit changes one row of a store under its back.
func edit(t *testing.T, st store.Store, c store.Collection, fn func(tx store.Tx, key string, v []byte) error) {
	t.Helper()
	must(t, st.Update(ctx, func(tx store.Tx) error {
		var k string
		var val []byte
		err := tx.Scan(c, "", "", func(key string, v []byte) (bool, error) {
			k, val = key, append([]byte{}, v...)
			return false, nil
		})
		if err != nil {
			return err
		}
		return fn(tx, k, val)
	}))
}

func flip(c store.Collection) func(tx store.Tx, key string, v []byte) error {
	return func(tx store.Tx, key string, v []byte) error {
		v[len(v)-3] ^= 1
		return tx.Put(c, key, v)
	}
}

func lose(c store.Collection) func(tx store.Tx, key string, v []byte) error {
	return func(tx store.Tx, key string, _ []byte) error { return tx.Delete(c, key) }
}

// A source that was tampered with is not copied: in a new place it would look genuine.
func TestAttack57_ATamperedSourceIsRefused(t *testing.T) {
	for name, x := range map[string]struct {
		c  store.Collection
		fn func(store.Collection) func(store.Tx, string, []byte) error
	}{
		"a record": {"resources", flip}, "an audit record": {"audit", flip}, "a lost record": {"resources", lose}, "a lost audit record": {"audit", lose},
		"a lost handle": {"handles", lose}, "the counts": {record.Digests, flip}, "lost counts": {record.Digests, lose},
	} {
		h, to := newHouse(t, 3), empty(t)
		edit(t, h.st, x.c, x.fn(x.c))
		_, err := migrate.Run(ctx, h.options(to))
		switch fault.CodeOf(err) {
		case fault.RecordTampered, fault.VaultCorrupt, fault.AuditBroken:
		default:
			t.Errorf("%s: %v", name, err)
		}
		shut(t, to)
	}
}

// A seal in another field's place is authentic as a record and still does not open: only opening finds it.
func TestAttack57_ASealInAnotherPlaceIsFound(t *testing.T) {
	h, to := newHouse(t, 1), empty(t)
	set := record.NewSet[vault.Resource](record.NewBook(h.k), vault.ResourceCollection)
	must(t, h.st.Update(ctx, func(tx store.Tx) error {
		var r vault.Resource
		err := set.Scan(tx, "", "", func(_ string, x vault.Resource) (bool, error) { r = x; return false, nil })
		if err != nil {
			return err
		}
		r.Sealed = map[string]vault.Sealed{"value": r.Sealed["other"], "other": r.Sealed["value"]}
		return set.Put(tx, r.ID, r)
	}))
	_, err := migrate.Check(ctx, h.st, h.k, h.opener)
	wantCode(t, err, fault.RecordTampered)
	_, err = migrate.Run(ctx, h.options(to))
	wantCode(t, err, fault.RecordTampered)
	shut(t, to)
}

// lossy is a target that loses, changes or adds a row without a word.
type lossy struct {
	store.Store
	how func(tx store.Tx) error
	n   int
}

func (l *lossy) Update(ctx context.Context, fn func(store.Tx) error) error {
	l.n++
	return l.Store.Update(ctx, func(tx store.Tx) error {
		err := fn(tx)
		if err == nil && l.n > 8 {
			err = l.how(tx)
		}
		return err
	})
}

func TestATargetThatLosesRowsIsNoVault(t *testing.T) {
	for name, how := range map[string]func(tx store.Tx) error{
		"loses one":   func(tx store.Tx) error { return tx.Delete("handles", "g1") },
		"changes one": func(tx store.Tx) error { return tx.Put("handles", "g1", []byte("x")) },
		"adds one":    func(tx store.Tx) error { return tx.Put("handles", "zz", []byte("x")) },
	} {
		h, to := newHouse(t, 3), empty(t)
		_, err := migrate.Run(ctx, h.options(&lossy{Store: to, how: how}))
		wantCode(t, err, fault.VaultCorrupt)
		if err == nil {
			t.Errorf("a target that %s", name)
		}
		shut(t, to)
	}
}

// Marked as moved, the source opens no more; what was copied does.
func TestLeave(t *testing.T) {
	h, to := newHouse(t, 2), empty(t)
	_, err := migrate.Run(ctx, h.options(to))
	must(t, err)
	must(t, migrate.Leave(ctx, h.st, h.k, audit.Event{Actor: operator, Action: audit.VaultMigrate, Outcome: audit.Allowed}, time.Now()))
	_, err = vault.Header(ctx, h.st)
	wantCode(t, err, fault.NotInitialized)
	h.whole(t, to, 2, 1)
	_, err = migrate.Run(ctx, h.options(empty(t)))
	wantCode(t, err, fault.NotInitialized)
}
