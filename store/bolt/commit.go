package bolt

import (
	"errors"
	"runtime/debug"
	"sync/atomic"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/internal/backend"
)

// What all backends share, in this one's words.
type (
	change = backend.Change // one buffered write that reaches the file
	entry  = backend.Entry
	reach  = backend.Reach
)

// sizeHolds finds a file cut under us before a commit would lengthen it again, with zeros.
func (s *Store) sizeHolds() error {
	st, err := s.handle.Stat()
	if err == nil && st.Size() < s.size.Load() {
		err = damaged("the file was cut to %d bytes", st.Size())
	}
	if err != nil {
		s.refuseWrites(err)
	}
	return err
}

// sound tells whether the whole file is as the last transaction left it.
func (s *Store) sound() bool {
	if s.sizeHolds() != nil {
		return false
	}
	m, err := checkFile(s.handle, false)
	return err == nil && m.txid == s.lastTx.Load()
}

// commit writes changes to the file and makes them durable. On an error nothing of them is there; on any error but store.ErrFull the
// store takes no more writes, for what the disk did is then not known.
func (s *Store) commit(changes []change) error { return s.commitAs(changes, &s.inject, false) }

// commitOwed is commit of what was acknowledged before: nothing but the disk itself may refuse it room.
func (s *Store) commitOwed(changes []change) error {
	return s.commitAs(changes, &s.injectFiling, true)
}

func (s *Store) commitAs(changes []change, inject *atomic.Pointer[injected], owed bool) error {
	if err := s.sizeHolds(); err != nil {
		return err
	}
	s.retire()
	defer s.resume()
	btx, err := s.begin(true)
	if err != nil {
		return err
	}
	before, err := s.saveHead()
	if err == nil {
		err = s.apply(btx, changes, owed)
	}
	if err != nil {
		s.refuseWrites(err)
		s.end(btx)
		return err
	}
	id, size, err := s.commitRaw(btx, inject.Swap(nil))
	if err == nil {
		s.lastTx.Store(id)
		s.size.Store(size)
		return nil
	}
	s.end(btx)
	if !errors.Is(err, store.ErrFull) {
		s.refuseWrites(err)
	}
	return s.undoHead(before, err)
}

// saveHead copies what means something of the two meta pages.
func (s *Store) saveHead() (before [2][headSize]byte, err error) {
	defer s.catch(&err, debug.SetPanicOnFault(true))
	for slot := range before {
		copy(before[slot][:], s.head[slot*s.pageSize:])
	}
	return before, nil
}

// undoHead: where the failure came after the new meta page was written (its fdatasync failed), readers would see what nobody was
// promised. The old page goes back; if that fails too, nothing can be read any more.
func (s *Store) undoHead(before [2][headSize]byte, cause error) error {
	after, err := s.saveHead()
	if err != nil {
		s.refuseAll(err)
		return errors.Join(cause, err)
	}
	for slot := range after {
		if after[slot] == before[slot] {
			continue
		}
		s.refuseWrites(cause)
		if _, err := s.handle.WriteAt(before[slot][:], int64(slot*s.pageSize)); err != nil {
			s.refuseAll(err)
			return errors.Join(cause, err)
		}
		if err := s.handle.Sync(); err != nil {
			return errors.Join(cause, err) // in memory the old page is back; on the disk it may be either
		}
	}
	return cause
}

// injected is a test's failure of the next commit: early, before bbolt writes, or late, after its meta page is written. Without err, a late one goes well.
type injected struct {
	err  error
	late bool
	then func() // runs between the two, nil: nothing
}

func (i *injected) early() error {
	if i == nil || i.late {
		return nil
	}
	return i.err
}

func (i *injected) later() error {
	if i == nil {
		return nil
	}
	if i.then != nil {
		i.then()
	}
	return i.err
}

// commitRaw commits under the tripwire.
func (s *Store) commitRaw(btx *bbolt.Tx, inject *injected) (id uint64, size int64, err error) {
	defer s.catch(&err, debug.SetPanicOnFault(true))
	defer func() {
		s.log.armed.Store(false)
		if t, ok := asTripped(recover()); ok {
			err = commitError(t.cause)
		}
	}()
	if err := inject.early(); err != nil {
		return 0, 0, commitError(err)
	}
	id = uint64(btx.ID())
	s.log.full = nil
	s.log.armed.Store(true)
	if err := btx.Commit(); err != nil {
		if s.log.full != nil {
			err = s.log.full
		}
		return 0, 0, commitError(err)
	}
	if err := inject.later(); err != nil {
		return 0, 0, commitError(err)
	}
	slot := int(id % 2)
	m, ok := readMeta(s.head[slot*s.pageSize:], slot)
	if !ok || m.txid != id {
		return 0, 0, damaged("the meta page of transaction %d is not on the file", id)
	}
	return id, int64(m.pages * m.pageSize), nil
}

