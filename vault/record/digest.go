package record

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"errors"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/internal/keys"
	"github.com/zavhoz/zavhoz/vault/keyring"
)

// The wire form of a digest row: format byte | key id | nonce | count | masked sum | MAC.
const (
	nonceSize = 16
	atNonce   = 1 + keys.IDSize
	atCount   = atNonce + nonceSize
	atSum     = atCount + 8
	atRowMAC  = atSum + 32
	rowSize   = atRowMAC + keys.MACSize

	shards   = 16
	hexDigit = "0123456789abcdef"

	// rootKey is the row over all rows. A collection's name cannot begin with a point. "main": replicas may have one each later, for the
	// sums add up.
	rootKey    = ".root/main"
	rootPrefix = ".root/"

	rowLabel  = "digest 1"
	maskLabel = "digest mask 1"
	termLabel = "digest term 1"
)

// row is what a digest row says.
type row struct {
	raw   []byte // as stored; nil: there is none
	count uint64
	sum   sum
}

// shard is the first nibble of SHA-256(key).
func shard(key string) int {
	h := sha256.Sum256([]byte(key))
	return int(h[0] >> 4)
}

func rowKey(c store.Collection, shard int) string { return string(c) + "/" + hexDigit[shard:shard+1] }

// term is what a row with the given MAC adds to its sum. It is made with the key that made the MAC, so that rows may change to another key one by one.
func (b *Book) term(raw []byte, atMAC int) (sum, error) {
	mac, err := b.ring.MACBy(keys.ID(raw[1:]), keys.Digest, termLabel, raw[atMAC:atMAC+keys.MACSize])
	return sumOf(mac), err
}

// account moves the shard of key from the old row to the new one (either may be nil), and the root with it.
func (b *Book) account(tx store.Tx, key string, old, now []byte) error {
	was, is, err := b.shift(tx, key, old, now, atMAC)
	if err != nil {
		return err
	}
	_, _, err = b.shift(tx, rootKey, was, is, atRowMAC)
	return err
}

// shift takes old out of the digest row under key and puts now in.
func (b *Book) shift(tx store.Tx, key string, old, now []byte, at int) (was, is []byte, err error) {
	r, err := b.load(tx, key)
	if err != nil {
		return nil, nil, err
	}
	was = r.raw
	if old != nil {
		t, err := b.term(old, at)
		if err != nil {
			return nil, nil, keyring.Fault(err)
		}
		if r.count == 0 {
			return nil, nil, lostDigest(key)
		}
		r.count, r.sum = r.count-1, r.sum.minus(t)
	}
	if now != nil {
		t, err := b.term(now, at)
		if err != nil {
			return nil, nil, keyring.Fault(err)
		}
		r.count, r.sum = r.count+1, r.sum.plus(t)
	}
	if r.raw, err = b.encode(key, r); err != nil {
		return nil, nil, err
	}
	if err := tx.Put(Digests, key, r.raw); err != nil {
		return nil, nil, err
	}
	b.remember(key, r)
	return was, r.raw, nil
}

func lostDigest(key string) *fault.Error {
	return fault.Newf(fault.VaultCorrupt, "the count of %.80q does not agree with its records", key).WithNext(mend)
}

// load reads and authenticates a digest row; a missing one is empty.
func (b *Book) load(tx store.Tx, key string) (row, error) {
	raw, err := tx.Get(Digests, key)
	if errors.Is(err, store.ErrNotFound) {
		return row{}, nil
	}
	if err != nil {
		return row{}, err
	}
	b.mu.Lock()
	known, ok := b.rows[key]
	b.mu.Unlock()
	if ok && bytes.Equal(known.raw, raw) && !b.ring.Closed() {
		return known, nil
	}
	r, err := b.decode(key, raw)
	if err == nil {
		b.remember(key, r)
	}
	return r, err
}

func (b *Book) remember(key string, r row) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rows[key] = r
}

func (b *Book) encode(key string, r row) ([]byte, error) {
	raw := make([]byte, rowSize)
	raw[0] = format
	i := b.ring.Current()
	copy(raw[1:], i[:])
	if err := b.ring.Random(raw[atNonce:atCount]); err != nil {
		return nil, err
	}
	binary.BigEndian.PutUint64(raw[atCount:], r.count)
	mask, err := b.ring.MACBy(i, keys.Digest, maskLabel, []byte(key), raw[atNonce:atCount])
	if err != nil {
		return nil, keyring.Fault(err)
	}
	masked := r.sum.plus(sumOf(mask)).bytes()
	copy(raw[atSum:], masked[:])
	mac, err := b.ring.MACBy(i, keys.Auth, rowLabel, []byte(key), raw[:atRowMAC])
	if err != nil {
		return nil, keyring.Fault(err)
	}
	copy(raw[atRowMAC:], mac[:])
	return raw, nil
}

func (b *Book) decode(key string, raw []byte) (row, error) {
	if len(raw) != rowSize {
		return row{}, tampered(Digests, key)
	}
	i := keys.ID(raw[1:])
	mac, err := b.ring.MACBy(i, keys.Auth, rowLabel, []byte(key), raw[:atRowMAC])
	if b.ring.Closed() {
		return row{}, keyring.Fault(keys.ErrClosed)
	}
	if err != nil || subtle.ConstantTimeCompare(mac[:], raw[atRowMAC:]) != 1 {
		return row{}, tampered(Digests, key).Because(err)
	}
	mask, err := b.ring.MACBy(i, keys.Digest, maskLabel, []byte(key), raw[atNonce:atCount])
	if err != nil {
		return row{}, keyring.Fault(err)
	}
	s := sumOf([32]byte(raw[atSum:])).minus(sumOf(mask))
	return row{raw: raw, count: binary.BigEndian.Uint64(raw[atCount:]), sum: s}, nil
}
