package bolt_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/bolt"
	"github.com/zavhoz/zavhoz/store/storetest"
)

// TestRangesOverPending: scans in both directions, with prefixes and beginnings, and single reads, over rows of the file, of what is on its way into it, of what came since and of the transaction
// itself, are those of a map.
func TestRangesOverPending(t *testing.T) {
	rounds := 300
	if storetest.Long() {
		rounds = 20_000
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	s := journalled(t, bolt.Journal{Slot: 128 << 10}, bolt.Options{})
	model := map[string]string{}
	key := func() string { return strings.Repeat(string(rune('a'+r.IntN(3))), r.IntN(3)) + fmt.Sprint(r.IntN(30)) }
	batch := func(round int, gone bool) {
		next := maps.Clone(model)
		err := s.Update(t.Context(), func(tx store.Tx) error {
			for range 1 + r.IntN(8) {
				k, v := key(), fmt.Sprint(round)
				err := error(nil)
				if gone || r.IntN(3) == 0 {
					delete(next, k)
					err = tx.Delete("things", k)
				} else {
					next[k] = v
					err = tx.Put("things", k, []byte(v))
				}
				if err != nil {
					return err
				}
			}
			return compare(tx, next, r, key)
		})
		if model = next; err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
	for round := range rounds {
		batch(round, false)
		switch r.IntN(12) {
		case 0: // batches that come while what was there is on its way
			bolt.BeforeNextFilingSync(s, func() { batch(round, false); batch(round, false) }, nil)
			if bolt.Pending(s) > 0 {
				bolt.Checkpoint(s)
			}
			bolt.FailNextFiling(s, nil)
		case 1: // what is on its way stays there
			for gone := range 3 {
				bolt.FailNextFiling(s, store.ErrFull)
				if gone > 0 {
					batch(round, true)
				} else {
					bolt.Checkpoint(s)
				}
				if err := s.View(t.Context(), func(tx store.Tx) error { return compare(tx, model, r, key) }); err != nil {
					t.Fatalf("round %d: a View while full: %v", round, err)
				}
			}
			bolt.FailNextFiling(s, nil)
		}
		if err := s.View(t.Context(), func(tx store.Tx) error { return compare(tx, model, r, key) }); err != nil {
			t.Fatalf("round %d: a View: %v", round, err)
		}
	}
}

// compare holds random ranges of tx to the model.
func compare(tx store.Tx, model map[string]string, r *rand.Rand, key func() string) error {
	keys := slices.Sorted(maps.Keys(model))
	for range 4 {
		prefix, from := "", ""
		if r.IntN(2) == 0 {
			prefix = key()[:1]
		}
		if r.IntN(2) == 0 {
			from = key()
		}
		for _, down := range []bool{false, true} {
			var want, got []string
			for _, k := range keys {
				if strings.HasPrefix(k, prefix) && (!down && k >= from || down && (from == "" || k <= from)) {
					want = append(want, k+"="+model[k])
				}
			}
			scan := tx.Scan
			if down {
				slices.Reverse(want)
				scan = tx.ScanDown
			}
			err := scan("things", prefix, from, func(k string, v []byte) (bool, error) { got = append(got, k+"="+string(v)); return true, nil })
			if err != nil || !slices.Equal(got, want) {
				return fmt.Errorf("scan %q from %q down %v: %v, %w; want %v", prefix, from, down, got, err, want)
			}
		}
		k := key()
		v, err := tx.Get("things", k)
		want, there := model[k]
		if there != (err == nil) || string(v) != want || err != nil && !errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("get %q: %q, %w", k, v, err)
		}
		same, err := tx.(store.Comparer).Same("things", k, []byte(want))
		if err != nil || same != there {
			return fmt.Errorf("same %q: %v, %w", k, same, err)
		}
	}
	return nil
}

// TestACheckpointIsDueWhileAWriterWaitsForOne: the clock wants the turn to begin a checkpoint, and who has the turn has begun one and waits for its end. Neither waits for the other for ever.
func TestACheckpointIsDueWhileAWriterWaitsForOne(t *testing.T) {
	s := journalled(t, bolt.Journal{Within: time.Hour}, bolt.Options{})
	if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.Put("things", "a", []byte("1")) }); err != nil {
		t.Fatal(err)
	}
	if !bolt.DueWhileAwaited(s, 20*time.Second) {
		t.Fatal("they wait for each other")
	}
	again := open(t, closed(t, s))
	if err := again.View(t.Context(), func(tx store.Tx) error { _, err := tx.Get("things", "a"); return err }); err != nil {
		t.Error(err)
	}
}

