package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/zavhoz/zavhoz/store"
)

var (
	errOver     = errors.New("postgres: use of a transaction after its end")
	errScanning = errors.New("postgres: write to a collection inside a scan of it")
	errThere    = fmt.Errorf("postgres: there is a record under a key that nobody had used: %w", store.ErrCorrupt)
)

// ctxEvery is how many records a scan of a View gives between looks at its context.
const ctxEvery = 256

// tx is a transaction of either sort; ov is nil in a View.
type tx struct {
	ctx  context.Context
	r    *reader
	ov   *overlay
	over bool
}

var (
	_ store.Tx       = (*tx)(nil)
	_ store.Holder   = (*tx)(nil)
	_ store.Comparer = (*tx)(nil)
	_ store.Adder    = (*tx)(nil)
)

func (t *tx) finish() { t.over = true }

// Get gives a copy of the value, or store.ErrNotFound.
func (t *tx) Get(c store.Collection, key string) ([]byte, error) {
	if t.over {
		return nil, errOver
	}
	if err := store.CheckKey(c, key); err != nil {
		return nil, err
	}
	if t.ov != nil {
		switch e := t.ov.get(c, key); e.fate {
		case written:
			v, err := e.bytes()
			return bytes.Clone(v), err
		case deleted:
			return nil, store.ErrNotFound
		}
	}
	v, err := t.r.get(c, key)
	if err == nil && v == nil {
		err = store.ErrNotFound
	}
	return clone(v), err
}

// Put buffers a write.
func (t *tx) Put(c store.Collection, key string, value []byte) error {
	return t.put(c, key, value, false)
}

// Add buffers a write under a key that nobody has used; the commit holds it to that.
func (t *tx) Add(c store.Collection, key string, value []byte) error {
	fresh := true
	if t.ov != nil {
		switch t.ov.get(c, key).fate {
		case written:
			return errThere
		case deleted:
			fresh = false
		}
	}
	return t.put(c, key, value, fresh)
}

func (t *tx) put(c store.Collection, key string, value []byte, fresh bool) error {
	if err := t.mayWrite(c, key); err != nil {
		return err
	}
	if len(value) > store.MaxValue {
		return store.ErrTooLarge
	}
	v := make([]byte, len(value))
	copy(v, value)
	t.ov.set(c, key, entry{fate: written, value: v, fresh: fresh})
	return nil
}

// Hold buffers a write whose bytes are asked for when it is read, or once when the batch is committed.
func (t *tx) Hold(c store.Collection, key string, v store.Held) error {
	if err := t.mayWrite(c, key); err != nil {
		return err
	}
	t.ov.set(c, key, entry{fate: written, held: v})
	return nil
}

// Held gives what is held under key, nil where nothing is.
func (t *tx) Held(c store.Collection, key string) store.Held {
	if t.over || t.ov == nil {
		return nil
	}
	return t.ov.get(c, key).held
}

// Same compares without a copy.
func (t *tx) Same(c store.Collection, key string, want []byte) (bool, error) {
	if t.over {
		return false, errOver
	}
	if err := store.CheckKey(c, key); err != nil {
		return false, err
	}
	if t.ov != nil {
		if e := t.ov.get(c, key); e.fate != unchanged {
			v, err := e.bytes()
			return err == nil && e.fate == written && bytes.Equal(v, want), err
		}
	}
	return t.r.equal(c, key, want)
}

// Delete buffers a removal.
func (t *tx) Delete(c store.Collection, key string) error {
	if err := t.mayWrite(c, key); err != nil {
		return err
	}
	t.ov.set(c, key, entry{fate: deleted})
	return nil
}

func (t *tx) mayWrite(c store.Collection, key string) error {
	switch {
	case t.over:
		return errOver
	case t.ov == nil:
		return store.ErrReadOnly
	case t.ov.scanning(c):
		return errScanning
	}
	return store.CheckKey(c, key)
}

// Scan walks up.
func (t *tx) Scan(c store.Collection, prefix, from string, fn func(string, []byte) (bool, error)) error {
	return t.scan(c, prefix, from, true, fn)
}

// ScanDown walks down.
func (t *tx) ScanDown(c store.Collection, prefix, from string, fn func(string, []byte) (bool, error)) error {
	return t.scan(c, prefix, from, false, fn)
}

func (t *tx) scan(c store.Collection, prefix, from string, up bool, fn func(string, []byte) (bool, error)) error {
	if t.over {
		return errOver
	}
	if !c.Valid() {
		return store.ErrInvalidKey
	}
	next := t.r.walk(c, prefix, from, !up).next
	if t.ov != nil {
		l := t.ov.layers[c]
		if l == nil {
			l = &layer{entries: map[string]entry{}}
			t.ov.layers[c] = l
		}
		l.scans++
		defer func() { l.scans-- }()
		m := &merge{base: next, ov: t.ov, c: c, keys: t.ov.window(c, prefix, from, up), up: up}
		next = m.next
	}
	for n := 1; ; n++ {
		k, v, ok, err := next()
		if err != nil || !ok {
			return err
		}
		more, err := fn(k, v)
		if err != nil || !more {
			return err
		}
		if t.over {
			return errOver
		}
		if t.ov == nil && n%ctxEvery == 0 && t.ctx.Err() != nil {
			return fmt.Errorf("postgres: scan: %w", t.ctx.Err())
		}
	}
}

// merge lays the overlay's keys over the database's rows, in the scan's order.
type merge struct {
	base func() (string, []byte, bool, error)
	ov   *overlay
	c    store.Collection
	keys []string
	up   bool

	k    string // the row read ahead
	v    []byte
	ok   bool
	read bool
}

func (m *merge) next() (string, []byte, bool, error) {
	for {
		if !m.read {
			var err error
			if m.k, m.v, m.ok, err = m.base(); err != nil {
				return "", nil, false, err
			}
			m.read = true
		}
		if len(m.keys) == 0 || m.ok && m.before(m.k, m.keys[0]) {
			m.read = false
			return m.k, m.v, m.ok, nil
		}
		key := m.keys[0]
		e := m.ov.get(m.c, key)
		m.keys = m.keys[1:]
		if e.fate == unchanged {
			continue
		}
		if m.ok && m.k == key {
			m.read = false
		}
		if e.fate == written {
			v, err := e.bytes()
			return key, bytes.Clone(v), err == nil, err
		}
	}
}

func (m *merge) before(a, b string) bool {
	if m.up {
		return a < b
	}
	return a > b
}
