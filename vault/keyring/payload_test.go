package keyring

import (
	"bytes"
	"errors"
	"testing"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/vault/internal/keys"
)

// What age writes is read as age reads it, up to the size of a chunk; more, and any byte that is changed, is refused.
func TestAFileOfOneChunk(t *testing.T) {
	i, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	encrypted := func(plain []byte) []byte {
		t.Helper()
		var b bytes.Buffer
		w, err := age.Encrypt(&b, i.Recipient())
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.Write(plain)
		if err = errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	for _, size := range []int{0, 1, keys.KeySize, 1000, chunkSize - 1, chunkSize} {
		plain := bytes.Repeat([]byte{7}, size)
		if got, err := decryptFile(encrypted(plain), i); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("of %d bytes: %d %v", size, len(got), err)
		}
	}
	for _, size := range []int{chunkSize + 1, 2 * chunkSize} {
		if _, err := decryptFile(encrypted(make([]byte, size)), i); !errors.Is(err, keys.ErrKey) {
			t.Errorf("of %d bytes, more than a chunk: %v", size, err)
		}
	}
	file := encrypted([]byte("a key"))
	for at := range file {
		bad := bytes.Clone(file)
		bad[at] ^= 1
		if got, err := decryptFile(bad, i); err == nil {
			t.Fatalf("with byte %d changed it opens to %q", at, got)
		}
	}
	for n := range file {
		if got, err := decryptFile(file[:n], i); err == nil {
			t.Fatalf("cut to %d bytes it opens to %q", n, got)
		}
	}
	if _, err := decryptFile(append(bytes.Clone(file), 0), i); !errors.Is(err, keys.ErrKey) {
		t.Errorf("with a byte more: %v", err)
	}
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	var none *age.NoIdentityMatchError
	if _, err := decryptFile(file, other); !errors.As(err, &none) {
		t.Errorf("another's: %v", err)
	}
}
