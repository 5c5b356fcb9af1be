package bolt

import (
	"bytes"
	"context"
	"runtime/debug"
	"strings"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/internal/backend"
)

// View runs fn on the newest moment that is durable.
func (s *Store) View(ctx context.Context, fn func(store.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer s.running.Done()
	snap, lay, err := s.durable(ctx)
	if err != nil {
		return err
	}
	defer s.release(snap)
	v := &struct { // in one piece: half of a short View's time would be allocations
		tx backend.Tx
		r  reader
	}{}
	v.r.start(s, snap, lay)
	v.tx.Ctx, v.tx.R = ctx, &v.r
	defer v.tx.Finish()
	return fn(&v.tx)
}

// reader reads one moment of the file and of what lies over it, guarded. Everything it gives is a copy.
type reader struct {
	s    *Store
	lay  *layers // nil: nothing
	im   *image
	root tree
	last struct { // the collection used last: most transactions stay in one
		name string
		tree tree
		ok   bool
	}
}

// start makes r read what a snapshot holds, and lay over it.
func (r *reader) start(s *Store, snap *snapshot, lay *layers) {
	r.s, r.im, r.root, r.lay = s, &snap.im, snap.root, lay
}

// collection runs guarded.
func (r *reader) collection(c store.Collection) (tree, bool, error) {
	if r.last.name == string(c) {
		return r.last.tree, r.last.ok, nil
	}
	t, ok, err := r.root.collection(string(c))
	if err == nil {
		r.last.name, r.last.tree, r.last.ok = string(c), t, ok
	}
	return t, ok, err
}

// Get gives a copy of a value; ok is false where there is none.
func (r *reader) Get(c store.Collection, key string) (v []byte, ok bool, err error) {
	switch e := r.lay.get(c, key); e.Fate {
	case backend.Written:
		v = make([]byte, len(e.Value))
		copy(v, e.Value)
		return v, true, nil
	case backend.Deleted:
		return nil, false, nil
	}
	defer r.s.catch(&err, debug.SetPanicOnFault(true))
	mapped, ok, err := r.find(c, key)
	if err != nil || !ok {
		return nil, false, err
	}
	v = make([]byte, len(mapped))
	copy(v, mapped)
	return v, true, nil
}

// Same tells whether the value is want.
func (r *reader) Same(c store.Collection, key string, want []byte) (same bool, err error) {
	if e := r.lay.get(c, key); e.Fate != backend.Unchanged {
		return e.Fate == backend.Written && bytes.Equal(e.Value, want), nil
	}
	defer r.s.catch(&err, debug.SetPanicOnFault(true))
	mapped, ok, err := r.find(c, key)
	return err == nil && ok && bytes.Equal(mapped, want), err
}

// find gives a value inside its page; guarded by its callers.
func (r *reader) find(c store.Collection, key string) (mapped []byte, ok bool, err error) {
	t, ok, err := r.collection(c)
	if err != nil || !ok {
		return nil, false, err
	}
	p, i, ok, err := t.find([]byte(key))
	if err != nil || !ok {
		return nil, false, err
	}
	if p.isBucket(i) {
		return nil, false, damaged("page %d element %d is no record", p.id, i)
	}
	_, mapped, err = p.item(i)
	return mapped, err == nil, err
}

// Rows gives a scan's records, one at each call.
func (r *reader) Rows(in reach) backend.Rows {
	w := &rows{r: r, reach: in}
	return r.lay.over(in, w.next)
}

// rows walks the records of the file.
type rows struct {
	r *reader
	reach
	cur   cursor
	begun bool
	done  bool
}

// next gives copies of the next record; ok is false at the end.
func (w *rows) next() (key string, v []byte, ok bool, err error) {
	if w.done {
		return "", nil, false, nil
	}
	defer w.r.s.catch(&err, debug.SetPanicOnFault(true))
	if ok, err = w.advance(); err != nil || !ok {
		w.done = true
		return "", nil, false, err
	}
	k, mapped, err := w.cur.item()
	if err != nil {
		return "", nil, false, err
	}
	if key = string(k); !strings.HasPrefix(key, w.Prefix) {
		w.done = true
		return "", nil, false, nil
	}
	v = make([]byte, len(mapped))
	copy(v, mapped)
	return key, v, true, nil
}

func (w *rows) advance() (ok bool, err error) {
	if w.begun {
		if w.Up {
			return w.cur.step(1)
		}
		return w.cur.step(-1)
	}
	w.begun = true
	if w.cur.t, ok, err = w.r.collection(w.Collection); err != nil || !ok {
		return false, err
	}
	if w.Up {
		return w.cur.seek([]byte(max(w.Prefix, w.From)))
	}
	end, bounded := backend.PrefixEnd(w.Prefix)
	switch {
	case w.From != "" && (!bounded || w.From < end):
		return w.cur.seekDown([]byte(w.From), false)
	case bounded:
		return w.cur.seekDown([]byte(end), true)
	}
	return w.cur.last()
}
