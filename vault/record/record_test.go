package record_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/bolt"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/record"
)

// grant stands for a record that decides something.
type grant struct {
	Handle string   `json:"handle"`
	Hosts  []string `json:"hosts"`
}

const (
	grants store.Collection = "grants"
	others store.Collection = "others"
)

// world is a vault in a real store.
type world struct {
	t      testing.TB
	st     store.Store
	k      *keyring.Keyring
	book   *record.Book
	grants *record.Set[grant]
	others *record.Set[grant]
}

func newWorld(t testing.TB) *world {
	t.Helper()
	st, err := bolt.Create(t.Context(), bolt.Options{Path: filepath.Join(t.TempDir(), "vault.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	i, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	k, _, err := keyring.Create([]age.Recipient{i.Recipient()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	w := &world{t: t, st: st, k: k}
	w.reopen()
	return w
}

// reopen forgets what is cached, as a new process would.
func (w *world) reopen() {
	w.book = record.NewBook(w.k)
	w.grants, w.others = record.NewSet[grant](w.book, grants), record.NewSet[grant](w.book, others)
}

func (w *world) update(fn func(tx store.Tx) error) {
	w.t.Helper()
	if err := w.st.Update(w.t.Context(), fn); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) put(key string, hosts ...string) {
	w.t.Helper()
	w.update(func(tx store.Tx) error { return w.grants.Put(tx, key, grant{key, hosts}) })
}

// get reads through set s.
func (w *world) get(s *record.Set[grant], key string) (g grant, err error) {
	w.t.Helper()
	err = w.st.View(w.t.Context(), func(tx store.Tx) error {
		g, err = s.Get(tx, key)
		return err
	})
	return g, err
}

// raw reads and writes behind the book's back, as a writer of the database would.
func (w *world) raw(c store.Collection, key string) (b []byte) {
	w.t.Helper()
	err := w.st.View(w.t.Context(), func(tx store.Tx) (err error) {
		b, err = tx.Get(c, key)
		b = append([]byte(nil), b...)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

func (w *world) setRaw(c store.Collection, key string, b []byte) {
	w.t.Helper()
	w.update(func(tx store.Tx) error {
		if b == nil {
			return tx.Delete(c, key)
		}
		return tx.Put(c, key, b)
	})
}

// all gives every row of a collection.
func (w *world) all(c store.Collection) map[string][]byte {
	w.t.Helper()
	out := map[string][]byte{}
	err := w.st.View(w.t.Context(), func(tx store.Tx) error {
		return tx.Scan(c, "", "", func(k string, v []byte) (bool, error) {
			out[k] = append([]byte(nil), v...)
			return true, nil
		})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *world) verify() error { return w.book.Verify(w.t.Context(), w.st) }

func TestRecordsComeBackAsTheyWerePut(t *testing.T) {
	w := newWorld(t)
	if err := w.verify(); err != nil {
		t.Fatalf("an empty vault: %v", err)
	}
	for i := range 40 {
		w.put(fmt.Sprintf("h%02d", i), "a.example")
	}
	w.put("h07", "b.example", "c.example")
	w.update(func(tx store.Tx) error {
		if err := w.grants.Delete(tx, "h08"); err != nil {
			return err
		}
		return w.grants.Delete(tx, "never there")
	})
	for range 2 { // the second time from the cache
		g, err := w.get(w.grants, "h07")
		if err != nil || len(g.Hosts) != 2 || g.Hosts[1] != "c.example" {
			t.Fatalf("%+v %v", g, err)
		}
	}
	if _, err := w.get(w.grants, "h08"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("deleted: %v", err)
	}
	var up, down []string
	err := w.st.View(t.Context(), func(tx store.Tx) error {
		if err := w.grants.Scan(tx, "h0", "h05", func(k string, g grant) (bool, error) {
			up = append(up, k)
			return g.Handle != "h09", nil
		}); err != nil {
			return err
		}
		return w.grants.ScanDown(tx, "h", "h11", func(k string, _ grant) (bool, error) {
			down = append(down, k)
			return len(down) < 4, nil
		})
	})
	if err != nil || strings.Join(up, " ") != "h05 h06 h07 h09" || strings.Join(down, " ") != "h11 h10 h09 h07" {
		t.Errorf("%v %v %v", up, down, err)
	}
	w.reopen()
	if err := w.verify(); err != nil {
		t.Errorf("%v", err)
	}
}

// What a writer of the database may do, and what must find it: get (the next read), verify (the next start).
func TestEveryEditOfTheDatabaseIsFound(t *testing.T) {
	const key = "prod_vps_1"
	for name, c := range map[string]struct {
		edit   func(w *world)
		get    fault.Code // of reading key afterwards; "" where only Verify can know
		verify fault.Code
	}{
		"a policy row gains a host": {func(w *world) {
			b := w.raw(grants, key)
			w.setRaw(grants, key, []byte(strings.Replace(string(b), "good.example", "evil.example", 1)))
		}, fault.RecordTampered, fault.RecordTampered},
		"a record moves to another handle": {func(w *world) {
			w.setRaw(grants, key, w.raw(grants, "other"))
		}, fault.RecordTampered, fault.RecordTampered},
		"a record moves to another collection": {func(w *world) {
			w.setRaw(grants, key, w.raw(others, key))
		}, fault.RecordTampered, fault.RecordTampered},
		"a record of another vault": {func(w *world) {
			x := newWorld(w.t)
			x.put(key, "evil.example")
			w.setRaw(grants, key, x.raw(grants, key))
		}, fault.RecordTampered, fault.RecordTampered},
		"an older row comes back": {func(w *world) {
			old := w.raw(grants, key)
			w.put(key, "narrower.example")
			w.setRaw(grants, key, old)
		}, "", fault.VaultCorrupt},
		"an older row comes back with the accounts, but not what else was written since": {func(w *world) {
			rows, old := w.all(record.Digests), w.raw(grants, key)
			w.put(key, "narrower.example")
			w.update(func(tx store.Tx) error { return w.others.Put(tx, "since", grant{}) })
			w.setRaw(grants, key, old)
			for k, b := range rows {
				w.setRaw(record.Digests, k, b)
			}
		}, "", fault.VaultCorrupt},
		"a deleted row comes back": {func(w *world) {
			old := w.raw(grants, key)
			w.update(func(tx store.Tx) error { return w.grants.Delete(tx, key) })
			w.setRaw(grants, key, old)
		}, "", fault.VaultCorrupt},
		"a row is deleted":         {func(w *world) { w.setRaw(grants, "other", nil) }, "", fault.VaultCorrupt},
		"a row is inserted":        {func(w *world) { w.setRaw(grants, "new", w.raw(grants, key)) }, "", fault.RecordTampered},
		"rubbish is inserted":      {func(w *world) { w.setRaw(others, "new", []byte("x")) }, "", fault.RecordTampered},
		"a row is emptied":         {func(w *world) { w.setRaw(grants, key, []byte{}) }, fault.RecordTampered, fault.RecordTampered},
		"the accounts are deleted": {func(w *world) { w.setRaw(record.Digests, accounts, nil) }, "", fault.VaultCorrupt},
		"accounts are added":       {func(w *world) { w.setRaw(record.Digests, ".all/x", w.raw(record.Digests, accounts)) }, "", fault.RecordTampered},
		"the accounts of another vault": {func(w *world) {
			x := newWorld(w.t)
			x.put(key, "good.example")
			w.setRaw(record.Digests, accounts, x.raw(record.Digests, accounts))
		}, "", fault.RecordTampered},
		"a row of the former format is added": {func(w *world) { w.setRaw(record.Digests, "grants/a", w.raw(record.Digests, accounts)) }, "", fault.RecordTampered},
		"a count is edited": {func(w *world) {
			b := w.raw(record.Digests, accounts)
			b[len(b)-33]++
			w.setRaw(record.Digests, accounts, b)
		}, "", fault.RecordTampered},
		"the accounts are cut": {func(w *world) {
			b := w.raw(record.Digests, accounts)
			w.setRaw(record.Digests, accounts, b[:len(b)-47])
		}, "", fault.RecordTampered},
		"a collection vanishes": {func(w *world) { wipe(w, grants) }, "", fault.VaultCorrupt},
		"everything but the accounts vanishes": {func(w *world) {
			wipe(w, grants)
			wipe(w, others)
		}, "", fault.VaultCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.put(key, "good.example")
			w.put("other", "other.example")
			w.update(func(tx store.Tx) error { return w.others.Put(tx, key, grant{key, nil}) })
			if _, err := w.get(w.grants, key); err != nil {
				t.Fatal(err) // also fills the cache, which must not hide the edit
			}
			c.edit(w)
			if _, err := w.get(w.grants, key); c.get != "" && fault.CodeOf(err) != c.get {
				t.Errorf("get: %v", err)
			}
			if err := w.verify(); fault.CodeOf(err) != c.verify {
				t.Errorf("verify: %v", err)
			}
			w.reopen()
			if err := w.verify(); fault.CodeOf(err) != c.verify {
				t.Errorf("verify by a new process: %v", err)
			}
		})
	}
}

// accounts is the key of the row that counts and sums up all others: part of the vault's format.
const accounts = ".all/main"

func wipe(w *world, c store.Collection) {
	for k := range w.all(c) {
		w.setRaw(c, k, nil)
	}
}

func TestEveryFlippedByteOfEveryRowIsFound(t *testing.T) {
	w := newWorld(t)
	w.put("a", "x.example")
	w.put("b", "y.example")
	rows := map[store.Collection]map[string][]byte{grants: w.all(grants), record.Digests: w.all(record.Digests)}
	w.update(func(tx store.Tx) error {
		for c, all := range rows {
			for key, raw := range all {
				for i := range raw {
					bad := append([]byte(nil), raw...)
					bad[i] ^= 1 << (i % 8)
					if err := tx.Put(c, key, bad); err != nil {
						return err
					}
					if err := w.book.VerifyTx(t.Context(), tx); fault.CodeOf(err) != fault.RecordTampered || !strings.Contains(err.Error(), fmt.Sprintf("%q", key)) {
						t.Fatalf("%s %s byte %d: %v", c, key, i, err)
					}
					if _, err := w.grants.Get(tx, key); c == grants && fault.CodeOf(err) != fault.RecordTampered {
						t.Fatalf("get %s byte %d: %v", key, i, err)
					}
				}
				if err := tx.Put(c, key, raw); err != nil {
					return err
				}
			}
		}
		return w.book.VerifyTx(t.Context(), tx)
	})
}

// Writing over a row that is not ours would make it ours, and its digest right again.
func TestATamperedRowIsNotWrittenOver(t *testing.T) {
	w := newWorld(t)
	w.put("a", "x.example")
	raw := w.raw(grants, "a")
	raw[len(raw)-1] ^= 1
	w.setRaw(grants, "a", raw)
	for name, fn := range map[string]func(tx store.Tx) error{
		"put":    func(tx store.Tx) error { return w.grants.Put(tx, "a", grant{}) },
		"delete": func(tx store.Tx) error { return w.grants.Delete(tx, "a") },
		"scan": func(tx store.Tx) error {
			return w.grants.Scan(tx, "", "", func(string, grant) (bool, error) { return true, nil })
		},
	} {
		if err := w.st.Update(t.Context(), fn); fault.CodeOf(err) != fault.RecordTampered {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What a transaction that failed wrote is in no account.
func TestAFailedTransactionChangesNoAccount(t *testing.T) {
	w := newWorld(t)
	w.put("a", "x.example")
	stop := errors.New("stop")
	err := w.st.Update(t.Context(), func(tx store.Tx) error {
		if err := w.grants.Put(tx, "a", grant{"a", []string{"y.example"}}); err != nil {
			return err
		}
		if err := w.grants.Put(tx, "b", grant{}); err != nil {
			return err
		}
		if g, err := w.grants.Get(tx, "a"); err != nil || g.Hosts[0] != "y.example" {
			t.Errorf("own write: %+v %v", g, err)
		}
		return stop
	})
	if !errors.Is(err, stop) {
		t.Fatal(err)
	}
	if g, err := w.get(w.grants, "a"); err != nil || g.Hosts[0] != "x.example" {
		t.Errorf("%+v %v", g, err)
	}
	w.put("c")
	if err := w.verify(); err != nil {
		t.Error(err)
	}
}

func TestALockedVaultReadsNothingFromItsCache(t *testing.T) {
	w := newWorld(t)
	w.put("a", "x.example")
	if _, err := w.get(w.grants, "a"); err != nil {
		t.Fatal(err)
	}
	w.k.Close()
	if _, err := w.get(w.grants, "a"); fault.CodeOf(err) != fault.VaultLocked {
		t.Errorf("get: %v", err)
	}
	if err := w.verify(); fault.CodeOf(err) != fault.VaultLocked {
		t.Errorf("verify: %v", err)
	}
	for _, key := range []string{"a", "new"} {
		err := w.st.Update(t.Context(), func(tx store.Tx) error { return w.grants.Put(tx, key, grant{}) })
		if fault.CodeOf(err) != fault.VaultLocked {
			t.Errorf("put %s: %v", key, err)
		}
	}
}

// A record of a newer version has fields that we would lose by writing it back.
func TestUnknownFieldsAreNotReadOver(t *testing.T) {
	w := newWorld(t)
	newer := record.NewSet[map[string]any](w.book, grants)
	w.update(func(tx store.Tx) error {
		return newer.Put(tx, "a", map[string]any{"handle": "a", "hosts": nil, "new": 1})
	})
	if _, err := w.get(w.grants, "a"); fault.CodeOf(err) != fault.VaultFormat {
		t.Errorf("%v", err)
	}
}

func TestVerifyHeedsItsContext(t *testing.T) {
	w := newWorld(t)
	w.put("a")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.book.Verify(ctx, w.st); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// Any run of puts and deletes leaves accounts that hold, and a model of it agrees.
func FuzzAccounts(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 128, 129, 1, 2, 130})
	f.Add([]byte("the quick brown fox jumps over the lazy dog"))
	f.Fuzz(func(t *testing.T, ops []byte) {
		w := newWorld(t)
		model := map[string]string{}
		w.update(func(tx store.Tx) error {
			clear(model)
			for i, op := range ops[:min(len(ops), 200)] {
				key, host := fmt.Sprintf("k%d", op&15), fmt.Sprint(i)
				if op&128 != 0 {
					delete(model, key)
					if err := w.grants.Delete(tx, key); err != nil {
						return err
					}
					continue
				}
				model[key] = host
				if err := w.grants.Put(tx, key, grant{key, []string{host}}); err != nil {
					return err
				}
			}
			return nil
		})
		w.reopen()
		if err := w.verify(); err != nil {
			t.Fatal(err)
		}
		for key, host := range model {
			if g, err := w.get(w.grants, key); err != nil || g.Hosts[0] != host {
				t.Fatalf("%s: %+v %v", key, g, err)
			}
		}
		if n := len(w.all(grants)); n != len(model) {
			t.Fatalf("%d rows, %d in the model", n, len(model))
		}
	})
}

func TestErrorsHoldNoBody(t *testing.T) {
	w := newWorld(t)
	w.put("a", "canary-8841")
	raw := w.raw(grants, "a")
	raw[len(raw)-1] ^= 1
	w.setRaw(grants, "a", raw)
	w.setRaw(grants, "b\x1b[31m", raw)
	_, err := w.get(w.grants, "b\x1b[31m")
	b, jerr := json.Marshal(fault.Of(err))
	if err == nil || jerr != nil || strings.Contains(err.Error()+string(b), "canary") || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("%v", err)
	}
}
