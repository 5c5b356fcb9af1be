package backup

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"

	"github.com/zavhoz/zavhoz/store"
)

// Account counts and hashes the rows of one collection, in order of keys.
type Account struct {
	name  store.Collection
	rows  uint64
	bytes uint64
	h     hash.Hash
}

// NewAccount opens the account of a collection.
func NewAccount(c store.Collection) *Account { return &Account{name: c, h: sha256.New()} }

// Add counts a row.
func (a *Account) Add(key string, value []byte) {
	var n [6]byte
	binary.BigEndian.PutUint32(n[:], uint32(2+len(key)+len(value)))
	binary.BigEndian.PutUint16(n[4:], uint16(len(key)))
	_, _ = a.h.Write(n[:]) // a hash never fails
	_, _ = a.h.Write([]byte(key))
	_, _ = a.h.Write(value)
	a.rows++
	a.bytes += uint64(len(key) + len(value))
}

// Close gives the account.
func (a *Account) Close() Collection {
	return Collection{Name: a.name, Rows: a.rows, Bytes: a.bytes, SHA256: hex.EncodeToString(a.h.Sum(nil))}
}
