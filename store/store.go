// Package store keeps sealed records in typed collections, and nothing else.
//
// Promise: a transaction happens wholly or not at all; when Update returns nil, what it wrote survives a crash of the process and
// of the machine; a reader sees one moment. Whatever happens to the file underneath, a call gives the right bytes or an error:
// never other bytes, never a crash.
//
// What a store does not know: what a record means, or any key. Records come sealed and authenticated from vault/record; a store that is
// stolen gives names and ciphertexts, and one that is edited gives errors (threat-model.md 57, 66, 72).
//
// Backends: store/bolt (one file), store/postgres. Both pass store/storetest.
package store

import (
	"context"
	"errors"
)

// Collection names a set of records: ^[a-z][a-z0-9_]{0,31}$.
type Collection string

// Errors of every backend. Backends wrap them; compare with errors.Is.
var (
	ErrNotFound   = errors.New("store: no such record")
	ErrReadOnly   = errors.New("store: write in a read-only transaction")
	ErrClosed     = errors.New("store: closed")
	ErrCorrupt    = errors.New("store: the data is damaged")
	ErrFormat     = errors.New("store: format not known to this version")
	ErrBusy       = errors.New("store: held by another process")
	ErrTooLarge   = errors.New("store: key or value too large")
	ErrInvalidKey = errors.New("store: invalid collection or key")
	ErrFull       = errors.New("store: no space left")

	// Of a backend that is another machine's.
	ErrUnavailable = errors.New("store: the database does not answer")
	ErrDenied      = errors.New("store: the database does not allow it")
	ErrUnknown     = errors.New("store: the connection was lost in a commit, and nobody knows yet whether it was made")
	ErrRewound     = errors.New("store: what is there is not what followed on what was there before")
	ErrTooOld      = errors.New("store: the database's server is too old, or does not say how old it is")
)

// Limits that every backend keeps, in bytes.
const (
	MaxKey   = 512
	MaxValue = 16 << 20
)

// Tx is one transaction. It is good until the function it was given to returns, and for one goroutine.
type Tx interface {
	// Get gives the value under key, or ErrNotFound. The bytes are the caller's to keep, not to modify.
	Get(c Collection, key string) ([]byte, error)
	// Put writes a value, replacing any. Keys are 1..MaxKey bytes. The store copies value.
	Put(c Collection, key string, value []byte) error
	// Delete removes a record; removing none is no error.
	Delete(c Collection, key string) error
	// Scan calls fn in byte order of keys for every key k with prefix and k >= from, until fn returns false or an error.
	// fn must not write to c. It sees the transaction's own writes.
	Scan(c Collection, prefix, from string, fn func(key string, value []byte) (more bool, err error)) error
	// ScanDown is Scan from the greatest key <= from (from "" means the end of the prefix) downwards.
	ScanDown(c Collection, prefix, from string, fn func(key string, value []byte) (more bool, err error)) error
}

// Change says that records may have changed. Readers read again; a Change carries no value.
type Change struct {
	Collection Collection
	Key        string // "" means any record of the collection
}

// Store is a set of collections under transactions.
type Store interface {
	// View runs fn on one consistent moment. Writes give ErrReadOnly.
	View(ctx context.Context, fn func(Tx) error) error
	// Update runs fn and makes what it wrote durable, or, when fn gives an error or panics, changes nothing. A backend may run fn
	// more than once (serialization): fn has no effect besides the transaction and variables it sets anew each time.
	// nil means durable. After an error from the commit itself, nothing was written, but for ErrUnknown. fn sees its own writes.
	Update(ctx context.Context, fn func(Tx) error) error
	// Watch tells of committed changes until ctx ends, then the channel closes. Notices may be merged (Key ""), never lost.
	Watch(ctx context.Context) <-chan Change
	// Close waits for running transactions. Later calls give ErrClosed.
	Close() error
}

// Valid tells whether c is ^[a-z][a-z0-9_]{0,31}$.
func (c Collection) Valid() bool {
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

// CheckKey holds a key to the limits that every backend keeps. Errors: ErrInvalidKey, ErrTooLarge.
func CheckKey(c Collection, key string) error {
	switch {
	case !c.Valid() || key == "":
		return ErrInvalidKey
	case len(key) > MaxKey:
		return ErrTooLarge
	}
	return nil
}
