package postgres

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/internal/backend"
)

// Times of the follower.
const (
	pollEvery = 500 * time.Millisecond // how often it asks though it was not notified
	pollLeast = 10 * time.Millisecond  // between two questions: others' commits are told of in groups
	trimEvery = time.Minute
	retell    = 500 * time.Millisecond // before it connects again
)

// teller is up to where the watchers were told.
type teller struct {
	mu    sync.Mutex
	at    moment
	slow  time.Time                 // until when the cache does not follow; the listener's alone
	heard map[store.Collection]bool // that the watchers were told of
}

// Watch tells of committed changes, of this process at once and of others within a second, until ctx ends or the store closes; then the channel closes. Nothing is
// lost where the connection is: what was committed meanwhile is told when it is back.
func (s *Store) Watch(ctx context.Context) <-chan store.Change {
	return s.watchers.Watch(ctx)
}

// told tells the watchers of a commit of this process, where they have heard all before it; else the follower does, in its order. The other processes hear of it too.
func (s *Store) told(from, to moment, changes []change) {
	select {
	case s.pulse <- struct{}{}:
	default: // they will hear of this one with the one before
	}
	s.teller.mu.Lock()
	defer s.teller.mu.Unlock()
	if s.teller.at != from {
		return
	}
	s.teller.at = to
	list := make([]store.Change, len(changes))
	for i, ch := range changes {
		list[i] = store.Change{Collection: ch.c, Key: ch.key}
	}
	s.tellWatchers(list)
}

// tellWatchers tells, and keeps what of. The teller's lock is held.
func (s *Store) tellWatchers(list []store.Change) {
	if s.teller.heard == nil {
		s.teller.heard = map[store.Collection]bool{}
	}
	for _, ch := range list {
		s.teller.heard[ch.Collection] = true
	}
	s.watchers.Tell(list)
}

// spread notifies the other processes of what this one has committed: at once, and then in groups. A notice in each commit would wake all of them, and us, each time. Who
// misses one, for we were killed before it, asks within pollEvery. It waits for no disk: what it tells of is on it.
func (s *Store) spread() {
	for range s.pulse {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		at, _ := s.cache.now()
		_ = each(ctx, s.pool, s.sql.notify, []any{s.sql.channel, strconv.FormatUint(at.seq, 10)}, func(pgx.Rows) error { return nil })
		cancel()
		s.rest(s.ctx, pollLeast)
	}
}

// follow listens for what others commit, and asks now and then in case that a notice is lost.
func (s *Store) follow(conn *pgxpool.Conn) {
	for {
		err := s.listen(conn)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		_ = conn.Conn().Close(ctx) // it listens, and holds a lock: nobody else's
		cancel()
		conn.Release()
		for conn = nil; conn == nil; {
			if s.ctx.Err() != nil {
				return
			}
			s.log.Warn("not listening to the database", "cause", failure(s.ctx, err).Error())
			wait(s.ctx, retell)
			conn, err = s.use(s.ctx)
		}
	}
}

// use takes a connection that says, for as long as it lives, that the store is in use here. Errors: store.ErrBusy where somebody has, or wants, it alone.
func (s *Store) use(ctx context.Context) (*pgxpool.Conn, error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, failure(ctx, err)
	}
	ask := "SELECT pg_catalog.pg_try_advisory_lock_shared($1)"
	if s.opts.Exclusive {
		ask = "SELECT pg_catalog.pg_try_advisory_lock($1)"
	}
	got := false
	err = failure(ctx, conn.QueryRow(ctx, ask, lockOf(s.schema, "use")).Scan(&got))
	if err == nil && !got {
		err = store.ErrBusy
	}
	s.ousted.Store(errors.Is(err, store.ErrBusy))
	if err != nil {
		conn.Release()
		return nil, err
	}
	return conn, nil
}

func (s *Store) listen(conn *pgxpool.Conn) error {
	if _, err := conn.Exec(s.ctx, s.sql.listen); err != nil {
		return err
	}
	trimmed := time.Now()
	for {
		if err := s.catchUp(); err != nil {
			return err
		}
		s.keepUp()
		if time.Since(trimmed) > trimEvery {
			trimmed = time.Now()
			if at, _ := s.cache.now(); at.seq > backend.WatchKeys {
				_ = each(s.ctx, s.pool, s.sql.trim, []any{at.seq - backend.WatchKeys}, func(pgx.Rows) error { return nil })
			}
		}
		wait(s.ctx, pollLeast)
		if err := s.await(conn); err != nil {
			return err
		}
	}
}

