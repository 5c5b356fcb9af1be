package postgres

import (
	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/internal/backend"
)

// tx is a transaction that takes a record without a look whether there is one: that look would be a way to the database and back.
type tx struct{ backend.Tx }

var (
	_ store.Tx       = (*tx)(nil)
	_ store.Holder   = (*tx)(nil)
	_ store.Comparer = (*tx)(nil)
	_ store.Adder    = (*tx)(nil)
)

// Add buffers a write under a key that nobody has used; the commit holds it to that.
func (t *tx) Add(c store.Collection, key string, value []byte) error {
	return t.PutFresh(c, key, value)
}

// changesOf gives a batch's writes as a commit takes them.
func changesOf(ov *backend.Overlay) ([]change, error) {
	list, err := ov.Changes()
	if err != nil {
		return nil, err
	}
	out := make([]change, len(list))
	for i, ch := range list {
		out[i] = change{c: ch.Collection, key: ch.Key, value: ch.Value, fresh: ch.Fresh}
	}
	return out, nil
}
