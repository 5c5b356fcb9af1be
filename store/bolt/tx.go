package bolt

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/zavhoz/zavhoz/store"
)

var (
	errOver     = errors.New("bolt: use of a transaction after its end")
	errScanning = errors.New("bolt: write to a collection inside a scan of it")
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
	v, ok, err := t.r.get(c, key)
	if err == nil && !ok {
		err = store.ErrNotFound
	}
	return v, err
}

// Put buffers a write.
func (t *tx) Put(c store.Collection, key string, value []byte) error {
	if err := t.mayWrite(c, key); err != nil {
		return err
	}
	if len(value) > store.MaxValue {
		return store.ErrTooLarge
	}
	v := make([]byte, len(value))
	copy(v, value)
	t.ov.set(c, key, entry{fate: written, value: v})
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
	return t.r.same(c, key, want)
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
	return t.scan(reach{c: c, prefix: prefix, from: from, up: true}, fn)
}

// ScanDown walks down.
func (t *tx) ScanDown(c store.Collection, prefix, from string, fn func(string, []byte) (bool, error)) error {
	return t.scan(reach{c: c, prefix: prefix, from: from}, fn)
}

func (t *tx) scan(in reach, fn func(string, []byte) (bool, error)) error {
	if t.over {
		return errOver
	}
	if !in.c.Valid() {
		return store.ErrInvalidKey
	}
	next := t.r.rows(in)
	if t.ov != nil {
		l := t.ov.layers[in.c]
		if l == nil {
			l = &layer{entries: map[string]entry{}}
			t.ov.layers[in.c] = l
		}
		l.scans++
		defer func() { l.scans-- }()
		m := &merge{base: next, up: in.up, over: t.ov.walk(in)}
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
			return fmt.Errorf("bolt: scan: %w", t.ctx.Err())
		}
	}
}
