// Package keyring unlocks a vault's data keys and seals with them. It cannot open what it sealed: that is vault/open's.
//
// Promise: a vault's header names its recipients and holds each data key wrapped with age, one slot a recipient; any byte of it that is
// changed gives an error. A sealed value carries in its associated data what it belongs to (type, record, field, version, key): moved
// anywhere else it does not open.
//
// Attacks stopped: ciphertexts swapped between records, fields or versions (threat-model.md 57); a header given another recipient, an older
// slot or a cut key list by a writer of the database (72), by the header's MAC under the data key itself.
//
// What it does not see: a whole vault put in place of this one. Age wraps for a public key, so who writes the database can make a
// vault of their own for the same recipient; nothing of the true one opens in it.
package keyring

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/internal/keys"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// Prefix begins every sealed value: format 1.
const Prefix = "zvh1:"

// MaxSecret is the longest value that is sealed, in bytes.
const MaxSecret = 1 << 20

// MaxSealed is the longest sealed text, in bytes.
const MaxSealed = len(Prefix) + (MaxSecret+keys.Overhead)*4/3 + 4

// Ref is what a sealed value belongs to. All of it is associated data.
type Ref struct {
	Type    string // of the record: "resource", "server", …
	ID      string // of the record
	Field   string
	Version uint64 // of the record when the field was sealed
}

// AD appends the associated data of a value sealed for r to b, without the key id, which the ring adds. Every part is preceded by its length.
func (r Ref) AD(b []byte) []byte {
	for _, part := range []string{"zavhoz seal 1", r.Type, r.ID, r.Field} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(part)))
		b = append(b, part...)
	}
	return binary.BigEndian.AppendUint64(b, r.Version)
}

// Keyring is an unlocked vault's keys. Its methods may be called by many goroutines; after Close they fail.
type Keyring struct {
	vault string
	ring  *keys.Ring
	slot  slotID

	follow sync.Mutex // of heeded
	heeded follower
}

// slotID is the id of the slot that opened a keyring, which changes when it is unlocked anew; "" where it was not opened by one.
type slotID struct{ p atomic.Pointer[string] }

func (s *slotID) set(id string) { s.p.Store(&id) }

func (s *slotID) get() string {
	if p := s.p.Load(); p != nil {
		return *p
	}
	return ""
}

// FromRing makes a Keyring of a ring: for tests below vault/ that need fixed keys.
func FromRing(vault string, r *keys.Ring) *Keyring { return &Keyring{vault: vault, ring: r} }

// Ring gives the keys themselves. Only packages below vault/ can show a warrant.
func (k *Keyring) Ring(keys.Warrant) *keys.Ring { return k.ring }

// Slot is the id of the slot that this keyring was unlocked by; "" where it was not.
func (k *Keyring) Slot() string { return k.slot.get() }

// VaultID is the vault's id (vlt_…).
func (k *Keyring) VaultID() string { return k.vault }

// Closed tells whether the vault is locked.
func (k *Keyring) Closed() bool { return k.ring.Closed() }

// Close wipes the keys: the vault is locked.
func (k *Keyring) Close() { k.ring.Close() }

// Seal encrypts v for the place ref, under a fresh nonce, and gives its text: Prefix + base64url(key id | nonce | ciphertext). v is not
// wiped. Errors: fault vault_locked, too_large.
func (k *Keyring) Seal(ref Ref, v secret.Secret) (string, error) {
	if v.Len() > MaxSecret {
		return "", fault.Newf(fault.TooLarge, "a secret value is longer than %d bytes", MaxSecret)
	}
	s := scratch.Get().(*sealing)
	defer scratch.Put(s)
	s.ad = ref.AD(s.ad[:0])
	box, err := k.ring.Seal(s.box[:0], s.ad, v.Reveal())
	if err != nil {
		return "", Fault(err)
	}
	s.box = box
	s.text = base64.RawURLEncoding.AppendEncode(append(s.text[:0], Prefix...), box)
	return string(s.text), nil
}

// sealing is the memory of one Seal, used again: none of it is secret.
type sealing struct{ ad, box, text []byte }

var scratch = sync.Pool{New: func() any { return &sealing{ad: make([]byte, 0, 256)} }}

// Fingerprint gives a keyed hash of v (32 hex characters), to compare values without opening them. The label says of what: equal
// values under different labels have different fingerprints.
func (k *Keyring) Fingerprint(label string, v []byte) string {
	_, mac := k.ring.MAC(keys.Print, label, v)
	return hex.EncodeToString(mac[:16])
}

// Print is Fingerprint of a secret value.
func (k *Keyring) Print(label string, v secret.Secret) string {
	return k.Fingerprint(label, v.Reveal())
}

// MAC authenticates parts under the current key and a label of the caller's. Records have their own form (vault/record).
func (k *Keyring) MAC(label string, parts ...[]byte) [32]byte {
	_, mac := k.ring.MAC(keys.Auth, "mac "+label, parts...)
	return mac
}

// PublicKey is the audit key by which exports are verified.
func (k *Keyring) PublicKey() (ed25519.PublicKey, error) {
	pub, err := k.ring.Public(k.ring.Current())
	if err != nil {
		return nil, Fault(err)
	}
	return pub, nil
}

// Fault says in our words what an error of the ring means.
func Fault(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, keys.ErrClosed):
		return fault.New(fault.VaultLocked, "the vault is locked", "a person unlocks it: `zavhoz unlock`").Because(err)
	case errors.Is(err, keys.ErrUnknownKey), errors.Is(err, keys.ErrOpen):
		return fault.New(fault.RecordTampered, "a sealed value does not open: it was changed, moved or sealed by another vault", "run `zavhoz doctor`; restore from a backup").Because(err)
	}
	return fault.Of(err)
}
