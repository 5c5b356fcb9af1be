package postgres

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/zavhoz/zavhoz/store"
)

// moments finds the newest moment for whoever asks, with one question for all that came before it was sent.
type moments struct {
	mu      sync.Mutex
	asking  bool
	next    *round
	current *snapshot
	slots   chan struct{} // of connections that snapshots hold
	others  calm          // another process has committed lately
	idle    chan struct{} // 1 slot: nobody reads from the current snapshot
	closing sync.WaitGroup
}

// calmAfter is how long after another process's commit a View asks at once for what others changed, with the moment.
const calmAfter = 250 * time.Millisecond

// calm tells whether this process writes alone.
type calm struct{ until atomic.Int64 }

func (c *calm) disturb() { c.until.Store(time.Now().Add(calmAfter).UnixNano()) }

func (c *calm) broken() bool { return time.Now().UnixNano() < c.until.Load() }

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
	if !m.asking { // who finds nobody asking asks himself
		m.asking = true
		m.mu.Unlock()
		snap, err := s.look(ctx)
		s.pass()
		if err != nil && ctx.Err() != nil {
			err = ctx.Err()
		}
		return snap, err
	}
	r := m.next
	if r == nil {
		r = &round{done: make(chan struct{})}
		m.next = r
	}
	r.wait++
	m.mu.Unlock()
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

// pass lets a goroutine of the store's own ask for who came meanwhile.
func (s *Store) pass() {
	m := &s.moments
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.next == nil {
		m.asking = false
		return
	}
	s.tasks.Go(s.answer)
}

// answer asks until nobody waits.
func (s *Store) answer() {
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
		snap, err := s.look(s.ctx)
		s.hand(r, snap, err)
	}
}

// look gives a snapshot of the newest moment, with one reference.
func (s *Store) look(ctx context.Context) (snap *snapshot, err error) {
	err = s.patient(ctx, func(ctx context.Context) error {
		if snap = s.unchanged(ctx); snap != nil {
			return nil
		}
		snap, err = s.openSnapshot(ctx)
		return err
	})
	return snap, err
}

// unchanged gives the current snapshot if the database says that it is still the newest moment. Any failure leads to a new one, which says what is wrong. Where others
// write it is not asked: most often it would not be.
func (s *Store) unchanged(ctx context.Context) *snapshot {
	if s.moments.others.broken() {
		return nil
	}
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

// news is the newest moment and the commits since another.
type news struct {
	at      moment
	commits []commit
	changed map[place]*[]byte // what they changed and how it is now, as far as it was asked for; nil: no record
	err     error
}

// place is a collection and a key of it.
type place struct {
	c   store.Collection
	key string
}

// queueNews asks for it; how says with which statement the moment is read.
func (s *Store) queueNews(b *pgx.Batch, since moment, how string) *news {
	n := &news{}
	n.queueMoment(b, how)
	n.queueCommits(b, s.sql.commits, since)
	return n
}

func (n *news) queueMoment(b *pgx.Batch, how string) {
	b.Queue(how).QueryRow(func(r pgx.Row) error { return r.Scan(&n.at.seq, &n.at.batch) })
}

func (n *news) queueCommits(b *pgx.Batch, how string, since moment) {
	b.Queue(how, since.seq).Query(func(rows pgx.Rows) (err error) {
		n.commits, err = pgx.CollectRows(rows, scanCommit)
		return err
	})
}

// queueChanged asks for what the commits wrote, too: who follows the others' commits need not ask for each row that it had in memory.
func (n *news) queueChanged(b *pgx.Batch, how string, since moment) {
	b.Queue(how, since.seq).Query(func(rows pgx.Rows) error {
		n.changed = map[place]*[]byte{}
		for rows.Next() {
			var c string
			var key, value []byte
			var seq *uint64
			if err := rows.Scan(&c, &key, &value, &seq); err != nil {
				return err
			}
			switch at := (place{store.Collection(c), string(key)}); {
			case seq == nil:
				n.changed[at] = nil
			case value != nil:
				n.changed[at] = &value
			}
		}
		return rows.Err()
	})
}

func scanCommit(r pgx.CollectableRow) (c commit, err error) {
	return c, r.Scan(&c.seq, &c.batch, &c.cols, &c.keys)
}
