package record

import (
	"crypto/subtle"
	"encoding/binary"

	"golang.org/x/crypto/chacha20"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/internal/keys"
	"github.com/zavhoz/zavhoz/vault/keyring"
)

// The wire form of the accounts: format byte | key id | nonce | MAC | entries. An entry is the length of a collection's name (1 byte), the
// name, the count (8 bytes), the sum (32 bytes). The sums are masked with a key stream of their own for each nonce: without mask, who can read sums
// could look for another set of old rows with the same sum.
const (
	accountsFormat = 2
	nonceSize      = 16
	atNonce        = 1 + keys.IDSize
	atAllMAC       = atNonce + nonceSize
	atEntries      = atAllMAC + keys.MACSize
	sumSize        = 32
	tallySize      = 8 + sumSize
	maxName        = 32 // of a collection

	accountsLabel = "accounts 2"
	maskLabel     = "accounts mask 2"
	termLabel     = "digest term 1"
)

// term is what a row with the given MAC adds to its sum. It is made with the key that made the MAC, so that rows may change to another key one by one.
func (b *Book) term(raw []byte, atMAC int) (sum, error) {
	mac, err := b.ring.MACBy(keys.ID(raw[1:]), keys.Digest, termLabel, raw[atMAC:atMAC+keys.MACSize])
	return sumOf(mac), err
}

// encodeAccounts gives the row of accounts, under the current key. Collections that are empty are left out.
func (b *Book) encodeAccounts(list []account) ([]byte, error) {
	raw := make([]byte, atEntries, atEntries+len(list)*(1+maxName+tallySize))
	i := b.ring.Current()
	raw[0] = accountsFormat
	copy(raw[1:], i[:])
	if err := b.ring.Random(raw[atNonce:atAllMAC]); err != nil {
		return nil, err
	}
	mask, err := b.mask(i, raw[atNonce:atAllMAC])
	if err != nil {
		return nil, err
	}
	for _, a := range list {
		if a.tally == (tally{}) {
			continue
		}
		raw = append(raw, byte(len(a.c)))
		raw = append(raw, a.c...)
		raw = binary.BigEndian.AppendUint64(raw, a.count)
		s := a.sum.bytes()
		mask.XORKeyStream(s[:], s[:])
		raw = append(raw, s[:]...)
	}
	mac, err := b.accountsMAC(i, accountsKey, raw)
	if err != nil {
		return nil, err
	}
	copy(raw[atAllMAC:], mac[:])
	return raw, nil
}

func (b *Book) mask(i keys.ID, nonce []byte) (*chacha20.Cipher, error) {
	key, err := b.ring.MACBy(i, keys.Digest, maskLabel, nonce)
	if err != nil {
		return nil, keyring.Fault(err)
	}
	return chacha20.NewUnauthenticatedCipher(key[:], make([]byte, chacha20.NonceSize))
}

// accountsMAC is over all of the row but itself and the format, which its label says, and over the row's key.
func (b *Book) accountsMAC(i keys.ID, key string, raw []byte) ([keys.MACSize]byte, error) {
	mac, err := b.ring.MACBy(i, keys.Auth, accountsLabel, []byte(key), raw[1:atAllMAC], raw[atEntries:])
	if err != nil {
		return mac, keyring.Fault(err)
	}
	return mac, nil
}

// decodeAccounts authenticates and reads a row of accounts.
func (b *Book) decodeAccounts(key string, raw []byte) ([]account, error) {
	if len(raw) < atEntries {
		return nil, tampered(Digests, key)
	}
	i := keys.ID(raw[1:])
	mac, err := b.accountsMAC(i, key, raw)
	if closed(b, err) {
		return nil, keyring.Fault(keys.ErrClosed)
	}
	ours := err == nil && subtle.ConstantTimeCompare(mac[:], raw[atAllMAC:atEntries]) == 1
	if !ours && raw[0] > accountsFormat {
		return nil, fault.Newf(fault.VaultFormat, "the counts of the vault have format %d", raw[0]).WithNext("upgrade zavhoz")
	}
	if !ours || raw[0] != accountsFormat {
		return nil, tampered(Digests, key).Because(err)
	}
	mask, err := b.mask(i, raw[atNonce:atAllMAC])
	if err != nil {
		return nil, err
	}
	var list []account
	for rest := raw[atEntries:]; len(rest) > 0; {
		n := 1 + int(rest[0])
		if len(rest) < n+tallySize {
			return nil, tampered(Digests, key) // authentic, and still not ours
		}
		a := account{c: store.Collection(rest[1:n])}
		a.count = binary.BigEndian.Uint64(rest[n:])
		s := [sumSize]byte(rest[n+8:])
		mask.XORKeyStream(s[:], s[:])
		a.sum = sumOf(s)
		if len(list) > 0 && list[len(list)-1].c >= a.c {
			return nil, tampered(Digests, key)
		}
		list, rest = append(list, a), rest[n+tallySize:]
	}
	return list, nil
}
