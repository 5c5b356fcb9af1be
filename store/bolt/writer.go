package bolt

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"

	"go.etcd.io/bbolt"

	"github.com/zavhoz/zavhoz/store"
)

// Bounds of the write side. A caller that finds the queue full waits, with its context.
const (
	queueLen   = 256
	batchCalls = 256
	batchBytes = 32 << 20 // of keys and values; the call that crosses it is the batch's last
)

// The life of a call: it waits, then either runs or was given up by its caller.
const (
	waiting int32 = iota
	running
	givenUp
)

// call is one Update.
type call struct {
	ctx   context.Context
	fn    func(store.Tx) error
	state atomic.Int32
	done  chan struct{}

	err    error
	panics any  // what fn panicked with
	exits  bool // fn called runtime.Goexit (a test's FailNow)
}

// writer is the goroutine that owns the write side, and its queue.
type writer struct {
	s       *Store
	queue   chan *call
	quit    chan struct{}
	stopped chan struct{}
}

func startWriter(s *Store) *writer {
	w := &writer{s: s, queue: make(chan *call, queueLen), quit: make(chan struct{}), stopped: make(chan struct{})}
	go w.loop(nil)
	return w
}

// stop ends the goroutine; no call may be in flight.
func (w *writer) stop() {
	close(w.quit)
	<-w.stopped
}

// Update runs fn in the writer's goroutine and returns when what it wrote is durable. A context that ends before fn started gives its
// error, and fn does not run; later it no longer counts.
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
	c := &call{ctx: ctx, fn: fn, done: make(chan struct{})}
	select {
	case s.writes.queue <- c:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		if c.state.CompareAndSwap(waiting, givenUp) {
			return ctx.Err()
		}
		<-c.done
	}
	switch {
	case c.panics != nil:
		panic(c.panics)
	case c.exits:
		runtime.Goexit()
	}
	return c.err
}

// loop takes batches until stop. When fn ends the goroutine under it, a new one goes on with the batch.
func (w *writer) loop(b *batch) {
	over := false
	defer func() {
		if !over {
			go w.loop(b)
			return
		}
		close(w.stopped)
	}()
	for {
		if b == nil {
			select {
			case <-w.quit:
				over = true
				return
			case c := <-w.queue:
				b = &batch{s: w.s, next: c}
			}
		}
		b.fill(w.queue)
		b.finish()
		b = nil
		runtime.Gosched() // the callers just told may queue up again: fuller batches
	}
}

// batch is the set of calls that one commit makes durable.
type batch struct {
	s     *Store
	next  *call // taken from the queue, not yet run
	calls []*call
	btx   *bbolt.Tx
	r     *reader
	ov    *overlay
	err   error // ends every call of the batch
}

// fill runs calls until the queue is empty or the batch is full.
func (b *batch) fill(queue <-chan *call) {
	for {
		if c := b.next; c != nil {
			b.next = nil
			b.calls = append(b.calls, c)
			b.run(c)
		}
		if len(b.calls) >= batchCalls || b.ov != nil && b.ov.bytes >= batchBytes {
			return
		}
		select {
		case b.next = <-queue:
		default:
			return
		}
	}
}

// run runs one call's function against the overlay.
func (b *batch) run(c *call) {
	if !c.state.CompareAndSwap(waiting, running) {
		return
	}
	if c.err = c.ctx.Err(); c.err != nil {
		return
	}
	if !b.open() {
		return
	}
	t := &tx{ctx: c.ctx, r: b.r, ov: b.ov}
	normal := false
	defer func() {
		t.finish()
		if normal && c.err == nil {
			b.ov.keep()
			return
		}
		b.ov.rollback()
		if !normal {
			c.panics = recover()
			c.exits = c.panics == nil
		}
	}()
	c.err = c.fn(t)
	normal = true
}

// open begins the batch's transaction once there is a call to run.
func (b *batch) open() bool {
	if b.err == nil && b.s.broken.Load() != nil {
		b.err = b.s.broken.Load().err
	}
	if b.err != nil || b.btx != nil {
		return b.err == nil
	}
	if b.err = b.s.sizeHolds(); b.err != nil {
		return false
	}
	if b.btx, b.err = b.s.begin(true); b.err != nil {
		return false
	}
	b.ov = newOverlay()
	b.r, b.err = b.s.reader(b.btx)
	return b.err == nil
}

// finish commits and tells every caller.
func (b *batch) finish() {
	if b.btx != nil {
		b.commit()
	}
	for _, c := range b.calls {
		if b.err != nil && c.err == nil {
			c.err = b.err
		}
		close(c.done)
	}
}

func (b *batch) commit() {
	if damage := b.s.broken.Load(); b.err == nil && damage != nil {
		b.err = damage.err // a read of this batch, or of a View beside it, met damage
	}
	var changes []change
	if b.err == nil {
		changes, b.err = b.ov.changes()
	}
	if b.err != nil || len(changes) == 0 {
		b.s.end(b.btx)
		return
	}
	if err := b.s.commit(b.btx, b.r, changes); err != nil {
		b.err = fmt.Errorf("bolt: commit: %w", err)
		return
	}
	b.s.subs.tell(changes)
}
