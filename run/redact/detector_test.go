package redact

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

// disguises are those of threat-model.md row 3, and some more.
var disguises = map[string]func(string) string{
	"split":           func(s string) string { return wrapAt(s, 5, " ") },
	"fold":            func(s string) string { return wrapAt(s, 1, "\n") },
	"spaces":          func(s string) string { return strings.Join(strings.Split(s, ""), "  ") },
	"dots":            func(s string) string { return strings.Join(strings.Split(s, ""), ".") },
	"upper":           strings.ToUpper,
	"lower":           strings.ToLower,
	"rot13":           func(s string) string { return strings.Map(rot13, s) },
	"reversed spaced": func(s string) string { return wrapAt(strings.Join(reversed([]string{s}), ""), 3, "-") },
	"base64 twice": func(s string) string {
		return base64.StdEncoding.EncodeToString([]byte(base64.StdEncoding.EncodeToString([]byte("x=" + s + "\n"))))
	},
	"base64 of hex":  func(s string) string { return base64.StdEncoding.EncodeToString([]byte(hex.EncodeToString([]byte(s)))) },
	"base64 spaced":  func(s string) string { return wrapAt(base64.StdEncoding.EncodeToString([]byte("ab"+s)), 3, " ") },
	"hex twice":      func(s string) string { return hex.EncodeToString([]byte(hex.EncodeToString([]byte(s)))) },
	"decimal codes":  func(s string) string { return strings.Trim(fmt.Sprint([]byte(s)), "[]") },
	"decimal commas": func(s string) string { return strings.ReplaceAll(fmt.Sprint([]byte(s)), " ", ", ") },
	"entities":       func(s string) string { return codes(s, "&#%d;") },
	"hex entities":   func(s string) string { return codes(s, "&#x%x;") },
	"0x":             func(s string) string { return codes(s, "0x%02x, ") },
	`\u`:             func(s string) string { return codes(s, `\u%04x`) },
	"octal":          func(s string) string { return codes(s, `\%03o`) },
	"od -b":          func(s string) string { return dump(s, 16, "%07o", " %03o", 1) },
	"od":             func(s string) string { return dump(s, 16, "%07o", " %06o", 2) },
	"od -x":          func(s string) string { return dump(s, 16, "%07o", " %04x", 2) },
	"od -tx1":        func(s string) string { return dump(s, 16, "%07o", " %02x", 1) },
	"hexdump -C":     func(s string) string { return hex.Dump([]byte("some words before " + s)) },
}

func rot13(r rune) rune {
	switch {
	case r >= 'a' && r <= 'z':
		return 'a' + (r-'a'+13)%26
	case r >= 'A' && r <= 'Z':
		return 'A' + (r-'A'+13)%26
	}
	return r
}

func codes(s, format string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, format, s[i])
	}
	return b.String()
}

// dump writes as od does: an offset a line, groups of size bytes, little endian.
func dump(s string, line int, offset, group string, size int) string {
	var b strings.Builder
	for i := 0; i < len(s); i += size {
		if i%line == 0 {
			if i > 0 {
				b.WriteByte('\n')
			}
			fmt.Fprintf(&b, offset, i)
		}
		v := int(s[i])
		if size == 2 && i+1 < len(s) {
			v |= int(s[i+1]) << 8
		}
		fmt.Fprintf(&b, group, v)
	}
	return b.String() + "\n"
}

func TestDetectorKnowsDisguises(t *testing.T) {
	const v = "sk-live-4Kq9ZtR7mWx2Yc8Vb1Nd"
	d := mustSet(t, Options{}, "another-value-9f8e7d6c5b4a", v).Detector()
	for name, f := range disguises {
		if got := d.Alarm([]byte("out: " + f(v) + "\n")); fmt.Sprint(got) != "[h1.v]" {
			t.Errorf("%s: %v (%q)", name, got, f(v))
		}
	}
	for _, calm := range []string{"", "sk-live", string(makeLog(1 << 17))} {
		if got := d.Alarm([]byte(calm)); got != nil {
			t.Errorf("false alarm: %v", got)
		}
	}
	d.Wipe()
	if d.Alarm([]byte(v)) != nil {
		t.Error("knows a value after Wipe")
	}
}
