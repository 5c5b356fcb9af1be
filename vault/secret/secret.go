// Package secret holds the one type in which a secret value travels through Zavhoz.
//
// Promise: a Secret cannot be printed, logged, encoded or compared by accident. Every way in which Go turns a value into
// text (fmt with any verb, slog, encoding/json, text, yaml, gob, xml through text) gives "[secret]" or an error. The bytes come out of
// one method, Reveal, whose callers are a list that `make lint` checks (internal rule: see testdata/lint/reveal.txt).
//
// Attack stopped: the commonest leak of all (threat-model.md 65), a value that ends in a log line, an error text, a panic or a JSON
// reply because some struct that held it was formatted.
//
// What it does not do: Go may have copied the bytes before they came here, and whoever calls Reveal may copy them again. Wipe
// erases this copy only.
package secret

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
)

// Mask is what every textual form of a Secret says.
const Mask = "[secret]"

// ErrEncode is returned by encodings that would otherwise write a type's fields (gob).
var ErrEncode = errors.New("secret: a secret value cannot be encoded")

// Secret is a value that cannot be printed. The zero Secret is empty. Copies share one buffer: Wipe on any wipes all.
type Secret struct{ open func() *box }

// box is reached through a closure and not a pointer: fmt follows pointers, and where it may not call methods (unexported fields)
// a wrong verb makes it print what they point to. Neither fmt nor reflect can look into a closure.
type box struct{ b []byte }

// New takes ownership of b: the caller must not use or keep it.
func New(b []byte) Secret {
	x := &box{b}
	return Secret{func() *box { return x }}
}

// FromString copies s. Prefer New: a Go string cannot be wiped.
func FromString(s string) Secret { return New([]byte(s)) }

// Reveal gives the bytes themselves, not a copy. Do not modify or keep them; they go with Wipe.
// Callers are an allow-list (make lint).
func (s Secret) Reveal() []byte {
	if s.open == nil {
		return nil
	}
	return s.open().b
}

// Len is the length in bytes. It is metadata: say it to people only as a class (see LengthClass).
func (s Secret) Len() int {
	return len(s.Reveal())
}

// IsZero tells whether the secret is empty.
func (s Secret) IsZero() bool { return s.Len() == 0 }

// Equal compares in constant time for equal lengths.
func (s Secret) Equal(o Secret) bool {
	return subtle.ConstantTimeCompare(s.Reveal(), o.Reveal()) == 1
}

// Clone copies the bytes into a Secret with a life of its own.
func (s Secret) Clone() Secret { return New(append([]byte(nil), s.Reveal()...)) }

// Wipe overwrites the bytes with zeros. Later Reveals of any copy give nil.
func (s Secret) Wipe() {
	if s.open == nil {
		return
	}
	x := s.open()
	clear(x.b)
	x.b = nil
}

// LengthClass says how long the value is without saying it exactly: "empty", "short" (<16), "medium" (<64), "long" (<1024), "huge".
func (s Secret) LengthClass() string {
	switch n := s.Len(); {
	case n == 0:
		return "empty"
	case n < 16:
		return "short"
	case n < 64:
		return "medium"
	case n < 1024:
		return "long"
	default:
		return "huge"
	}
}

// String gives Mask.
func (Secret) String() string { return Mask }

// GoString gives Mask.
func (Secret) GoString() string { return Mask }

// Format gives Mask for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(Mask)) }

// LogValue gives Mask.
func (Secret) LogValue() slog.Value { return slog.StringValue(Mask) }

// MarshalText gives Mask.
func (Secret) MarshalText() ([]byte, error) { return []byte(Mask), nil }

// MarshalJSON gives Mask as a JSON string.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + Mask + `"`), nil }

// MarshalYAML gives Mask.
func (Secret) MarshalYAML() (any, error) { return Mask, nil }

// MarshalBinary refuses with ErrEncode.
func (Secret) MarshalBinary() ([]byte, error) { return nil, ErrEncode }

// GobEncode refuses with ErrEncode.
func (Secret) GobEncode() ([]byte, error) { return nil, ErrEncode }

// UnmarshalJSON refuses: a secret enters through a reader written for it, never through a decoder that keeps copies.
func (*Secret) UnmarshalJSON([]byte) error { return ErrEncode }
