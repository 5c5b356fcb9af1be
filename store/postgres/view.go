package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/internal/backend"
)

// View runs fn on the newest moment of the database. What fn reads is of that moment for as long as it runs, however much is written meanwhile.
func (s *Store) View(ctx context.Context, fn func(store.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer s.running.Done()
	snap, err := s.newest(ctx)
	if err != nil {
		return err
	}
	v := &viewing{s: s, snap: snap}
	defer func() { s.release(v.snap) }()
	t := &tx{backend.Tx{Ctx: ctx, R: &reader{s: s, at: snap.moment, age: snap.age, src: v}}}
	defer t.Finish()
	return fn(t)
}

// viewing is a View's hold of its snapshot.
type viewing struct {
	s    *Store
	snap *snapshot
}

// query asks within the snapshot's transaction. The caller's context does not end it: others use the same connection.
func (v *viewing) query(sql string, args []any, again func() func(pgx.Rows) error) error {
	ctx, cancel := context.WithTimeout(v.s.ctx, askTimeout)
	defer cancel()
	err := v.snap.within(ctx, sql, args, again())
	if !may(err) {
		return err
	}
	v.s.spoil(v.snap) // the connection was lost, and its moment with it, unless nobody wrote since
	var fresh *snapshot
	err = v.s.patient(ctx, func(ctx context.Context) (err error) { fresh, err = v.s.openSnapshot(ctx); return err })
	if err != nil {
		return err
	}
	if fresh.moment != v.snap.moment {
		v.s.release(fresh)
		return &failed{kind: store.ErrUnavailable}
	}
	v.s.release(v.snap)
	v.snap = fresh
	return fresh.within(ctx, sql, args, again())
}

func (snap *snapshot) within(ctx context.Context, sql string, args []any, fn func(pgx.Rows) error) error {
	snap.ask.Lock()
	defer snap.ask.Unlock()
	err := each(ctx, snap.conn, sql, args, fn)
	if errors.Is(err, errMoved) { // the same transaction shows another moment: no database does that
		return &failed{kind: store.ErrCorrupt}
	}
	return err
}

// spoil lets nobody join a snapshot any more.
func (s *Store) spoil(snap *snapshot) {
	s.moments.mu.Lock()
	defer s.moments.mu.Unlock()
	snap.broken = true
	if s.moments.current == snap {
		s.moments.current = nil
	}
}
