package bolt

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/internal/backend"
)

// Bounds of a batch. A caller that finds it full waits for the next, with its context.
const (
	batchCalls = 256
	batchBytes = 32 << 20 // of keys and values; the call that crosses it is the batch's last
)

// errAbandoned ends the followers of a leader that did not come to the end of its commit: a held value panicked.
var errAbandoned = errors.New("bolt: the commit was abandoned before anything was written")

// writer is the write side. Each function runs in the goroutine that called Update, one at a time, against the overlay of the batch that is open.
// The first call that goes well leads the batch: it waits until the batch before is durable, takes along whoever waits by then, and commits. Meanwhile the
// functions of the next batch run, over this one's overlay.
type writer struct {
	run    backend.Turn // held while a function runs, and while a batch is closed
	commit backend.Turn // held while a batch is made durable

	open *batch                // under run
	last atomic.Pointer[batch] // closed, and neither durable nor given up yet
}

func newWriter() *writer { return &writer{run: backend.NewTurn(), commit: backend.NewTurn()} }

// What a call is in its batch.
type membership int

const (
	alone   membership = iota // it failed before any other: there is no batch
	leads                     // commits for all
	follows                   // is told
)

// batch is the set of calls that one commit makes durable.
type batch struct {
	s      *Store
	before *batch // was not durable yet when this one began: what it wrote lies below this overlay
	ov     *backend.Overlay
	calls  int
	led    bool
	closed chan struct{} // takes no more calls
	done   chan struct{} // durable, or given up with err
	err    error
}

// Update runs fn and returns when what it wrote is durable. A context that ends before fn started gives its error, and fn does not run; later it no longer
// counts.
func (s *Store) Update(ctx context.Context, fn func(store.Tx) error) error {
	if s.opts.ReadOnly {
		return store.ErrReadOnly
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer s.running.Done()
	b, err := s.join(ctx)
	if err != nil {
		return err
	}
	before := b.before
	member, err := b.call(ctx, fn)
	switch {
	case member == leads:
		b.lead()
	case member == follows:
		<-b.done
	case before != nil:
		<-before.done
		b = before
	default:
		return err
	}
	if b.err != nil { // counts more than an error of fn's own, which may tell of what never was: "is there already"
		return b.err
	}
	return err
}

// join waits for its turn and gives the open batch. It is the caller's turn to run then.
func (s *Store) join(ctx context.Context) (*batch, error) {
	w := s.writes
	for {
		if err := w.run.Wait(ctx); err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			w.run.Give()
			return nil, err
		}
		b := w.open
		if b == nil {
			b = &batch{s: s, before: w.last.Load(), ov: backend.NewOverlay(), closed: make(chan struct{}), done: make(chan struct{})}
			if b.before != nil {
				b.ov.Base = b.before.ov
			}
			w.open = b
		}
		if b.calls < batchCalls && b.ov.Bytes() < batchBytes {
			return b, nil
		}
		w.run.Give()
		select {
		case <-b.closed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// call runs fn against the overlay and lets the next call have its turn. What fn panics with, and the end of its goroutine, pass through.
func (b *batch) call(ctx context.Context, fn func(store.Tx) error) (m membership, err error) {
	t := &struct {
		tx backend.Tx
		r  reader
	}{}
	kept := false
	defer func() {
		t.tx.Finish()
		if b.led {
			m = follows
		}
		switch {
		case !kept:
			b.ov.Rollback()
			if !b.led {
				b.s.writes.open = nil // nobody is in it
			}
		case !b.led:
			m, b.led = leads, true
		}
		b.s.writes.run.Give()
	}()
	if d := b.s.broken.Load(); d != nil {
		return alone, d.err
	}
	snap, lay, err := b.s.moment()
	if err != nil {
		return alone, err
	}
	defer b.s.release(snap)
	t.r.start(b.s, snap, lay)
	t.tx.Ctx, t.tx.R, t.tx.Over = ctx, &t.r, b.ov
	if err := fn(&t.tx); err != nil {
		return alone, err
	}
	b.ov.Keep()
	b.calls++
	kept = true
	return alone, nil
}

// lead closes the batch when its turn has come, commits it, and tells every caller.
func (b *batch) lead() {
	w := b.s.writes
	w.commit.Take()
	runtime.Gosched()
	w.run.Take() // behind all who wait already: they come along
	w.open = nil
	if b.before != nil {
		b.err = b.before.err // what this batch read never was
	}
	if b.err == nil { // nobody builds on one that has failed, or a failure would go from batch to batch for as long as calls come
		w.last.Store(b)
	}
	b.before, b.ov.Base = nil, nil // durable by now, or b is given up
	close(b.closed)
	w.run.Give()
	defer func() {
		w.last.CompareAndSwap(b, nil)
		close(b.done)
		w.commit.Give()
	}()
	if b.err == nil {
		b.err = errAbandoned
		b.err = b.finish()
	}
}

func (b *batch) finish() error {
	if damage := b.s.broken.Load(); damage != nil {
		return damage.err // a read of this batch, or of a View beside it, met damage
	}
	changes, err := b.ov.Changes()
	if err == nil && len(changes) > 0 {
		err = b.s.keep(changes)
	}
	if err != nil {
		return fmt.Errorf("bolt: commit: %w", err)
	}
	if b.s.watchers.Any() {
		notices := make([]store.Change, len(changes))
		for i, ch := range changes {
			notices[i] = store.Change{Collection: ch.Collection, Key: ch.Key}
		}
		b.s.watchers.Tell(notices)
	}
	return nil
}
