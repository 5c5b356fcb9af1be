package record

import (
	"bytes"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/internal/keys/keystest"
)

type golden struct {
	Handle string `json:"handle"`
	N      int    `json:"n"`
}

// The committed record and its accounts are read, and written again as the same bytes. The two other rows of record.golden are the accounts of the
// former format (former_test.go).
func TestGoldenRecord(t *testing.T) {
	rows := func() memory {
		tx := memory{}
		s := NewSet[golden](NewBook(keystest.Keyring(t)), "resources")
		if err := s.Put(tx, "res_golden", golden{"prod_vps_1", 7}); err != nil {
			t.Fatal(err)
		}
		return tx
	}
	const row, all = "resources res_golden", "digests " + accountsKey
	made := rows()
	want := lines(t, keystest.Golden(t, "record.golden", nil))
	if !bytes.Equal(made[row], want[row]) {
		t.Errorf("the record written again: %x", made[row])
	}
	accounts := lines(t, keystest.Golden(t, "accounts.golden", func() []byte { return []byte(all + " " + hex.EncodeToString(made[all]) + "\n") }))
	if !bytes.Equal(made[all], accounts[all]) {
		t.Errorf("the accounts written again: %x", made[all])
	}
	tx := memory{row: want[row], all: accounts[all]}
	book := NewBook(keystest.Keyring(t))
	s := NewSet[golden](book, "resources")
	if g, err := s.Get(tx, "res_golden"); err != nil || g != (golden{"prod_vps_1", 7}) {
		t.Errorf("%+v %v", g, err)
	}
	if err := book.VerifyTx(t.Context(), tx); err != nil {
		t.Error(err)
	}
}

// lines reads a vector: collection, key and value in hex.
func lines(t *testing.T, vector []byte) memory {
	t.Helper()
	tx := memory{}
	for line := range strings.Lines(string(vector)) {
		f := strings.Fields(line)
		b, err := hex.DecodeString(f[2])
		if err != nil {
			t.Fatal(err)
		}
		tx[f[0]+" "+f[1]] = b
	}
	return tx
}

// memory is the least transaction: golden vectors need no file.
type memory map[string][]byte

func (m memory) Get(c store.Collection, key string) ([]byte, error) {
	if b, ok := m[string(c)+" "+key]; ok {
		return b, nil
	}
	return nil, store.ErrNotFound
}

func (m memory) Put(c store.Collection, key string, b []byte) error {
	m[string(c)+" "+key] = bytes.Clone(b)
	return nil
}

func (m memory) Delete(c store.Collection, key string) error {
	delete(m, string(c)+" "+key)
	return nil
}

func (m memory) Scan(c store.Collection, _, _ string, fn func(string, []byte) (bool, error)) error {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if key, ok := strings.CutPrefix(k, string(c)+" "); ok {
			if more, err := fn(key, m[k]); err != nil || !more {
				return err
			}
		}
	}
	return nil
}

func (m memory) ScanDown(c store.Collection, prefix, from string, fn func(string, []byte) (bool, error)) error {
	return m.Scan(c, prefix, from, fn)
}

func TestSumsAreNumbersModulo2To256(t *testing.T) {
	ones := sum{^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0)}
	one := sum{1}
	if ones.plus(one) != (sum{}) || (sum{}).minus(one) != ones {
		t.Error("no carry over the end")
	}
	if (sum{^uint64(0)}).plus(one) != (sum{0, 1}) || (sum{0, 1}).minus(one) != (sum{^uint64(0)}) {
		t.Error("no carry between words")
	}
	b := sum{1, 2, 3, 4}.bytes()
	if sumOf(b) != (sum{1, 2, 3, 4}) {
		t.Error("bytes do not come back")
	}
}

// The cache is bounded in rows and bytes, whatever passes through.
func TestCacheIsBounded(t *testing.T) {
	var c cache[int]
	c.put("huge", make([]byte, cacheRow+1), 1)
	if _, ok := c.get("huge", make([]byte, cacheRow+1)); ok {
		t.Error("a huge row was kept")
	}
	big := make([]byte, cacheRow)
	for i := range cacheBytes/cacheRow + 100 {
		c.put(hex.EncodeToString([]byte{byte(i), byte(i >> 8)}), big, i)
	}
	if c.bytes > cacheBytes {
		t.Errorf("%d bytes kept", c.bytes)
	}
	for i := range cacheEntries + 1000 {
		c.put(hex.EncodeToString([]byte{byte(i), byte(i >> 8), byte(i >> 16)}), []byte("r"), i)
	}
	total := 0
	for _, d := range c.rows {
		total += len(d.raw)
	}
	if len(c.rows) > cacheEntries || total != c.bytes {
		t.Errorf("%d rows, %d bytes, counted %d", len(c.rows), total, c.bytes)
	}
}
