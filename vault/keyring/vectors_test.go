package keyring

import (
	"bytes"
	"compress/zlib"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"

	agetest "c2sp.org/CCTV/age"
	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/zavhoz/zavhoz/vault/secret"
)

// vector is one file of the suite that every age implementation is held to (C2SP CCTV).
type vector struct {
	expect  string
	payload string // hex SHA-256
	ids     []age.Identity
	armored bool
	file    []byte
}

func readVector(t *testing.T, b []byte) (v vector) {
	t.Helper()
	var zipped bool
	for {
		line, rest, ok := bytes.Cut(b, []byte("\n"))
		if b = rest; !ok {
			t.Fatal("no payload")
		}
		key, value, _ := strings.Cut(string(line), ": ")
		switch key {
		case "":
			v.file = b
			if zipped {
				r, err := zlib.NewReader(bytes.NewReader(b))
				if err != nil {
					t.Fatal(err)
				}
				if v.file, err = io.ReadAll(r); err != nil {
					t.Fatal(err)
				}
			}
			return v
		case "expect":
			v.expect = value
		case "payload":
			v.payload = value
		case "identity": // by the reader that reads ours
			ids, err := ParseIdentities([]byte(value), IdentityOptions{})
			if err != nil {
				t.Fatal(err)
			}
			v.ids = append(v.ids, ids...)
		case "passphrase":
			i, err := PassphraseIdentity(secret.FromString(value))
			if err != nil {
				t.Fatal(err)
			}
			v.ids = append(v.ids, i)
		case "armored":
			v.armored = true
		case "compressed":
			zipped = true
		}
	}
}

// What we use of age (X25519, the post-quantum hybrid, scrypt, armor, the payload) does what the suite asks, in the version that is linked here and by our readers of
// identities: what must open opens to the right bytes, and everything else is refused where it should be.
func TestAgeVectors(t *testing.T) {
	files, err := fs.ReadDir(agetest.Vectors, ".")
	if err != nil || len(files) < 100 {
		t.Fatalf("%d vectors, %v", len(files), err)
	}
	for _, f := range files {
		t.Run(f.Name(), func(t *testing.T) {
			b, err := fs.ReadFile(agetest.Vectors, f.Name())
			if err != nil {
				t.Fatal(err)
			}
			v := readVector(t, b)
			got, hash := v.open()
			if got != v.expect {
				t.Fatalf("%s, not %s", got, v.expect)
			}
			if got == "success" && hash != v.payload {
				t.Error("it opens to other bytes")
			}
		})
	}
}

// open says in the suite's words how opening ends.
func (v vector) open() (how, payload string) {
	var in io.Reader = bytes.NewReader(v.file)
	if v.armored {
		in = armor.NewReader(in)
	}
	r, err := age.Decrypt(in, v.ids...)
	if err == nil {
		var out []byte
		if out, err = io.ReadAll(r); err == nil {
			sum := sha256.Sum256(out)
			return "success", hex.EncodeToString(sum[:])
		}
		if errors.As(err, new(*armor.Error)) {
			return "armor failure", ""
		}
		return "payload failure", ""
	}
	switch {
	case strings.HasSuffix(err.Error(), "bad header MAC"):
		return "HMAC failure", ""
	case errors.As(err, new(*armor.Error)):
		return "armor failure", ""
	case errors.As(err, new(*age.NoIdentityMatchError)):
		return "no match", ""
	}
	return "header failure", ""
}
