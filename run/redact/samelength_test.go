package redact_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/run/redact"
	"github.com/zavhoz/zavhoz/vault/secret"
)

const (
	sameValue = "ghp_Q7rT2vXw9zLk4mNp8sBd1fGh3jKa5cVe6uYo"
	sameStand = "ghp_standin0standin1standin2standin3stan"
)

func sameLength(t testing.TB, standIn string) (*redact.Matcher, *redact.SameLength) {
	t.Helper()
	set := redact.NewSet(redact.Options{AllowShort: true})
	for name, v := range map[string]string{"a": sameValue, "b": "line-one-0123456\nline-two-6543210", "c": "shrt"} {
		if err := set.Add(name, secret.FromString(v)); err != nil && !errors.Is(err, redact.ErrShort) {
			t.Fatal(err)
		}
	}
	m := set.Compile()
	return m, m.SameLength('*', redact.StandIn{Value: secret.FromString(sameValue), Text: standIn})
}

// sameTexts are texts and what becomes of them.
var sameTexts = map[string]string{
	"plain text":                              "plain text",
	"a " + sameValue + " b":                   "a " + sameStand + " b",
	sameValue + sameValue:                     sameStand + strings.Repeat("*", len(sameValue)), // one range, for they touch
	sameValue[:20] + "\n  " + sameValue[20:]:  strings.Repeat("*", len(sameValue)+3),
	"x line-one-0123456 y line-two-6543210 z": "x **************** y **************** z",
	"shrt":                                "****",
	hex.EncodeToString([]byte(sameValue)): strings.Repeat("*", 2*len(sameValue)),
	"t=" + base64.RawStdEncoding.EncodeToString([]byte(sameValue)) + ";": "t=" + strings.Repeat("*", base64.RawStdEncoding.EncodedLen(len(sameValue))) + ";",
	sameValue[:39]: sameValue[:39],
}

// TestAttack58_SameLengthAtEverySplit: however the text is cut, a stream writes what Mask writes, and not a byte more or less.
func TestAttack58_SameLengthAtEverySplit(t *testing.T) {
	_, v := sameLength(t, sameStand)
	for text, want := range sameTexts {
		whole := []byte(text)
		n, err := v.Mask(whole)
		if found, _ := v.Find([]byte(text)); err != nil || found != n || (n > 0) != (text != want) {
			t.Errorf("%q: %d ranges masked, %d found, %v", text, n, found, err)
		}
		if string(whole) != want {
			t.Errorf("%q became %q", text, whole)
		}
		for cut := range len(text) + 1 {
			var out bytes.Buffer
			s := v.Stream(&out)
			for _, part := range []string{text[:cut], text[cut:]} {
				if _, err := s.Write([]byte(part)); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Close(); err != nil || out.String() != string(whole) || s.Report().Redactions != n {
				t.Fatalf("%q cut at %d: %q, %d ranges, %v; want %q, %d", text, cut, out.String(), s.Report().Redactions, err, whole, n)
			}
		}
	}
}

// TestAttack59_NoStandInOfAnotherLength: a stand-in that would shift what follows is not used.
func TestAttack59_NoStandInOfAnotherLength(t *testing.T) {
	_, v := sameLength(t, sameStand+"x")
	text := []byte(sameValue)
	if _, err := v.Mask(text); err != nil || string(text) != strings.Repeat("*", len(sameValue)) {
		t.Errorf("%q, %v", text, err)
	}
}

func TestKnows(t *testing.T) {
	m, v := sameLength(t, sameStand)
	for value, want := range map[string]bool{sameValue: true, "shrt": true, sameStand: false, sameValue[:30]: false, "": false, "line-one-0123456": true} {
		if m.Knows(secret.FromString(value)) != want {
			t.Errorf("%q: %v", value, !want)
		}
	}
	m.Wipe()
	if _, err := v.Mask([]byte(sameValue)); !errors.Is(err, redact.ErrWiped) {
		t.Errorf("a wiped matcher masks: %v", err)
	}
	if m.Knows(secret.FromString(sameValue)) {
		t.Error("a wiped matcher knows")
	}
}

func BenchmarkSameLengthMask(b *testing.B) {
	_, v := sameLength(b, sameStand)
	text := []byte(strings.Repeat("Content-Type: application/json; charset=utf-8\x00", 12))
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := v.Find(text); err != nil {
			b.Fatal(err)
		}
	}
}
