package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/zavhoz/zavhoz/store"
)

func testCancel(t *testing.T, s store.Store) {
	ctx, cancel := context.WithCancel(background(t))
	cancel()
	never := func(store.Tx) error { t.Error("ran under an ended context"); return nil }
	wants(t, s.View(ctx, never), context.Canceled, "view")
	wants(t, s.Update(ctx, never), context.Canceled, "update")
}

// testCancelWaiting: an Update whose context ends while another runs either happened and says so, or did not and says that. Where one process has the whole store it waits
// for the one that runs, and cannot have happened; where another has it as well it may be overtaking, and the one that runs is run again.
func testCancelWaiting(t *testing.T, s store.Store, opts Options) {
	inside, release := make(chan struct{}), make(chan struct{})
	begun := sync.OnceFunc(func() { close(inside) })
	first := make(chan error, 1)
	go func() {
		first <- s.Update(context.Background(), func(tx store.Tx) error {
			begun()
			<-release
			return tx.Put(things, "first", nil)
		})
	}()
	<-inside
	ctx, cancel := context.WithCancel(background(t))
	second := make(chan error, 1)
	go func() { second <- s.Update(ctx, func(tx store.Tx) error { return tx.Put(things, "second", nil) }) }()
	cancel()
	err, happened := <-second, "-"
	if err == nil && opts.Several {
		happened = ""
	} else {
		wants(t, err, context.Canceled, "update that waits")
	}
	close(release)
	if err := <-first; err != nil {
		t.Errorf("update that ran: %v", err)
	}
	has(t, s, things, "first", "")
	has(t, s, things, "second", happened)
}

// seen reads notices until all wanted ones came; a notice without a key stands for every key of its collection.
func seen(t *testing.T, ch <-chan store.Change, want map[store.Change]bool) {
	t.Helper()
	ctx := background(t)
	for len(want) > 0 {
		select {
		case n, ok := <-ch:
			if !ok {
				t.Fatalf("channel closed before %v", want)
			}
			for w := range want {
				if n == w || n.Key == "" && n.Collection == w.Collection {
					delete(want, w)
				}
			}
		case <-ctx.Done():
			t.Fatalf("no notice of %v", want)
		}
	}
}

func testWatch(t *testing.T, s store.Store) {
	a, b := s.Watch(background(t)), s.Watch(background(t))
	put(t, s, things, "a", "1")
	update(t, s, func(tx store.Tx) error { return errors.Join(tx.Delete(things, "a"), tx.Put(others, "b", nil)) })
	for _, ch := range []<-chan store.Change{a, b} {
		seen(t, ch, map[store.Change]bool{{Collection: things, Key: "a"}: true, {Collection: others, Key: "b"}: true})
	}
}

// testWatchMerges: a subscriber that does not read holds nobody up and loses nothing but detail.
func testWatchMerges(t *testing.T, s store.Store) {
	ch := s.Watch(background(t))
	want := map[store.Change]bool{{Collection: others, Key: "last"}: true}
	for i := range 20 {
		update(t, s, func(tx store.Tx) error {
			for j := range 200 {
				key := fmt.Sprintf("%d/%d", i, j)
				want[store.Change{Collection: things, Key: key}] = true
				if err := tx.Put(things, key, nil); err != nil {
					return err
				}
			}
			return nil
		})
	}
	put(t, s, others, "last", "")
	seen(t, ch, want)
}

func testWatchEnds(t *testing.T, s store.Store) {
	ctx, cancel := context.WithCancel(background(t))
	ch := s.Watch(ctx)
	put(t, s, things, "a", "1")
	cancel()
	for range ch { // until it closes
	}
	put(t, s, things, "a", "2")
	has(t, s, things, "a", "2")
}

func testClose(t *testing.T, s store.Store) {
	put(t, s, things, "a", "1")
	ctx := background(t)
	watch := s.Watch(ctx)
	inside, release := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Add(2)
	go func() {
		defer wg.Done()
		err := s.View(ctx, func(tx store.Tx) error {
			close(inside)
			<-release
			return holds(tx, things, "a", "1")
		})
		if err != nil {
			t.Errorf("view that ran while the store was closed: %v", err)
		}
	}()
	<-inside
	closed := make(chan error, 1)
	go func() { defer wg.Done(); closed <- s.Close() }()
	for range watch { // closes with the store, so Close has begun
	}
	select {
	case err := <-closed:
		t.Errorf("closed under a running view: %v", err)
	default:
	}
	close(release)
	wg.Wait()
	if err := <-closed; err != nil {
		t.Errorf("close: %v", err)
	}
	never := func(store.Tx) error { t.Error("ran after close"); return nil }
	wants(t, s.View(ctx, never), store.ErrClosed, "view")
	wants(t, s.Update(ctx, never), store.ErrClosed, "update")
	wants(t, s.Close(), store.ErrClosed, "second close")
	if _, open := <-s.Watch(ctx); open {
		t.Error("a notice after close")
	}
}

func testDurable(t *testing.T, s store.Store, opts Options) {
	put(t, s, things, "a", "1", "gone", "1")
	update(t, s, func(tx store.Tx) error { return tx.Delete(things, "gone") })
	_ = s.Update(background(t), func(tx store.Tx) error { return errors.Join(tx.Put(things, "a", nil), errors.New("no")) })
	s = opts.Reopen(t, s)
	has(t, s, things, "a", "1")
	has(t, s, things, "gone", "-")
	put(t, s, things, "a", "2")
	s = opts.Reopen(t, s)
	has(t, s, things, "a", "2")
}

// testFault: after an error of the commit nothing was written, for no Update that shared it; then the store works or says why not.
func testFault(t *testing.T, s store.Store, opts Options) {
	put(t, s, things, "a", "1")
	broken := errors.New("broken disk")
	for _, fault := range []error{store.ErrFull, broken} {
		opts.Fault(t, s, fault)
		err := s.Update(background(t), func(tx store.Tx) error { return putAll(tx, things, "a", "2", "b", "2") })
		wants(t, err, fault, "commit")
		has(t, s, things, "a", "1")
		has(t, s, things, "b", "-")
		err = s.Update(background(t), func(tx store.Tx) error { return putAll(tx, things, "c", fault.Error()) })
		if err == nil {
			has(t, s, things, "c", fault.Error())
		} else {
			wants(t, err, fault, "update after a failed commit")
			s = opts.Reopen(t, s)
		}
		has(t, s, things, "a", "1")
	}
	put(t, s, things, "a", "3")
	s = opts.Reopen(t, s)
	has(t, s, things, "a", "3")
	has(t, s, things, "b", "-")
}
