package bolt_test

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/bolt"
)

// value gives what is durable under key, nil where nothing is.
func value(t *testing.T, s *bolt.Store, key string) (v []byte) {
	t.Helper()
	err := s.View(t.Context(), func(tx store.Tx) (err error) {
		v, err = tx.Get("things", key)
		return err
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	return v
}

// count is a held value: it says what it stands for, and how often it was encoded.
type count struct {
	n       int
	encoded *atomic.Int64
	err     error

	once sync.Once
	raw  []byte
}

func (c *count) Encode() ([]byte, error) {
	c.once.Do(func() {
		c.encoded.Add(1)
		c.raw = []byte(strings.Repeat("x", c.n))
	})
	return c.raw, c.err
}

func hold(t *testing.T, tx store.Tx, key string, v store.Held) {
	t.Helper()
	if err := tx.(store.Holder).Hold("things", key, v); err != nil {
		t.Error(err)
	}
}

// What many transactions of one batch hold under one key is seen by each after it, and encoded once for all.
func TestHeldValuesAreEncodedOnceABatch(t *testing.T) {
	s := create(t)
	var encoded atomic.Int64
	stop := errors.New("stop")
	const n = 64
	var calls, ran sync.WaitGroup
	update := func(fn func(store.Tx) error) {
		calls.Go(func() {
			if err := s.Update(t.Context(), fn); err != nil && !errors.Is(err, stop) {
				t.Error(err)
			}
		})
	}
	first := &slow{committing: make(chan struct{}), release: make(chan struct{})} // its commit keeps the next batch open until all others ran
	update(func(tx store.Tx) error { return tx.(store.Holder).Hold("slow", "k", first) })
	<-first.committing
	ran.Add(n)
	for i := range n {
		update(func(tx store.Tx) error {
			defer ran.Done()
			next := &count{n: 1, encoded: &encoded}
			if before, ok := tx.(store.Holder).Held("things", "k").(*count); ok {
				next.n = before.n + 1
			}
			hold(t, tx, "k", next)
			if i%4 == 0 {
				return stop // taken back: the next sees the one before
			}
			return nil
		})
	}
	ran.Wait()
	close(first.release)
	calls.Wait()
	if got := value(t, s, "k"); len(got) != n-n/4 {
		t.Errorf("%d", len(got))
	}
	if encoded.Load() != 1 {
		t.Errorf("encoded %d times", encoded.Load())
	}
}

// A held value is read like one that was put, by every way of reading.
func TestHeldValuesAreRead(t *testing.T) {
	s := create(t)
	var encoded atomic.Int64
	err := s.Update(t.Context(), func(tx store.Tx) error {
		hold(t, tx, "a", &count{n: 3, encoded: &encoded})
		if v, err := tx.Get("things", "a"); err != nil || string(v) != "xxx" {
			t.Errorf("%q %v", v, err)
		}
		for want, same := range map[string]bool{"xxx": true, "xx": false} {
			if ok, err := tx.(store.Comparer).Same("things", "a", []byte(want)); ok != same || err != nil {
				t.Errorf("%s: %v %v", want, ok, err)
			}
		}
		rows := 0
		err := tx.Scan("things", "", "", func(k string, v []byte) (bool, error) {
			rows++
			if k != "a" || string(v) != "xxx" {
				t.Errorf("%s %q", k, v)
			}
			return true, nil
		})
		if err != nil || rows != 1 {
			t.Errorf("%d %v", rows, err)
		}
		hold(t, tx, "b", &count{n: 1, encoded: &encoded})
		if err := tx.Delete("things", "b"); err != nil {
			return err
		}
		hold(t, tx, "c", &count{n: 1, encoded: &encoded})
		if err := tx.Put("things", "c", []byte("put")); err != nil || tx.(store.Holder).Held("things", "c") != nil {
			t.Errorf("a later put does not count: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(value(t, s, "a"), []byte("xxx")) || !bytes.Equal(value(t, s, "c"), []byte("put")) || value(t, s, "b") != nil {
		t.Error("not as written")
	}
	err = s.View(t.Context(), func(tx store.Tx) error {
		if tx.(store.Holder).Held("things", "a") != nil {
			t.Error("what is durable is still held")
		}
		return tx.(store.Holder).Hold("things", "a", &count{n: 1, encoded: &encoded})
	})
	if !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("hold in a view: %v", err)
	}
}

// A value that cannot be encoded ends its commit: nothing of it is written, and the store goes on.
func TestAHeldValueThatCannotBeEncodedWritesNothing(t *testing.T) {
	s := create(t)
	var encoded atomic.Int64
	no := errors.New("no")
	for _, bad := range []struct {
		v    store.Held
		want error
	}{{&count{n: 1, encoded: &encoded, err: no}, no}, {&count{n: store.MaxValue + 1, encoded: &encoded}, store.ErrTooLarge}} {
		err := s.Update(t.Context(), func(tx store.Tx) error {
			hold(t, tx, "k", bad.v)
			return tx.Put("things", "beside", nil)
		})
		if !errors.Is(err, bad.want) || value(t, s, "beside") != nil {
			t.Errorf("%v", err)
		}
	}
	if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.Put("things", "after", []byte("v")) }); err != nil {
		t.Error(err)
	}
}
