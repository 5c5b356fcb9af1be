package bolt

import (
	"strconv"

	"go.etcd.io/bbolt"
)

// Format is the number of this file format. A file with one that is not known gives store.ErrFormat.
const Format = 1

// joinedFormat is that of a file while it needs the journal beside it.
const joinedFormat = 2

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
