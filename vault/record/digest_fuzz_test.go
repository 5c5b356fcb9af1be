package record

import (
	"slices"
	"testing"

	"github.com/zavhoz/zavhoz/vault/internal/keys/keystest"
)

// Whatever stands under an authentic MAC is refused or read as what encodes to the same list: no panic, no reading past an entry.
func FuzzDecodeAccounts(f *testing.F) {
	book := NewBook(keystest.Keyring(f))
	whole, err := book.encodeAccounts([]account{{"agents", tally{1, sum{1}}}, {"resources", tally{40, sum{2, 3, 4, 5}}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole[atEntries:])
	f.Add(whole[atEntries : len(whole)-1])
	f.Add([]byte{255})
	f.Fuzz(func(t *testing.T, entries []byte) {
		raw := append(slices.Clone(whole[:atEntries]), entries...)
		mac, err := book.accountsMAC(keystest.ID, accountsKey, raw)
		if err != nil {
			t.Fatal(err)
		}
		copy(raw[atAllMAC:], mac[:])
		list, err := book.decodeAccounts(accountsKey, raw)
		if err != nil {
			return
		}
		again, err := book.encodeAccounts(list)
		if err != nil {
			t.Fatal(err)
		}
		back, err := book.decodeAccounts(accountsKey, again)
		if err != nil || !slices.Equal(back, slices.DeleteFunc(list, func(a account) bool { return a.tally == (tally{}) })) {
			t.Fatalf("%v %v, %v", list, back, err)
		}
	})
}
