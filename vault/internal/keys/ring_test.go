package keys_test

import (
	"bytes"
	"errors"
	"sync"
	"testing"

	"github.com/zavhoz/zavhoz/vault/internal/keys"
	"github.com/zavhoz/zavhoz/vault/internal/keys/keystest"
)

func TestABoxOpensForItsPlaceOnly(t *testing.T) {
	r := keystest.Ring(t)
	plain := []byte("the value")
	box, err := r.Seal(nil, []byte("here"), plain)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := r.Open([]byte("here"), box); err != nil || !bytes.Equal(got, plain) {
		t.Fatalf("%q %v", got, err)
	}
	if _, err := r.Open([]byte("there"), box); !errors.Is(err, keys.ErrOpen) {
		t.Errorf("another place: %v", err)
	}
	for i := range box {
		bad := bytes.Clone(box)
		bad[i] ^= 0x10
		if got, err := r.Open([]byte("here"), bad); err == nil {
			t.Fatalf("a flipped byte at %d opens to %q", i, got)
		}
	}
	for n := range box {
		if _, err := r.Open([]byte("here"), box[:n]); err == nil {
			t.Fatalf("cut to %d bytes it opens", n)
		}
	}
}

func TestOldKeysOpenAndTheCurrentSeals(t *testing.T) {
	r := keys.New(keys.Options{})
	defer r.Close()
	first, err := r.Generate()
	if err != nil {
		t.Fatal(err)
	}
	old, err := r.Seal(nil, nil, []byte("v"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := r.Generate()
	if err != nil || first == second || r.Current() != second {
		t.Fatalf("%v %v %v", first, second, err)
	}
	box, err := r.Seal(nil, nil, []byte("v"))
	if err != nil || keys.ID(box) != second || keys.ID(old) != first {
		t.Fatal("sealed under the wrong key")
	}
	if _, err := r.Open(nil, old); err != nil {
		t.Errorf("the old key does not open: %v", err)
	}
	copy(box, first[:])
	if _, err := r.Open(nil, box); !errors.Is(err, keys.ErrOpen) {
		t.Errorf("a box under another key's id: %v", err)
	}
	if _, err := keystest.Ring(t).Open(nil, old); !errors.Is(err, keys.ErrUnknownKey) {
		t.Errorf("another vault's ring: %v", err)
	}
	if err := r.Use(keys.ID{9}); !errors.Is(err, keys.ErrUnknownKey) {
		t.Errorf("an unknown key became current: %v", err)
	}
	if err := r.Add(first, make([]byte, keys.KeySize)); !errors.Is(err, keys.ErrKey) {
		t.Errorf("a key was replaced: %v", err)
	}
	if err := r.Add(keys.ID{7}, make([]byte, 16)); !errors.Is(err, keys.ErrKey) {
		t.Errorf("a short key was taken: %v", err)
	}
}

// No two different inputs may share a MAC: not by another split, not by another label or purpose.
func TestMACsSeparateTheirInputs(t *testing.T) {
	r := keystest.Ring(t)
	seen := map[[32]byte]string{}
	for _, in := range []struct {
		name  string
		p     keys.Purpose
		label string
		parts []string
	}{
		{"ab|c", keys.Auth, "l", []string{"ab", "c"}}, {"a|bc", keys.Auth, "l", []string{"a", "bc"}}, {"abc", keys.Auth, "l", []string{"abc"}},
		{"abc|", keys.Auth, "l", []string{"abc", ""}}, {"la|bc", keys.Auth, "la", []string{"bc"}}, {"none", keys.Auth, "labc", nil},
		{"digest", keys.Digest, "l", []string{"abc"}}, {"print", keys.Print, "l", []string{"abc"}},
	} {
		var parts [][]byte
		for _, p := range in.parts {
			parts = append(parts, []byte(p))
		}
		i, mac := r.MAC(in.p, in.label, parts...)
		if other, there := seen[mac]; there {
			t.Errorf("%s and %s have one MAC", in.name, other)
		}
		seen[mac] = in.name
		if again, err := r.MACBy(i, in.p, in.label, parts...); err != nil || again != mac {
			t.Errorf("%s: MACBy disagrees", in.name)
		}
	}
}

func TestNothingWorksAfterClose(t *testing.T) {
	r := keys.New(keys.Options{})
	i, err := r.Generate()
	if err != nil {
		t.Fatal(err)
	}
	box, err := r.Seal(nil, nil, []byte("v"))
	if err != nil {
		t.Fatal(err)
	}
	_, before := r.MAC(keys.Auth, "l")
	var lent []byte
	if err := r.Wrap(i, func(raw []byte) error { lent = bytes.Clone(raw); return nil }); err != nil || len(lent) != keys.KeySize {
		t.Fatal("the key is not lent")
	}
	r.Close()
	r.Close()
	_, a := r.MAC(keys.Auth, "l")
	_, b := r.MAC(keys.Auth, "l")
	if a == before || a == b {
		t.Error("a MAC of a closed ring can be foretold")
	}
	_, sealErr := r.Seal(nil, nil, nil)
	_, openErr := r.Open(nil, box)
	_, macErr := r.MACBy(i, keys.Auth, "l")
	_, _, signErr := r.Sign(nil)
	for name, err := range map[string]error{
		"seal": sealErr, "open": openErr, "mac": macErr, "sign": signErr,
		"wrap": r.Wrap(i, func([]byte) error { return nil }), "add": r.Add(keys.ID{3}, lent),
	} {
		if !errors.Is(err, keys.ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCloseWaitsForUsers(t *testing.T) {
	r := keys.New(keys.Options{})
	if _, err := r.Generate(); err != nil {
		t.Fatal(err)
	}
	var users sync.WaitGroup
	for range 4 {
		users.Go(func() {
			for !r.Closed() {
				box, err := r.Seal(nil, []byte("p"), []byte("v"))
				if err != nil {
					continue
				}
				if plain, err := r.Open([]byte("p"), box); err == nil && string(plain) != "v" {
					t.Error("a wrong value")
				}
				r.MAC(keys.Auth, "l", box)
			}
		})
	}
	for range 1000 {
		r.MAC(keys.Auth, "l")
	}
	r.Close()
	users.Wait()
}

func TestIDsHaveOneSpelling(t *testing.T) {
	if i, err := keys.ParseID("0102030405060708"); err != nil || i != keystest.ID {
		t.Errorf("%v %v", i, err)
	}
	for _, bad := range []string{"", "01", "0102030405060g08", "010203040506070809", "0102030405060708 ", "0A02030405060708"} {
		if _, err := keys.ParseID(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	r := keys.New(keys.Options{})
	if _, err := r.Generate(); err != nil {
		b.Fatal(err)
	}
	ad, plain := make([]byte, 80, 128), make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Seal(nil, ad, plain); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	r := keys.New(keys.Options{})
	if _, err := r.Generate(); err != nil {
		b.Fatal(err)
	}
	ad, plain := make([]byte, 80, 128), make([]byte, 64)
	box, err := r.Seal(nil, ad, plain)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Open(ad, box); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMAC(b *testing.B) {
	r := keystest.Ring(b)
	key, body := make([]byte, 30), make([]byte, 1024)
	b.ReportAllocs()
	for b.Loop() {
		r.MAC(keys.Auth, "record 1 resources", key, body)
	}
}

// A ring that was closed works again with the keys of another, for whoever holds it; the other is closed then. A ring that has keys takes none.
func TestTakeOver(t *testing.T) {
	r, other := keystest.Ring(t), keystest.Ring(t)
	box, err := r.Seal(nil, []byte("ad"), []byte("plain"))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.TakeOver(keystest.Ring(t)); !errors.Is(err, keys.ErrKey) {
		t.Fatalf("an open ring: %v", err)
	}
	r.Close()
	if _, err := r.Open([]byte("ad"), box); !errors.Is(err, keys.ErrClosed) {
		t.Fatalf("closed: %v", err)
	}
	if err := r.TakeOver(other); err != nil || r.Closed() || !other.Closed() {
		t.Fatalf("%v, closed %v, the other %v", err, r.Closed(), other.Closed())
	}
	if plain, err := r.Open([]byte("ad"), box); err != nil || string(plain) != "plain" || r.Current() != keystest.ID {
		t.Fatalf("%q %v", plain, err)
	}
	if _, err := other.Seal(nil, nil, nil); !errors.Is(err, keys.ErrClosed) {
		t.Fatalf("the other seals still: %v", err)
	}
	r.Close()
	if err := r.TakeOver(other); !errors.Is(err, keys.ErrKey) || !r.Closed() {
		t.Fatalf("of a closed one: %v", err)
	}
}
