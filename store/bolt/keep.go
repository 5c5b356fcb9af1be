package bolt

import (
	"errors"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/internal/backend"
)

// keep makes a batch durable: by the journal where it can, else by the file. The caller has the commit turn.
func (s *Store) keep(changes []change) error {
	size := frameSize(changes)
	if !s.filing.bound || size > s.filing.j.slot/largeBatch || !s.willFit(changes) {
		return s.direct(changes, size)
	}
	if err := s.sizeHolds(); err != nil {
		return err
	}
	if err := s.vet(changes); err != nil {
		return err
	}
	if !s.makeRoom(size) {
		switch err := s.settle(); {
		case err == nil:
			return s.direct(changes, size)
		case !errors.Is(err, store.ErrFull) || !onlyRemovals(changes) || !s.filing.j.room(size):
			return err
		}
	}
	return s.append(changes)
}

// makeRoom sees that a frame of size fits; false where only the file can help: the other slot cannot be had, or the disk was full.
func (s *Store) makeRoom(size int) bool {
	f := &s.filing
	if !f.j.room(size) {
		f.await()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stuck {
		return false
	}
	if f.j.room(size) {
		return true
	}
	if !f.j.ready || f.running != nil {
		return false
	}
	s.flip()
	return true
}

// append writes a batch to the journal and lays it over the file.
func (s *Store) append(changes []change) error {
	f := &s.filing
	if err := f.j.write(changes, s.inject.Swap(nil)); err != nil {
		if errors.Is(err, errUnsure) || !isFull(err) {
			s.refuseWrites(err)
		}
		return commitError(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	lay := *s.lay.Load()
	first := lay.cur.empty()
	lay.cur = lay.cur.with(changes)
	s.lay.Store(&lay)
	if first {
		wake(f.fresh)
	}
	return nil
}

// direct commits a batch to the file, with whatever is pending before it. The batch that is one too many for that begins a journal.
func (s *Store) direct(changes []change, size int) error {
	f := &s.filing
	f.await()
	if !s.lay.Load().empty() {
		if err := s.settle(); err != nil {
			return err
		}
	}
	if f.bound || f.off || size > f.slot/largeBatch || !s.willFit(changes) {
		return s.commit(changes)
	}
	if f.small++; f.small <= f.after {
		return s.commit(changes)
	}
	b, err := s.beginJournal()
	if err != nil { // no room for one, or no right: the file does without
		f.off = true
		return s.commit(changes)
	}
	if err := s.commit(append(b.changes(), changes...)); err != nil {
		return err
	}
	f.at("bound")
	f.bound, f.past = true, b
	f.mu.Lock()
	f.j.ready = true
	s.lay.Store(&layers{base: s.lastTx.Load()})
	f.mu.Unlock()
	f.start(s)
	return nil
}

func (s *Store) beginJournal() (binding, error) {
	f := &s.filing
	if f.j == nil {
		j, err := createJournal(JournalPath(s.opts.Path), f.slot, f.past)
		if err != nil {
			return binding{}, err
		}
		if err := syncDir(filepath.Dir(j.path)); err != nil {
			return binding{}, errors.Join(err, j.f.Close(), os.Remove(j.path))
		}
		if f.open != nil {
			j.f = f.open(j.f)
		}
		f.j = j
	}
	f.at("created")
	b, err := f.j.begin(f.past.gen)
	f.at("begun")
	return b, err
}

// vet holds every page that the file will need for changes to the format, as a commit does, before they are acknowledged. Pages that passed pass until the file's next transaction.
func (s *Store) vet(changes []change) (err error) {
	snap, err := s.acquire()
	if err != nil {
		return err
	}
	defer s.release(snap)
	defer s.catch(&err, debug.SetPanicOnFault(true))
	if s.vetted.of != snap.id || s.vetted.passed == nil {
		s.vetted.of, s.vetted.passed = snap.id, map[uint64]bool{}
	}
	v := verifier{r: &reader{s: s, im: &snap.im, root: snap.root}, passed: s.vetted.passed}
	for _, ch := range changes {
		if _, err := v.path(ch); err != nil {
			return err
		}
	}
	return nil
}

// worstPages is more than what a write makes a transaction copy: the way to its leaf, a leaf split in two, the neighbour of one that a removal leaves empty.
const worstPages = 8

// willFit tells whether the file can take changes after all that is pending, with room to spare: what is acknowledged must not be refused by Options.MaxSize.
func (s *Store) willFit(changes []change) bool {
	if s.opts.MaxSize == 0 {
		return true
	}
	n, bytes := len(changes), 0
	for _, ch := range changes {
		bytes += len(ch.Key) + len(ch.Value)
	}
	if lay := s.lay.Load(); lay != nil {
		for _, p := range []*pending{lay.old, lay.cur} {
			if p != nil {
				n, bytes = n+p.writes, bytes+p.bytes
			}
		}
	}
	need := int64(n)*worstPages*int64(s.pageSize) + 2*int64(bytes) + growBy
	return s.size.Load()+need <= int64(s.bound(false))
}

func onlyRemovals(changes []change) bool {
	for _, ch := range changes {
		if ch.Fate != backend.Deleted {
			return false
		}
	}
	return true
}
