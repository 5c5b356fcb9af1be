package redact

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault/secret"
)

// turning is a set that grows while a stream goes on.
func turning(t testing.TB, old string) (*Set, func(name, value string)) {
	set := NewSet(Options{})
	add := func(name, value string) {
		t.Helper()
		if err := set.Add(name, secret.FromString(value)); err != nil {
			t.Fatal(err)
		}
	}
	add("old", old)
	return set, add
}

// A secret that becomes known at any offset of a text is masked from there on, whole or what is left of it; one that was known is masked whole, wherever its
// halves fall. What was let go before is as it was.
func TestTurnAtEveryOffset(t *testing.T) {
	const old, fresh = "old=canary=0Lq8xW2v", "NEW_$ECRET_#@!~^&_!"
	forms := map[string]func(string) string{
		"plain": func(v string) string { return v },
		"b64":   func(v string) string { return base64.StdEncoding.EncodeToString([]byte(v)) },
		"hex":   func(v string) string { return hex.EncodeToString([]byte(v)) },
	}
	for form, write := range forms {
		a, b := write(old), write(fresh)
		text := "first " + a + " then " + b + " and " + a + ", " + b + " last"
		at := strings.Index(text, b)
		for k := 0; k <= len(text); k++ {
			for _, step := range []int{1, 7, len(text)} {
				set, add := turning(t, old)
				var out bytes.Buffer
				s := set.Stream(&out)
				feed(t, s, text[:k], step)
				add("new", fresh)
				feed(t, s, text[k:], step)
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				got := out.String()
				if strings.Contains(got, old) || strings.Count(got, "[redacted:old]") != 2 {
					t.Fatalf("%s at %d by %d: the old secret: %q", form, k, step, got)
				}
				if form == "plain" && !isAny(got, "first [redacted:old] then ", " and [redacted:old], ", " last", shown(b, k-at), shown(b, k-strings.LastIndex(text, b))) {
					t.Fatalf("%s at %d by %d: %q", form, k, step, got)
				}
				if k <= at && strings.Contains(got, b[4:len(b)-4]) {
					t.Fatalf("%s at %d by %d: the new secret: %q", form, k, step, got)
				}
			}
		}
	}
}

// shown is what may be seen of a value of which n bytes were written before it was known: those, but for a few that the former Matcher may hold back.
func shown(v string, n int) (all []string) {
	for j := max(0, n-4); j <= min(max(0, n), len(v)); j++ {
		if j == len(v) {
			all = append(all, v)
		} else {
			all = append(all, v[:j]+"[redacted:new]")
		}
	}
	if len(all) == 0 {
		all = []string{v}
	}
	return all
}

func isAny(got, head, mid, tail string, first, second []string) bool {
	for _, a := range first {
		for _, b := range second {
			if got == head+a+mid+b+tail {
				return true
			}
		}
	}
	return false
}

func feed(t testing.TB, s io.Writer, text string, step int) {
	t.Helper()
	for len(text) > 0 {
		n := min(step, len(text))
		if _, err := io.WriteString(s, text[:n]); err != nil {
			t.Fatal(err)
		}
		text = text[n:]
	}
}

// Going over to a Matcher that knows the same changes nothing, however often and wherever it happens: in a match, in what is held back, at the same length.
// 100 worlds, and with ZAVHOZ_LONG 400.
func TestTurnToTheSameChangesNothing(t *testing.T) {
	worlds := uint64(100)
	if os.Getenv("ZAVHOZ_LONG") != "" {
		worlds = 400
	}
	for seed := range worlds {
		w := newWorld(seed, 77)
		var want, got bytes.Buffer
		plain := w.m.Stream(&want)
		feed(t, plain, string(w.text), 1+w.r.IntN(40))
		if err := plain.Close(); err != nil {
			t.Fatal(err)
		}
		twin := newWorld(seed, 77).m // the same patterns, another Matcher
		now, n := w.m, 0
		s := NewStream(&got, func() *Matcher {
			if n++; n%3 == 0 {
				if now == w.m {
					now = twin
				} else {
					now = w.m
				}
			}
			return now
		})
		feed(t, s, string(w.text), 1+w.r.IntN(9))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if got.String() != want.String() || s.Report().Redactions != plain.Report().Redactions {
			t.Fatalf("seed %d: %q became\n%q, not\n%q; %v %v", seed, w.text, got.String(), want.String(), s.Report(), plain.Report())
		}
	}
}

