// Package open is the only place where what is sealed is opened.
//
// Promise: a sealed value opens only for the place it was sealed for (record type, id, field, version) and under this vault's keys; anything
// else is one error that says nothing of the value. The doors (mcp, tools, web) must not import this package, not even indirectly: a test on the
// import graph holds them to it, so no handler of theirs can hold a secret value.
//
// Attacks stopped: ciphertexts swapped between rows, handles or versions (threat-model.md 57); a tool grown careless (65).
package open

import (
	"encoding/base64"
	"strings"
	"sync"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/internal/keys"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// Opener opens sealed values. It may be used by many goroutines.
type Opener struct{ ring *keys.Ring }

// New makes an Opener over an unlocked keyring.
func New(k *keyring.Keyring) *Opener { return &Opener{k.Ring(keys.Warrant{})} }

// strict refuses padding, line ends and stray last bits, so a sealed value has one spelling.
var strict = base64.RawURLEncoding.Strict()

// opening is the memory of one Open, used again: ciphertext alone, never what it opens to.
type opening struct{ ad, box, text []byte }

var scratch = sync.Pool{New: func() any { return &opening{ad: make([]byte, 0, 256)} }}

// Open gives the value sealed for ref. The caller wipes it. Errors: fault record_tampered, vault_locked, vault_format.
func (o *Opener) Open(ref keyring.Ref, sealed string) (secret.Secret, error) {
	text, ok := strings.CutPrefix(sealed, keyring.Prefix)
	if !ok && strings.HasPrefix(sealed, "zvh") && strings.IndexByte(sealed[:min(len(sealed), 8)], ':') > 0 {
		return secret.Secret{}, fault.New(fault.VaultFormat, "a sealed value has a format that this zavhoz does not know", "upgrade zavhoz")
	}
	if !ok || len(sealed) > keyring.MaxSealed || strings.ContainsAny(text, "\r\n") {
		return secret.Secret{}, keyring.Fault(keys.ErrOpen)
	}
	s := scratch.Get().(*opening)
	defer scratch.Put(s)
	var err error
	s.text = append(s.text[:0], text...)
	if s.box, err = strict.AppendDecode(s.box[:0], s.text); err != nil {
		return secret.Secret{}, keyring.Fault(keys.ErrOpen)
	}
	s.ad = ref.AD(s.ad[:0])
	plain, err := o.ring.Open(s.ad, s.box)
	if err != nil {
		return secret.Secret{}, keyring.Fault(err)
	}
	return secret.New(plain), nil
}
