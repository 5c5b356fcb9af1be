package backend

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/zavhoz/zavhoz/store"
)

var (
	errOver     = errors.New("store: use of a transaction after its end")
	errScanning = errors.New("store: write to a collection inside a scan of it")
	errThere    = fmt.Errorf("store: there is a record under a key that nobody had used: %w", store.ErrCorrupt)
)

// ctxEvery is how many records a scan of a View gives between looks at its context.
const ctxEvery = 256

// Reader reads one moment of a backend, below the overlays. What Get and Rows give is the caller's to keep.
type Reader interface {
	// Get gives a value; ok is false where there is none.
	Get(c store.Collection, key string) (value []byte, ok bool, err error)
	// Same tells whether the value is want, without a copy.
	Same(c store.Collection, key string, want []byte) (bool, error)
	// Rows gives a scan's records.
	Rows(in Reach) Rows
}

// Tx is a transaction of either sort: it reads what R has under what Over holds, nil in a View, where nothing is written and Ctx ends long scans.
type Tx struct {
	Ctx   context.Context
	R     Reader
	Over  *Overlay
	ended bool
}

var (
	_ store.Tx       = (*Tx)(nil)
	_ store.Holder   = (*Tx)(nil)
	_ store.Comparer = (*Tx)(nil)
)

// Finish ends it: every later use is an error.
func (t *Tx) Finish() { t.ended = true }

// Get gives a copy of the value, or store.ErrNotFound.
func (t *Tx) Get(c store.Collection, key string) ([]byte, error) {
	if t.ended {
		return nil, errOver
	}
	if err := store.CheckKey(c, key); err != nil {
		return nil, err
	}
	if t.Over != nil {
		switch e := t.Over.get(c, key); e.Fate {
		case Written:
			v, err := e.Bytes()
			return bytes.Clone(v), err
		case Deleted:
			return nil, store.ErrNotFound
		}
	}
	v, ok, err := t.R.Get(c, key)
	if err == nil && !ok {
		err = store.ErrNotFound
	}
	return v, err
}

// Put buffers a write.
func (t *Tx) Put(c store.Collection, key string, value []byte) error {
	return t.put(c, key, value, false)
}

// PutFresh is for backends that are a store.Adder. It buffers a write under a key that nobody has used: its Change is Fresh, and the commit is to hold it to that. Errors: of store.ErrCorrupt, where the
// transaction's own writes say that there is one.
func (t *Tx) PutFresh(c store.Collection, key string, value []byte) error {
	fresh := true
	if t.Over != nil {
		switch t.Over.get(c, key).Fate {
		case Written:
			return errThere
		case Deleted:
			fresh = false
		}
	}
	return t.put(c, key, value, fresh)
}

func (t *Tx) put(c store.Collection, key string, value []byte, fresh bool) error {
	if err := t.mayWrite(c, key); err != nil {
		return err
	}
	if len(value) > store.MaxValue {
		return store.ErrTooLarge
	}
	v := make([]byte, len(value))
	copy(v, value)
	t.Over.set(c, key, Entry{Fate: Written, Value: v, Fresh: fresh})
	return nil
}

// Hold buffers a write whose bytes are asked for when it is read, or once when the batch is committed.
func (t *Tx) Hold(c store.Collection, key string, v store.Held) error {
	if err := t.mayWrite(c, key); err != nil {
		return err
	}
	t.Over.set(c, key, Entry{Fate: Written, Held: v})
	return nil
}

// Held gives what is held under key, nil where nothing is.
func (t *Tx) Held(c store.Collection, key string) store.Held {
	if t.ended || t.Over == nil {
		return nil
	}
	return t.Over.get(c, key).Held
}

// Same compares without a copy.
func (t *Tx) Same(c store.Collection, key string, want []byte) (bool, error) {
	if t.ended {
		return false, errOver
	}
	if err := store.CheckKey(c, key); err != nil {
		return false, err
	}
	if t.Over != nil {
		if e := t.Over.get(c, key); e.Fate != Unchanged {
			v, err := e.Bytes()
			return err == nil && e.Fate == Written && bytes.Equal(v, want), err
		}
	}
	return t.R.Same(c, key, want)
}

// Delete buffers a removal.
func (t *Tx) Delete(c store.Collection, key string) error {
	if err := t.mayWrite(c, key); err != nil {
		return err
	}
	t.Over.set(c, key, Entry{Fate: Deleted})
	return nil
}

func (t *Tx) mayWrite(c store.Collection, key string) error {
	switch {
	case t.ended:
		return errOver
	case t.Over == nil:
		return store.ErrReadOnly
	case t.Over.scanning(c):
		return errScanning
	}
	return store.CheckKey(c, key)
}

// Scan walks up.
func (t *Tx) Scan(c store.Collection, prefix, from string, fn func(string, []byte) (bool, error)) error {
	return t.scan(Reach{c, prefix, from, true}, fn)
}

// ScanDown walks down.
func (t *Tx) ScanDown(c store.Collection, prefix, from string, fn func(string, []byte) (bool, error)) error {
	return t.scan(Reach{c, prefix, from, false}, fn)
}

func (t *Tx) scan(in Reach, fn func(string, []byte) (bool, error)) error {
	if t.ended {
		return errOver
	}
	if !in.Collection.Valid() {
		return store.ErrInvalidKey
	}
	next := t.R.Rows(in)
	if t.Over != nil {
		l := t.Over.layer(in.Collection)
		l.scans++
		defer func() { l.scans-- }()
		next = Merge(next, t.Over.walk(in), in.Up)
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
		if t.ended {
			return errOver
		}
		if t.Over == nil && n%ctxEvery == 0 && t.Ctx.Err() != nil {
			return fmt.Errorf("store: scan: %w", t.Ctx.Err())
		}
	}
}
