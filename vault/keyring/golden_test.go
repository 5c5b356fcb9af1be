package keyring

import (
	"bytes"
	"encoding/hex"
	"os"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/vault/internal/keys"
)

// goldenIdentity is for tests alone.
const goldenIdentity = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"

const goldenHeader = "../../testdata/formats/keyring_header.golden"

// fixedRing holds the key 00…1f under the id 0102…08, as in vault/internal/keys/keystest (which cannot be imported from here).
func fixedRing(t *testing.T) *keys.Ring {
	t.Helper()
	r := keys.New(keys.Options{Rand: bytes.NewReader(append([]byte{1, 2, 3, 4, 5, 6, 7, 8}, counting()...))})
	t.Cleanup(r.Close)
	return r
}

func counting() []byte {
	b := make([]byte, 32)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

const goldenHeader2 = "../../testdata/formats/keyring_header2.golden"

// golden reads a committed header.
func golden(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The committed headers, of format 1 and 2, unlock to the fixed key, and are written again as the same bytes. The slots are age's and random, so they are kept; to
// make the vector of the present format anew, remove the file.
func TestGoldenHeader(t *testing.T) {
	i, err := age.ParseX25519Identity(goldenIdentity)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(goldenHeader2); os.IsNotExist(err) {
		at := time.Date(2026, 8, 1, 12, 0, 0, 0, time.UTC)
		k, b, err := create(fixedRing(t), at, []age.Recipient{i.Recipient()})
		if err == nil {
			word, _ := cheapWord(t, "correct horse")
			b, _, err = k.AddSlot(b, word, "words", at)
		}
		if err == nil {
			err = os.WriteFile(goldenHeader2, b, 0o644)
		}
		t.Errorf("the golden header was missing and is written now: commit it (%v)", err)
	}
	fixed := fixedRing(t)
	if _, err := fixed.Generate(); err != nil {
		t.Fatal(err)
	}
	_, want := fixed.MAC(keys.Auth, "mac l", []byte("v"))
	_, word := cheapWord(t, "correct horse")
	for file, ids := range map[string][]age.Identity{goldenHeader: {i}, goldenHeader2: {i, word}} {
		for _, id := range ids {
			b := golden(t, file)
			k, err := Unlock(b, []age.Identity{id})
			if err != nil {
				t.Fatal(err)
			}
			if k.MAC("l", []byte("v")) != want {
				t.Errorf("%s: it unlocks to another key", file)
			}
			h, err := parseHeader(b)
			if err != nil {
				t.Fatal(err)
			}
			if again, err := h.seal(k.ring); err != nil || !bytes.Equal(again, b) {
				t.Errorf("%s: written again it is\n%s\nnot\n%s", file, again, b)
			}
			k.Close()
		}
	}
}

// What the fixed key gives. All but the public key were computed by another program than this one.
const (
	goldenPrint  = "44eebefe4a6eba2f31c8f12b5c5ee047"
	goldenMAC    = "e02828e7e49c704cd091bd49d3ef054385132d2780a2cdcfd7d358c1959c7194"
	goldenDigest = "a07baadd5a85d7976f39b54b1c00a2eaac6feb6eeb61f27b7f108140cc6dd2fd"
	goldenPublic = "1353f19f276d39f566d7d839c6228084f4b7a2a5f229fb0d8845340be93abea6"
)

// The derived keys are part of the format: these outputs never change.
func TestGoldenDerivation(t *testing.T) {
	r := fixedRing(t)
	if _, err := r.Generate(); err != nil {
		t.Fatal(err)
	}
	k := FromRing("vlt_aaaaaaaaaaaaaaaaaaaaaaaaaa", r)
	pub, err := k.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	mac := k.MAC("label", []byte("a"), []byte("b"))
	_, digest := r.MAC(keys.Digest, "label", []byte("a"))
	for name, c := range map[string][2]string{
		"fingerprint": {k.Fingerprint("label", []byte("value")), goldenPrint},
		"mac":         {hex.EncodeToString(mac[:]), goldenMAC},
		"digest mac":  {hex.EncodeToString(digest[:]), goldenDigest},
		"public key":  {hex.EncodeToString(pub), goldenPublic},
	} {
		if c[0] != c[1] {
			t.Errorf("%s is %s, not %s", name, c[0], c[1])
		}
	}
}
