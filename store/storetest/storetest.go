// Package storetest is the contract of store.Store as tests: what every backend must do, faults included.
//
// Promise: a backend that passes keeps what package store says, in the same words for all: a caller that works on one works on
// another. What only one backend can break (a cut file, a lost connection) is tested with that backend.
//
// Attack stopped: none by itself; it holds the backends to the isolation and durability that leases, uses and audit records rest on
// (two agents taking one single-use lease; a grant that is forgotten by a crash).
package storetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/store"
)

// Options say what the backend's test can do beside opening an empty store.
type Options struct {
	// Reopen closes s and opens the same data again. It may be nil for a backend that keeps nothing.
	Reopen func(t *testing.T, s store.Store) store.Store
	// Fault makes the next commit of s that has something to write fail with err, before any of it is durable. It may be nil.
	Fault func(t *testing.T, s store.Store, err error)
	// Several says that calls go to several processes' stores by turns: an Update need not wait for another's function to end.
	Several bool
	// Rounds of the random test; 0 means 400.
	Rounds int
}

// patience is how long anything here may take before it counts as a hang.
const patience = 2 * time.Minute

// Run holds the backend to the contract. open gives an empty store and closes it when the test ends.
func Run(t *testing.T, open func(t *testing.T) store.Store, opts Options) {
	type test struct {
		name string
		run  func(t *testing.T, s store.Store)
	}
	tests := []test{
		{"GetPutDelete", testGetPutDelete},
		{"Collections", testCollections},
		{"Names", testNames},
		{"Limits", testLimits},
		{"Scan", testScan},
		{"ScanStops", testScanStops},
		{"OwnWrites", testOwnWrites},
		{"RollbackOnError", testRollbackOnError},
		{"RollbackOnPanic", testRollbackOnPanic},
		{"ReadOnly", testReadOnly},
		{"BytesAreKept", testBytesAreKept},
		{"PutCopies", testPutCopies},
		{"Isolation", testIsolation},
		{"Counter", testCounter},
		{"FailuresAlone", testFailuresAlone},
		{"Cancel", testCancel},
		{"CancelWaiting", func(t *testing.T, s store.Store) { testCancelWaiting(t, s, opts) }},
		{"OverIsOver", testOverIsOver},
		{"Watch", testWatch},
		{"WatchMerges", testWatchMerges},
		{"WatchEnds", testWatchEnds},
		{"Close", testClose},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
	}
	t.Run("Random", func(t *testing.T) { testRandom(t, open(t), opts) })
	if opts.Reopen != nil {
		t.Run("Durable", func(t *testing.T) { testDurable(t, open(t), opts) })
	}
	if opts.Fault != nil {
		t.Run("Fault", func(t *testing.T) { testFault(t, open(t), opts) })
	}
}

const (
	things store.Collection = "things"
	others store.Collection = "others"
)

// background gives a context that ends when something hangs.
func background(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func update(t *testing.T, s store.Store, fn func(tx store.Tx) error) {
	t.Helper()
	if err := s.Update(background(t), fn); err != nil {
		t.Fatalf("update: %v", err)
	}
}

func view(t *testing.T, s store.Store, fn func(tx store.Tx) error) {
	t.Helper()
	if err := s.View(background(t), fn); err != nil {
		t.Fatalf("view: %v", err)
	}
}

func put(t *testing.T, s store.Store, c store.Collection, pairs ...string) {
	t.Helper()
	update(t, s, func(tx store.Tx) error { return putAll(tx, c, pairs...) })
}

func putAll(tx store.Tx, c store.Collection, pairs ...string) error {
	for i := 0; i < len(pairs); i += 2 {
		if err := tx.Put(c, pairs[i], []byte(pairs[i+1])); err != nil {
			return err
		}
	}
	return nil
}

// has fails unless key holds want; "-" means no record.
func has(t *testing.T, s store.Store, c store.Collection, key, want string) {
	t.Helper()
	view(t, s, func(tx store.Tx) error { return holds(tx, c, key, want) })
}

func holds(tx store.Tx, c store.Collection, key, want string) error {
	got, err := tx.Get(c, key)
	switch {
	case errors.Is(err, store.ErrNotFound) && want == "-":
		return nil
	case err != nil:
		return fmt.Errorf("get %s/%q: %w", c, key, err)
	case string(got) != want:
		return fmt.Errorf("get %s/%q: got %q, want %q", c, key, got, want)
	}
	return nil
}

// wants fails unless err is the sentinel.
func wants(t *testing.T, err, want error, what string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got error %v, want %v", what, err, want)
	}
}

// rows gives what a scan gives, as "key=value".
func rows(tx store.Tx, c store.Collection, prefix, from string, down bool) (out []string, err error) {
	scan := tx.Scan
	if down {
		scan = tx.ScanDown
	}
	err = scan(c, prefix, from, func(k string, v []byte) (bool, error) {
		out = append(out, k+"="+string(v))
		return true, nil
	})
	return out, err
}

// Long tells whether the environment asks for the long form of a test.
func Long() bool { return os.Getenv("ZAVHOZ_LONG") != "" }
