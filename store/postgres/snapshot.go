package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Times of a snapshot.
const (
	snapshotAge  = 10 * time.Second      // after which nobody joins it: while it is open the server keeps every row that was replaced since
	snapshotIdle = 50 * time.Millisecond // after which it is closed when nobody uses it: each commit meanwhile leaves rows that the next ones must pass by
	snapshotConn = time.Minute           // after which the connection goes back: the next may be to a new primary
)

// snapshot is a read-only transaction at one moment. Views share the newest.
type snapshot struct {
	moment
	age    uint64 // of the cache, when it was opened
	conn   *pgxpool.Conn
	since  time.Time  // when the connection was taken for snapshots
	ask    sync.Mutex // one statement at a time
	gather gather
	opened time.Time

	refs   int // the rest under moments.mu
	used   time.Time
	broken bool
}

// openSnapshot begins a transaction at the newest moment, and moves the cache there.
func (s *Store) openSnapshot(ctx context.Context) (*snapshot, error) {
	if snap := s.takeIdle(); snap != nil { // the next transaction is of the same sort as the last
		err := s.start(ctx, snap, "ROLLBACK AND CHAIN")
		if err == nil {
			return snap, nil
		}
		if !may(err) {
			return nil, err
		}
	}
	snap, err := s.takeSlot(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.start(ctx, snap, "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"); err != nil {
		return nil, err
	}
	return snap, nil
}

// start begins a snapshot's transaction by the statement given: in one round trip where nobody else writes, for then the moment is one that is known here.
func (s *Store) start(ctx context.Context, snap *snapshot, begin string) error {
	b := &pgx.Batch{}
	b.Queue(begin)
	asked, _ := s.cache.now()
	n := &news{}
	if s.moments.others.broken() {
		n = s.queueNews(b, asked, s.sql.moment)
		n.queueChanged(b, s.sql.changed, asked)
	} else {
		n.queueMoment(b, s.sql.moment)
	}
	err := snap.conn.SendBatch(ctx, b).Close()
	if err == nil {
		snap.age, err = s.reach(ctx, snap, asked, n)
	}
	if err != nil {
		snap.broken = true
		s.hangUp(snap)
		return failure(ctx, err)
	}
	snap.moment = n.at
	s.install(snap)
	return nil
}

// reach moves the cache to the moment that a snapshot is at, and gives its age.
func (s *Store) reach(ctx context.Context, snap *snapshot, asked moment, n *news) (age uint64, err error) {
	if s.rewound.Load() {
		return 0, errRewound
	}
	if age, known := s.cache.joined(asked, n.at); known {
		return age, nil
	}
	if n.commits == nil {
		b := &pgx.Batch{}
		n.queueCommits(b, s.sql.commits, asked)
		if err := snap.conn.SendBatch(ctx, b).Close(); err != nil {
			return 0, err
		}
	}
	if err := s.joins(asked, n); err != nil {
		return 0, err
	}
	s.moments.others.disturb()
	return s.follows(asked, n), nil
}

// takeIdle takes the connection of the current snapshot, whose transaction is still open, where nobody reads from it; nil where somebody does.
func (s *Store) takeIdle() *snapshot {
	m := &s.moments
	m.mu.Lock()
	defer m.mu.Unlock()
	cur := m.current
	if cur == nil || cur.refs > 0 || cur.broken || time.Since(cur.since) > snapshotConn {
		return nil
	}
	m.current = nil
	return &snapshot{conn: cur.conn, since: cur.since, opened: time.Now(), used: time.Now(), refs: 1}
}

// takeSlot takes a connection of its own for a snapshot.
func (s *Store) takeSlot(ctx context.Context) (*snapshot, error) {
	select {
	case s.moments.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, errCrowded
	}
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		<-s.moments.slots
		return nil, failure(ctx, err)
	}
	return &snapshot{conn: conn, since: time.Now(), opened: time.Now(), used: time.Now(), refs: 1}, nil
}

// install makes a snapshot the one that is joined.
func (s *Store) install(snap *snapshot) {
	m := &s.moments
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.current
	m.current = snap
	if old != nil && old.refs == 0 {
		s.closeLater(old)
	}
}

// release gives a reference back.
func (s *Store) release(snap *snapshot) {
	s.moments.mu.Lock()
	defer s.moments.mu.Unlock()
	snap.refs--
	snap.used = time.Now()
	s.retireIdle(snap)
}

// retireIdle closes a snapshot that nobody uses and nobody will join. Under moments.mu.
func (s *Store) retireIdle(snap *snapshot) {
	if snap.refs > 0 {
		return
	}
	if snap == s.moments.current {
		if !snap.broken {
			s.moments.rests()
			return
		}
		s.moments.current = nil
	}
	s.closeLater(snap)
}

// closeLater ends a snapshot's transaction beside the callers.
func (s *Store) closeLater(snap *snapshot) {
	s.moments.closing.Add(1)
	go func() {
		defer s.moments.closing.Done()
		s.hangUp(snap)
	}()
}

func (s *Store) hangUp(snap *snapshot) {
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	if snap.broken {
		_ = snap.conn.Conn().Close(ctx)
	} else if _, err := snap.conn.Exec(ctx, "ROLLBACK"); err != nil {
		_ = snap.conn.Conn().Close(ctx)
	}
	snap.conn.Release()
	<-s.moments.slots
}

// rests says that nobody reads from the current snapshot.
func (m *moments) rests() {
	select {
	case m.idle <- struct{}{}:
	default:
	}
}

// sweep closes the current snapshot when it was not used for a while.
func (s *Store) sweep() {
	for {
		select {
		case <-s.moments.idle:
			wait(s.ctx, snapshotIdle)
			s.sweepSnapshots()
		case <-s.ctx.Done():
			return
		}
	}
}

func (s *Store) sweepSnapshots() {
	m := &s.moments
	m.mu.Lock()
	defer m.mu.Unlock()
	switch cur := m.current; {
	case cur == nil || cur.refs > 0: // who reads says when it rests
	case time.Since(cur.used) < snapshotIdle:
		m.rests()
	default:
		m.current = nil
		s.closeLater(cur)
	}
}
