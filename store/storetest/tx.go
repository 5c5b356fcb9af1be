package storetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"testing"

	"github.com/zavhoz/zavhoz/store"
)

func testRollbackOnError(t *testing.T, s store.Store) {
	put(t, s, things, "a", "1")
	boom := errors.New("boom")
	err := s.Update(background(t), func(tx store.Tx) error {
		return errors.Join(putAll(tx, things, "a", "2", "b", "2"), putAll(tx, others, "b", "2"), boom)
	})
	wants(t, err, boom, "update")
	err = s.Update(background(t), func(tx store.Tx) error { return errors.Join(tx.Delete(things, "a"), boom) })
	wants(t, err, boom, "update")
	has(t, s, things, "a", "1")
	has(t, s, things, "b", "-")
	has(t, s, others, "b", "-")
}

// testRollbackOnPanic: the panic comes out of Update where it was called, the write does not, and the store goes on.
func testRollbackOnPanic(t *testing.T, s store.Store) {
	put(t, s, things, "a", "1")
	for _, call := range []func(context.Context, func(store.Tx) error) error{s.Update, s.View} {
		func() {
			defer func() {
				if r := recover(); r != "boom" {
					t.Errorf("recovered %v, want boom", r)
				}
			}()
			_ = call(background(t), func(tx store.Tx) error {
				_ = tx.Put(things, "a", []byte("2"))
				panic("boom")
			})
			t.Error("no panic")
		}()
	}
	has(t, s, things, "a", "1")
	// A function that ends its goroutine (a test's FailNow) ends the caller's, and only that.
	var wg sync.WaitGroup
	returned := false
	wg.Add(1)
	go func() {
		defer wg.Done()
		_ = s.Update(background(t), func(tx store.Tx) error {
			_ = tx.Put(things, "a", []byte("3"))
			runtime.Goexit()
			return nil
		})
		returned = true
	}()
	wg.Wait()
	if returned {
		t.Error("Update returned though its function ended the goroutine")
	}
	has(t, s, things, "a", "1")
	put(t, s, things, "a", "4")
	has(t, s, things, "a", "4")
}

func testReadOnly(t *testing.T, s store.Store) {
	put(t, s, things, "a", "1")
	view(t, s, func(tx store.Tx) error {
		wants(t, tx.Put(things, "a", nil), store.ErrReadOnly, "put")
		wants(t, tx.Delete(things, "a"), store.ErrReadOnly, "delete")
		return nil
	})
	has(t, s, things, "a", "1")
}

// testBytesAreKept: what a transaction gave stays as it was, whatever the store does later.
func testBytesAreKept(t *testing.T, s store.Store) {
	put(t, s, things, "a", "first value")
	var kept [][]byte
	keep := func(tx store.Tx) error {
		v, err := tx.Get(things, "a")
		kept = append(kept, v)
		return errors.Join(err, tx.Scan(things, "", "", func(_ string, v []byte) (bool, error) {
			kept = append(kept, v)
			return true, nil
		}))
	}
	view(t, s, keep)
	update(t, s, keep)
	for i := range 50 {
		put(t, s, things, "a", fmt.Sprintf("other %d", i))
	}
	update(t, s, func(tx store.Tx) error { return tx.Delete(things, "a") })
	for i, v := range kept {
		if string(v) != "first value" {
			t.Errorf("kept bytes %d became %q", i, v)
		}
	}
}

// testPutCopies: the caller may use its buffer again at once.
func testPutCopies(t *testing.T, s store.Store) {
	update(t, s, func(tx store.Tx) error {
		buf := []byte("right")
		if err := tx.Put(things, "a", buf); err != nil {
			return err
		}
		copy(buf, "wrong")
		return holds(tx, things, "a", "right")
	})
	has(t, s, things, "a", "right")
}

