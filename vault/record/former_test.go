package record

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/internal/keys"
	"github.com/zavhoz/zavhoz/vault/internal/keys/keystest"
)

// A vault with accounts of the former format is read, verified, and turned into the present one by the first write.
func TestTheFormerAccountsAreReadAndReplaced(t *testing.T) {
	tx := lines(t, keystest.Golden(t, "record.golden", nil))
	book := NewBook(keystest.Keyring(t))
	s := NewSet[golden](book, "resources")
	if err := book.VerifyTx(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(tx, "res_golden", golden{"prod_vps_1", 8}); err != nil {
		t.Fatal(err)
	}
	for k := range tx {
		if strings.HasPrefix(k, "digests ") && k != "digests "+accountsKey {
			t.Errorf("%s is still there", k)
		}
	}
	if err := NewBook(keystest.Keyring(t)).VerifyTx(t.Context(), tx); err != nil {
		t.Error(err)
	}
}

// Whatever a writer of the database does to the former rows is found: by Verify, and by the write that would have replaced them.
func TestEditsOfTheFormerAccountsAreFound(t *testing.T) {
	book := NewBook(keystest.Keyring(t))
	s := NewSet[golden](book, "resources")
	whole := func(n, from int) memory {
		tx := memory{}
		for i := range n {
			if err := s.Put(tx, fmt.Sprint("res_", i), golden{"h", from + i}); err != nil {
				t.Fatal(err)
			}
		}
		return toFormer(t, book, tx, "resources")
	}
	first, now := whole(4, 100), whole(40, 0)
	digest := func(tx memory, prefix string) string {
		for k := range tx {
			if strings.HasPrefix(k, "digests "+prefix) {
				return k
			}
		}
		t.Fatal("no digest row")
		return ""
	}
	for name, c := range map[string]struct {
		edit func(tx memory)
		want fault.Code
	}{
		"nothing":                    {func(memory) {}, ""},
		"a record is lost":           {func(tx memory) { delete(tx, "resources res_7") }, fault.VaultCorrupt},
		"a record comes back":        {func(tx memory) { tx["resources res_1"] = first["resources res_1"] }, fault.VaultCorrupt},
		"the root is lost":           {func(tx memory) { delete(tx, "digests .root/main") }, fault.VaultCorrupt},
		"the root comes back":        {func(tx memory) { tx["digests .root/main"] = first["digests .root/main"] }, fault.VaultCorrupt},
		"a count is lost":            {func(tx memory) { delete(tx, digest(tx, "resources/")) }, fault.VaultCorrupt},
		"a count is edited":          {func(tx memory) { tx[digest(tx, "resources/")][30]++ }, fault.RecordTampered},
		"a count of another row":     {func(tx memory) { tx["digests resources/zz"] = tx[digest(tx, "resources/")] }, fault.RecordTampered},
		"beside the present format":  {func(tx memory) { tx["digests "+accountsKey] = accountsOf(t, book, tx) }, fault.RecordTampered},
		"the former shards are back": {func(tx memory) { copyDigests(tx, first) }, fault.VaultCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			tx := maps.Clone(now)
			for k, v := range tx {
				tx[k] = append([]byte(nil), v...)
			}
			c.edit(tx)
			fresh := NewBook(keystest.Keyring(t))
			if err := fresh.VerifyTx(t.Context(), tx); fault.CodeOf(err) != c.want {
				t.Errorf("verify: %v", err)
			}
		})
	}
	// A write over rows that do not agree does not make them agree.
	tx := maps.Clone(now)
	delete(tx, "digests .root/main")
	if err := s.Put(tx, "res_new", golden{"h", 1}); fault.CodeOf(err) != fault.VaultCorrupt {
		t.Errorf("put: %v", err)
	}
}

// toFormer gives a store's rows with the accounts that the former format had for them.
func toFormer(t *testing.T, b *Book, tx memory, c store.Collection) memory {
	t.Helper()
	out, shards := memory{}, map[string]tally{}
	for k, raw := range tx {
		key, mine := strings.CutPrefix(k, string(c)+" ")
		if !mine {
			continue
		}
		out[k] = raw
		x, err := b.term(raw, atMAC)
		if err != nil {
			t.Fatal(err)
		}
		h := sha256.Sum256([]byte(key))
		row := string(c) + "/" + hex.EncodeToString(h[:1])[:1]
		shards[row] = shards[row].plus(tally{1, x})
	}
	var root tally
	for row, sum := range shards {
		raw := encodeFormer(t, b, row, sum)
		out["digests "+row] = raw
		x, err := b.term(raw, atFormerMAC)
		if err != nil {
			t.Fatal(err)
		}
		root = root.plus(tally{1, x})
	}
	out["digests .root/main"] = encodeFormer(t, b, ".root/main", root)
	return out
}

func encodeFormer(t *testing.T, b *Book, key string, s tally) []byte {
	t.Helper()
	raw := make([]byte, formerSize)
	raw[0] = 1
	i := b.ring.Current()
	copy(raw[1:], i[:])
	if err := b.ring.Random(raw[atNonce:atFormerCount]); err != nil {
		t.Fatal(err)
	}
	binary.BigEndian.PutUint64(raw[atFormerCount:], s.count)
	mask, err := b.ring.MACBy(i, keys.Digest, formerMaskLabel, []byte(key), raw[atNonce:atFormerCount])
	if err != nil {
		t.Fatal(err)
	}
	masked := s.sum.plus(sumOf(mask)).bytes()
	copy(raw[atFormerSum:], masked[:])
	mac, err := b.ring.MACBy(i, keys.Auth, formerLabel, []byte(key), raw[:atFormerMAC])
	if err != nil {
		t.Fatal(err)
	}
	copy(raw[atFormerMAC:], mac[:])
	return raw
}

// accountsOf gives a row of the present format that would be right.
func accountsOf(t *testing.T, b *Book, tx memory) []byte {
	t.Helper()
	sum, err := b.tallyOf(t.Context(), tx, "resources")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := b.encodeAccounts([]account{{"resources", sum}})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func copyDigests(to, from memory) {
	for k := range to {
		if strings.HasPrefix(k, "digests ") {
			delete(to, k)
		}
	}
	for k, v := range from {
		if strings.HasPrefix(k, "digests ") {
			to[k] = v
		}
	}
}
