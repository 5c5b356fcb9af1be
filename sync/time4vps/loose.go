package time4vps

import (
	"bytes"
	"encoding/json"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/zavhoz/zavhoz/vault/secret"
)

// text is a scalar that the provider writes as a string, a number or null. Anything else is remembered as bad, and stops nothing.
type text struct {
	s   string
	bad bool
}

// UnmarshalJSON never fails on valid JSON.
func (t *text) UnmarshalJSON(b []byte) error {
	*t = text{}
	switch {
	case string(b) == "null":
	case b[0] == '"':
		return json.Unmarshal(b, &t.s)
	case b[0] == '-' || b[0] >= '0' && b[0] <= '9':
		t.s = string(b)
	default:
		t.bad = true
	}
	return nil
}

// number is an amount that the provider writes as a number, a string of one, or null. nil: not said, or not sensible.
type number struct{ v *int }

// UnmarshalJSON never fails on valid JSON.
func (n *number) UnmarshalJSON(b []byte) error {
	*n = number{}
	f, err := strconv.ParseFloat(strings.TrimSpace(strings.Trim(string(b), `"`)), 64)
	if err == nil && f >= 0 && f <= math.MaxInt32 {
		v := int(f)
		n.v = &v
	}
	return nil
}

// list is an array, or a single element in its place, or null.
type list []json.RawMessage

// UnmarshalJSON never fails on valid JSON.
func (l *list) UnmarshalJSON(b []byte) error {
	*l = nil
	switch b[0] {
	case 'n':
	case '[':
		return json.Unmarshal(b, (*[]json.RawMessage)(l))
	default:
		*l = list{bytes.Clone(b)}
	}
	return nil
}

// address gives the canonical text of an IP address as a secret; empty for none yet, false for what is no address.
func address(s string) (secret.Secret, bool) {
	if s = strings.TrimSpace(s); s == "" {
		return secret.Secret{}, true
	}
	ip, err := netip.ParseAddr(s)
	if err != nil || ip.Zone() != "" {
		return secret.Secret{}, false
	}
	if ip = ip.Unmap(); ip.IsUnspecified() {
		return secret.Secret{}, true
	}
	return secret.FromString(ip.String()), true
}

// hostname gives a host name as a secret; empty for none, false for what is no host name.
func hostname(s string) (secret.Secret, bool) {
	s = strings.ToLower(strings.TrimSuffix(strings.TrimSpace(s), "."))
	return secret.FromString(plain(s, 253)), s == plain(s, 253)
}

// plain lets a name of letters, digits and ._+- through, and nothing else: provider texts end in tables and in what a model reads.
func plain(s string, most int) string {
	if len(s) > most || strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-") != "" {
		return ""
	}
	return s
}

// unquote decodes a JSON string into bytes that can be wiped, which a Go string cannot. Anything but a string gives nothing. raw must be valid JSON.
func unquote(raw []byte) []byte {
	if len(raw) < 2 || raw[0] != '"' || raw[len(raw)-1] != '"' {
		return nil
	}
	raw = raw[1 : len(raw)-1]
	out := make([]byte, 0, len(raw)+utf8.UTFMax)
	for i := 0; i < len(raw); {
		if raw[i] != '\\' {
			out = append(out, raw[i])
			i++
			continue
		}
		if i+1 >= len(raw) {
			return out
		}
		if raw[i+1] != 'u' {
			out = append(out, unescape(raw[i+1]))
			i += 2
			continue
		}
		r := hex4(raw[i+2:])
		i += 6
		if utf16.IsSurrogate(r) {
			low := rune(-1)
			if i+6 <= len(raw) && raw[i] == '\\' && raw[i+1] == 'u' {
				low = hex4(raw[i+2:])
			}
			if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
				i += 6
			}
		}
		out = utf8.AppendRune(out, r)
	}
	return out
}

func unescape(c byte) byte {
	if i := strings.IndexByte("bfnrt", c); i >= 0 {
		return "\b\f\n\r\t"[i]
	}
	return c
}

func hex4(b []byte) rune {
	if len(b) < 4 {
		return utf8.RuneError
	}
	n, err := strconv.ParseUint(string(b[:4]), 16, 16)
	if err != nil {
		return utf8.RuneError
	}
	return rune(n)
}