// testIsolation: a View shows one moment, before or after a concurrent Update, never a mixture, and never what failed.
func testIsolation(t *testing.T, s store.Store) {
	put(t, s, things, "a", "0")
	put(t, s, others, "a", "0")
	view(t, s, func(tx store.Tx) error {
		if err := holds(tx, things, "a", "0"); err != nil {
			return err
		}
		done := make(chan error, 1)
		go func() {
			done <- s.Update(context.Background(), func(tx store.Tx) error {
				return errors.Join(putAll(tx, things, "a", "1", "new", "1"), putAll(tx, others, "a", "1"))
			})
		}()
		if err := <-done; err != nil {
			return err
		}
		return errors.Join(holds(tx, others, "a", "0"), holds(tx, things, "a", "0"), holds(tx, things, "new", "-"))
	})
	has(t, s, others, "a", "1")

	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for i := 2; i < 200; i++ {
			_ = s.Update(context.Background(), func(tx store.Tx) error {
				n := strconv.Itoa(i)
				err := errors.Join(tx.Put(things, "a", []byte(n)), tx.Put(others, "a", []byte(n)))
				if i%3 == 0 {
					err = errors.New("no")
				}
				return err
			})
		}
		close(stop)
	}()
	for running := true; running; {
		select {
		case <-stop:
			running = false
		default:
		}
		view(t, s, func(tx store.Tx) error {
			a, err := tx.Get(things, "a")
			if err != nil {
				return err
			}
			if n, _ := strconv.Atoi(string(a)); n > 1 && n%3 == 0 {
				t.Errorf("saw %d, which was rolled back", n)
			}
			return holds(tx, others, "a", string(a))
		})
	}
	wg.Wait()
}

// testCounter: Updates are serial; none is lost between a read and a write.
func testCounter(t *testing.T, s store.Store) {
	const workers, each = 16, 25
	var wg sync.WaitGroup
	for range workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range each {
				if err := s.Update(background(t), func(tx store.Tx) error { return increment(tx, "n") }); err != nil {
					t.Errorf("update: %v", err)
				}
			}
		}()
	}
	wg.Wait()
	has(t, s, things, "n", strconv.Itoa(workers*each))
}

func increment(tx store.Tx, key string) error {
	v, err := tx.Get(things, key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	n, _ := strconv.Atoi(string(v))
	return tx.Put(things, key, []byte(strconv.Itoa(n+1)))
}

// testFailuresAlone: Updates that run at the same time fail each for itself.
func testFailuresAlone(t *testing.T, s store.Store) {
	boom := errors.New("boom")
	var wg sync.WaitGroup
	for w := range 12 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range 20 {
				fate := (w + i) % 3
				err, panicked := updateRecovered(background(t), s, func(tx store.Tx) error {
					if err := errors.Join(increment(tx, "n"), tx.Put(things, fmt.Sprintf("%d/%d", w, i), nil)); err != nil {
						return err
					}
					switch fate {
					case 1:
						return boom
					case 2:
						panic(boom)
					}
					return nil
				})
				if fate == 0 && err != nil || fate == 1 && !errors.Is(err, boom) || (fate == 2) != panicked {
					t.Errorf("fate %d: error %v, panicked %v", fate, err, panicked)
				}
			}
		}()
	}
	wg.Wait()
	has(t, s, things, "n", "80")
	view(t, s, func(tx store.Tx) error {
		got, err := rows(tx, things, "", "", false)
		if len(got) != 81 {
			t.Errorf("%d records, want 81", len(got))
		}
		return err
	})
}

func updateRecovered(ctx context.Context, s store.Store, fn func(store.Tx) error) (err error, panicked bool) {
	defer func() { panicked = recover() != nil }()
	return s.Update(ctx, fn), false
}

func testOverIsOver(t *testing.T, s store.Store) {
	put(t, s, things, "a", "1")
	var kept []store.Tx
	keep := func(tx store.Tx) error { kept = append(kept, tx); return nil }
	view(t, s, keep)
	update(t, s, keep)
	for _, tx := range kept {
		_, err := tx.Get(things, "a")
		scan := tx.Scan(things, "", "", func(string, []byte) (bool, error) { return true, nil })
		if err == nil || scan == nil || tx.Put(things, "a", nil) == nil || tx.Delete(things, "a") == nil {
			t.Error("a transaction worked after its end")
		}
	}
	has(t, s, things, "a", "1")
}
