package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/internal/backend"
)

// Rows of a page: the first, so that a scan that stops soon costs little, and those after it.
const (
	pageFirst = 16
	pageMost  = 256
)

// beyond is greater than every key.
var beyond = strings.Repeat("\xff", store.MaxKey+1)

// errMoved: what was read is of another moment than what was read before.
var errMoved = errors.New("postgres: another process has committed meanwhile")

// errGiant: a value is there that no store puts.
var errGiant = fmt.Errorf("postgres: a record is longer than any may be: %w", store.ErrCorrupt)

// source asks the server. Every answer bears the moment that it is of. Where a connection is lost in an answer, it is asked again, and the rows go to another function
// of fresh's: those before count for nothing.
type source interface {
	query(sql string, args []any, fresh func() func(pgx.Rows) error) error
}

// finder is a source that many ask at once. Where the answer is lost, the same is asked as a query.
type finder interface {
	find(c store.Collection, key string) (value []byte, since *uint64, err error)
}

// reader reads one moment: what the cache knows of it, and the rest from the server.
type reader struct {
	s    *Store
	at   moment
	next *moment // if not nil: what differs between it and at is not asked of the reader, so an answer may be of either
	age  uint64
	src  source
}

// Get gives a copy of a value; ok is false where there is none.
func (r *reader) Get(c store.Collection, key string) (v []byte, ok bool, err error) {
	v, err = r.get(c, key)
	return clone(v), v != nil, err
}

// Same tells whether a key's value is want.
func (r *reader) Same(c store.Collection, key string, want []byte) (bool, error) {
	v, err := r.get(c, key)
	return err == nil && v != nil && bytes.Equal(v, want), err
}

// get gives a value, not a copy; nil: there is none.
func (r *reader) get(c store.Collection, key string) (v []byte, err error) {
	if v, known := r.s.cache.get(c, key, r.at, r.age); known {
		return v, nil
	}
	v, since, err := r.fetch(c, key)
	if err == nil && v == nil && since != nil {
		err = errGiant
	}
	if err != nil {
		return nil, err
	}
	if since == nil {
		v = nil
		since = &r.at.seq
	}
	r.s.cache.learn(c, key, v, *since, r.at, r.age)
	return v, nil
}

// fetch gives what the server has of a key. since is nil where there is no record.
func (r *reader) fetch(c store.Collection, key string) (v []byte, since *uint64, err error) {
	if f, ok := r.src.(finder); ok {
		if v, since, err = f.find(c, key); !may(err) {
			return v, since, err
		}
	}
	err = r.ask(r.s.sql.get, []any{string(c), []byte(key)}, func() {}, func(rows pgx.Rows, m *moment) error { return rows.Scan(&m.seq, &m.batch, &v, &since) })
	return v, since, err
}

// ask runs a statement whose rows begin with the moment, and refuses rows of another. begin is called before the first row, each time that it is asked.
func (r *reader) ask(sql string, args []any, begin func(), scan func(pgx.Rows, *moment) error) error {
	some := false
	err := r.src.query(sql, args, func() func(pgx.Rows) error {
		begin()
		return func(rows pgx.Rows) error {
			var m moment
			if err := scan(rows, &m); err != nil {
				return err
			}
			if r.next != nil && m == *r.next {
				r.at, r.next = m, nil
			}
			if some = true; m != r.at {
				return errMoved
			}
			return nil
		}
	})
	if err == nil && !some {
		err = &failed{kind: store.ErrCorrupt} // the moment is gone
	}
	return err
}

// page reads up to limit rows of [lo, hi) from its beginning, or its end, and tells where what is known of it ends.
func (r *reader) page(c store.Collection, lo, hi string, down bool, limit int) (rows []row, end string, err error) {
	sql := r.s.sql.up
	if down {
		sql = r.s.sql.down
	}
	begin := func() { rows = nil }
	err = r.ask(sql, []any{string(c), []byte(lo), []byte(hi), limit}, begin, func(got pgx.Rows, m *moment) error {
		var key []byte
		var x row
		var long *bool
		if err := got.Scan(&m.seq, &m.batch, &key, &x.value, &long); err != nil || key == nil {
			return err
		}
		x.key, x.long = string(key), *long
		rows = append(rows, x)
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	if down {
		end = lo
		if len(rows) == limit {
			end = rows[len(rows)-1].key
		}
		for i, j := 0, len(rows)-1; i < j; i, j = i+1, j-1 {
			rows[i], rows[j] = rows[j], rows[i]
		}
		return rows, end, nil
	}
	if end = hi; len(rows) == limit {
		end = rows[len(rows)-1].key + "\x00"
	}
	return rows, end, nil
}

// rows walks the records of one collection within [lo, hi), up or down.
type rows struct {
	r      *reader
	c      store.Collection
	lo, hi string
	down   bool
	page   []row
	pages  int
}

// Rows gives a scan's records.
func (r *reader) Rows(in backend.Reach) backend.Rows {
	w := &rows{r: r, c: in.Collection, lo: in.Prefix, hi: beyond, down: !in.Up}
	if end, bounded := backend.PrefixEnd(in.Prefix); bounded {
		w.hi = end
	}
	switch {
	case in.Up:
		w.lo = max(in.Prefix, in.From)
	case in.From != "":
		w.hi = min(w.hi, in.From+"\x00")
	}
	return w.next
}

// next gives copies of the next record; ok is false at the end.
func (w *rows) next() (key string, v []byte, ok bool, err error) {
	for len(w.page) == 0 {
		if w.lo >= w.hi {
			return "", nil, false, nil
		}
		if err := w.turn(); err != nil {
			return "", nil, false, err
		}
	}
	var x row
	if w.down {
		x, w.page = w.page[len(w.page)-1], w.page[:len(w.page)-1]
	} else {
		x, w.page = w.page[0], w.page[1:]
	}
	if x.long {
		if x.value, err = w.r.get(w.c, x.key); err != nil {
			return "", nil, false, err
		}
	}
	return x.key, clone(x.value), true, nil
}

// turn reads the next page. Only the first is kept in memory: a walk over everything would push out what is used.
func (w *rows) turn() error {
	s := w.r.s
	got, end, known := s.cache.span(w.c, w.lo, w.hi, w.down, w.r.at, w.r.age)
	if !known {
		limit := pageMost
		if w.pages++; w.pages == 1 {
			limit = pageFirst
		}
		var err error
		if got, end, err = w.r.page(w.c, w.lo, w.hi, w.down, limit); err != nil {
			return err
		}
		if w.pages == 1 {
			sp := &span{lo: w.lo, hi: end, rows: got, since: w.r.at.seq}
			if w.down {
				sp.lo, sp.hi = end, w.hi
			}
			s.cache.learnSpan(w.c, sp, w.r.at, w.r.age)
		}
	}
	w.page = got
	if w.down {
		w.hi = end
	} else {
		w.lo = end
	}
	return nil
}

// clone copies; an empty value is not nil.
func clone(v []byte) []byte {
	if v == nil {
		return nil
	}
	return append(make([]byte, 0, len(v)), v...)
}

// each runs a statement and hands its rows on.
func each(ctx context.Context, q querier, sql string, args []any, fn func(pgx.Rows) error) error {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return failure(ctx, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows); err != nil {
			if errors.Is(err, errMoved) {
				return err
			}
			return failure(ctx, err)
		}
	}
	return failure(ctx, rows.Err())
}
