package bolt

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"unsafe"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/zavhoz/zavhoz/store"
)

// catch is deferred around every touch of mapped memory and every call into bbolt:
//
//	defer catch(&err, debug.SetPanicOnFault(true))
//
// A fault or an assertion becomes store.ErrCorrupt. Functions of the caller never run under it: their panics are theirs.
func catch(err *error, old bool) {
	debug.SetPanicOnFault(old)
	if r := recover(); r != nil {
		*err = fromPanic(r)
	}
}

// catch is the same, and remembers damage: nothing is written to a damaged file.
func (s *Store) catch(err *error, old bool) {
	debug.SetPanicOnFault(old)
	if r := recover(); r != nil {
		*err = fromPanic(r)
	}
	if *err != nil && errors.Is(*err, store.ErrCorrupt) {
		s.refuseWrites(*err)
	}
}

// fromPanic never repeats bbolt's text: it may quote keys.
func fromPanic(r any) error {
	if _, fault := r.(interface{ Addr() uintptr }); fault {
		return damaged("the file was cut short, or the disk cannot be read")
	}
	if e, ok := r.(runtime.Error); ok {
		return damaged("unreadable: %s", e.Error())
	}
	return damaged("an assertion of bbolt failed")
}

// sticky holds the first error that ends something for good.
type sticky struct{ err error }

// refuseWrites ends the write side. Reads go on as long as they succeed.
func (s *Store) refuseWrites(err error) {
	s.broken.CompareAndSwap(nil, &sticky{fmt.Errorf("bolt: no more writes until the store is opened again: %w", err)})
}

// refuseAll ends the read side too: the mapping, or bbolt's locks, cannot be trusted.
func (s *Store) refuseAll(err error) {
	s.refuseWrites(err)
	s.dead.CompareAndSwap(nil, &sticky{fmt.Errorf("bolt: closed after damage: %w", err)})
}

// probe looks at the meta pages through a small mapping of our own, before bbolt does with its locks held. It finds a newest meta that
// was damaged since, for which bbolt would show the transaction before.
func (s *Store) probe() (err error) {
	defer s.catch(&err, debug.SetPanicOnFault(true))
	for {
		known := s.lastTx.Load()
		if s.names(known) {
			return nil
		}
		// Nobody writes to the page of transaction known before known+1 is durable. If that is so by now, known+2 may be writing to the page that was
		// looked at: what was read is then half of one and half of the other, and says nothing.
		if s.lastTx.Load() == known {
			return damaged("the newest meta page was damaged while the file was open")
		}
	}
}

// names tells whether a meta page is whole and of transaction known or later.
func (s *Store) names(known uint64) bool {
	for slot := range 2 {
		if s.onLook != nil {
			s.onLook(slot)
		}
		if m, ok := readMeta(s.head[slot*s.pageSize:], slot); ok && m.txid >= known {
			return true
		}
	}
	return false
}

// begin starts a transaction of bbolt.
func (s *Store) begin(writable bool) (tx *bbolt.Tx, err error) {
	if d := s.dead.Load(); d != nil {
		return nil, d.err
	}
	if err := s.probe(); err != nil {
		return nil, err
	}
	known := s.lastTx.Load()
	if tx, err = s.beginRaw(writable); err != nil {
		return nil, err
	}
	id := uint64(tx.ID())
	if writable {
		id--
	}
	if id < known || writable && id > known {
		err = damaged("transaction %d is not the newest any more", known)
		s.refuseWrites(err)
		s.end(tx)
		return nil, err
	}
	return tx, nil
}

// beginRaw begins; a panic on the way leaves bbolt's locks to be given back.
func (s *Store) beginRaw(writable bool) (tx *bbolt.Tx, err error) {
	calm := false
	defer func() {
		if calm {
			return
		}
		if s.locksKnown {
			s.locks.release(writable)
			return
		}
		s.refuseAll(err)
	}()
	defer s.catch(&err, debug.SetPanicOnFault(true))
	tx, err = s.db.Begin(writable)
	calm = true
	if err != nil {
		return nil, fmt.Errorf("bolt: begin: %w", err)
	}
	return tx, nil
}

// end gives up a transaction without bbolt's own rollback after errors, which walks the file in a goroutine that nobody guards.
func (s *Store) end(tx *bbolt.Tx) {
	if s.dead.Load() != nil {
		return
	}
	if err := rollback(tx); err != nil {
		s.refuseAll(err)
	}
}

func rollback(tx *bbolt.Tx) (err error) {
	defer catch(&err, debug.SetPanicOnFault(true))
	if err := tx.Rollback(); err != nil && !errors.Is(err, berrors.ErrTxClosed) {
		return fmt.Errorf("bolt: %w", err)
	}
	return nil
}

// imageOf gives the file as tx sees it. bbolt keeps the mapping in place while the transaction is open, and for the one writer until
// it commits; the size was checked when the file was opened and grows only by commits of ours.
func imageOf(tx *bbolt.Tx) (im image, root uint64) {
	info := tx.DB().Info()
	base := *(*unsafe.Pointer)(unsafe.Pointer(&info.Data))
	mem := unsafe.Slice((*byte)(base), tx.Size())
	return newImage(mem, uint64(info.PageSize)), uint64(tx.Cursor().Bucket().Root())
}
