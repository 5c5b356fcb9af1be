package postgres

import (
	"context"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/zavhoz/zavhoz/store"
)

// gatherMost is how many keys one question asks for.
const gatherMost = 128

// gather asks for what many look for at the same time, Views of one moment or who asks ahead, with one question after the other: who comes while one is under way goes with the next.
type gather struct {
	mu      sync.Mutex
	asking  bool
	waiting []*lookup
}

// lookup is one key that somebody looks for.
type lookup struct {
	c     store.Collection
	key   string
	value []byte
	since *uint64   // nil: no record
	err   error     // for a View; who asks ahead wants none
	turn  chan bool // true: it is this one's turn to ask, for all that wait; false: it is answered
}

// find gives a value by its key, and the commit that wrote it.
func (v *viewing) find(c store.Collection, key string) (value []byte, since *uint64, err error) {
	l := v.snap.gather.lookUp(c, key, v.askFor)
	return l.value, l.since, l.err
}

// lookUp looks for a key, with whoever else does. ask answers lookups, the first of which is the asker's own.
func (g *gather) lookUp(c store.Collection, key string, ask func([]*lookup)) *lookup {
	l := &lookup{c: c, key: key, turn: make(chan bool, 1)}
	g.mu.Lock()
	g.waiting = append(g.waiting, l)
	asks := !g.asking
	g.asking = true
	g.mu.Unlock()
	if asks || <-l.turn {
		all := g.take()
		ask(all)
		for _, o := range all[1:] {
			o.turn <- false
		}
		g.pass()
	}
	return l
}

// take gives who waits, the first of them first.
func (g *gather) take() []*lookup {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := min(len(g.waiting), gatherMost)
	all := g.waiting[:n:n]
	g.waiting = g.waiting[n:]
	return all
}

// pass gives the turn to ask to the first of those who came meanwhile.
func (g *gather) pass() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) == 0 {
		g.asking, g.waiting = false, nil
		return
	}
	g.waiting[0].turn <- true
}

// askFor answers lookups within the snapshot.
func (v *viewing) askFor(all []*lookup) {
	ctx, cancel := context.WithTimeout(v.s.ctx, askTimeout)
	defer cancel()
	m, err := ask(ctx, v.s.sql.gets, all, v.snap.within)
	if err == nil && m != v.snap.moment {
		err = &failed{kind: store.ErrCorrupt} // the same transaction shows another moment: no database does that
	}
	for _, l := range all {
		l.err = err
	}
}

// ask fills lookups in, all of one moment, which it gives.
func ask(ctx context.Context, sql string, all []*lookup, query func(context.Context, string, []any, func(pgx.Rows) error) error) (at moment, err error) {
	cols, keys := make(texts, len(all)), make(byteas, len(all))
	for i, l := range all {
		cols[i], keys[i] = string(l.c), []byte(l.key)
	}
	answered := 0
	err = query(ctx, sql, []any{cols, keys}, func(rows pgx.Rows) error {
		var m moment
		var n int
		var x lookup
		if err := rows.Scan(&m.seq, &m.batch, &n, &x.value, &x.since); err != nil {
			return err
		}
		if answered > 0 && m != at || n < 1 || n > len(all) {
			return errMoved
		}
		at = m
		answered++
		all[n-1].value, all[n-1].since = x.value, x.since
		return nil
	})
	if err == nil && answered != len(all) {
		err = &failed{kind: store.ErrCorrupt} // the moment is gone
	}
	return at, err
}
