// Package record keeps typed records in a store that is not trusted.
//
// Promise: what Get gives is what Put was given under that key of that collection, under this vault's keys, or it is an error. A
// record is its JSON under a MAC that covers format, collection and key, so a row that was edited or copied elsewhere is refused when it is read.
// Rows lost, added or replayed are found by Verify: one row keeps, for each collection, the count of its rows and a keyed sum over them, under a MAC
// of its own. Bring one record of yesterday back and its collection's sum disagrees; bring that row back too and every record changed since does.
//
// The sum is MSet-Add-Hash (Clarke et al., 2003): per row a keyed function of its MAC, added modulo 2^256 and masked with a keyed function of a
// nonce. Without key or mask, who can read sums could look for another set of old rows with the same sum.
//
// The accounts are held by the transactions that change them (store.Holder) and are encoded once for all that become durable together.
//
// Attacks stopped: a writer of the database edits a policy row (threat-model.md 72), moves a record to another handle (57), deletes or
// brings back a grant or lease (63). Not seen: the whole store put back to an earlier moment, for nothing outside it remembers; and a lost
// row before Verify runs, which Get calls not found.
package record

import (
	"sync"
	"sync/atomic"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/internal/keys"
	"github.com/zavhoz/zavhoz/vault/keyring"
)

// Digests is the collection in which a Book keeps counts and sums.
const Digests store.Collection = "digests"

// Book is all record sets of one vault, and the accounts of them.
type Book struct {
	ring *keys.Ring

	mu   sync.Mutex
	sets map[store.Collection]struct{}

	known atomic.Pointer[accounts] // the last that were read or written
}

// NewBook opens the accounts of a vault. All Sets of one vault must come from one Book or from Books of the same keyring.
func NewBook(k *keyring.Keyring) *Book {
	return &Book{ring: k.Ring(keys.Warrant{}), sets: map[store.Collection]struct{}{}}
}

func (b *Book) register(c store.Collection) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sets[c] = struct{}{}
}

func (b *Book) registered() map[store.Collection]struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make(map[store.Collection]struct{}, len(b.sets))
	for c := range b.sets {
		all[c] = struct{}{}
	}
	return all
}

const mend = "somebody or something other than zavhoz wrote to the vault: run `zavhoz doctor`; restore from a backup"

// tampered names a record by collection and key. The key may be an attacker's: it is quoted and clipped.
func tampered(c store.Collection, key string) *fault.Error {
	return fault.Newf(fault.RecordTampered, "the record %.80q of %s was changed, moved or damaged", key, c).WithNext(mend)
}