// TestReadersBesideCheckpoints: money moves between accounts in single transactions, while checkpoints run without end; every reader counts the same sum, sees both rows of a move or none, and never
// steps back. Who reads long sees the moment that it began with.
func TestReadersBesideCheckpoints(t *testing.T) {
	s := journalled(t, bolt.Journal{Slot: 48 << 10, Within: time.Millisecond}, bolt.Options{Path: filepath.Join(t.TempDir(), "vault.db")})
	const accounts, each = 20, 100
	name := func(i int) string { return fmt.Sprintf("%02d", i) }
	err := s.Update(t.Context(), func(tx store.Tx) (err error) {
		for i := range accounts {
			err = errors.Join(err, tx.Put("accounts", name(i), fmt.Append(nil, each)))
		}
		return errors.Join(err, tx.Put("moves", "last", []byte("0")))
	})
	if err != nil {
		t.Fatal(err)
	}
	moves := 400
	if storetest.Long() {
		moves = 20_000
	}
	var moved atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var writers, readers sync.WaitGroup
	for g := range 4 {
		r := rand.New(rand.NewPCG(uint64(g), 1))
		writers.Go(func() {
			for range moves {
				from, to, err := name(r.IntN(accounts)), name(r.IntN(accounts)), error(nil)
				err = s.Update(context.Background(), func(tx store.Tx) error {
					return errors.Join(add(tx, "accounts", from, -1), add(tx, "accounts", to, 1), add(tx, "moves", "last", 1))
				})
				if err != nil {
					t.Error(err)
					return
				}
				moved.Add(1)
			}
		})
	}
	for range 3 {
		readers.Go(func() {
			for last := 0; ctx.Err() == nil; {
				atLeast := moved.Load()
				err := s.View(context.Background(), func(tx store.Tx) error {
					now, err := number(tx, "moves", "last")
					sum, serr := sumOf(tx)
					again, aerr := number(tx, "moves", "last")
					if now < last || now < int(atLeast) || sum != accounts*each || again != now {
						t.Errorf("a step back: %d after %d, of %d; sum %d; then %d", now, last, atLeast, sum, again)
					}
					last = now
					return errors.Join(err, serr, aerr)
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
	stop()
	readers.Wait()
	again := open(t, closed(t, s))
	if err := again.View(t.Context(), func(tx store.Tx) error {
		n, err := number(tx, "moves", "last")
		if sum, serr := sumOf(tx); n != 4*moves || sum != accounts*each || serr != nil {
			t.Errorf("%d moves, sum %d, %v", n, sum, serr)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	if err := bolt.Check(again); err != nil {
		t.Error(err)
	}
}

func number(tx store.Tx, c store.Collection, key string) (n int, err error) {
	v, err := tx.Get(c, key)
	if err == nil {
		_, err = fmt.Sscan(string(v), &n)
	}
	return n, err
}

func add(tx store.Tx, c store.Collection, key string, by int) error {
	n, err := number(tx, c, key)
	if err != nil {
		return err
	}
	return tx.Put(c, key, fmt.Append(nil, n+by))
}

func sumOf(tx store.Tx) (sum int, err error) {
	err = tx.ScanDown("accounts", "", "", func(k string, v []byte) (bool, error) {
		n := 0
		_, err := fmt.Sscan(string(v), &n)
		sum += n
		return true, err
	})
	return sum, err
}