// asTripped passes any other panic on.
func asTripped(r any) (tripped, bool) {
	if r == nil {
		return tripped{}, false
	}
	t, ok := r.(tripped)
	if !ok {
		panic(r)
	}
	return t, true
}

// commitError names the store's error for what a commit failed with.
func commitError(err error) error {
	if err == nil {
		return nil
	}
	if isFull(err) {
		return errors.Join(store.ErrFull, err)
	}
	return err
}

func isFull(err error) bool {
	return errors.Is(err, store.ErrFull) || diskFull(err) || errors.Is(err, berrors.ErrMaxSizeReached)
}

// apply hands changes to bbolt, after every page that it will read for them has been held to the format.
func (s *Store) apply(btx *bbolt.Tx, changes []change, owed bool) (err error) {
	defer s.catch(&err, debug.SetPanicOnFault(true))
	im, at := imageOf(btx)
	root, err := rootTree(&im, at)
	if err != nil {
		return err
	}
	v := verifier{r: &reader{s: s, im: &im, root: root}, passed: map[uint64]bool{}}
	net := 0
	for _, ch := range changes {
		exists, err := v.path(ch)
		if err != nil {
			return err
		}
		if ch.Fate == backend.Deleted && !exists {
			continue
		}
		b, err := btx.CreateBucketIfNotExists([]byte(ch.Collection))
		if err != nil {
			return err
		}
		if exists && ch.Collection != formatBucket {
			net -= len(b.Get([]byte(ch.Key)))
		}
		if ch.Fate == backend.Deleted {
			err = b.Delete([]byte(ch.Key))
		} else {
			if ch.Collection != formatBucket {
				net += len(ch.Value)
			}
			err = b.Put([]byte(ch.Key), ch.Value)
		}
		if err != nil {
			return err
		}
	}
	s.db.MaxSize = s.bound(owed || net < 0)
	return nil
}

// spare is the part of MaxSize that only those writes may take which make the records fewer or smaller: a removal copies the pages beside it before it frees
// its own, and a full file has no room for them.
const spare = 8

// bound gives the file's greatest size for a write, in bytes; 0 means none.
func (s *Store) bound(shrinks bool) int {
	size := int(s.opts.MaxSize)
	if shrinks {
		return size
	}
	return size - size/spare
}

// verifier holds pages to the format before bbolt follows their pointers unchecked. Pages passed once pass for the batch.
type verifier struct {
	r      *reader
	passed map[uint64]bool
}

// path verifies the way to a key, and for a removal the neighbours that rebalancing may merge with.
func (v *verifier) path(ch change) (exists bool, err error) {
	root := v.r.root
	if _, err := v.walk(root, []byte(ch.Collection), true, false); err != nil {
		return false, err
	}
	c, ok, err := v.r.collection(ch.Collection)
	if err != nil || !ok {
		return false, err
	}
	return v.walk(c, []byte(ch.Key), false, ch.Fate == backend.Deleted)
}

func (v *verifier) walk(t tree, key []byte, root, neighbours bool) (exists bool, err error) {
	p := t.root
	var lo, hi []byte
	for range maxDepth {
		if err := v.page(p, lo, hi, root); err != nil {
			return false, err
		}
		if p.leaf {
			_, exists, err := p.search(key)
			return exists, err
		}
		i, err := p.toward(key)
		if err != nil {
			return false, err
		}
		if neighbours {
			if err := v.beside(p, i, hi, root); err != nil {
				return false, err
			}
		}
		if lo, hi, err = p.bounds(i, hi); err != nil {
			return false, err
		}
		if p, err = t.im.page(p.child(i)); err != nil {
			return false, err
		}
	}
	return false, damaged("tree deeper than %d", maxDepth)
}

// beside verifies the children next to child i.
func (v *verifier) beside(p page, i int, hi []byte, root bool) error {
	for _, j := range []int{i - 1, i + 1} {
		if j < 0 || j >= p.n {
			continue
		}
		lo, up, err := p.bounds(j, hi)
		if err != nil {
			return err
		}
		n, err := v.r.im.page(p.child(j))
		if err != nil {
			return err
		}
		if err := v.page(n, lo, up, root); err != nil {
			return err
		}
	}
	return nil
}

func (v *verifier) page(p page, lo, hi []byte, root bool) error {
	if p.id != 0 && v.passed[p.id] {
		return nil
	}
	if p.id != 0 {
		v.passed[p.id] = true
	}
	return p.verify(lo, hi, root)
}
