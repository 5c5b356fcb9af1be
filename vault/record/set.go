package record

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"sync"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// Set is a collection of records of type T. T is encoded as JSON; what is secret in it must be sealed before.
type Set[T any] struct {
	b     *Book
	c     store.Collection
	label string
	cache cache[T]
	plain bool // T holds no reference: what was put may be kept as it is
	spell func(b []byte, v *T) ([]byte, error)
}

// NewSet registers a collection with the book, so that Verify covers it.
func NewSet[T any](b *Book, c store.Collection) *Set[T] {
	return NewSpelled(b, c, func(b []byte, v *T) ([]byte, error) {
		body, err := json.Marshal(*v)
		return append(b, body...), err
	})
}

// NewSpelled is NewSet of records that spell appends to b, as the bytes that json.Marshal gives of them (vault/internal/spell).
func NewSpelled[T any](b *Book, c store.Collection, spell func(b []byte, v *T) ([]byte, error)) *Set[T] {
	b.register(c)
	return &Set[T]{b: b, c: c, label: macLabel + string(c), plain: plain(reflect.TypeFor[T]()), spell: spell}
}

// Get gives the record under key. What it refers to (maps, slices, pointers) is shared with other callers and is READ-ONLY: copy what you
// change. Errors: store.ErrNotFound; fault record_tampered, vault_format, vault_corrupt, vault_locked.
func (s *Set[T]) Get(tx store.Tx, key string) (T, error) {
	if v, err := s.known(tx, key); v != nil {
		return *v, nil
	} else if err != nil {
		var zero T
		return zero, err
	}
	raw, err := tx.Get(s.c, key)
	if err != nil {
		var zero T
		return zero, err
	}
	return s.decode(key, raw)
}

// Recall gives the record as it was last read or written here, without a look at the store: authentic, and not always the present one. What it refers to is READ-ONLY.
func (s *Set[T]) Recall(key string) (v T, ok bool) {
	d := s.cache.peek(key)
	if d == nil || s.b.ring.Closed() {
		return v, false
	}
	return d.v, true
}

// Warm brings the records under the keys nearer, where the store is far away: before an Update whose function reads them while others wait.
func (s *Set[T]) Warm(ctx context.Context, st store.Store, keys ...string) {
	if w, ok := st.(store.Warmer); ok {
		w.Warm(ctx, s.c, keys...)
	}
}

// known gives a record that needs no decoding, nil where there is none: one that is held, or one whose bytes in the store are those it was decoded
// from, which is looked at where they lie.
func (s *Set[T]) known(tx store.Tx, key string) (*T, error) {
	if s.b.ring.Closed() {
		return nil, nil
	}
	if h := s.heldRow(tx, key); h != nil {
		return &h.v, nil
	}
	d, err := s.unchanged(tx, key)
	if d == nil {
		return nil, err
	}
	return &d.v, nil
}

// unchanged gives what is kept of the row under key, if it is still that row.
func (s *Set[T]) unchanged(tx store.Tx, key string) (*decoded[T], error) {
	cmp, ok := tx.(store.Comparer)
	if !ok {
		return nil, nil
	}
	d := s.cache.peek(key)
	if d == nil {
		return nil, nil
	}
	if same, err := cmp.Same(s.c, key, d.raw); !same {
		return nil, err
	}
	return d, nil
}

