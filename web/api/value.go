package api

import (
	"encoding/json"
	"errors"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/zavhoz/zavhoz/vault/secret"
)

// ErrValue says that a secret value did not come as a JSON string.
var ErrValue = errors.New("api: a secret value is a JSON string")

// Value is a secret on its way in. It decodes from a JSON string; the client encodes it with Quote.
type Value struct{ secret.Secret }

// UnmarshalJSON takes a JSON string, without leaving a Go string behind that could not be wiped.
func (v *Value) UnmarshalJSON(b []byte) error {
	text, err := unquote(b)
	if err != nil {
		return ErrValue
	}
	v.Secret = secret.New(text)
	return nil
}

// Secrets opens the map of values for the vault.
func Secrets(in map[string]Value) map[string]secret.Secret {
	out := make(map[string]secret.Secret, len(in))
	for k, v := range in {
		out[k] = v.Secret
	}
	return out
}

// Quote encodes a secret as a JSON string, for a request to the daemon over its own socket. Wipe the result when it is sent.
func Quote(s secret.Secret) json.RawMessage {
	const hex = "0123456789abcdef"
	out := make([]byte, 0, 6*s.Len()+2) // never grown: no copy stays behind
	out = append(out, '"')
	for _, c := range s.Reveal() {
		switch {
		case c == '"' || c == '\\':
			out = append(out, '\\', c)
		case c < 0x20:
			out = append(out, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			out = append(out, c)
		}
	}
	return append(out, '"')
}

// unquote decodes a JSON string literal into fresh bytes. Go's own decoder makes a string of it, which cannot be wiped, and puts U+FFFD in the
// place of what is no text: a value changed in silence. This refuses it.
func unquote(b []byte) ([]byte, error) {
	if len(b) < 2 || b[0] != '"' || b[len(b)-1] != '"' || !utf8.Valid(b) {
		return nil, ErrValue
	}
	b = b[1 : len(b)-1]
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		if b[0] == '"' || b[0] < 0x20 {
			clear(out)
			return nil, ErrValue
		}
		if b[0] != '\\' {
			out, b = append(out, b[0]), b[1:]
			continue
		}
		r, n := escape(b)
		if n == 0 {
			clear(out)
			return nil, ErrValue
		}
		out, b = utf8.AppendRune(out, r), b[n:]
	}
	return out, nil
}

// short are the escapes of one letter.
var short = map[byte]rune{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// escape reads one escape sequence at the start of b, both halves of a surrogate pair; n is its length, 0 where it is none.
func escape(b []byte) (r rune, n int) {
	if len(b) < 2 {
		return 0, 0
	}
	if r, ok := short[b[1]]; ok {
		return r, 2
	}
	first, ok := unit(b)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(first) {
		return first, 6
	}
	second, ok := unit(b[6:])
	if r := utf16.DecodeRune(first, second); ok && r != utf8.RuneError {
		return r, 12
	}
	return 0, 0
}

// unit reads \uXXXX.
func unit(b []byte) (r rune, ok bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	for _, c := range b[2:6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
