package record_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/record"
)

// A record that is held counts like one that was put, whatever follows it in the same group of transactions, and by whom.
func TestHeldRecordsAreAccountedFor(t *testing.T) {
	type step struct {
		name string
		do   func(w *world, tx store.Tx) error
	}
	hold := func(key, host string) step {
		return step{"hold " + key, func(w *world, tx store.Tx) error { return w.grants.Hold(tx, key, grant{key, []string{host}}) }}
	}
	put := func(key, host string) step {
		return step{"put " + key, func(w *world, tx store.Tx) error { return w.grants.Put(tx, key, grant{key, []string{host}}) }}
	}
	drop := func(key string) step {
		return step{"drop " + key, func(w *world, tx store.Tx) error { return w.grants.Delete(tx, key) }}
	}
	verify := step{"verify", func(w *world, tx store.Tx) error { return w.book.VerifyTx(w.t.Context(), tx) }}
	another := step{"by another book", func(w *world, tx store.Tx) error {
		return record.NewSet[grant](record.NewBook(w.k), grants).Hold(tx, "a", grant{"a", []string{"5"}})
	}}
	beside := step{"beside it by another book", func(w *world, tx store.Tx) error {
		return record.NewSet[grant](record.NewBook(w.k), grants).Put(tx, "b", grant{"b", []string{"5"}})
	}}
	for name, c := range map[string]struct {
		steps []step
		want  string // the host of a; "" where there is none
	}{
		"new":                    {[]step{hold("a", "1")}, "1"},
		"again":                  {[]step{hold("a", "1"), hold("a", "2"), hold("a", "3")}, "3"},
		"over one put":           {[]step{put("a", "1"), hold("a", "2")}, "2"},
		"put over":               {[]step{hold("a", "1"), put("a", "2")}, "2"},
		"put over, held again":   {[]step{hold("a", "1"), put("a", "2"), hold("a", "3")}, "3"},
		"deleted":                {[]step{hold("a", "1"), drop("a")}, ""},
		"deleted, held again":    {[]step{hold("a", "1"), drop("a"), hold("a", "2")}, "2"},
		"verified in between":    {[]step{hold("a", "1"), verify, hold("a", "2"), verify}, "2"},
		"beside others":          {[]step{put("b", "1"), hold("a", "1"), put("c", "1"), drop("b"), hold("c", "2")}, "1"},
		"another book beside it": {[]step{hold("a", "1"), beside, hold("a", "2")}, "2"},
		"and deleted":            {[]step{hold("a", "1"), beside, drop("a")}, ""},
		"by two books in turns":  {[]step{hold("a", "1"), another, hold("a", "6")}, "6"},
	} {
		for _, there := range []bool{false, true} {
			for _, canHold := range []bool{true, false} {
				w := newWorld(t)
				if there {
					w.put("a", "before")
				}
				w.update(func(tx store.Tx) error {
					if !canHold {
						tx = struct{ store.Tx }{tx}
					}
					for _, s := range c.steps {
						if err := s.do(w, tx); err != nil {
							t.Errorf("%s: %s: %v", name, s.name, err)
						}
					}
					g, err := w.grants.Get(tx, "a")
					if c.want == "" && !errors.Is(err, store.ErrNotFound) || c.want != "" && (err != nil || g.Hosts[0] != c.want) {
						t.Errorf("%s: %+v %v", name, g, err)
					}
					return nil
				})
				w.put("after", "x")
				w.reopen()
				if err := w.verify(); err != nil {
					t.Errorf("%s (there %v, holding %v): %v", name, there, canHold, err)
				}
				if g, err := w.get(w.grants, "a"); c.want != "" && (err != nil || g.Hosts[0] != c.want) {
					t.Errorf("%s: read again: %+v %v", name, g, err)
				}
			}
		}
	}
}

// Calls that fail take nothing of the accounts of those that are made durable with them.
func TestCallsThatFailLeaveTheAccountsOfTheirBatch(t *testing.T) {
	w := newWorld(t)
	refused := errors.New("refused after it wrote")
	var all sync.WaitGroup
	for n := range 16 {
		all.Go(func() {
			for i := range 40 {
				fails := (n+i)%2 == 0
				err := w.st.Update(t.Context(), func(tx store.Tx) error {
					for _, key := range []string{fmt.Sprint("own ", n, " ", i%3), "shared"} {
						if err := w.grants.Put(tx, key, grant{key, []string{fmt.Sprint(i)}}); err != nil {
							return err
						}
					}
					if fails {
						return refused
					}
					return nil
				})
				if fails != errors.Is(err, refused) || !fails && err != nil {
					t.Errorf("call %d of %d: %v", i, n, err)
				}
			}
		})
	}
	all.Wait()
	w.reopen()
	if err := w.verify(); err != nil {
		t.Error(err)
	}
}

// A vault that is locked before the commit writes nothing: neither the record nor accounts that would be rubbish.
func TestAVaultLockedBeforeTheCommitWritesNothing(t *testing.T) {
	w := newWorld(t)
	w.put("a", "before")
	err := w.st.Update(t.Context(), func(tx store.Tx) error {
		err := w.grants.Hold(tx, "a", grant{"a", []string{"after"}})
		w.k.Close()
		return err
	})
	if fault.CodeOf(err) != fault.VaultLocked {
		t.Errorf("%v", err)
	}
	if raw := string(w.raw(grants, "a")); len(raw) == 0 || raw[len(raw)-len(`"before"]}`):] != `"before"]}` {
		t.Errorf("%q", raw)
	}
}
