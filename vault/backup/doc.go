// Package backup writes a vault as one encrypted file, and reads such files as a store.
//
// Promise: a backup is one moment of the vault. Its values stay sealed as they are kept, under data keys that lie in it wrapped for the vault's own
// recipients; the whole is an age file for recipients again, which the real `age -d` opens, so who steals it learns no name either. It ends with a manifest of
// counts and digests, under a MAC that only a data key of the vault makes: File.Authenticate tells a backup from a file that somebody made for the same
// recipients. Reading holds one record at a time, whatever the file claims. A File is a store.Store that cannot be written, so what checks a vault checks a
// backup as well (vault/migrate), and nothing of it needs to be on a disk first.
//
// Attacks stopped: a backup that is stolen (threat-model.md 66), edited, cut, put together from two, or made by another (57, 72); one made to exhaust the reader
// (67). Nothing in it names a path, and nothing of it decides where anything is written.
//
// Not in it: the identity file, the daemon's log, sockets, outputs of runs. Not seen: an older backup put in the place of a newer one, which is genuine; its
// time is in it. Recipients of different strength may be mixed in one file, which age's own program refuses: the weakest decides, as it does for the vault itself.
// A vault that is opened by a passphrase alone has nobody whom a file could be encrypted to without it; Recipients names who is left out.
package backup

import (
	"errors"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// The mark that a backup begins with, below the encryption: Magic, then one byte of format.
const (
	Magic  = "zvhbak"
	Format = 1
)

// Limits of a backup, in bytes where nothing else is said.
const (
	MaxConfig      = 64 << 10
	maxHead        = 4 << 10
	maxRow         = 2 + store.MaxKey + store.MaxValue
	maxManifest    = 1 << 20
	maxName        = 32
	maxCollections = 256 // collections
)

// The frames: one byte of type, four of length (big endian), the payload.
const (
	frameHead       = 'h' // Head, JSON; the first
	frameConfig     = 'f' // config.yaml; at most one, the second
	frameCollection = 'c' // a collection begins: its name; the first is the keyring, the others follow in order
	frameRow        = 'r' // two bytes of the key's length, key, value; in order of keys
	frameManifest   = 'm' // MAC, then Manifest, JSON; the last
)

const (
	macLabel = "backup 1"
	macSize  = 32
)

// Head says what a backup is of.
type Head struct {
	Format    int       `json:"format"`
	VaultID   string    `json:"vault_id"`
	CreatedAt time.Time `json:"created_at"`
	Program   string    `json:"program"` // the version of zavhoz that wrote it
}

// Collection is a collection's account.
type Collection struct {
	Name   store.Collection `json:"name"`
	Rows   uint64           `json:"rows"`
	Bytes  uint64           `json:"bytes"`  // of keys and values
	SHA256 string           `json:"sha256"` // over the frames' payloads, each after its length
}

// Manifest is what a backup should hold.
type Manifest struct {
	Format      int          `json:"format"`
	Collections []Collection `json:"collections"`
	SHA256      string       `json:"sha256"` // over every byte before the manifest's frame
}

// Rows is how many rows the collections have together.
func (m Manifest) Rows() (n uint64) {
	for _, c := range m.Collections {
		n += c.Rows
	}
	return n
}

var (
	errOrder = errors.New("backup: a frame out of order")
	errSize  = errors.New("backup: a frame too large")
)

// damaged is the one answer for a file that is not as it was written.
func damaged(what string, cause error) *fault.Error {
	return fault.New(fault.VaultCorrupt, "the backup is damaged: "+what, "use another copy of it").Because(cause)
}
