package redact_test

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/run/redact"
	"github.com/zavhoz/zavhoz/vault/secret"
)

func easeMatcher(t testing.TB, values ...string) *redact.Matcher {
	t.Helper()
	set := redact.NewSet(redact.Options{})
	for _, v := range values {
		if err := set.Add("v", secret.FromString(v)); err != nil {
			t.Fatal(err)
		}
	}
	return set.Compile()
}

// However slowly a value drips, and however often what is held back is let go, its first bytes are all that comes.
func TestAttack50_EaseShowsNoMoreThanTheBeginning(t *testing.T) {
	const value = "sk-proj-9Zk3PqL0vT7xW2mR5yB8"
	m := easeMatcher(t, value)
	var out bytes.Buffer
	s := m.Stream(&out)
	for i := range len(value) {
		if _, err := s.Write([]byte(value[i : i+1])); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := s.Ease(4); err != nil {
				t.Fatal(err)
			}
		}
		if want := value[:min(i+1, 4)]; i+1 < len(value) && out.String() != want {
			t.Fatalf("after %d bytes %q, want %q", i+1, out.String(), want)
		}
	}
	if _, err := s.Write([]byte(" and so on\n")); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); got != value[:4]+"[redacted:v] and so on\n" || s.Report().Redactions != 1 {
		t.Errorf("%q", got)
	}
}

func TestEaseLetsADialogueGoOn(t *testing.T) {
	m := easeMatcher(t, "yes-this-is-a-secret")
	var out bytes.Buffer
	s := m.Stream(&out)
	for _, step := range []struct{ in, want string }{{"go on? y", "go on? y"}, {"e", "go on? ye"}, {"p\n", "go on? yep\n"}} {
		if _, err := s.Write([]byte(step.in)); err != nil {
			t.Fatal(err)
		}
		if err := s.Ease(4); err != nil || out.String() != step.want {
			t.Fatalf("%q, %v, want %q", out.String(), err, step.want)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Ease(4); err != nil {
		t.Error(err)
	}
	m.Wipe()
	s = m.Stream(&out)
	if _, err := s.Write([]byte("yes-")); err == nil {
		t.Error("a wiped matcher lets through")
	}
	if err := s.Ease(4); err == nil {
		t.Error("a wiped matcher lets go")
	}
}

// FuzzEase: cut a text anywhere and ease anywhere. At the same length what comes differs from the whole masked text in at most the first n bytes of each match: no
// byte is lost, doubled or out of its place, and no match is missed.
func FuzzEase(f *testing.F) {
	f.Add("my sk-proj-9Zk3PqL0 and c2stcHJvai05WmszUHFMMA== sk-proj-sk-proj-9Zk3PqL0\nsk-pr\noj-9Zk3PqL0", uint64(1))
	f.Add("YWFhYWFhYWFhYWFhYWFhYWFh aaaaaaaaaaaaaaaaaaaaaaaaaaa aaaaaaaaaaaaa", uint64(2))
	f.Add(strings.Repeat("sk-proj-9Zk3PqL0", 9), uint64(3))
	m := easeMatcher(f, "sk-proj-9Zk3PqL0", "aaaaaaaaaaaaaaaa", "aaaaaaaab", "9Zk3PqL0-other")
	view := m.SameLength('*')
	const n = 4
	f.Fuzz(func(t *testing.T, text string, seed uint64) {
		if strings.Contains(text, "*") {
			return
		}
		whole := []byte(text)
		if _, err := view.Mask(whole); err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(seed, 0))
		var out bytes.Buffer
		s := view.Stream(&out)
		var plain bytes.Buffer
		twin := view.Stream(&plain)
		for at := 0; at < len(text); {
			k := min(1+rng.IntN(12), len(text)-at)
			_, err := s.Write([]byte(text[at : at+k]))
			if _, terr := twin.Write([]byte(text[at : at+k])); err != nil || terr != nil {
				t.Fatal(err, terr)
			}
			at += k
			if out.Len() < plain.Len() {
				t.Fatalf("eased before, it holds more back after %q: %q, else %q", text[:at], out.Bytes(), plain.Bytes())
			}
			for range rng.IntN(3) {
				if err := s.Ease(n); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		got := out.Bytes()
		if len(got) != len(whole) {
			t.Fatalf("%d bytes of %d: %q", len(got), len(whole), got)
		}
		shown := 0 // since the match began
		for i := range whole {
			switch {
			case whole[i] != '*':
				if shown = 0; got[i] != whole[i] {
					t.Fatalf("byte %d is %q: %q of %q", i, got[i], got, text)
				}
			case got[i] != '*':
				if shown++; got[i] != text[i] || i >= shown && shown > n && whole[i-shown+1] == '*' && !overlapping(whole, i) {
					t.Fatalf("byte %d of a value is shown: %q of %q", i, got, text)
				}
			}
		}
	})
}

// overlapping tells whether the masked range around i is longer than one value could be: in one of several that touch, each may have shown its beginning.
func overlapping(whole []byte, i int) bool {
	lo, hi := i, i
	for lo > 0 && whole[lo-1] == '*' {
		lo--
	}
	for hi < len(whole) && whole[hi] == '*' {
		hi++
	}
	return hi-lo > 16
}
