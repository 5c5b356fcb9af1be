package postgres

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/internal/backend"
)

// Bounds of a batch. A caller that finds it full waits for the next, with its context.
const (
	batchCalls = 256
	batchBytes = 32 << 20 // of keys and values; the call that crosses it is the batch's last
)

// errAbandoned ends the followers of a leader that did not come to the end of its commit: a held value panicked.
var errAbandoned = errors.New("postgres: the commit was abandoned before anything was written")

// writer is the write side. Each function runs in the goroutine that called Update, one at a time, against the overlay of the batch that is open. The first call that
// goes well leads the batch: it waits until the batch before is durable, takes along whoever waits by then, and commits. Meanwhile the functions of the next batch run,
// over this one's overlay; where this one comes to nothing they run again, for they have read what never was. Who hears that its commit is durable lets the next one be sent
// before it tells anybody.
type writer struct {
	run    backend.Turn // held while a function runs, and while a batch is closed
	commit backend.Turn // held while a batch is made durable
	tell   backend.Turn // held while what was made durable is told, in the order of commits; taken before commit is given

	open *batch                // under run
	last atomic.Pointer[batch] // closed, and neither durable nor given up yet
	wary wary
	pace pace
}

func newWriter() *writer {
	return &writer{run: backend.NewTurn(), commit: backend.NewTurn(), tell: backend.NewTurn()}
}

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
	base   moment // that the functions read, below the overlays
	age    uint64
	lock   *locked // holds the row of the moment; nil: nobody was asked
	ov     *backend.Overlay
	calls  int
	led    bool
	closes atomic.Bool   // its leader is next: who comes now is for the batch after it
	moved  bool          // something that was read is of another moment, or never was
	to     moment        // the commit's name; set once it takes no more calls
	full   chan struct{} // closed then
	done   chan struct{} // durable, or given up with err
	end    moment        // that it left: to, or base where there was nothing to write
	err    error
}

