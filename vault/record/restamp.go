package record

import (
	"bytes"
	"errors"
	"slices"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/internal/keys"
)

// Restamp authenticates the row under key of c and puts it anew under the current key, with the body that change makes of its own (nil change: the same). A row
// that is gone is no error. Errors: record_tampered, what change gives.
func (b *Book) Restamp(tx store.Tx, c store.Collection, key string, change func(body []byte) ([]byte, error)) error {
	old, err := tx.Get(c, key)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	label := macLabel + string(c)
	body, err := b.check(c, label, key, old)
	if err != nil {
		return err
	}
	if change != nil {
		if body, err = change(body); err != nil {
			return err
		}
	}
	raw, err := b.wrap(label, key, body)
	if err != nil {
		return err
	}
	if err := tx.Put(c, key, raw); err != nil {
		return err
	}
	return b.account(tx, c, key, old, raw)
}

// Stamp tells under which key a stored row is authenticated, and gives its body. It checks nothing.
func Stamp(raw []byte) (i keys.ID, body []byte) {
	if len(raw) < atBody {
		return i, nil
	}
	return keys.ID(raw[1:]), raw[atBody:]
}

// Mark remembers what the accounts said at one moment.
type Mark struct {
	list    []account
	pending []pending
}

// Mark takes the accounts as the transaction sees them.
func (b *Book) Mark(tx store.Tx) (Mark, error) {
	a, err := b.current(tx)
	if err != nil {
		return Mark{}, err
	}
	return Mark{slices.Clone(a.list), slices.Clone(a.pending)}, nil
}

// Count is how many records there were, in all collections.
func (m Mark) Count() (n uint64) {
	for _, a := range m.list {
		n += a.count
	}
	return n
}

// Changed tells whether c may hold other rows now than at the moment was: count and sum stand for the rows themselves.
func (m Mark) Changed(was Mark, c store.Collection) bool {
	return m.holds(c) || was.holds(c) || m.tally(c) != was.tally(c)
}

func (m Mark) holds(c store.Collection) bool {
	return slices.ContainsFunc(m.pending, func(p pending) bool { return bytes.HasPrefix([]byte(p.key), []byte(string(c)+"/")) })
}

func (m Mark) tally(c store.Collection) tally {
	for _, a := range m.list {
		if a.c == c {
			return a.tally
		}
	}
	return tally{}
}
