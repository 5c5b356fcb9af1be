package keyring

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"

	"filippo.io/age"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/zavhoz/zavhoz/vault/internal/keys"
)

// Of age's format, version 1 (https://age-encryption.org/v1), what lies below the header.
const (
	payloadNonce = 16       // bytes before the first chunk
	chunkSize    = 64 << 10 // bytes of plaintext in a chunk; every one but the last is full
	payloadInfo  = "payload"
	lastChunk    = 1 // the last byte of the nonce of the last chunk; the others count chunks
)

// decryptFile opens an age file of one chunk: a wrapped data key, an identity file. The caller wipes what it gives. age's own reader keeps 64 KiB with the plaintext in them, which nobody but it
// could wipe; so only the header is its to open. Errors: those of age for a header; keys.ErrKey for a payload that does not open, or has more than one chunk.
func decryptFile(file []byte, ids ...age.Identity) ([]byte, error) {
	fileKey, err := age.DecryptHeader(file, ids...)
	if err != nil {
		return nil, err
	}
	defer clear(fileKey)
	_, rest, _ := bytes.Cut(file, []byte("\n---")) // age has read it: there is one
	_, rest, _ = bytes.Cut(rest, []byte("\n"))
	if len(rest) < payloadNonce+chacha20poly1305.Overhead || len(rest) > payloadNonce+chunkSize+chacha20poly1305.Overhead {
		return nil, keys.ErrKey
	}
	key, err := hkdf.Key(sha256.New, fileKey, rest[:payloadNonce], payloadInfo, chacha20poly1305.KeySize)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	aead, err := chacha20poly1305.New(key)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, chacha20poly1305.NonceSize)
	nonce[len(nonce)-1] = lastChunk
	sealed := rest[payloadNonce:]
	out, err := aead.Open(make([]byte, 0, len(sealed)), nonce, sealed, nil)
	if err != nil {
		return nil, keys.ErrKey
	}
	return out, nil
}
