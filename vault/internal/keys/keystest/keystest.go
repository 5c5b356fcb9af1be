// Package keystest gives tests below vault/ keys and randomness that never change, so that formats can be held to golden vectors.
//
// It may be imported by tests only, which the linter checks: keys that anybody can read here would seal nothing (a vault made with
// them opens for every reader of this file).
package keystest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/zavhoz/zavhoz/vault/internal/keys"
	"github.com/zavhoz/zavhoz/vault/keyring"
)

// VaultID is the id of the fixed vault.
const VaultID = "vlt_aaaaaaaaaaaaaaaaaaaaaaaaaa"

var update = flag.Bool("update", false, "rewrite golden files")

// ID is the id of the fixed data key.
var ID = keys.ID{1, 2, 3, 4, 5, 6, 7, 8}

// Key is the fixed data key: bytes 0 to 31.
func Key() []byte {
	k := make([]byte, keys.KeySize)
	for i := range k {
		k[i] = byte(i)
	}
	return k
}

// Rand gives the same bytes each time: SHA-256 of a counter.
func Rand() io.Reader { return &stream{} }

type stream struct {
	n    uint64
	rest []byte
}

// Read never fails.
func (s *stream) Read(p []byte) (int, error) {
	for i := range p {
		if len(s.rest) == 0 {
			h := sha256.Sum256(binary.BigEndian.AppendUint64(nil, s.n))
			s.rest, s.n = h[:], s.n+1
		}
		p[i], s.rest = s.rest[0], s.rest[1:]
	}
	return len(p), nil
}

// Ring is a ring with the fixed key and fixed randomness. It is not for several goroutines that seal.
func Ring(t testing.TB) *keys.Ring {
	t.Helper()
	r := keys.New(keys.Options{Rand: Rand()})
	if err := r.Add(ID, Key()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// Keyring is the fixed vault's keyring.
func Keyring(t testing.TB) *keyring.Keyring {
	t.Helper()
	return keyring.FromRing(VaultID, Ring(t))
}

// Golden gives the committed vector of a format (testdata/formats/NAME); with -update it first writes what make gives, where make is not nil.
func Golden(t testing.TB, name string, make func() []byte) []byte {
	t.Helper()
	path := filepath.Join(root(t), "testdata", "formats", name)
	if *update && make != nil {
		if err := os.WriteFile(path, make(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n"))
}

// root is the module's folder: where go.mod is.
func root(t testing.TB) string {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above the test's folder")
		}
		dir = up
	}
}
