package record

import (
	"crypto/subtle"
	"errors"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/internal/keys"
	"github.com/zavhoz/zavhoz/vault/keyring"
)

// The wire form of a record: format byte | key id | MAC | JSON body.
const (
	format   = 1
	atMAC    = 1 + keys.IDSize
	atBody   = atMAC + keys.MACSize
	macLabel = "record 1 " // + collection
)

// wrap gives the wire form of body under key of the collection whose label is given.
func (b *Book) wrap(label, key string, body []byte) ([]byte, error) {
	raw := make([]byte, atBody, atBody+len(body))
	raw = append(raw, body...)
	i, mac := b.ring.MAC(keys.Auth, label, []byte(key), body)
	if i == (keys.ID{}) { // closed at that moment: the MAC is rubbish
		return nil, keyring.Fault(keys.ErrClosed)
	}
	raw[0] = format
	copy(raw[1:], i[:])
	copy(raw[atMAC:], mac[:])
	return raw, nil
}

// closed tells whether the ring has, or had when it gave err, no keys: what could not be authenticated is no damage then.
func closed(b *Book, err error) bool { return errors.Is(err, keys.ErrClosed) || b.ring.Closed() }

// check authenticates raw and gives its body, which is a part of raw.
func (b *Book) check(c store.Collection, label, key string, raw []byte) ([]byte, error) {
	if len(raw) < atBody {
		return nil, tampered(c, key)
	}
	body := raw[atBody:]
	mac, err := b.ring.MACBy(keys.ID(raw[1:]), keys.Auth, label, []byte(key), body)
	if closed(b, err) {
		return nil, keyring.Fault(keys.ErrClosed)
	}
	ours := err == nil && subtle.ConstantTimeCompare(mac[:], raw[atMAC:atBody]) == 1
	if ours && raw[0] == format {
		return body, nil
	}
	if !ours && raw[0] != format { // under a MAC of format 1 it is a changed byte
		return nil, fault.Newf(fault.VaultFormat, "the record %.80q of %s has format %d", key, c, raw[0]).WithNext("upgrade zavhoz")
	}
	return nil, tampered(c, key).Because(err)
}
