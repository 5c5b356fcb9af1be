package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	mrand "math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/internal/backend"
)

// After another process's commit this one takes the lock before it reads, for so many batches, unless that was long ago: on trust it would be overtaken again. Who writes much
// beside one that writes now and then is soon on trust again.
const (
	waryBatches = 16
	waryFor     = 2 * time.Second
)

// wary tells whether this process takes the lock before it reads.
type wary struct {
	batches, until atomic.Int64
	took           atomic.Int64 // when a lock was had last
}

func (w *wary) disturb() {
	w.until.Store(time.Now().Add(waryFor).UnixNano())
	w.batches.Store(waryBatches)
}

// locks counts the batch that asks.
func (w *wary) locks() bool { return w.batches.Add(-1) >= 0 && time.Now().UnixNano() < w.until.Load() }

// turns tells whether this process writes by turns with others.
func (w *wary) turns() bool { return time.Now().UnixNano()-w.took.Load() < int64(waryFor) }

// locked is a transaction that holds the row of the moment: nobody else commits.
type locked struct {
	s    *Store
	conn *pgxpool.Conn
	at   moment
	age  uint64
}

// lockMoment takes the row's lock, behind whoever waits for it already, and moves the cache to the newest moment.
func (s *Store) lockMoment(ctx context.Context) (l *locked, err error) {
	err = s.patient(ctx, func(ctx context.Context) error {
		conn, err := s.pool.Acquire(ctx)
		if err != nil {
			return failure(ctx, err)
		}
		asked, _ := s.cache.now()
		b := &pgx.Batch{}
		b.Queue("BEGIN")
		b.Queue("SET LOCAL idle_in_transaction_session_timeout = '5s'") // who stops here, or is cut off, holds everybody up
		news := s.queueNews(b, asked, s.sql.lock)
		news.queueChanged(b, s.sql.changed, asked)
		if err := conn.SendBatch(ctx, b).Close(); err != nil {
			_ = conn.Conn().Close(s.ctx)
			conn.Release()
			return failure(ctx, err)
		}
		if err := s.joins(asked, news); err != nil {
			(&locked{s: s, conn: conn}).drop()
			return err
		}
		s.writes.wary.took.Store(time.Now().UnixNano())
		l = &locked{s: s, conn: conn, at: news.at, age: s.follows(asked, news)}
		return nil
	})
	return l, err
}

// drop lets the lock go and writes nothing; nil has none.
func (l *locked) drop() {
	if l == nil || l.conn == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(l.s.ctx), connectTimeout)
	defer cancel()
	if _, err := l.conn.Exec(ctx, "ROLLBACK"); err != nil {
		_ = l.conn.Conn().Close(ctx)
	}
	l.conn.Release()
	l.conn = nil
}

// query asks under the lock where there is one, else by any connection: the moment in the answer says whether it counts.
func (b *batch) query(sql string, args []any, fresh func() func(pgx.Rows) error) error {
	if b.moved {
		return errMoved
	}
	ctx, cancel := context.WithTimeout(b.s.ctx, askTimeout)
	defer cancel()
	var err error
	if b.lock != nil {
		err = each(ctx, b.lock.conn, sql, args, fresh())
	} else {
		err = b.s.patient(ctx, func(ctx context.Context) error { return each(ctx, b.s.pool, sql, args, fresh()) })
	}
	if errors.Is(err, errMoved) || b.lock != nil && may(err) { // with the lock lost, all may have changed; nothing was sent yet
		b.moved = true
		b.s.writes.wary.disturb()
		return errMoved
	}
	return err
}

// write is one commit, ready to be sent as often as needed.
type write struct {
	from, to moment
	changes  []change
	sql      string
	args     []any
}

// after names a commit that follows a moment.
func after(m moment) (next moment) {
	next.seq = m.seq + 1
	_, _ = rand.Read(next.batch[:])
	return next
}

func (s *Store) write(from, to moment, changes []change) *write {
	w := &write{from: from, to: to, changes: changes}
	var put, added, gone rowsOf
	for _, ch := range changes {
		switch {
		case ch.value == nil:
			gone.add(ch)
		case ch.fresh:
			added.add(ch)
		default:
			put.add(ch)
		}
	}
	cols, keys := noted(changes)
	w.args = []any{w.from.seq, w.from.batch, w.to.batch, cols, keys}
	what := 0
	if len(put.cols) > 0 {
		what |= writes
		w.args = append(w.args, put.cols, put.keys, put.values)
	}
	if len(added.cols) > 0 {
		what |= adds
		w.args = append(w.args, added.cols, added.keys, added.values)
	}
	if len(gone.cols) > 0 {
		what |= removes
		w.args = append(w.args, gone.cols, gone.keys)
	}
	w.sql = s.sql.commit[what]
	return w
}

// rowsOf are rows as a statement takes them.
type rowsOf struct {
	cols         texts
	keys, values byteas
}

func (r *rowsOf) add(ch change) {
	r.cols, r.keys, r.values = append(r.cols, string(ch.c)), append(r.keys, []byte(ch.key)), append(r.values, ch.value)
}