// await waits for a notice of something that was not told yet, or until it is time to ask.
func (s *Store) await(conn *pgxpool.Conn) error {
	ctx, cancel := context.WithTimeout(s.ctx, pollEvery)
	defer cancel()
	for {
		n, err := conn.Conn().WaitForNotification(ctx)
		if err != nil {
			if ctx.Err() != nil && s.ctx.Err() == nil {
				return nil
			}
			return err
		}
		s.teller.mu.Lock()
		at := s.teller.at.seq
		s.teller.mu.Unlock()
		if seq, err := strconv.ParseUint(n.Payload, 10, 64); err != nil || seq > at {
			return nil
		}
	}
}

// catchUp tells the watchers what was committed since they were told last.
func (s *Store) catchUp() error {
	s.teller.mu.Lock()
	asked := s.teller.at
	s.teller.mu.Unlock()
	ctx, cancel := context.WithTimeout(s.ctx, askTimeout)
	defer cancel()
	b := &pgx.Batch{}
	b.Queue("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY") // both answers of one moment
	news := s.queueNews(b, asked, s.sql.moment)
	b.Queue("COMMIT")
	if err := s.pool.SendBatch(ctx, b).Close(); err != nil {
		return err
	}
	if s.joins(asked, news) != nil {
		return nil // logged; whoever asks is refused
	}
	s.teller.mu.Lock()
	defer s.teller.mu.Unlock()
	has := func(m moment) bool {
		return slices.ContainsFunc(news.commits, func(c commit) bool { return c.moment == m })
	}
	switch at := s.teller.at; {
	case news.at == at, has(asked) && has(news.at) && news.at.seq <= at.seq:
		return nil
	case has(at) && has(news.at):
		s.tellWatchers(noticesOf(news.commits, at.seq))
	default: // too long away, or another history: everything may be different
		all, err := s.collections(ctx)
		if err != nil {
			return err
		}
		s.tellWatchers(all)
	}
	s.teller.at = news.at
	return nil
}

// The cache follows for speed alone: what is long on its way is left to who asks for it, for a while.
const (
	followWithin = time.Second
	followAgain  = time.Minute
)

// keepUp moves the cache to where the watchers were told that others are: who writes next has less to learn under the lock of all writers. Who writes by turns with others
// learns all of it there, once. It comes after the watchers and fails alone: values are long, and what is told is not to wait for them.
func (s *Store) keepUp() {
	known, _ := s.cache.now()
	s.teller.mu.Lock()
	at := s.teller.at
	s.teller.mu.Unlock()
	if known.seq >= at.seq || s.writes.wary.turns() || time.Now().Before(s.teller.slow) {
		return
	}
	ctx, cancel := context.WithTimeout(s.ctx, followWithin)
	defer cancel()
	b := &pgx.Batch{}
	b.Queue("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
	news := s.queueNews(b, known, s.sql.moment)
	news.queueChanged(b, s.sql.changed, known)
	b.Queue("COMMIT")
	if err := s.pool.SendBatch(ctx, b).Close(); err != nil {
		s.teller.slow = time.Now().Add(followAgain)
		return
	}
	if s.joins(known, news) == nil {
		s.follows(known, news)
	}
}

// follows moves the cache, and has the next batches take the lock where others write.
func (s *Store) follows(known moment, news *news) (age uint64) {
	age, others := s.cache.advance(known, news)
	if others {
		s.writes.wary.disturb()
	}
	return age
}

func noticesOf(commits []commit, after uint64) (out []store.Change) {
	for _, c := range commits {
		if c.seq <= after {
			continue
		}
		for i, col := range c.cols {
			n := store.Change{Collection: store.Collection(col)}
			if c.keys != nil {
				n.Key = string(c.keys[i])
			}
			out = append(out, n)
		}
	}
	return out
}

// collections names every collection that has records, and those that watchers heard of before. The teller's lock is held.
func (s *Store) collections(ctx context.Context) (out []store.Change, err error) {
	err = each(ctx, s.pool, s.sql.all, nil, func(rows pgx.Rows) error {
		var c string
		err := rows.Scan(&c)
		out = append(out, store.Change{Collection: store.Collection(c)})
		return err
	})
	for c := range s.teller.heard {
		out = append(out, store.Change{Collection: c})
	}
	return out, err
}

// wait waits, or until ctx ends.
func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