// Lengths stay also where the Matcher changes within a value, and both names are reported.
func TestTurnAtTheSameLength(t *testing.T) {
	const old, fresh = "old=canary=0Lq8xW2v", "NEW_$ECRET_#@!~^&_!"
	text := "first " + old + " then " + fresh + " last"
	for k := range len(text) {
		set, add := turning(t, old)
		var out bytes.Buffer
		s := NewSameLengthStream(&out, '*', set.Compile)
		feed(t, s, text[:k], 3)
		add("new", fresh)
		feed(t, s, text[k:], 3)
		if err := s.Close(); err != nil || out.Len() != len(text) || strings.Contains(out.String(), old) {
			t.Fatalf("at %d: %v %q", k, err, out.String())
		}
		if at := strings.Index(text, fresh); k <= at && (strings.Contains(out.String(), "ECRET") || len(s.Report().Names) != 2) {
			t.Fatalf("at %d: %q %v", k, out.String(), s.Report())
		}
	}
}

// Behind a long text, and cut into blocks, the seam holds as well; so does what is remembered across many small writes.
func TestTurnFarInAText(t *testing.T) {
	const old, fresh = "old=canary=0Lq8xW2v", "NEW_$ECRET_#@!~^&_!"
	log := string(makeLog(2*blockLen + 7))
	for _, step := range []int{29, 600, blockLen + 5} {
		for cut := range len(fresh) {
			set, add := turning(t, old)
			var out bytes.Buffer
			s := set.Stream(&out)
			feed(t, s, log+fresh[:cut], step)
			add("new", fresh)
			feed(t, s, fresh[cut:]+"|"+old+"|", step)
			if err := s.Close(); err != nil || !isAny(out.String(), log, "|[redacted:old]|", "", shown(fresh, cut), []string{""}) {
				t.Fatalf("%d by %d: %v %q", cut, step, err, out.String()[out.Len()-80:])
			}
		}
	}
}

// A set that was wiped does not become one that knows nothing.
func TestAWipedSetLetsNothingThrough(t *testing.T) {
	set, _ := turning(t, "old-canary-0Lq8xW2v")
	var out bytes.Buffer
	s := set.Stream(&out)
	feed(t, s, "hello ", 2)
	set.Wipe()
	if _, err := io.WriteString(s, "old-canary-0Lq8xW2v"); !errors.Is(err, ErrWiped) || out.String() != "hello " {
		t.Errorf("%v %q", err, out.String())
	}
	if !set.Compile().Wiped() {
		t.Error("a wiped set compiles to a matcher that finds nothing and lets all through")
	}
}

// A matcher that takes over knows what the last one knew, though the vault no longer has it.
func TestInherit(t *testing.T) {
	before, after := mustSet(t, Options{}, "the-former-password", "common-to-both-of-them"), mustSet(t, Options{}, "common-to-both-of-them")
	n := after.Len()
	after.Inherit(before)
	if got, _ := after.Compile().Mask([]byte("x the-former-password y common-to-both-of-them")); after.Len() != n+1 || string(got) != "x [redacted:h0.v] y [redacted:h0.v]" {
		t.Errorf("%d %q", after.Len(), got)
	}
}

// BenchmarkStreamTurning is BenchmarkStream where another Matcher may come at any Write.
func BenchmarkStreamTurning(b *testing.B) {
	m := mustSet(b, Options{}, benchValues(100)...).Compile()
	text := logText()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		s := NewStream(io.Discard, func() *Matcher { return m })
		for i := 0; i < len(text); i += 32 << 10 {
			_, _ = s.Write(text[i:min(i+32<<10, len(text))])
		}
		_ = s.Close()
	}
}
