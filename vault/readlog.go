package vault

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// Limits of the queue of audit records.
const (
	readFlush = 50 * time.Millisecond // the longest a record waits
	readQueue = 4096                  // records; a full queue makes callers wait
)

// readLog queues the records of what changes nothing (reads, denials) in order and commits them in groups within readFlush. While a commit
// fails no read is answered without its record; what could not be written is kept and tried again, so that a disk that was full for a while
// loses nothing and stops nobody for good.
type readLog struct {
	v    *Vault
	in   chan audit.Event
	sync chan chan struct{} // asks for a commit now; closed when it was tried
	quit chan struct{}
	done chan struct{}

	kept   atomic.Int64          // noted while the vault was locked, and not written yet
	unkept atomic.Int64          // denials of a locked vault beyond those: counted, and one record when it is unlocked
	broken atomic.Pointer[error] // of the last commit; not under mu: who waits in a full queue holds that, and run empties the queue
	mu     sync.RWMutex
	closed bool

	denials audit.Denials // of run alone
}

func newReadLog(v *Vault) *readLog {
	l := &readLog{v: v, in: make(chan audit.Event, readQueue), sync: make(chan chan struct{}), quit: make(chan struct{}), done: make(chan struct{})}
	go l.run()
	return l
}

// note queues e. It fails when records can no longer be written, and then the caller must not answer.
func (l *readLog) note(ctx context.Context, e audit.Event) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.v.k.Closed() && l.kept.Add(1) > readQueue/4 {
		if e.Outcome == audit.Denied {
			l.unkept.Add(1)
			return nil
		}
		return errForgetful
	}
	if err := l.v.Distrusted(); err != nil {
		return err
	}
	if err := l.failure(); err != nil {
		return fault.New(fault.AuditUnavailable, "the audit log cannot be written, so nothing is answered", "run `zavhoz doctor`; free disk space").Because(err)
	}
	if l.closed {
		return fault.New(fault.DaemonUnavailable, "the vault is closing", "try again")
	}
	select {
	case l.in <- e:
		return nil
	case <-ctx.Done():
		return StoreFault(ctx.Err())
	}
}

func (l *readLog) close(ctx context.Context) error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	close(l.quit)
	select {
	case <-l.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	return l.failure()
}

func (l *readLog) failure() error {
	if err := l.broken.Load(); err != nil {
		return *err
	}
	return nil
}

func (l *readLog) run() {
	defer close(l.done)
	tick := time.NewTicker(readFlush)
	defer tick.Stop()
	var batch []audit.Folded
	for {
		select {
		case e := <-l.in:
			batch = l.take(batch, e)
			if len(batch) >= readQueue/4 && l.failure() == nil { // else the next tick tries
				batch = l.flush(batch)
			}
		case <-tick.C:
			batch = l.flush(append(batch, l.denials.Flush(l.v.now())...))
		case tried := <-l.sync:
			for len(l.in) > 0 {
				batch = l.take(batch, <-l.in)
			}
			batch = l.flush(batch)
			close(tried)
		case <-l.quit:
			for len(l.in) > 0 {
				batch = l.take(batch, <-l.in)
			}
			l.flush(append(batch, l.denials.Close()...))
			return
		}
	}
}

// take adds e to the batch; equal denials within a minute become one record.
func (l *readLog) take(batch []audit.Folded, e audit.Event) []audit.Folded {
	if e.Outcome != audit.Denied {
		return append(batch, audit.Folded{Event: e, Count: 1})
	}
	return append(batch, l.denials.Fold(e, l.v.now())...)
}

// flush commits the batch and gives what is left of it: all, where the commit failed.
func (l *readLog) flush(batch []audit.Folded) []audit.Folded {
	if l.v.k.Closed() { // a locked vault takes no records: they wait for the keys
		return batch
	}
	if n := l.unkept.Swap(0); n > 0 {
		more := audit.Event{Actor: SystemActor("lock"), Action: audit.VaultUnlock, Outcome: audit.Denied, Code: string(fault.VaultLocked), Detail: map[string]string{"why": "more refused while locked"}}
		batch = append(batch, audit.Folded{Event: more, Count: uint64(n)})
	}
	if len(batch) == 0 {
		return batch
	}
	if l.v.Distrusted() != nil { // nothing is added to what somebody else changed; what is queued ends with the daemon
		return batch[:0]
	}
	err := l.v.st.Update(waking(context.Background()), func(tx store.Tx) error {
		for _, e := range batch {
			if err := l.v.audit.AppendCount(tx, e.Event, e.Count); err != nil {
				return err
			}
		}
		return nil
	})
	switch {
	case locked(err): // at this moment
		return batch
	case err != nil:
		l.broken.Store(&err)
		return batch
	}
	l.broken.Store(nil)
	l.kept.Store(0)
	return batch[:0]
}

// Note records an event that changes nothing in the vault: queued in order, durable within 50 ms. When it fails, do not answer.
func (v *Vault) Note(ctx context.Context, e audit.Event) error { return v.reads.note(ctx, e) }

// Noted waits until everything that was noted before is durable. Errors: audit_unavailable, or that ctx ended. Denials that are folded may follow.
func (v *Vault) Noted(ctx context.Context) error { return v.reads.noted(ctx) }

func (l *readLog) noted(ctx context.Context) error {
	tried := make(chan struct{})
	select {
	case l.sync <- tried:
	case <-l.done: // closed: everything was written then, or could not be
		return l.failure()
	case <-ctx.Done():
		return StoreFault(ctx.Err())
	}
	<-tried
	if err := l.failure(); err != nil {
		return fault.New(fault.AuditUnavailable, "the audit log cannot be written", "run `zavhoz doctor`; free disk space").Because(err)
	}
	return nil
}

// deny records a refusal and gives it back.
func (v *Vault) deny(ctx context.Context, actor Actor, action audit.Action, subject, handle string, err error) error {
	f := fault.Of(err)
	e := audit.Event{Actor: actor, Action: action, Outcome: audit.Denied, Subject: subject, Handle: handle, Code: string(f.Code)}
	if nerr := v.reads.note(ctx, e); nerr != nil && !locked(err) { // what is locked is refused, recorded or not
		return nerr
	}
	return err
}
