package store

import "context"

// Held is a value that is not needed as bytes before its transaction is made durable. Its methods may be called by many goroutines.
type Held interface {
	// Encode gives the bytes, the same each time. An error ends the commit that needs them: nothing of it is written.
	Encode() ([]byte, error)
}

// Holder is a Tx that can keep a value unencoded. What many transactions change, one after the other, is then encoded once for all that become
// durable together: the counts and sums of a vault, the head of its audit chain. A backend need not have it; callers then Put.
type Holder interface {
	Tx
	// Hold is Put of what v encodes to, when that is read or written. v changes no more once it was asked for its bytes, or the transaction's function has returned.
	Hold(c Collection, key string, v Held) error
	// Held gives what was held last under key and is not durable yet; nil where the newest value was put, deleted, or is in the store.
	Held(c Collection, key string) Held
}

// Comparer is a Tx that compares a value where it lies, without a copy. A backend need not have it; callers then Get.
type Comparer interface {
	Tx
	// Same tells whether the value under key is want; false where there is none. Errors as Get, but for ErrNotFound.
	Same(c Collection, key string, want []byte) (bool, error)
}

// Adder is a Tx that takes a record without a look whether there is one under its key: where that look is a way to another machine and back. A backend need not have it;
// callers then Put.
type Adder interface {
	Tx
	// Add is Put under a key that nobody has used before: one made of an id that was drawn just now. Where there is a record all the same, nothing of the commit is
	// written, and it gives ErrCorrupt.
	Add(c Collection, key string, value []byte) error
}

// Warmer is a Store whose records may be far away. A function of Update that reads one keeps all others waiting for it, so what it is going to read is asked for before its turn. A
// backend need not have it.
type Warmer interface {
	Store
	// Warm brings nearer what is under the keys, or that there is nothing, for whoever reads it next. It promises nothing: what goes wrong, the read will say.
	Warm(ctx context.Context, c Collection, keys ...string)
}
