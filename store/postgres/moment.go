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
	snapshotAge  = 10 * time.Second // after which nobody joins it: while it is open the server keeps every row that was replaced since
	snapshotIdle = time.Second      // after which it is closed when nobody uses it
)

// snapshot is a read-only transaction at one moment. Views share the newest.
type snapshot struct {
	moment
	age    uint64 // of the cache, when it was opened
	conn   *pgxpool.Conn
	ask    sync.Mutex // one statement at a time
	opened time.Time

	refs   int // the rest under moments.mu
	used   time.Time
	broken bool
}

// moments finds the newest moment for whoever asks, with one question for all that came before it was sent.
type moments struct {
	mu      sync.Mutex
	asking  bool
	next    *round
	current *snapshot
	slots   chan struct{} // of connections that snapshots hold
	closing sync.WaitGroup
}

// round is one question and who waits for its answer.
type round struct {
	done chan struct{}
	wait int
	snap *snapshot
	err  error
}

// newest gives a snapshot of a moment that was the newest at some time after newest was called. release it.
func (s *Store) newest(ctx context.Context) (*snapshot, error) {
	m := &s.moments
	m.mu.Lock()
	r := m.next
	if r == nil {
		r = &round{done: make(chan struct{})}
		m.next = r
	}
	r.wait++
	first := !m.asking
	if first {
		m.asking, m.next = true, nil
	}
	m.mu.Unlock()
	if first { // who finds nobody asking asks himself, once: most often all is as it was
		if snap := s.unchanged(ctx); snap != nil {
			s.hand(r, snap, nil)
			s.tasks.Add(1)
			s.pass(nil)
		} else {
			s.tasks.Add(1)
			go s.pass(r)
		}
	}
	select {
	case <-r.done:
		return r.snap, r.err
	case <-ctx.Done():
	}
	m.mu.Lock()
	select {
	case <-r.done:
		m.mu.Unlock()
		if r.snap != nil {
			s.release(r.snap)
		}
	default:
		r.wait--
		m.mu.Unlock()
	}
	return nil, ctx.Err()
}

// hand gives a round's answer to who waits for it. snap comes with a reference of the asker's.
func (s *Store) hand(r *round, snap *snapshot, err error) {
	m := &s.moments
	m.mu.Lock()
	defer m.mu.Unlock()
	if r.snap, r.err = snap, err; snap != nil {
		snap.refs += r.wait - 1
		s.retireIdle(snap)
	}
	close(r.done)
}

// pass answers a round, if it is given one, and then who came meanwhile, in a goroutine of its own.
func (s *Store) pass(r *round) {
	m := &s.moments
	if r != nil {
		snap, err := s.look()
		s.hand(r, snap, err)
	}
	m.mu.Lock()
	if m.next == nil {
		m.asking = false
		m.mu.Unlock()
		s.tasks.Done()
		return
	}
	m.mu.Unlock()
	go s.answer()
}

// answer asks until nobody waits.
func (s *Store) answer() {
	defer s.tasks.Done()
	m := &s.moments
	for {
		m.mu.Lock()
		r := m.next
		m.next = nil
		if r == nil {
			m.asking = false
			m.mu.Unlock()
			return
		}
		m.mu.Unlock()
		snap, err := s.look()
		s.hand(r, snap, err)
	}
}

// look gives a snapshot of the newest moment, with one reference.
func (s *Store) look() (snap *snapshot, err error) {
	err = s.patient(s.ctx, func(ctx context.Context) error {
		if snap = s.unchanged(ctx); snap != nil {
			return nil
		}
		snap, err = s.openSnapshot(ctx)
		return err
	})
	return snap, err
}

// unchanged gives the current snapshot if the database says that it is still the newest moment. Any failure leads to a new one, which says what is wrong.
func (s *Store) unchanged(ctx context.Context) *snapshot {
	s.moments.mu.Lock()
	cur := s.moments.current
	if cur == nil || cur.broken || time.Since(cur.opened) > snapshotAge {
		s.moments.mu.Unlock()
		return nil
	}
	cur.refs++
	s.moments.mu.Unlock()
	if at, age := s.cache.now(); at == cur.moment && age == cur.age {
		var m moment
		if err := s.pool.QueryRow(ctx, s.sql.moment).Scan(&m.seq, &m.batch); err == nil && m == cur.moment {
			return cur
		}
	}
	s.release(cur)
	return nil
}

// openSnapshot begins a transaction at the newest moment, and moves the cache there.
func (s *Store) openSnapshot(ctx context.Context) (*snapshot, error) {
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
	snap := &snapshot{conn: conn, opened: time.Now(), used: time.Now(), refs: 1}
	asked, _ := s.cache.now()
	b := &pgx.Batch{}
	b.Queue("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
	news := s.queueNews(b, asked, s.sql.moment)
	if err = conn.SendBatch(ctx, b).Close(); err == nil {
		err = s.joins(asked, news)
	}
	if err != nil {
		snap.broken = true
		s.hangUp(snap)
		return nil, failure(ctx, err)
	}
	snap.moment = news.at
	snap.age = s.cache.advance(asked, news.at, news.commits)
	s.moments.mu.Lock()
	old := s.moments.current
	s.moments.current = snap
	if old != nil && old.refs == 0 {
		s.closeLater(old)
	}
	s.moments.mu.Unlock()
	return snap, nil
}

// news is the newest moment and the commits since another.
type news struct {
	at      moment
	commits []commit
	err     error
}

// queueNews asks for it; how says with which statement the moment is read.
func (s *Store) queueNews(b *pgx.Batch, since moment, how string) *news {
	n := &news{}
	b.Queue(how).QueryRow(func(r pgx.Row) error { return r.Scan(&n.at.seq, &n.at.batch) })
	b.Queue(s.sql.commits, since.seq).Query(func(rows pgx.Rows) (err error) {
		n.commits, err = pgx.CollectRows(rows, scanCommit)
		return err
	})
	return n
}

func scanCommit(r pgx.CollectableRow) (c commit, err error) {
	return c, r.Scan(&c.seq, &c.batch, &c.cols, &c.keys)
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

// sweepSnapshots closes the current snapshot when it was not used for a while.
func (s *Store) sweepSnapshots() {
	s.moments.mu.Lock()
	defer s.moments.mu.Unlock()
	if cur := s.moments.current; cur != nil && cur.refs == 0 && time.Since(cur.used) > snapshotIdle {
		s.moments.current = nil
		s.closeLater(cur)
	}
}
