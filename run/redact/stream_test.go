package redact

import (
	"bytes"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/vault/secret"
)

// world is a random set and a text that holds its values whole, in part, encoded, wrapped, spaced, side by side and overlapping.
type world struct {
	m    *Matcher
	text []byte
	r    *rand.Rand
	seed [2]uint64
}

func newWorld(seed1, seed2 uint64) *world {
	r := rand.New(rand.NewPCG(seed1, seed2))
	w := &world{r: r, seed: [2]uint64{seed1, seed2}}
	alphabet := []string{"ab", "abcd", "0123456789abcdef", "ABCdef019+/=", "aZ09\"'&<\\/ %é\n$", "a\nb "}[r.IntN(6)]
	opts := Options{AllowShort: r.IntN(3) == 0}
	if r.IntN(2) == 0 {
		opts.Fill = '*'
	}
	set := NewSet(opts)
	var vals []string
	lens := []int{8, 9, 12, 16, 20, 33, 60}
	base := r.IntN(len(lens))
	for range 1 + r.IntN(5) {
		n := lens[min(base+r.IntN(3), len(lens)-1)]
		if opts.AllowShort && r.IntN(3) == 0 {
			n = 2 + r.IntN(6)
		}
		v := w.string(alphabet, n)
		if len(vals) > 0 && r.IntN(3) == 0 { // prefix, extension, overlap
			v = vals[0][:r.IntN(len(vals[0])+1)] + v
		}
		vals = append(vals, v)
		_ = set.Add(fmt.Sprintf("h%d.token", len(vals)), secret.FromString(v))
	}
	w.m = set.Compile()
	for range 1 + r.IntN(8) {
		w.text = append(w.text, w.piece(alphabet, vals[r.IntN(len(vals))])...)
	}
	return w
}

func (w *world) string(alphabet string, n int) string {
	rs := []rune(alphabet)
	var b strings.Builder
	for b.Len() < n {
		b.WriteRune(rs[w.r.IntN(len(rs))])
	}
	return b.String()
}

func (w *world) piece(alphabet, v string) string {
	r := w.r
	switch r.IntN(6) {
	case 0:
		return w.string(alphabet+" \n:x", r.IntN(30))
	case 1:
		return v[:r.IntN(len(v)+1)]
	}
	in := strings.Repeat("?", r.IntN(4)) + v + strings.Repeat("!", r.IntN(4))
	e := v
	switch r.IntN(8) {
	case 0:
		e = base64.StdEncoding.EncodeToString([]byte(in))
	case 1:
		e = base64.RawURLEncoding.EncodeToString([]byte(in))
	case 2:
		e = base32.StdEncoding.EncodeToString([]byte(in))
	case 3:
		e = hex.EncodeToString([]byte(v))
	case 4:
		e = strings.ToUpper(hex.EncodeToString([]byte(v)))
	case 5:
		e = fmt.Sprintf("% x", v)
	case 6:
		if x := w.m.long; x != nil && len(x.pats) > 0 {
			e = string(x.text(r.IntN(len(x.pats))))
		}
	}
	switch r.IntN(4) {
	case 0:
		return e[:r.IntN(len(e)+1)] + e
	case 1:
		long := strings.Repeat("\n", 1+r.IntN(130)) + strings.Repeat(" ", r.IntN(130))
		return wrapAt(e, 1+r.IntN(20), []string{"\n", "\r\n", "\n    ", "\n\n", long[:min(len(long), 120+r.IntN(20))]}[r.IntN(5)])
	case 2:
		return wrapAt(e, 2*(1+r.IntN(4)), []string{" ", ":", ", ", "%", strings.Repeat(" ", 30+r.IntN(5))}[r.IntN(5)])
	}
	return e
}

func wrapAt(s string, n int, sep string) string {
	var b strings.Builder
	for i := 0; i < len(s); i += n {
		b.WriteString(s[i:min(i+n, len(s))] + sep)
	}
	return b.String()
}