// decode authenticates and decodes raw. Bytes that were decoded before under the same key are not decoded again.
func (s *Set[T]) decode(key string, raw []byte) (T, error) {
	if v, ok := s.cache.get(key, raw); ok && !s.b.ring.Closed() {
		return v, nil
	}
	var v T
	body, err := s.b.check(s.c, s.label, key, raw)
	if err != nil {
		return v, err
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields() // a field of a newer version would be lost by the next Put
	if err := d.Decode(&v); err != nil {
		var zero T
		return zero, fault.Newf(fault.VaultFormat, "the record %.80q of %s is authentic, but this zavhoz cannot read it", key, s.c).WithNext("upgrade zavhoz").Because(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		var zero T
		return zero, fault.Newf(fault.VaultFormat, "the record %.80q of %s has more than one value", key, s.c).WithNext("upgrade zavhoz")
	}
	s.cache.put(key, raw, v)
	return v, nil
}

// plain tells whether copies of a type share nothing: whoever has one cannot change another.
func plain(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Struct:
		if t == reflect.TypeFor[time.Time]() { // its pointer leads to a zone, which nobody changes
			return true
		}
		for i := range t.NumField() {
			if !plain(t.Field(i).Type) {
				return false
			}
		}
		return true
	case reflect.Array:
		return plain(t.Elem())
	}
	return t.Kind() <= reflect.Complex128 && t.Kind() != reflect.Invalid || t.Kind() == reflect.String
}

// Put writes the record under key. A row that is there and is not authentic is not replaced: fault record_tampered.
func (s *Set[T]) Put(tx store.Tx, key string, v T) error { return s.put(tx, key, v, s.plain) }

// PutKept is Put of what Get would give of it, to the last nil, and what nobody changes from now on, nor what it refers to: it is kept in memory, and who reads it next
// need not decode it.
func (s *Set[T]) PutKept(tx store.Tx, key string, v T) error { return s.put(tx, key, v, true) }

func (s *Set[T]) put(tx store.Tx, key string, v T, keep bool) error {
	old, err := s.old(tx, key)
	if err != nil {
		return err
	}
	raw, err := s.encode(key, v, keep)
	if err != nil {
		return err
	}
	if err := tx.Put(s.c, key, raw); err != nil {
		return err
	}
	return s.b.account(tx, s.c, key, old, raw)
}

// Add is Put under a key that nobody has used before: one made of an id that was drawn just now. A store on another machine is not asked whether it is there first, and
// refuses the commit where it is.
func (s *Set[T]) Add(tx store.Tx, key string, v T) error {
	a, ok := tx.(store.Adder)
	if !ok {
		return s.Put(tx, key, v)
	}
	raw, err := s.encode(key, v, s.plain)
	if err != nil {
		return err
	}
	if err := a.Add(s.c, key, raw); err != nil {
		return err
	}
	return s.b.account(tx, s.c, key, nil, raw)
}

// encode gives the row of v, and keeps v for the next read where that is asked for.
func (s *Set[T]) encode(key string, v T, keep bool) ([]byte, error) {
	scratch := bodies.Get().(*[]byte)
	defer bodies.Put(scratch)
	d := &decoded[T]{v: v}
	body, err := s.spell((*scratch)[:0], &d.v)
	if err != nil {
		return nil, fault.Newf(fault.Internal, "a record of %s cannot be encoded", s.c).Because(err)
	}
	*scratch = body
	d.raw, err = s.b.wrap(s.label, key, body)
	if err == nil && keep {
		s.cache.keep(key, d) // the head of the audit chain is read again by the next append
	}
	return d.raw, err
}

// bodies is memory in which records are spelled. Nothing in them is secret: what is, is sealed.
var bodies = sync.Pool{New: func() any { return new([]byte) }}

// Delete removes the record under key; removing none is no error.
func (s *Set[T]) Delete(tx store.Tx, key string) error {
	_, err := s.Take(tx, key)
	return err
}

// Take is Delete that tells whether there was one.
func (s *Set[T]) Take(tx store.Tx, key string) (there bool, err error) {
	old, err := s.old(tx, key)
	if err != nil || old == nil {
		return false, err
	}
	if err := tx.Delete(s.c, key); err != nil {
		return true, err
	}
	s.cache.drop(key)
	return true, s.b.account(tx, s.c, key, old, nil)
}

// old gives the authentic row under key, nil where there is none.
func (s *Set[T]) old(tx store.Tx, key string) ([]byte, error) {
	if !s.b.ring.Closed() {
		if d, err := s.unchanged(tx, key); d != nil {
			return d.raw, nil
		} else if err != nil {
			return nil, err
		}
	}
	raw, err := tx.Get(s.c, key)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if _, ok := s.cache.get(key, raw); !ok {
		_, err = s.b.check(s.c, s.label, key, raw)
	}
	return raw, err
}

// Scan calls fn for every record with the prefix and key >= from, in order of keys, until fn gives false or an error. It stops with an error at a
// record that is not authentic. fn must not write to the set. v is shared, as in Get.
func (s *Set[T]) Scan(tx store.Tx, prefix, from string, fn func(key string, v T) (more bool, err error)) error {
	return tx.Scan(s.c, prefix, from, s.each(fn))
}

// ScanDown is Scan from the greatest key <= from (from "": the end of the prefix) downwards.
func (s *Set[T]) ScanDown(tx store.Tx, prefix, from string, fn func(key string, v T) (more bool, err error)) error {
	return tx.ScanDown(s.c, prefix, from, s.each(fn))
}

func (s *Set[T]) each(fn func(string, T) (bool, error)) func(string, []byte) (bool, error) {
	return func(key string, raw []byte) (bool, error) {
		v, err := s.decode(key, raw)
		if err != nil {
			return false, err
		}
		return fn(key, v)
	}
}
