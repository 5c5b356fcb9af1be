package bolt_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/bolt"
	"github.com/zavhoz/zavhoz/store/storetest"
)

// TestGroupCommit: Updates that wait while one runs share the next commit, and a failure in it reaches each of them.
func TestGroupCommit(t *testing.T) {
	s := create(t)
	for _, fail := range []error{nil, store.ErrFull} {
		before := bolt.LastTx(s)
		inside, release := make(chan struct{}), make(chan struct{})
		var wg sync.WaitGroup
		wg.Add(1)
		go func() {
			defer wg.Done()
			_ = s.Update(context.Background(), func(tx store.Tx) error {
				close(inside)
				<-release
				return errors.New("writes nothing")
			})
		}()
		<-inside
		errs := make([]error, 40)
		for i := range errs {
			wg.Add(1)
			go func() {
				defer wg.Done()
				errs[i] = s.Update(context.Background(), func(tx store.Tx) error {
					if i%4 == 0 {
						return context.DeadlineExceeded // fails alone
					}
					return tx.Put("things", fmt.Sprint(i), []byte(fmt.Sprint(fail)))
				})
			}()
		}
		for bolt.Waiting(s) < len(errs) {
			runtime.Gosched()
		}
		if fail != nil {
			bolt.FailNextCommit(s, fail)
		}
		close(release)
		wg.Wait()
		for i, err := range errs {
			alone := i%4 == 0 && errors.Is(err, context.DeadlineExceeded) // beside a commit that fails: only where it was the first
			if !alone && (i%4 == 0 && fail == nil || !errors.Is(err, fail)) {
				t.Errorf("call %d: %v, want %v", i, err, fail)
			}
		}
		if commits := bolt.LastTx(s) - before; fail == nil && commits != 1 || fail != nil && commits != 0 {
			t.Errorf("%d commits for %d calls (fail %v)", commits, len(errs), fail)
		}
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
