package policy

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ErrPath says that a request's path could be read in more than one way.
var ErrPath = errors.New("policy: ambiguous path")

const maxPath = 8 << 10 // bytes

// lookalikes are letters that some servers fold into "." , "/" or "\" (compatibility forms).
const lookalikes = "\u2024\u2025\u2026\u2044\u2215\u29f5\u29f8\ufe52\ufe68\uff0e\uff0f\uff3c"

// NormalPath decodes a raw request path (no query) once, and refuses whatever two servers could read differently (threat-model.md 55): dot segments,
// encoded slashes, backslashes, "%", "?", "#" and ";", empty segments, control characters, bytes that are not UTF-8 (overlong dots). A trailing slash stays.
func NormalPath(raw string) (string, error) {
	if len(raw) == 0 || len(raw) > maxPath || raw[0] != '/' {
		return "", ErrPath
	}
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c == '%' {
			if i+2 >= len(raw) {
				return "", ErrPath
			}
			hi, lo := unhex(raw[i+1]), unhex(raw[i+2])
			if hi < 0 || lo < 0 {
				return "", ErrPath
			}
			if c = byte(hi<<4 | lo); c == '/' {
				return "", ErrPath
			}
			i += 2
		} else if c <= ' ' || c >= 0x7f {
			return "", ErrPath
		}
		out = append(out, c)
	}
	if p := string(out); unambiguous(p) {
		return p, nil
	}
	return "", ErrPath
}

// unambiguous tells whether a decoded path reads the same to every server.
func unambiguous(p string) bool {
	if len(p) == 0 || p[0] != '/' || !utf8.ValidString(p) || strings.ContainsAny(p, `\%?#;`) || strings.ContainsFunc(p, oddRune) {
		return false
	}
	segments := strings.Split(p[1:], "/")
	for i, s := range segments {
		if s == "." || s == ".." || (s == "" && i != len(segments)-1) {
			return false
		}
	}
	return true
}

func oddRune(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || strings.ContainsRune(lookalikes, r)
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// matchPath matches a normal path: a pattern that ends in "/" or "/*" is a prefix; "*" alone stands for one segment.
func matchPath(pattern, path string) bool {
	return match(pattern, path, func(a, b string) bool { return a == b })
}

// denyPath is matchPath with everything that a lax server might overlook: case, a trailing slash, dots and blanks at the end of a segment. A denied
// prefix is denied itself: "/keys/*" denies "/keys" too.
func denyPath(pattern, path string) bool {
	lax := func(a, b string) bool { return strings.EqualFold(a, strings.TrimRight(b, ". ")) }
	bare := strings.TrimSuffix(path, "/")
	return match(pattern, bare+"/", lax) || (bare != "" && match(pattern, bare, lax))
}

func match(pattern, path string, same func(a, b string) bool) bool {
	prefix := strings.HasSuffix(pattern, "/") || strings.HasSuffix(pattern, "/*")
	if prefix {
		pattern = strings.TrimSuffix(pattern, "*")
	}
	want, got := strings.Split(pattern[1:], "/"), strings.Split(path[1:], "/")
	if prefix {
		want = want[:len(want)-1] // the rest, whatever it is
		if len(got) <= len(want) {
			return false
		}
		got = got[:len(want)]
	}
	if len(want) != len(got) {
		return false
	}
	for i, w := range want {
		if w == "*" {
			if got[i] == "" {
				return false
			}
		} else if !same(w, got[i]) {
			return false
		}
	}
	return true
}