// Update runs fn and returns when what it wrote is committed. Where another process has committed meanwhile, fn is run again. A context that ends before fn started
// gives its error, and fn does not run; later it no longer counts, but for running it again.
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
	inside := &s.writes.pace.inside
	inside.Add(1)
	defer inside.Add(-1)
	for {
		err, again := s.attempt(ctx, fn)
		if !again {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// attempt runs fn in a batch. again: what it read was not the newest any more, and nothing was written.
func (s *Store) attempt(ctx context.Context, fn func(store.Tx) error) (err error, again bool) {
	b, err := s.join(ctx)
	if err != nil {
		return err, false
	}
	member, err := b.call(ctx, fn)
	switch member {
	case leads:
		b.lead()
	case follows:
		<-b.done
	default:
		return s.stands(ctx, b, err)
	}
	switch {
	case errors.Is(b.err, errMoved):
		return nil, true
	case b.err != nil: // counts more than an error of fn's own, which may tell of what never was: "is there already"
		return b.err, false
	}
	return err, false
}

// stands tells whether an error of a function that read b's base is true of the newest moment as well.
func (s *Store) stands(ctx context.Context, b *batch, err error) (error, bool) {
	if b.before != nil {
		<-b.before.done
		b.settle()
	}
	if b.moved {
		return nil, true
	}
	if b.lock != nil {
		return err, false
	}
	same, verr := s.still(ctx, b.base)
	if verr != nil {
		return verr, false
	}
	return err, !same
}

// still tells whether a moment is the newest.
func (s *Store) still(ctx context.Context, m moment) (same bool, err error) {
	err = s.patient(ctx, func(ctx context.Context) error {
		var now moment
		err := s.pool.QueryRow(ctx, s.sql.moment).Scan(&now.seq, &now.batch)
		same = now == m
		return failure(ctx, err)
	})
	if err == nil && !same {
		s.writes.wary.disturb()
	}
	return same, err
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
		if w.open == nil {
			b, err := s.begin(ctx)
			if err != nil {
				w.run.Give()
				return nil, err
			}
			w.open = b
		}
		b := w.open
		if !b.closes.Load() && b.calls < batchCalls && b.ov.Bytes() < batchBytes {
			return b, nil
		}
		w.run.Give()
		select {
		case <-b.full:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// begin opens a batch at the moment that is known here, over what the batch before has written; where others write as well, at the newest, under its lock: who trusts in
// what is not committed yet would be overtaken.
func (s *Store) begin(ctx context.Context) (b *batch, err error) {
	b = &batch{s: s, ov: backend.NewOverlay(), done: make(chan struct{}), full: make(chan struct{})}
	last := s.writes.last.Load()
	switch {
	case s.writes.wary.locks():
		if last != nil {
			<-last.done
		}
		if b.lock, err = s.lockMoment(ctx); err != nil {
			return nil, err
		}
		b.base, b.age = b.lock.at, b.lock.age
	case last != nil:
		b.before, b.base, b.age, b.ov.Base = last, last.base, last.age, last.ov
	default:
		b.base, b.age = s.cache.now()
	}
	return b, nil
}

// settle builds on what came of the batch before, which has ended.
func (b *batch) settle() {
	b.moved = b.moved || b.before.err != nil // what was read never was
	b.base = b.before.end
	if age, ok := b.s.cache.ageAt(b.base); ok {
		b.age = age
	}
	b.before, b.ov.Base = nil, nil
}

// reader reads the base, or the moment after it once the batch before has made it: what differs between the two lies in the overlay.
func (b *batch) reader() *reader {
	r := &reader{s: b.s, at: b.base, age: b.age, src: b}
	if b.before == nil {
		return r
	}
	select {
	case <-b.before.done:
		b.settle()
		r.at, r.age = b.base, b.age
	default:
		r.next = &b.before.to
	}
	return r
}

// call runs fn against the overlay and lets the next call have its turn. What fn panics with, and the end of its goroutine, pass through.
func (b *batch) call(ctx context.Context, fn func(store.Tx) error) (m membership, err error) {
	t := &tx{backend.Tx{Ctx: ctx, Over: b.ov, R: b.reader()}}
	kept := false
	defer func() {
		t.Finish()
		if b.led {
			m = follows
		}
		switch {
		case !kept:
			b.ov.Rollback()
			if !b.led { // nobody is in it
				b.s.writes.open = nil
				b.lock.drop()
				close(b.full)
			}
		case !b.led:
			m, b.led = leads, true
		}
		b.s.writes.run.Give()
	}()
	if b.moved {
		return alone, nil
	}
	start := time.Now()
	if err := fn(t); err != nil || b.moved {
		return alone, err
	}
	b.s.writes.pace.ran(time.Since(start))
	b.ov.Keep()
	b.calls++
	kept = true
	return alone, nil
}

// lead closes the batch when its turn has come, commits it, and tells every caller.
func (b *batch) lead() {
	w := b.s.writes
	w.commit.Take()
	if b.lock != nil || w.pace.gathers() {
		runtime.Gosched() // lets those just told come along
	} else {
		b.closes.Store(true)
	}
	w.run.Take() // behind all who wait already
	w.open = nil
	if b.before != nil {
		b.settle()
	}
	b.to = after(b.base)
	if !b.moved { // nobody builds on one that has failed already
		w.last.Store(b)
	}
	close(b.full)
	w.run.Give()
	b.err = errAbandoned
	defer func() {
		w.last.CompareAndSwap(b, nil)
		w.tell.Give()
		close(b.done)
	}()
	if made := b.made(); made != nil {
		b.s.tells(made)
	}
}

// made commits the batch and gives what was written, nil where nothing was. Whatever happens, it is the next one's turn to commit then, and this one's to tell.
func (b *batch) made() (made *write) {
	w := b.s.writes
	defer func() {
		if b.err != nil {
			b.lock.drop()
		}
		w.tell.Take()
		if b.err != nil { // nobody builds on it any more, but on what was told now
			w.last.CompareAndSwap(b, nil)
		}
		w.commit.Give()
	}()
	made, b.err = b.finish()
	return made
}

// finish commits what there is to commit, and gives it.
func (b *batch) finish() (made *write, err error) {
	b.end = b.base
	if b.moved {
		return nil, errMoved
	}
	changes, err := changesOf(b.ov)
	if err != nil {
		return nil, err
	}
	if len(changes) > 0 {
		b.end = b.to
		return b.s.commit(b, changes)
	}
	if b.lock != nil {
		b.lock.drop()
		return nil, nil
	}
	same, err := b.s.still(b.s.ctx, b.base) // "there is nothing to do" must be true of the newest moment
	if err == nil && !same {
		err = errMoved
	}
	return nil, err
}
