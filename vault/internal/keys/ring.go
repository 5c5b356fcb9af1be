// Package keys holds the vault's data keys and does with them the only things that are ever done: seal, open, authenticate, sign.
//
// Promise: a data key's bytes never leave this package except to be wrapped for a recipient (Wrap). Each purpose has a key of its own,
// derived by HKDF-SHA256, so that no output of one can be used as another. Keys lie in memory that is locked and kept out of core files where
// the system allows it (on Linux out of the kernel's own map, too), and are overwritten on Close; after Close nothing opens, seals or verifies until the ring
// takes over keys again.
//
// Attacks stopped: keys in swap and core files (threat-model.md 25, 66), best effort: the ciphers of x/crypto and crypto/hmac keep copies of
// derived keys in ordinary memory, which Close can drop but not overwrite. Ciphertexts opened out of sight: Open has one caller,
// vault/open, which `make lint` checks, and code outside vault/ cannot reach a Ring at all, for a Warrant can be made only here.
package keys

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/crypto/chacha20poly1305"
)

// Sizes in bytes.
const (
	KeySize   = 32
	IDSize    = 8
	NonceSize = chacha20poly1305.NonceSizeX
	MACSize   = 32
	Overhead  = IDSize + NonceSize + chacha20poly1305.Overhead // of a sealed box over its plaintext
)

// Errors of this package.
var (
	ErrClosed     = errors.New("keys: the ring is closed")
	ErrUnknownKey = errors.New("keys: sealed under a key that is not in the ring")
	ErrOpen       = errors.New("keys: the box does not open")
	ErrKey        = errors.New("keys: a key or key id of the wrong size, or there twice")
)

// ID names a data key. It is random and public.
type ID [IDSize]byte

// String gives the id in hex.
func (i ID) String() string { return hex.EncodeToString(i[:]) }

// ParseID reads what String gives.
func ParseID(s string) (ID, error) {
	var i ID
	if len(s) != 2*IDSize {
		return i, ErrKey
	}
	if _, err := hex.Decode(i[:], []byte(s)); err != nil || i.String() != s {
		return ID{}, ErrKey
	}
	return i, nil
}

// Warrant is what a caller shows to be given a Ring. Only packages below vault/ can name it.
type Warrant struct{}

// Options are what a Ring is made with.
type Options struct {
	Rand io.Reader // of nonces and new keys; nil means crypto/rand
}

// Ring is the set of data keys of one vault: the current one seals, all open. Its methods may be called by many goroutines.
type Ring struct {
	rand   io.Reader
	mu     sync.RWMutex // held for reading while a key is used, so that Close waits
	keys   map[ID]*key
	now    *key // the current key
	closed atomic.Bool
}

// NewClosed makes a Ring that is closed, until it takes over keys.
func NewClosed() *Ring {
	r := New(Options{})
	r.Close()
	return r
}

// New makes an empty Ring.
func New(o Options) *Ring {
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	return &Ring{rand: o.Rand, keys: map[ID]*key{}}
}

// Generate adds a fresh random key and makes it current.
func (r *Ring) Generate() (ID, error) {
	i, err := r.Fresh()
	if err != nil {
		return ID{}, err
	}
	return i, r.Use(i)
}

// Fresh adds a fresh random key, which seals nothing before Use names it: it must be wrapped and kept first.
func (r *Ring) Fresh() (ID, error) {
	var i ID
	raw := make([]byte, KeySize)
	defer clear(raw)
	if _, err := io.ReadFull(r.rand, i[:]); err != nil {
		return ID{}, err
	}
	if _, err := io.ReadFull(r.rand, raw); err != nil {
		return ID{}, err
	}
	return i, r.Add(i, raw)
}

// Remove wipes the key i: what was sealed under it opens no more. The current key stays: ErrKey. A key that is not there is no error.
func (r *Ring) Remove(i ID) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	k, ok := r.keys[i]
	if !ok {
		return nil
	}
	if k == r.now {
		return ErrKey
	}
	delete(r.keys, i)
	k.wipe()
	return nil
}

// Has tells whether the key i is in the ring.
func (r *Ring) Has(i ID) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.keys[i] != nil
}

// Add copies a key into the ring. The caller wipes raw. The first key becomes current.
func (r *Ring) Add(i ID, raw []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed.Load() {
		return ErrClosed
	}
	if _, there := r.keys[i]; there || len(raw) != KeySize {
		return ErrKey
	}
	k, err := newKey(i, raw)
	if err != nil {
		return err
	}
	r.keys[i] = k
	if r.now == nil {
		r.now = k
	}
	return nil
}

// Use makes the key i current.
func (r *Ring) Use(i ID) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	k, ok := r.keys[i]
	if !ok {
		return ErrUnknownKey
	}
	r.now = k
	return nil
}

// Current is the id of the key that seals.
func (r *Ring) Current() ID {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.now == nil {
		return ID{}
	}
	return r.now.id
}

