package bolt

import (
	"context"
	"runtime/debug"
	"sync"

	"go.etcd.io/bbolt"
)

// snapshot is one committed moment of the file, held in place by a read transaction of bbolt: to begin one costs more than a short read.
type snapshot struct {
	btx    *bbolt.Tx
	id     uint64 // of the transaction whose state it is
	im     image
	root   tree
	head   [headSize]byte // the meta page that names this moment
	slot   int
	shared bool
	users  int // under snapshots.mu
}

// snapshots shares one snapshot among all who read between two commits. It is kept while nobody reads, and given up before a commit: bbolt could
// not grow its mapping under it, nor use pages again. While a commit runs each reader has a snapshot of its own, so that readers who overlap
// without end cannot keep the writer waiting.
type snapshots struct {
	mu      sync.Mutex
	now     *snapshot
	commits int           // running, or the store is closing
	over    chan struct{} // closes when the commit that runs is durable or has failed
}

// durable gives the newest moment that is on the disk, held until release. bbolt shows a transaction as soon as its meta page is written, before the disk
// has it: who began then waits for the word of the disk. It has bbolt's transaction meanwhile, which at that point keeps no commit from going on.
func (s *Store) durable(ctx context.Context) (*snapshot, *layers, error) {
	for range 3 { // such a commit fails once: no other follows it
		snap, lay, err := s.moment()
		if err != nil {
			return nil, nil, err
		}
		if err := s.awaitDisk(ctx, snap); err != nil {
			s.release(snap)
			return nil, nil, err
		}
		if snap.id <= s.lastTx.Load() {
			return snap, lay, nil
		}
		s.release(snap) // the commit failed, and was undone
	}
	err := damaged("the newest transaction was written by somebody else")
	s.refuseWrites(err)
	return nil, nil, err
}

// moment gives the newest moment that bbolt shows, held until release, and what lies over it. The layers are looked at second: what a snapshot has from the
// journal is then still in them, or they say that they lie over that snapshot at least. The same writes twice are the same writes.
func (s *Store) moment() (*snapshot, *layers, error) {
	for {
		snap, err := s.acquire()
		if err != nil {
			return nil, nil, err
		}
		if s.onMoment != nil {
			s.onMoment()
		}
		if lay := s.lay.Load(); lay == nil || lay.base <= snap.id {
			return snap, lay, nil
		}
		s.release(snap) // taken up by the file since
	}
}

func (s *Store) awaitDisk(ctx context.Context, snap *snapshot) error {
	if snap.id <= s.lastTx.Load() {
		return nil
	}
	s.snaps.mu.Lock()
	over := s.snaps.over
	s.snaps.mu.Unlock()
	if over == nil {
		return nil
	}
	select {
	case <-over:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// acquire gives the newest moment that bbolt shows, held until release.
func (s *Store) acquire() (*snapshot, error) {
	if d := s.dead.Load(); d != nil {
		return nil, d.err
	}
	ss := &s.snaps
	ss.mu.Lock()
	if snap := ss.now; snap != nil {
		snap.users++
		ss.mu.Unlock()
		if err := s.unmoved(snap); err != nil {
			s.release(snap)
			return nil, err
		}
		return snap, nil
	}
	ss.mu.Unlock()
	snap, err := s.take()
	if err != nil {
		return nil, err
	}
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.now == nil && ss.commits == 0 && snap.id == s.lastTx.Load() {
		ss.now, snap.shared = snap, true
	}
	return snap, nil
}

// take begins a snapshot with one user.
func (s *Store) take() (snap *snapshot, err error) {
	btx, err := s.begin(false)
	if err != nil {
		return nil, err
	}
	snap = &snapshot{btx: btx, id: uint64(btx.ID()), slot: btx.ID() % 2, users: 1}
	if err := s.look(snap); err != nil {
		s.end(btx)
		return nil, err
	}
	return snap, nil
}

func (s *Store) look(snap *snapshot) (err error) {
	defer s.catch(&err, debug.SetPanicOnFault(true))
	copy(snap.head[:], s.head[snap.slot*s.pageSize:])
	var root uint64
	snap.im, root = imageOf(snap.btx)
	snap.root, err = rootTree(&snap.im, root)
	return err
}

// unmoved finds a meta page that was damaged since the snapshot was taken, as probe does, at the price of a comparison.
func (s *Store) unmoved(snap *snapshot) error {
	if same, err := s.sameHead(snap); same || err != nil {
		return err
	}
	return s.probe()
}

func (s *Store) sameHead(snap *snapshot) (same bool, err error) {
	defer s.catch(&err, debug.SetPanicOnFault(true))
	return string(s.head[snap.slot*s.pageSize:][:headSize]) == string(snap.head[:]), nil
}

// release gives a snapshot back; the last user of one that is not shared any more ends it.
func (s *Store) release(snap *snapshot) {
	s.snaps.mu.Lock()
	snap.users--
	over := snap.users == 0 && !snap.shared
	s.snaps.mu.Unlock()
	if over {
		s.end(snap.btx)
	}
}

// retire ends the sharing: until resume, who comes gets a snapshot of its own.
func (s *Store) retire() {
	ss := &s.snaps
	ss.mu.Lock()
	ss.commits++
	ss.over = make(chan struct{})
	snap := ss.now
	ss.now = nil
	over := false
	if snap != nil {
		snap.shared = false
		over = snap.users == 0
	}
	ss.mu.Unlock()
	if over {
		s.end(snap.btx)
	}
}

// resume ends what retire began.
func (s *Store) resume() {
	s.snaps.mu.Lock()
	defer s.snaps.mu.Unlock()
	s.snaps.commits--
	close(s.snaps.over)
	s.snaps.over = nil
}
