package bolt_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/bolt"
	"github.com/zavhoz/zavhoz/store/storetest"
)

// TestGroupCommit: Updates that come while one is being made durable share the next commit, and a failure in it reaches each of them.
func TestGroupCommit(t *testing.T) {
	s := create(t)
	for _, fail := range []error{nil, store.ErrFull} {
		before := bolt.LastTx(s)
		newSlow := func() *slow { return &slow{committing: make(chan struct{}), release: make(chan struct{})} }
		first, second := newSlow(), newSlow()
		var wg, ran sync.WaitGroup
		wg.Go(func() {
			if err := s.Update(context.Background(), func(tx store.Tx) error { return tx.(store.Holder).Hold("slow", "1", first) }); err != nil {
				t.Error(err)
			}
		})
		<-first.committing
		errs := make([]error, 40)
		ran.Add(len(errs))
		for i := range errs {
			wg.Go(func() {
				errs[i] = s.Update(context.Background(), func(tx store.Tx) error {
					defer ran.Done()
					if i%4 == 0 {
						return context.DeadlineExceeded // fails alone
					}
					return errors.Join(tx.(store.Holder).Hold("slow", "2", second), tx.Put("things", fmt.Sprint(i), []byte(fmt.Sprint(fail))))
				})
			})
		}
		ran.Wait()
		close(first.release)
		<-second.committing
		if fail != nil {
			bolt.FailNextCommit(s, fail)
		}
		close(second.release)
		wg.Wait()
		for i, err := range errs {
			alone := i%4 == 0 && errors.Is(err, context.DeadlineExceeded) // beside a commit that fails: only where it was the first
			if !alone && (i%4 == 0 && fail == nil || !errors.Is(err, fail)) {
				t.Errorf("call %d: %v, want %v", i, err, fail)
			}
		}
		if commits := bolt.LastTx(s) - before - 1; fail == nil && commits != 1 || fail != nil && commits != 0 {
			t.Errorf("%d commits for %d calls (fail %v)", commits, len(errs), fail)
		}
	}
}

// TestFullAgainAndAgain: commits that find no room leave every page to those that come after: what frees, and what fits into what is freed.
func TestFullAgainAndAgain(t *testing.T) {
	s, err := bolt.Create(t.Context(), bolt.Options{Path: filepath.Join(t.TempDir(), "vault.db"), MaxSize: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	closing(t, s)
	write := func(prefix string, from, n, size int) error {
		return s.Update(t.Context(), func(tx store.Tx) error {
			for i := from; i < from+n; i++ {
				if err := tx.Put("things", fmt.Sprint(prefix, i), make([]byte, size)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	n := 0
	for ; err == nil; n++ {
		err = write("", n, 1, 100_000)
	}
	for round := range 20 {
		if err := write("x", 0, 100, 100_000); !errors.Is(err, store.ErrFull) {
			t.Fatalf("too much: %v", err)
		}
		if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.Delete("things", fmt.Sprint(round)) }); err != nil {
			t.Fatalf("removal %d of %d from a full file: %v", round, n, err)
		}
		if err := bolt.Check(s); err != nil {
			t.Fatal(err)
		}
	}
	for i := 20; i < n-1; i++ {
		if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.Delete("things", fmt.Sprint(i)) }); err != nil {
			t.Fatalf("removal %d of %d: %v", i, n, err)
		}
	}
	if err := write("y", 0, n/2, 100_000); err != nil {
		t.Errorf("no use of what was freed: %v", err)
	}
}

// TestWriteInsideScan: a write to the collection under a scan is refused, before it can confuse the scan.
func TestWriteInsideScan(t *testing.T) {
	s := create(t)
	err := s.Update(context.Background(), func(tx store.Tx) error {
		if err := tx.Put("things", "a", nil); err != nil {
			return err
		}
		err := tx.Scan("things", "", "", func(k string, _ []byte) (bool, error) { return true, tx.Delete("things", k) })
		if err == nil {
			t.Error("a delete inside a scan went through")
		}
		return tx.Delete("things", "a")
	})
	if err != nil {
		t.Error(err)
	}
}

// TestCheckAfterEveryCommit: whatever bbolt makes of random writes and removals passes the check of Open: no false alarm.
func TestCheckAfterEveryCommit(t *testing.T) {
	rounds := 150
	if storetest.Long() {
		rounds = 5000
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	s := create(t)
	for round := range rounds {
		err := s.Update(context.Background(), func(tx store.Tx) error { return churn(tx, r, round) })
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if err := bolt.Check(s); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
}

// churn writes many records, or removes a range of them, in one or two collections; sometimes all.
func churn(tx store.Tx, r *rand.Rand, round int) error {
	for range 1 + r.IntN(2) {
		c := store.Collection("abc"[r.IntN(3):][:1])
		lo, n := r.IntN(600), r.IntN(300)
		if round%40 == 39 {
			lo, n = 0, 1000
		}
		remove := r.IntN(2) == 0
		for i := lo; i < lo+n; i++ {
			key := fmt.Sprintf("%04d%0*d", i, i%9*i%400, 0)
			err := error(nil)
			if remove {
				err = tx.Delete(c, key)
			} else {
				size := r.IntN(200)
				if r.IntN(100) == 0 {
					size = r.IntN(30_000)
				}
				err = tx.Put(c, key, make([]byte, size))
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}
