package record

import (
	"crypto/subtle"
	"encoding/binary"
	"maps"
	"slices"
	"strings"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/internal/keys"
	"github.com/zavhoz/zavhoz/vault/keyring"
)

// The former format of the accounts: a row for each of 16 shards of a collection (by the first nibble of SHA-256(key)), and a root row that keeps
// count and sum over those. It is read, and replaced by the first write. A row: format byte 1 | key id | nonce | count | masked sum | MAC.
const (
	atFormerCount = atNonce + nonceSize
	atFormerSum   = atFormerCount + 8
	atFormerMAC   = atFormerSum + sumSize
	formerSize    = atFormerMAC + keys.MACSize

	hexDigit   = "0123456789abcdef"
	rootPrefix = ".root/"

	formerLabel     = "digest 1"
	formerMaskLabel = "digest mask 1"
)

// former collects the rows of that format.
type former struct {
	b          *Book
	root, have tally
	list       map[store.Collection]tally
	keys       []string
}

// formerAccounts reads accounts of the former format; where there are none, there is nothing to account for.
func (b *Book) formerAccounts(tx store.Tx) (*accounts, error) {
	f := former{b: b}
	err := tx.Scan(Digests, "", "", func(key string, raw []byte) (bool, error) { return true, f.take(key, raw) })
	if err != nil {
		return nil, err
	}
	list, err := f.accounts()
	return &accounts{b: b, list: list, former: f.keys}, err
}

// take authenticates one row and adds it.
func (f *former) take(key string, raw []byte) error {
	r, err := f.b.decodeFormer(key, raw)
	if err != nil {
		return err
	}
	f.keys = append(f.keys, key)
	if strings.HasPrefix(key, rootPrefix) {
		f.root = f.root.plus(r)
		return nil
	}
	c, digit, _ := strings.Cut(key, "/")
	if len(digit) != 1 || !strings.Contains(hexDigit, digit) {
		return tampered(Digests, key)
	}
	t, err := f.b.term(raw, atFormerMAC)
	if err != nil {
		return keyring.Fault(err)
	}
	if f.list == nil {
		f.list = map[store.Collection]tally{}
	}
	f.have = f.have.plus(tally{1, t})
	f.list[store.Collection(c)] = f.list[store.Collection(c)].plus(r)
	return nil
}

// accounts holds the rows against the root.
func (f *former) accounts() ([]account, error) {
	if f.root != f.have {
		return nil, fault.Newf(fault.VaultCorrupt, "counts of the vault's collections were lost, added or brought back: %d of %d are there", f.have.count, f.root.count).WithNext(mend)
	}
	var list []account
	for _, c := range slices.Sorted(maps.Keys(f.list)) {
		list = append(list, account{c, f.list[c]})
	}
	return list, nil
}

func (t tally) plus(o tally) tally { return tally{t.count + o.count, t.sum.plus(o.sum)} }

func (b *Book) decodeFormer(key string, raw []byte) (tally, error) {
	if len(raw) != formerSize {
		return tally{}, tampered(Digests, key)
	}
	i := keys.ID(raw[1:])
	mac, err := b.ring.MACBy(i, keys.Auth, formerLabel, []byte(key), raw[:atFormerMAC])
	if closed(b, err) {
		return tally{}, keyring.Fault(keys.ErrClosed)
	}
	if err != nil || subtle.ConstantTimeCompare(mac[:], raw[atFormerMAC:]) != 1 {
		return tally{}, tampered(Digests, key).Because(err)
	}
	mask, err := b.ring.MACBy(i, keys.Digest, formerMaskLabel, []byte(key), raw[atNonce:atFormerCount])
	if err != nil {
		return tally{}, keyring.Fault(err)
	}
	s := sumOf([sumSize]byte(raw[atFormerSum:])).minus(sumOf(mask))
	return tally{binary.BigEndian.Uint64(raw[atFormerCount:]), s}, nil
}