// noted is what a commit tells others of itself: each key, or where they are many, the collections.
func noted(changes []change) (cols texts, keys byteas) {
	cols = texts{}
	if len(changes) > backend.WatchKeys {
		for _, ch := range changes { // in order of collections
			if n := len(cols); n == 0 || cols[n-1] != string(ch.c) {
				cols = append(cols, string(ch.c))
			}
		}
		return cols, nil
	}
	keys = byteas{}
	for _, ch := range changes {
		cols, keys = append(cols, string(ch.c)), append(keys, []byte(ch.key))
	}
	return cols, keys
}

// commit makes a batch's changes durable; who gets the write tells of it. errMoved: another process was first, and nothing was written.
func (s *Store) commit(b *batch, changes []change) (made *write, err error) {
	if f := s.inject.Swap(nil); f != nil {
		return nil, *f
	}
	w := s.write(b.base, b.to, changes)
	s.cache.expect(w)
	defer func() {
		if made == nil {
			s.cache.forget(w)
		}
	}()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), askTimeout)
	defer cancel()
	start := time.Now()
	done, err := s.send(ctx, b.lock, w)
	took := time.Since(start)
	if err == nil && done {
		s.writes.pace.committed(took)
	}
	if unsure(err) {
		done, err = s.settle(w)
	}
	switch {
	case err == nil && done:
		return w, nil
	case err == nil, may(err):
		s.writes.wary.disturb()
		if err != nil { // a lock that was not to be had, a server that restarts
			err = s.pause(ctx)
		}
		if err == nil {
			err = errMoved
		}
	}
	return nil, err
}

// tells moves what is known here over a commit that was made, and tells of it. It is the commit's turn.
func (s *Store) tells(made *write) {
	s.cache.wrote(made)
	s.told(made.from, made.to, made.changes)
}

// send sends a commit once. done is false where the moment is another by now.
func (s *Store) send(ctx context.Context, l *locked, w *write) (done bool, err error) {
	hook := s.onSend.Load()
	if l == nil {
		err = each(ctx, s.pool, w.sql, w.args, func(pgx.Rows) error { done = true; return nil })
	} else {
		b := &pgx.Batch{}
		b.Queue(w.sql, w.args...).Query(func(rows pgx.Rows) error {
			for rows.Next() {
				done = true
			}
			return rows.Err()
		})
		b.Queue("COMMIT")
		if err = failure(ctx, l.conn.SendBatch(ctx, b).Close()); err != nil {
			_ = l.conn.Conn().Close(ctx)
		}
		l.conn.Release()
		l.conn = nil
	}
	if hook != nil {
		err = (*hook)(err)
	}
	return done && err == nil, err
}

// settle finds out what became of a commit whose answer was lost, by sending it again until there is an answer: it happens once, now or before, or never. Errors:
// store.ErrUnknown when the database stays away. Then the next commit of anybody decides it.
func (s *Store) settle(w *write) (done bool, err error) {
	s.log.Warn("the connection was lost in a commit: finding out what became of it")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), s.opts.Patience)
	defer cancel()
	for {
		done, err = s.send(ctx, nil, w)
		if err != nil && !may(err) && !unsure(err) { // refused now; the one that was sent first may be under way still: make sure that it comes too late
			burnt, berr := s.send(ctx, nil, s.write(w.from, after(w.from), nil))
			if berr == nil && burnt {
				return false, err
			}
			done, err = false, berr
		}
		if err == nil && !done {
			done, err = s.bears(ctx, w.to)
		}
		if err == nil || errors.Is(err, store.ErrUnknown) {
			return done, err
		}
		if s.pause(ctx) != nil {
			return false, &failed{kind: store.ErrUnknown}
		}
	}
}

// bears tells whether the commit of a number bears a name.
func (s *Store) bears(ctx context.Context, m moment) (bool, error) {
	var batch [16]byte
	err := s.pool.QueryRow(ctx, s.sql.named, m.seq).Scan(&batch)
	if errors.Is(err, pgx.ErrNoRows) { // history went back, or it is too long ago
		return false, &failed{kind: store.ErrUnknown}
	}
	return batch == m.batch, failure(ctx, err)
}

// pause waits a moment before the same is tried again: not all at once, after a failover.
func (s *Store) pause(ctx context.Context) error {
	t := time.NewTimer(20*time.Millisecond + mrand.N(180*time.Millisecond))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return failure(ctx, ctx.Err())
	}
}

// patient tries fn until it goes well, fails for good, or patience ends. fn changes nothing, or nothing that counts.
func (s *Store) patient(ctx context.Context, fn func(context.Context) error) error {
	limit, cancel := context.WithTimeout(ctx, s.opts.Patience)
	defer cancel()
	for {
		err := fn(limit)
		if !may(err) {
			if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
				return &failed{kind: store.ErrUnavailable}
			}
			return err
		}
		if s.pause(limit) != nil {
			return err
		}
	}
}
