package audit

import (
	"crypto/ed25519"
	"errors"

	"github.com/zavhoz/zavhoz/store"
)

// End gives the end of this writer's chain; of none that has records, the zero Head with its name.
func (l *Log) End(tx store.Tx) (Head, error) {
	h, err := l.heads.Get(tx, l.writer)
	if errors.Is(err, store.ErrNotFound) {
		return Head{Writer: l.writer}, nil
	}
	return Head{l.writer, h.Seq, h.Hash}, err
}

// Holds tells whether a chain still has the record that once was its end, and ends there or later.
func (l *Log) Holds(tx store.Tx, was Head) (bool, error) {
	if was.Seq == 0 {
		return true, nil
	}
	h, err := l.heads.Get(tx, was.Writer)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil || h.Seq < was.Seq {
		return false, err
	}
	if h.Seq == was.Seq {
		return h.Hash == was.Hash, nil
	}
	line, err := tx.Get(Records, recordKey(was.Writer, was.Seq))
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil && hashOf(line) == was.Hash, err
}

// Succeeds tells whether the present audit key is one that was noted, or one that it handed over to.
func (l *Log) Succeeds(tx store.Tx, noted ed25519.PublicKey) (bool, error) {
	now, err := l.PublicKey()
	if err != nil {
		return false, err
	}
	list, err := l.handed(tx)
	return err == nil && follow(noted, l.k.VaultID(), list).Equal(now), err
}
