package record

import (
	"sync"

	"github.com/zavhoz/zavhoz/store"
)

// held is a record that was put by Hold and is not encoded yet.
type held[T any] struct {
	s   *Set[T]
	key string
	v   T
	old []byte // the row that the accounts hold; nil: none

	once sync.Once
	raw  []byte
	err  error
}

// Encode gives the row, once.
func (h *held[T]) Encode() ([]byte, error) {
	h.once.Do(func() { h.raw, h.err = h.s.encode(h.key, h.v, h.s.plain) })
	return h.raw, h.err
}

func (h *held[T]) replaces() []byte { return h.old }

func (h *held[T]) replace(old []byte) { h.old = old }

// Hold is Put for a record that transaction after transaction writes anew, as the head of a chain: where the store can hold it, it is encoded and
// authenticated once for all that become durable together. What v refers to does not change afterwards.
func (s *Set[T]) Hold(tx store.Tx, key string, v T) error {
	h, ok := tx.(store.Holder)
	if !ok {
		return s.Put(tx, key, v)
	}
	row := &held[T]{s: s, key: key, v: v}
	found := func() ([]byte, error) { return row.old, nil }
	if before := s.heldRow(tx, key); before != nil {
		found = before.Encode
	} else {
		var err error
		if row.old, err = s.old(tx, key); err != nil {
			return err
		}
	}
	if err := h.Hold(s.c, key, row); err != nil {
		return err
	}
	return s.b.hold(tx, s.c, key, row, found)
}

// heldRow gives the row that this set holds under key, nil where there is none.
func (s *Set[T]) heldRow(tx store.Tx, key string) *held[T] {
	if h, ok := tx.(store.Holder); ok {
		if row, ok := h.Held(s.c, key).(*held[T]); ok && row.s == s {
			return row
		}
	}
	return nil
}
