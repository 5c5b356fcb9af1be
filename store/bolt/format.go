package bolt

import (
	"strconv"

	"go.etcd.io/bbolt"

	"github.com/zavhoz/zavhoz/store"
)

// Format is the number of this file format. A file with another one gives store.ErrFormat.
const Format = 1

// The mark of a file of ours. The bucket's name is not a collection's, so no caller can write there.
const (
	formatBucket = "_meta"
	formatKey    = "format"
	magicKey     = "magic"
	magicValue   = "zavhoz store"
)

// format writes the mark into a new file, twice committed, so that both meta pages name it.
func (s *Store) format() error {
	err := s.db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte(formatBucket))
		if err != nil {
			return err
		}
		if err := b.Put([]byte(magicKey), []byte(magicValue)); err != nil {
			return err
		}
		return b.Put([]byte(formatKey), []byte(strconv.Itoa(Format)))
	})
	if err != nil {
		return err
	}
	return s.commitEmpty()
}

// commitEmpty commits nothing: bbolt writes the older meta page anew.
func (s *Store) commitEmpty() error {
	return s.db.Update(func(*bbolt.Tx) error { return nil })
}

// validCollection tells whether c is ^[a-z][a-z0-9_]{0,31}$.
func validCollection(c store.Collection) bool {
	if len(c) == 0 || len(c) > 32 || c[0] < 'a' || c[0] > 'z' {
		return false
	}
	for i := 1; i < len(c); i++ {
		if b := c[i]; (b < 'a' || b > 'z') && (b < '0' || b > '9') && b != '_' {
			return false
		}
	}
	return true
}

// validKey holds a key to the contract's limits.
func validKey(c store.Collection, key string) error {
	switch {
	case !validCollection(c) || key == "":
		return store.ErrInvalidKey
	case len(key) > store.MaxKey:
		return store.ErrTooLarge
	}
	return nil
}
