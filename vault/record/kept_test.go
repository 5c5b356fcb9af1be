package record_test

import (
	"testing"

	"github.com/zavhoz/zavhoz/store"
)

// What was put to be kept is what is read next, also by another transaction; what stands in the store in its place is read instead, and an edited row is refused.
func TestWhatIsKeptIsWhatIsStored(t *testing.T) {
	w := newWorld(t)
	keep := func(key string, hosts ...string) {
		w.update(func(tx store.Tx) error { return w.grants.PutKept(tx, key, grant{key, hosts}) })
	}
	get := func() (g grant) {
		t.Helper()
		w.update(func(tx store.Tx) (err error) {
			g, err = w.grants.Get(tx, "a")
			return err
		})
		return g
	}
	keep("a", "one.example")
	if g := get(); g.Handle != "a" || len(g.Hosts) != 1 || g.Hosts[0] != "one.example" {
		t.Errorf("kept: %+v", g)
	}
	kept := w.grants
	w.reopen() // another process writes
	w.put("a", "two.example")
	w.grants = kept
	if g := get(); g.Hosts[0] != "two.example" {
		t.Errorf("what is in the store does not count: %+v", g)
	}
	keep("a", "three.example")
	w.update(func(tx store.Tx) error {
		raw, err := tx.Get(grants, "a")
		if err != nil {
			return err
		}
		edited := append([]byte(nil), raw...)
		edited[len(edited)-3] ^= 1
		return tx.Put(grants, "a", edited)
	})
	w.update(func(tx store.Tx) error {
		if _, err := w.grants.Get(tx, "a"); err == nil {
			t.Error("an edited row passes for the one that was kept")
		}
		return nil
	})
}

// A record that is added is accounted for as one that is put.
func TestAnAddedRecordCounts(t *testing.T) {
	w := newWorld(t)
	w.update(func(tx store.Tx) error { return w.grants.Add(tx, "a", grant{"a", nil}) })
	w.put("b")
	w.reopen()
	if err := w.verify(); err != nil {
		t.Error(err)
	}
	w.update(func(tx store.Tx) error { return tx.Delete(grants, "a") })
	if err := w.verify(); err == nil {
		t.Error("a row that was added and is lost is not missed")
	}
}