// check redacts the text cut at random places and compares with naive.
func (w *world) check(t *testing.T) {
	t.Helper()
	want := naive(w.m, w.text)
	whole, rep := w.m.Mask(w.text)
	for round := range 4 {
		var out bytes.Buffer
		s := w.m.Stream(&out)
		for i := 0; i < len(w.text); {
			n := []int{len(w.text), 1, 1 + w.r.IntN(5), 1 + w.r.IntN(60)}[round]
			n = min(n, len(w.text)-i)
			if _, err := s.Write(w.text[i : i+n]); err != nil {
				t.Fatal(err)
			}
			i += n
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(out.Bytes(), want) {
			t.Fatalf("seed %d, round %d, text %q\n got %q\nwant %q\npatterns %d", w.seed, round, w.text, out.Bytes(), want, w.m.Patterns())
		}
		if got := s.Report(); !bytes.Equal(whole, want) || fmt.Sprint(got) != fmt.Sprint(rep) {
			t.Fatalf("seed %d, round %d: reports differ: %v, whole text %v", w.seed, round, got, rep)
		}
	}
}

// TestAnySplitEqualsNaive plays worlds on every core: 600 that are always the same, and with ZAVHOZ_LONG others than the last time, for three minutes.
func TestAnySplitEqualsNaive(t *testing.T) {
	const always, extra = 600, 3 * time.Minute
	long, fresh := os.Getenv("ZAVHOZ_LONG") != "", rand.Uint64()
	var played atomic.Uint64
	end := time.Now().Add(extra)
	t.Run("workers", func(t *testing.T) {
		for range runtime.GOMAXPROCS(0) {
			t.Run("worker", func(t *testing.T) {
				t.Parallel()
				for i := played.Add(1) - 1; i < always || long && time.Now().Before(end); i = played.Add(1) - 1 {
					stream := uint64(7)
					if i >= always {
						stream = fresh
					}
					newWorld(i, stream).check(t)
				}
			})
		}
	})
	t.Logf("%d worlds, the later ones of seed %d", played.Load()-uint64(runtime.GOMAXPROCS(0)), fresh)
}

func FuzzStreamSplits(f *testing.F) {
	f.Add(uint64(1), uint64(2), []byte("x"))
	f.Add(uint64(9), uint64(4), []byte("\n aa\r\n"))
	f.Fuzz(func(t *testing.T, a, b uint64, noise []byte) {
		w := newWorld(a, b)
		if len(noise) > 256 {
			noise = noise[:256]
		}
		at := w.r.IntN(len(w.text) + 1)
		w.text = append(w.text[:at:at], append(noise, w.text[at:]...)...)
		w.check(t)
	})
}

func mustSet(t testing.TB, o Options, vals ...string) *Set {
	t.Helper()
	s := NewSet(o)
	for i, v := range vals {
		if err := s.Add(fmt.Sprintf("h%d.v", i), secret.FromString(v)); err != nil && !errors.Is(err, ErrShort) {
			t.Fatal(err)
		}
	}
	return s
}

func mask(t testing.TB, m *Matcher, text string) string {
	t.Helper()
	out, _ := m.Mask([]byte(text))
	return string(out)
}

func TestMarkersAndFill(t *testing.T) {
	a, b := "correct-horse-1", "correct-horse-1-battery"
	m := mustSet(t, Options{}, a, b).Compile()
	for text, want := range map[string]string{
		"x " + a + " y":     "x [redacted:h0.v] y",
		"x " + b + " y":     "x [redacted:h1.v] y",
		a + a + b:           "[redacted:h0.v]",
		a + "-batterz":      "[redacted:h0.v]-batterz",
		"no\nsecret":        "no\nsecret",
		a + "\n":            "[redacted:h0.v]\n",
		"\x00\xff" + a + "": "\x00\xff[redacted:h0.v]",
	} {
		if got := mask(t, m, text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	_, rep := m.Mask([]byte(a + b + " " + b))
	if rep.Redactions != 2 || fmt.Sprint(rep.Names) != "[h0.v h1.v]" {
		t.Errorf("report %+v", rep)
	}
	m = mustSet(t, Options{Fill: '*'}, a).Compile()
	if got := mask(t, m, "x "+a+" y"); got != "x "+strings.Repeat("*", len(a))+" y" {
		t.Errorf("fill: %q", got)
	}
}

func TestOneValueOfTwoNames(t *testing.T) {
	m := mustSet(t, Options{}, "the same value", "the same value").Compile()
	_, rep := m.Mask([]byte("it is the same value."))
	if rep.Redactions != 1 || fmt.Sprint(rep.Names) != "[h0.v h1.v]" {
		t.Errorf("report %+v", rep)
	}
}

func TestShortValues(t *testing.T) {
	s := NewSet(Options{})
	if err := s.Add("a.pin", secret.FromString("1234567")); !errors.Is(err, ErrShort) || s.Len() != 0 {
		t.Errorf("got %v, %d values", err, s.Len())
	}
	s = NewSet(Options{AllowShort: true, MinLen: 12})
	if err := s.Add("a.pin", secret.FromString("1234")); !errors.Is(err, ErrShort) || s.Len() != 1 {
		t.Errorf("got %v, %d values", err, s.Len())
	}
	if got := mask(t, s.Compile(), "is 1234"); got != "is [redacted:a.pin]" {
		t.Errorf("got %q", got)
	}
	if err := s.Add("empty", secret.Secret{}); err != nil {
		t.Error(err)
	}
	if got := mask(t, NewSet(Options{}).Compile(), "any\r\ntext "); got != "any\r\ntext " {
		t.Errorf("got %q", got)
	}
}

// TestHoldsOnlyWhatMayMatch: whoever waits for an answer must not wait for the redactor.
func TestHoldsOnlyWhatMayMatch(t *testing.T) {
	const v = "s3cr3t-token-of-forty-characters-0123456"
	m := mustSet(t, Options{}, v).Compile()
	for text, held := range map[string]int{
		"login as: ": 0, "$ ": 0, "Password: ": 0, "OK\n": 0, "done.\n": 0, "s\n": 0, "\n": 0, "a s3cr\n": 5, "\x00\x00\x01~": 0,
		"!" + v[:1]: 1, "!" + v[:20]: 20, "!" + v + "!": 0, "!" + v + ".s3": 2, strings.Repeat("!s3", 50): 2,
	} {
		var out bytes.Buffer
		s := m.Stream(&out)
		if _, err := s.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if s.Held() != held {
			t.Errorf("%q: %d bytes held, want %d", text, s.Held(), held)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestHoldIsBounded(t *testing.T) {
	const v = "s3cr3t-token-of-forty-characters-0123456"
	s := mustSet(t, Options{}, v).Compile().Stream(io.Discard)
	_, _ = s.Write([]byte("x" + v[:20]))
	for range 100 {
		_, _ = s.Write([]byte(strings.Repeat("\n ", 50)))
	}
	if s.Held() > 0 {
		t.Errorf("%d bytes held", s.Held())
	}
}

// TestMatchBehindABreakIsNotForgotten: its masking begins where something longer may be coming into being, its pattern before.
func TestMatchBehindABreakIsNotForgotten(t *testing.T) {
	m := mustSet(t, Options{}, "abKLMNOPQR", "KLMNOPQRSTUVWXYZ").Compile()
	var out bytes.Buffer
	s := m.Stream(&out)
	for _, part := range []string{"ab\nKLMNOPQR", "!!"} {
		if _, err := s.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil || out.String() != "ab\n[redacted:h0.v]!!" {
		t.Errorf("%v %q", err, out.String())
	}
}

type failing struct{ after int }

func (f *failing) Write(p []byte) (int, error) {
	if f.after -= len(p); f.after < 0 {
		return 0, io.ErrClosedPipe
	}
	return len(p), nil
}

func TestErrorsStick(t *testing.T) {
	m := mustSet(t, Options{}, "a value to hide").Compile()
	s := m.Stream(&failing{after: 10})
	_, err := s.Write([]byte("0123456789 0123456789"))
	if !errors.Is(err, io.ErrClosedPipe) {
		t.Fatalf("got %v", err)
	}
	if _, err = s.Write([]byte("more")); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v", err)
	}
	var out bytes.Buffer
	s = m.Stream(&out)
	_, _ = s.Write([]byte("hello a value"))
	_ = s.Close()
	if _, err = s.Write([]byte("x")); !errors.Is(err, ErrClosed) || s.Close() != nil {
		t.Errorf("got %v", err)
	}
	if out.String() != "hello a value" {
		t.Errorf("got %q", out.String())
	}
}

func TestWipeWithholds(t *testing.T) {
	set := mustSet(t, Options{AllowShort: true}, "a value to hide", "tiny")
	m := set.Compile()
	var out bytes.Buffer
	s := m.Stream(&out)
	_, _ = s.Write([]byte("well a value"))
	set.Wipe()
	if _, err := s.Write([]byte(" to hide")); !errors.Is(err, ErrWiped) {
		t.Errorf("got %v", err)
	}
	if err := s.Close(); !errors.Is(err, ErrWiped) {
		t.Errorf("got %v", err)
	}
	if out.String() != "well " {
		t.Errorf("got %q", out.String())
	}
	for _, x := range []*index{m.long, m.short} {
		for _, c := range x.arena[:cap(x.arena)] {
			if c != 0 {
				t.Fatal("pattern bytes outlive Wipe")
			}
		}
		for _, p := range x.pats[:cap(x.pats)] {
			if p.key != 0 {
				t.Fatal("pattern heads outlive Wipe")
			}
		}
	}
}

func TestCompilesLate(t *testing.T) {
	set := mustSet(t, Options{}, "a value to hide")
	var out bytes.Buffer
	s := set.Stream(&out)
	_, _ = s.Write(nil)
	if set.built != nil {
		t.Error("compiled before the first byte")
	}
	_, _ = s.Write([]byte("a value to hide"))
	if err := s.Close(); err != nil || out.String() != "[redacted:h0.v]" {
		t.Errorf("%v %q", err, out.String())
	}
	if err := set.Stream(&out).Close(); err != nil {
		t.Error(err)
	}
}
