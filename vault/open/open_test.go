package open_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/internal/keys/keystest"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/open"
	"github.com/zavhoz/zavhoz/vault/secret"
)

var here = keyring.Ref{Type: "resource", ID: "res_aaaaaaaaaaaaaaaaaaaaaaaaaa", Field: "token", Version: 3}

func TestASealedValueOpensInItsPlaceOnly(t *testing.T) {
	k := keystest.Keyring(t)
	o := open.New(k)
	for _, value := range []string{"", "v", "line\nline\x00\xff", strings.Repeat("long ", 1000)} {
		sealed, err := k.Seal(here, secret.FromString(value))
		if err != nil {
			t.Fatal(err)
		}
		got, err := o.Open(here, sealed)
		if err != nil || string(got.Reveal()) != value {
			t.Fatalf("%d bytes: %v", len(value), err)
		}
		for name, there := range map[string]keyring.Ref{
			"type":    {Type: "server", ID: here.ID, Field: here.Field, Version: here.Version},
			"id":      {Type: here.Type, ID: "res_baaaaaaaaaaaaaaaaaaaaaaaaa", Field: here.Field, Version: here.Version},
			"field":   {Type: here.Type, ID: here.ID, Field: "key", Version: here.Version},
			"version": {Type: here.Type, ID: here.ID, Field: here.Field, Version: 2},
			"shifted": {Type: here.Type + here.ID, Field: here.Field, Version: here.Version},
			"none":    {},
		} {
			if _, err := o.Open(there, sealed); fault.CodeOf(err) != fault.RecordTampered {
				t.Errorf("another %s: %v", name, err)
			}
		}
	}
}

func TestEveryByteOfASealedValueCounts(t *testing.T) {
	k := keystest.Keyring(t)
	o := open.New(k)
	sealed, err := k.Seal(here, secret.FromString("canary-value"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(sealed) {
		for b := range 256 {
			if byte(b) == sealed[i] {
				continue
			}
			bad := sealed[:i] + string([]byte{byte(b)}) + sealed[i+1:]
			got, err := o.Open(here, bad)
			if err == nil {
				t.Fatalf("byte %d as %#x opens to %d bytes", i, b, got.Len())
			}
			if strings.Contains(err.Error(), "canary") {
				t.Fatal("the error holds the value")
			}
		}
	}
	for name, bad := range map[string]string{
		"empty": "", "prefix": "zvh1:", "padded": sealed + "=", "a line end": sealed + "\n", "twice": sealed + sealed, "cut": sealed[:len(sealed)-1],
		"no prefix": sealed[5:], "spaces": " " + sealed, "long": "zvh1:" + strings.Repeat("A", keyring.MaxSealed),
	} {
		if _, err := o.Open(here, bad); fault.CodeOf(err) != fault.RecordTampered {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := o.Open(here, "zvh9:AAAA"); fault.CodeOf(err) != fault.VaultFormat {
		t.Errorf("a newer format: %v", err)
	}
}

func TestNonceIsFresh(t *testing.T) {
	k := keystest.Keyring(t)
	seen := map[string]bool{}
	for range 100 {
		s, err := k.Seal(here, secret.FromString("v"))
		if err != nil || seen[s] {
			t.Fatalf("sealed twice alike (%v)", err)
		}
		seen[s] = true
	}
}

func TestALockedVaultOpensNothing(t *testing.T) {
	i, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	k, _, err := keyring.Create([]age.Recipient{i.Recipient()})
	if err != nil {
		t.Fatal(err)
	}
	o := open.New(k)
	sealed, err := k.Seal(here, secret.FromString("v"))
	if err != nil {
		t.Fatal(err)
	}
	k.Close()
	if _, err := o.Open(here, sealed); fault.CodeOf(err) != fault.VaultLocked {
		t.Errorf("open: %v", err)
	}
	if _, err := k.Seal(here, secret.FromString("v")); fault.CodeOf(err) != fault.VaultLocked {
		t.Errorf("seal: %v", err)
	}
}

func TestTooLargeIsRefused(t *testing.T) {
	k := keystest.Keyring(t)
	if _, err := k.Seal(here, secret.New(make([]byte, keyring.MaxSecret+1))); fault.CodeOf(err) != fault.TooLarge {
		t.Errorf("%v", err)
	}
	s, err := k.Seal(here, secret.New(make([]byte, keyring.MaxSecret)))
	if err != nil {
		t.Fatal(err)
	}
	if v, err := open.New(k).Open(here, s); err != nil || v.Len() != keyring.MaxSecret {
		t.Errorf("the largest value: %v", err)
	}
}

type vector struct {
	Ref    keyring.Ref
	Plain  string
	Sealed string
}

// The committed vectors open, and the same key, nonce and value seal to the same text.
func TestGoldenSealed(t *testing.T) {
	plains := []string{"", "123456789:AAF-golden", "two\nlines\n"}
	made := func() []byte {
		k := keystest.Keyring(t)
		var all []vector
		for i, p := range plains {
			ref := here
			ref.Version = uint64(i)
			s, err := k.Seal(ref, secret.FromString(p))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, vector{ref, p, s})
		}
		b, err := json.MarshalIndent(all, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		return append(b, '\n')
	}
	b := keystest.Golden(t, "sealed.golden", made)
	if again := made(); !bytes.Equal(again, b) {
		t.Errorf("sealed again:\n%s", again)
	}
	var all []vector
	if err := json.Unmarshal(b, &all); err != nil || len(all) != len(plains) {
		t.Fatalf("%d vectors, %v", len(all), err)
	}
	o := open.New(keystest.Keyring(t))
	for i, v := range all {
		if got, err := o.Open(v.Ref, v.Sealed); err != nil || string(got.Reveal()) != plains[i] {
			t.Errorf("vector %d: %v", i, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	k := keystest.Keyring(f)
	o := open.New(k)
	sealed, err := k.Seal(here, secret.FromString("v"))
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{sealed, "", "zvh1:", "zvh2:AA", "zvh1:AAAA", sealed[:20], sealed + "A"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if _, err := o.Open(here, s); err == nil && s != sealed {
			t.Error("a text that nobody sealed opens")
		}
	})
}

func BenchmarkSealOpen(b *testing.B) {
	i, err := age.GenerateX25519Identity()
	if err != nil {
		b.Fatal(err)
	}
	k, _, err := keyring.Create([]age.Recipient{i.Recipient()})
	if err != nil {
		b.Fatal(err)
	}
	o := open.New(k)
	v := secret.FromString(strings.Repeat("k", 51))
	b.Run("seal", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := k.Seal(here, v); err != nil {
				b.Fatal(err)
			}
		}
	})
	sealed, err := k.Seal(here, v)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("open", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := o.Open(here, sealed); err != nil {
				b.Fatal(err)
			}
		}
	})
}