// Closed tells whether Close was called.
func (r *Ring) Closed() bool { return r.closed.Load() }

// Close overwrites the keys. It waits for calls that are using them.
func (r *Ring) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed.Store(true)
	for _, k := range r.keys {
		k.wipe()
	}
	r.keys, r.now = map[ID]*key{}, nil
}

// TakeOver takes the keys of from, which holds none afterwards: a ring that Close emptied works again, and whoever holds it goes on with it. A ring that has keys
// keeps them, and those of from are wiped: ErrKey.
func (r *Ring) TakeOver(from *Ring) error {
	from.mu.Lock()
	keys, now := from.keys, from.now
	from.keys, from.now = map[ID]*key{}, nil
	from.closed.Store(true)
	from.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.keys) > 0 || now == nil {
		for _, k := range keys {
			k.wipe()
		}
		return ErrKey
	}
	r.keys, r.now = keys, now
	r.closed.Store(false)
	return nil
}

// Gain takes the keys of from that are not there yet; from holds none afterwards. Which one is current does not change. Error: ErrClosed.
func (r *Ring) Gain(from *Ring) error {
	from.mu.Lock()
	keys := from.keys
	from.keys, from.now = map[ID]*key{}, nil
	from.closed.Store(true)
	from.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	open := !r.closed.Load()
	for i, k := range keys {
		if _, there := r.keys[i]; there || !open {
			k.wipe()
			continue
		}
		r.keys[i] = k
	}
	if !open {
		return ErrClosed
	}
	return nil
}

// Wrap lends the bytes of key i to fn, which encrypts them for a recipient and keeps no copy.
func (r *Ring) Wrap(i ID, fn func(raw []byte) error) error {
	return r.with(i, func(k *key) error { return fn(k.raw) })
}

// Seal encrypts plain under the current key and appends key id | nonce | ciphertext to dst. The associated data is ad followed by the key
// id, for which ad should have room.
func (r *Ring) Seal(dst, ad, plain []byte) ([]byte, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.now == nil {
		return nil, ErrClosed
	}
	out := append(slices.Grow(dst, Overhead+len(plain)), r.now.id[:]...)
	out = out[:len(out)+NonceSize]
	nonce := out[len(out)-NonceSize:]
	if _, err := io.ReadFull(r.rand, nonce); err != nil {
		return nil, err
	}
	return r.now.aead.Seal(out, nonce, plain, append(ad, r.now.id[:]...)), nil
}

// Open decrypts what Seal gave. Callers: vault/open alone.
func (r *Ring) Open(ad, box []byte) (plain []byte, err error) {
	if len(box) < Overhead {
		return nil, ErrOpen
	}
	err = r.with(ID(box), func(k *key) error {
		nonce, sealed := box[IDSize:IDSize+NonceSize], box[IDSize+NonceSize:]
		if plain, err = k.aead.Open(nil, nonce, sealed, append(ad, k.id[:]...)); err != nil {
			return ErrOpen
		}
		return nil
	})
	return plain, err
}

// MAC authenticates label and parts under the current key, for one purpose. After Close it gives random bytes: nothing that could match.
func (r *Ring) MAC(p Purpose, label string, parts ...[]byte) (i ID, mac [MACSize]byte) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.now == nil {
		_, _ = rand.Read(mac[:])
		return ID{}, mac
	}
	return r.now.id, r.now.macs[p].sum(label, parts)
}

// MACBy is MAC under the key i.
func (r *Ring) MACBy(i ID, p Purpose, label string, parts ...[]byte) (mac [MACSize]byte, err error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	k, ok := r.keys[i]
	if !ok {
		return mac, r.missing()
	}
	return k.macs[p].sum(label, parts), nil
}

// Random fills b with random bytes of the ring's source.
func (r *Ring) Random(b []byte) error {
	_, err := io.ReadFull(r.rand, b)
	return err
}

// Sign signs message with the audit key of the current data key.
func (r *Ring) Sign(message []byte) (i ID, sig []byte, err error) {
	i = r.Current()
	err = r.with(i, func(k *key) error {
		sig = ed25519.Sign(k.signer(), message)
		return nil
	})
	return i, sig, err
}

// Public gives the public half of the audit key of data key i.
func (r *Ring) Public(i ID) (pub ed25519.PublicKey, err error) {
	err = r.with(i, func(k *key) error {
		pub = k.signer().Public().(ed25519.PublicKey)
		return nil
	})
	return pub, err
}

func (r *Ring) with(i ID, fn func(*key) error) error {
	r.mu.RLock()
	defer r.mu.RUnlock()
	k, ok := r.keys[i]
	if !ok {
		return r.missing()
	}
	return fn(k)
}

func (r *Ring) missing() error {
	if r.closed.Load() {
		return ErrClosed
	}
	return ErrUnknownKey
}
