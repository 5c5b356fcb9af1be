package postgres

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Times of a leader. One that cannot be sure for beatEvery + beatLimit steps down; the server ends a session that has not spoken for leaderIdle, also where the
// machine is cut off or the process stands still, and only then another takes over: never two, and within standbyEvery more.
const (
	beatEvery    = 2 * time.Second
	beatLimit    = 3 * time.Second
	leaderIdle   = "9s"
	standbyEvery = 3 * time.Second
	succeedAfter = 200 * time.Millisecond // with the lock in hand: the leader before, whose session the server ended, is told by then, and stops
)

// Lead runs fn while this process is the leader among all that share the store and ask under the same name, again each time it becomes it, until ctx ends. The context
// of fn ends when the leadership may be lost; Lead waits for fn then, so fn must end soon. Another leads within 15 s of a leader's death. Before PostgreSQL 14 a
// leader that stands still, its machine running, keeps the others waiting for as long as it does. who is what Leader will call it: up to 48 characters of ASCII.
func (s *Store) Lead(ctx context.Context, name, who string, fn func(context.Context)) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.running.Done()
	for ctx.Err() == nil && !s.closing() {
		c, err := s.candidate(ctx, name, who)
		if err != nil {
			s.log.Warn("nobody can be the leader now", "cause", failure(ctx, err).Error())
		}
		if c != nil {
			s.rest(ctx, succeedAfter)
			s.log.Info("leader", "of", name)
			s.reign(ctx, c, fn)
			s.log.Info("leader no more", "of", name)
		}
		s.rest(ctx, standbyEvery)
	}
	return ctx.Err()
}

// leaderOf begins the name that a leader's session bears among the server's: every role may read it (pg_stat_activity).
const leaderOf = applicationName + " leader "

// Leader tells who leads under a name, as it called itself to Lead; "" where nobody does at this moment. Whoever may use the database can call its session what it likes: nothing is
// to depend on it.
func (s *Store) Leader(ctx context.Context, name string) (who string, err error) {
	if err := s.enter(); err != nil {
		return "", err
	}
	defer s.running.Done()
	err = each(ctx, s.pool, `SELECT a.application_name
		FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
		WHERE l.locktype = 'advisory' AND l.granted AND l.mode = 'ExclusiveLock' AND l.objsubid = 1
		AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
		AND (l.classid::int8 << 32 | l.objid::int8) = $1`, []any{lockOf(s.schema, "leader "+name)}, func(rows pgx.Rows) error {
		var app *string
		err := rows.Scan(&app)
		if app == nil {
			return err
		}
		if name, ok := strings.CutPrefix(*app, leaderOf); ok { // else it has just begun, or is of a version that does not say
			who = name
		}
		return err
	})
	return who, err
}

// closing tells whether Close was called.
func (s *Store) closing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// rest waits, or until ctx ends or the store is closed.
func (s *Store) rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	case <-s.shut:
	}
}

// candidate gives a session that holds the leader's lock, nil where another does.
func (s *Store) candidate(ctx context.Context, name, who string) (c *pgx.Conn, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*connectTimeout)
	defer cancel()
	if c, err = pgx.ConnectConfig(ctx, s.pool.Config().ConnConfig); err != nil {
		return nil, err
	}
	got := false
	_, err = c.Exec(ctx, "SELECT pg_catalog.set_config('idle_session_timeout', $1, false) WHERE pg_catalog.current_setting('server_version_num')::int4 >= $2", leaderIdle, idlingVersion)
	if err == nil {
		err = c.QueryRow(ctx, "SELECT pg_catalog.pg_try_advisory_lock($1)", lockOf(s.schema, "leader "+name)).Scan(&got)
	}
	if err == nil && got {
		_, err = c.Exec(ctx, "SELECT pg_catalog.set_config('application_name', $1, false)", leaderOf+who)
	}
	if err != nil || !got {
		s.endSession(c)
		return nil, err
	}
	return c, nil
}

// endSession closes a connection, and with it its locks.
func (s *Store) endSession(c *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = c.Close(ctx)
}

// reign runs fn for as long as the session answers, and gives the lock back when fn has ended.
func (s *Store) reign(ctx context.Context, c *pgx.Conn, fn func(context.Context)) {
	ctx, depose := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer depose()
		fn(ctx)
	}()
	go func() {
		select {
		case <-s.shut:
			depose()
		case <-ctx.Done():
		}
	}()
	for s.holds(ctx, c) {
	}
	depose()
	<-done
	s.endSession(c)
}

// holds waits for the next beat, on the connection: a session that the server ends, and with it the lock, is known at once.
func (s *Store) holds(ctx context.Context, c *pgx.Conn) bool {
	wait, cancel := context.WithTimeout(ctx, beatEvery)
	defer cancel()
	for {
		switch _, err := c.WaitForNotification(wait); {
		case err == nil:
		case ctx.Err() != nil || wait.Err() == nil:
			return false
		default:
			return s.beat(ctx, c)
		}
	}
}

// beat tells whether the session still answers, and so still holds the lock.
func (s *Store) beat(ctx context.Context, c *pgx.Conn) bool {
	limit, cancel := context.WithTimeout(ctx, beatLimit)
	defer cancel()
	var one int
	return c.QueryRow(limit, "SELECT 1").Scan(&one) == nil
}
