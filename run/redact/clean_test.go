package redact

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain\n\ttext":                "plain\n\ttext",
		"пароль 🔑 é":                   "пароль 🔑 é",
		"a\r\nb\rc":                    "a\nb\\u{d}c",
		"\x1b[31mred\x1b[0m":           `\u{1b}[31mred\u{1b}[0m`,
		"\x1b]0;title\x07":             `\u{1b}]0;title\u{7}`,
		"\u009b2J":                     `\u{9b}2J`,
		"a\u202eb\u2066c\u200bd\ufeff": `a\u{202e}b\u{2066}c\u{200b}d\u{feff}`,
		"x\U000e0041\u2028\ufe0f":      `x\u{e0041}\u{2028}\u{fe0f}`,
		"bad\xff\xc3":                  "bad\ufffd\ufffd",
		"\x00\b\x7f":                   `\u{0}\u{8}\u{7f}`,
		"\u115f\u3164":                 `\u{115f}\u{3164}`,
	} {
		if got := string(Clean([]byte(in))); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// What is drawn as nothing, as a blank or not at all is told from what is seen, and all that Clean writes out is among it.
func TestUnseen(t *testing.T) {
	for _, r := range "\x00\t\n\r\x1b\x7f\u0085\u00a0\u00ad\u034f\u061c\u115f\u1160\u17b4\u180b\u2003\u200b\u200d\u2028\u202e\u2060\u2066\u2800\u3000\u3164\ufe0f\ufeff\uffa0\ue000\U000e0041\U000e01ef\U0010ffff" {
		if !Unseen(r) {
			t.Errorf("%U counts as seen", r)
		}
	}
	for _, r := range " aZ~é·ключ鍵한🔑⠋\u0301\ufffd" {
		if Unseen(r) {
			t.Errorf("%U counts as unseen", r)
		}
	}
	for r := range rune(utf8.MaxRune + 1) {
		if harmful(r) && !Unseen(r) {
			t.Errorf("Clean writes out %U, and a name would show it", r)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add([]byte("a\x1b[2J\u202e\r\n\xff"))
	f.Fuzz(func(t *testing.T, in []byte) {
		before := bytes.Clone(in)
		out := Clean(in)
		if !utf8.Valid(out) || !bytes.Equal(in, before) {
			t.Fatal("invalid UTF-8, or the input changed")
		}
		for _, r := range string(out) {
			if harmful(r) {
				t.Fatalf("%q holds %U", out, r)
			}
		}
		if !bytes.Equal(Clean(out), out) {
			t.Fatal("not idempotent")
		}
	})
}

func TestTail(t *testing.T) {
	text := strings.Repeat("строка [redacted:weather_bot.token] конец\n", 200)
	whole := NewTail(1 << 20)
	fmt.Fprint(whole, text)
	if string(whole.Bytes()) != text || whole.Truncated() || whole.total != int64(len(text)) {
		t.Error("a short text is not kept whole")
	}
	for limit := range 300 {
		for _, step := range []int{1, 7, 100, len(text)} {
			tail := NewTail(limit)
			for i := 0; i < len(text); i += step {
				fmt.Fprint(tail, text[i:min(i+step, len(text))])
			}
			got := string(tail.Bytes())
			if len(got) > limit || !strings.HasSuffix(text, got) || !utf8.ValidString(got) || !tail.Truncated() || tail.total != int64(len(text)) {
				t.Fatalf("limit %d, step %d: %q", limit, step, got)
			}
			if o, c := strings.Index(got, "["), strings.Index(got, "]"); c >= 0 && (o < 0 || c < o) {
				t.Fatalf("limit %d, step %d: a split marker: %q", limit, step, got)
			}
			if want := limit - len("[redacted:weather_bot.token]") - 1; len(got) < want {
				t.Fatalf("limit %d, step %d: only %d bytes", limit, step, len(got))
			}
		}
	}
}
