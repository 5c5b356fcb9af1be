// Package canary finds secrets in bytes: it knows the encodings in which eight consecutive bytes of a secret could leave, and looks for all of them.
//
// Promise: what Find does not find in a text is not there raw, reversed, in hex, base64 (any alignment, both alphabets), base32, percent, JSON or HTML
// escapes, UTF-16, decimal or octal codes; each in the spelling that the usual programs write.
//
// It serves the test of this package, which plants secrets of every kind, drives every door, and reads back every byte that was written anywhere.
package canary

import (
	"bytes"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
)

// Window is how many consecutive bytes of a secret count as a leak.
const Window = 8

// Hunter knows the encoded windows of secrets.
type Hunter struct {
	byLen  map[int]map[string]string // length → encoded window → what it is
	starts [1 << 20]bool             // of some form the first bytes are these, by start
}

// shortest is how long a form is at least.
const shortest = 8

// start is a number for the first four bytes: where none of the forms has it, none begins.
func start(b string) uint32 {
	return (uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24) * 2654435761 >> 12
}

// New makes a Hunter.
func New() *Hunter { return &Hunter{byLen: map[int]map[string]string{}} }

// Plant adds a secret's random part, of at least Window bytes.
func (h *Hunter) Plant(name, random string) {
	if len(random) < Window {
		panic("canary: too short to hunt")
	}
	for i := 0; i+Window <= len(random); i++ {
		w := random[i : i+Window]
		for how, form := range encodings(w) {
			h.add(form, name+" ("+how+")")
		}
	}
	for pad := range 3 {
		for i := 0; i+Window+1 <= len(random); i++ {
			h.add64(random[i:min(len(random), i+Window+1)], pad, name)
		}
	}
}

func (h *Hunter) add(form, what string) {
	if len(form) < shortest {
		panic("canary: a form too short to hunt")
	}
	h.starts[start(form)] = true
	m := h.byLen[len(form)]
	if m == nil {
		m = map[string]string{}
		h.byLen[len(form)] = m
	}
	m[form] = what
}

// add64 adds the characters of base64 that depend on the window alone, where it begins pad bytes after a border.
func (h *Hunter) add64(w string, pad int, name string) {
	in := append(make([]byte, pad), w...)
	in = in[:len(in)/3*3]
	for alphabet, enc := range map[string]*base64.Encoding{"std": base64.RawStdEncoding, "url": base64.RawURLEncoding} {
		text := enc.EncodeToString(in)
		if pad > 0 {
			text = text[4:] // the first group depends on what comes before
		}
		if len(text) >= 8 {
			h.add(text[:8], name+" (base64 "+alphabet+")")
		}
	}
}

// encodings are the forms of a window that stand for themselves wherever they are.
func encodings(w string) map[string]string {
	each := func(format, sep string) string {
		var s []string
		for i := range len(w) {
			s = append(s, fmt.Sprintf(format, w[i]))
		}
		return strings.Join(s, sep)
	}
	rev := []byte(w)
	slices.Reverse(rev)
	var utf16 []byte
	for i := range len(w) {
		utf16 = append(utf16, w[i], 0)
	}
	return map[string]string{
		"raw": w, "reversed": string(rev), "hex": hex.EncodeToString([]byte(w)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(w))),
		"hex spaced": each("%02x", " "), "hex colons": each("%02x", ":"), `\x`: each(`\x%02x`, ""), "percent": each("%%%02X", ""), "percent lower": each("%%%02x", ""),
		"json": each(`\u%04x`, ""), "html": each("&#%d;", ""), "html hex": each("&#x%x;", ""), "utf-16": string(utf16), "decimal": each("%d", " "), "decimal commas": each("%d", ","),
		"octal": each("%03o", " "), "spaced": each("%c", " "), "a line each": each("%c", "\n"), "upper": strings.ToUpper(w), "lower": strings.ToLower(w),
		"base32": base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString([]byte(w[:5])),
	}
}

// Find names what of the secrets is in text, each find once.
func (h *Hunter) Find(text []byte) []string {
	found := map[string]bool{}
	for _, what := range h.each(text) {
		found[what] = true
	}
	return slices.Sorted(maps.Keys(found))
}

// each gives the places where a form begins, and what it is.
func (h *Hunter) each(text []byte) iter.Seq2[int, string] {
	all := string(text)
	return func(yield func(int, string) bool) {
		for i := 0; i+shortest <= len(all); i++ {
			if !h.starts[start(all[i:])] {
				continue
			}
			for n, forms := range h.byLen {
				if i+n > len(all) {
					continue
				}
				if what, ok := forms[all[i:i+n]]; ok && !yield(i, what) {
					return
				}
			}
		}
	}
}

// Context gives a place of a find with its neighbours, for a test's message: the find itself is the planted canary of a test, no one's secret.
func (h *Hunter) Context(text []byte) string {
	for i := range h.each(text) {
		return string(bytes.ToValidUTF8(text[max(0, i-120):min(len(text), i+80)], []byte("?")))
	}
	return ""
}
