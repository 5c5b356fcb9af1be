package keys

import (
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"

	"golang.org/x/crypto/chacha20poly1305"
)

// Purpose separates what MACs are for: each has a key of its own.
type Purpose int

// The purposes.
const (
	Auth   Purpose = iota // records and headers
	Digest                // what a collection's digest is made of
	Print                 // fingerprints, to compare without opening
	purposes
)

// The labels of derivation: part of the vault's format, never changed.
var purposeInfo = [purposes]string{"zavhoz v1 mac", "zavhoz v1 digest", "zavhoz v1 fingerprint"}

const (
	sealInfo = "zavhoz v1 seal"
	signInfo = "zavhoz v1 audit signature"
)

// key is one data key with what is derived from it, all in one locked block: raw, signing seed, MAC keys.
type key struct {
	id   ID
	mem  []byte
	free func()
	raw  []byte
	seed []byte
	aead cipher.AEAD
	macs [purposes]*macer
}

func newKey(i ID, raw []byte) (*key, error) {
	OverwriteStack()
	defer OverwriteStack()
	k := &key{id: i}
	k.mem, k.free = lockedBlock((2 + int(purposes)) * KeySize)
	k.raw = k.slot(0)
	copy(k.raw, raw)
	seal, err := derive(k.raw, sealInfo)
	if err != nil {
		return nil, err
	}
	defer clear(seal)
	if k.aead, err = chacha20poly1305.NewX(seal); err != nil {
		return nil, err
	}
	if k.seed, err = k.derived(1, signInfo); err != nil {
		return nil, err
	}
	for p := range purposes {
		b, err := k.derived(2+int(p), purposeInfo[p])
		if err != nil {
			return nil, err
		}
		k.macs[p] = newMacer(b)
	}
	return k, nil
}

func (k *key) slot(n int) []byte { return k.mem[n*KeySize : (n+1)*KeySize : (n+1)*KeySize] }

func (k *key) derived(n int, info string) ([]byte, error) {
	b, err := derive(k.raw, info)
	if err != nil {
		return nil, err
	}
	copy(k.slot(n), b)
	clear(b)
	return k.slot(n), nil
}

func derive(raw []byte, info string) ([]byte, error) {
	return hkdf.Key(sha256.New, raw, nil, info, KeySize)
}

// signer is made anew each time: it is needed once in a thousand records, and its memory is not locked.
func (k *key) signer() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(k.seed) }

func (k *key) wipe() {
	clear(k.mem)
	k.free()
	*k = key{id: k.id}
}
