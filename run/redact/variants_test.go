package redact

import (
	"bytes"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"html"
	"html/template"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"
)

// values with everything that encodings treat differently.
var awkward = []string{
	"123456789:AAHk-Zz_9qWw3rTtYyUuIiOoPpAaSsDdFfG",
	"sk-proj-0123456789abcdefABCDEF",
	"deadbeefcafebabe0123456789abcdef01234567",
	`p"a\s's/w<o>r&d $x` + "`y`!",
	"пароль-с-длинным-хвостом",
	"emoji🔑key\tand\x01ctrl",
	"postgres://bot:h%40rd/p+w@db.internal:5432/x?sslmode=require",
	"8bytes!!",
}

// producers are the programs that really write these forms.
var producers = map[string]func(string) string{
	"raw":         func(s string) string { return s },
	"base64":      func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	"base64 +1":   func(s string) string { return base64.StdEncoding.EncodeToString([]byte("~" + s + "\xff\xfe")) },
	"base64 +2":   func(s string) string { return base64.StdEncoding.EncodeToString([]byte("\xff~" + s + "\n")) },
	"base64url":   func(s string) string { return base64.URLEncoding.EncodeToString([]byte(s)) },
	"base64url+1": func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(">" + s + "?")) },
	"base64url+2": func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte("??" + s + ">>")) },
	"base64 MIME": func(s string) string { return wrapAt(base64.StdEncoding.EncodeToString([]byte("x: "+s)), 19, "\r\n") },
	"base64 YAML": func(s string) string { return wrapAt(base64.StdEncoding.EncodeToString([]byte("ab"+s)), 11, "\n    ") },
	"fold":        func(s string) string { return wrapAt(s, 7, "\n") },
	"base32":      func(s string) string { return base32.StdEncoding.EncodeToString([]byte(s)) },
	"base32 +1":   func(s string) string { return base32.StdEncoding.EncodeToString([]byte("a" + s + "z")) },
	"base32 +3":   func(s string) string { return base32.StdEncoding.EncodeToString([]byte("abc" + s)) },
	"hex":         func(s string) string { return hex.EncodeToString([]byte(s)) },
	"HEX":         func(s string) string { return strings.ToUpper(hex.EncodeToString([]byte(s))) },
	"xxd -p":      func(s string) string { return wrapAt(hex.EncodeToString([]byte("ab"+s)), 60, "\n") },
	"% x":         func(s string) string { return fmt.Sprintf("% x", s) },
	"% X":         func(s string) string { return fmt.Sprintf("% X", s) },
	"de:ad":       func(s string) string { return strings.ReplaceAll(fmt.Sprintf("% x", s), " ", ":") },
	"DE-AD":       func(s string) string { return strings.ReplaceAll(fmt.Sprintf("% X", s), " ", "-") },
	"dead beef":   func(s string) string { return wrapAt(hex.EncodeToString([]byte(s)), 4, " ") },
	"od -An -tx1": func(s string) string { return wrapAt(fmt.Sprintf(" % x", s), 48, "\n") },
	"%XX":         func(s string) string { return "%" + strings.ReplaceAll(fmt.Sprintf("% X", s), " ", "%") },
	"%xx":         func(s string) string { return "%" + strings.ReplaceAll(fmt.Sprintf("% x", s), " ", "%") },
	`\xXX`:        func(s string) string { return `\x` + strings.ReplaceAll(fmt.Sprintf("% x", s), " ", `\x`) },
	"QueryEscape": url.QueryEscape,
	"PathEscape":  url.PathEscape,
	"url.Values":  func(s string) string { return url.Values{"k": {s}}.Encode() },
	"json":        func(s string) string { b, _ := json.Marshal(s); return string(b) },
	"json twice":  func(s string) string { b, _ := json.Marshal(jsonMinimal(s)); return string(b) },
	"json min": func(s string) string {
		var b strings.Builder
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		_ = e.Encode(s)
		return b.String()
	},
	"html":          html.EscapeString,
	"html/template": template.HTMLEscapeString,
	"js/template":   template.JSEscapeString,
	"quote":         strconv.Quote,
	"quote ASCII":   strconv.QuoteToASCII,
	"%q":            func(s string) string { return fmt.Sprintf("%q", s) },
	"reversed":      func(s string) string { b := []byte(s); slices.Reverse(b); return string(b) },
	"utf16le":       func(s string) string { return utf16Bytes(s, 0) },
	"utf16be":       func(s string) string { return utf16Bytes(s, 1) },
	"sh '":          func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" },
	`sh "`:          func(s string) string { return strconv.QuoteToASCII(s)[:0] + `"` + escapeBefore(s, "\"$`\\") + `"` },
	"quoted-printable of all": func(s string) string {
		return "=" + strings.ReplaceAll(fmt.Sprintf("% X", s), " ", "=")
	},
}

func utf16Bytes(s string, order int) string {
	var b []byte
	for _, c := range utf16.Encode([]rune(s)) {
		p := [2]byte{byte(c), byte(c >> 8)}
		b = append(b, p[order], p[1-order])
	}
	return string(b)
}

// TestEveryEncoding: of a value in any form nothing is left that tells it; what stands around stays.
func TestEveryEncoding(t *testing.T) {
	for _, v := range awkward {
		m := mustSet(t, Options{}, v).Compile()
		for name, f := range producers {
			e := f(v)
			got := mask(t, m, "before\x02"+e+"\x03after")
			if !strings.Contains(got, "[redacted:h0.v]") || !strings.HasPrefix(got, "before\x02") || !strings.HasSuffix(got, "\x03after") {
				t.Errorf("%s of %q passes: %q", name, v, got)
				continue
			}
			rest := strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(got, "before\x02"), "\x03after"), "[redacted:h0.v]", "")
			if limit := map[bool]int{false: 8, true: 12}[strings.Contains(name, "base")]; len(rest) > limit {
				t.Errorf("%s of %q leaves %q", name, v, rest)
			}
		}
	}
}

// TestEdgesOfBase64: the characters shared with the neighbours are masked too, all others of the neighbours are not.
func TestEdgesOfBase64(t *testing.T) {
	const v = "sk-live-0123456789"
	m := mustSet(t, Options{Fill: '*'}, v).Compile()
	for pre := range 4 {
		for post := range 4 {
			in := strings.Repeat("<", pre) + v + strings.Repeat(">", post)
			e := base64.StdEncoding.EncodeToString([]byte(in))
			got := mask(t, m, e)
			for i := range e {
				secretBits := i*6+6 > pre*8 && i*6 < (pre+len(v))*8 && e[i] != '='
				if (got[i] == '*') != secretBits {
					t.Errorf("%d before, %d after: %s\n%s: character %d", pre, post, e, got, i)
				}
			}
		}
	}
}

const pemKey = "-----BEGIN OPENSSH PRIVATE KEY-----\n" +
	"b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\n" +
	"QyNTUxOQAAACDk1Ww0TESTqv0u5m7m0xH7cANARYnPf3oQ7eYb2c4x9wAAAJgk9v9aJPb/\n" +
	"WgAAAAtzc2gtZWQyNTUxOQAAACDk1Ww0q\n" +
	"-----END OPENSSH PRIVATE KEY-----\n"

func TestMultiLineValues(t *testing.T) {
	m := mustSet(t, Options{}, pemKey).Compile()
	lines := strings.Split(strings.TrimSpace(pemKey), "\n")
	for name, text := range map[string]string{
		"whole": pemKey, "CRLF": strings.ReplaceAll(pemKey, "\n", "\r\n"), "CR": strings.ReplaceAll(pemKey, "\n", "\r"),
		"joined": strings.ReplaceAll(pemKey, "\n", ""), "indented": strings.ReplaceAll(pemKey, "\n", "\n      "), "json": jsonMinimal(pemKey),
		"json CRLF": jsonMinimal(strings.ReplaceAll(pemKey, "\n", "\r\n")), "one line": lines[2], "two lines": lines[2] + "\n" + lines[3],
		"sed": "1: " + lines[1] + "\n2: " + lines[2] + "\n3: " + lines[3], "base64": base64.StdEncoding.EncodeToString([]byte(pemKey)),
		"base64 of a line": base64.StdEncoding.EncodeToString([]byte(lines[3])), "hex": hex.EncodeToString([]byte(pemKey)),
		"base64 -w76": wrapAt(base64.StdEncoding.EncodeToString([]byte("k: "+pemKey)), 76, "\n"), "rev": strings.Join(reversed(lines), "\n"),
	} {
		out := mask(t, m, "a "+text+" z")
		for _, l := range lines[1:4] {
			for i := 0; i+8 <= len(l); i++ {
				if strings.Contains(out, l[i:i+8]) {
					t.Fatalf("%s: %q passes in %q", name, l[i:i+8], out)
				}
			}
		}
		if !strings.Contains(out, "[redacted:h0.v]") || !strings.HasPrefix(out, "a ") || !strings.HasSuffix(out, " z") {
			t.Errorf("%s: %q", name, out)
		}
	}
	if public := "-----BEGIN OPENSSH PRIVATE KEY-----"; mask(t, m, public) != public {
		t.Error("the armor of everybody's keys is masked")
	}
}

func reversed(lines []string) (out []string) {
	for _, l := range lines {
		b := []byte(l)
		slices.Reverse(b)
		out = append(out, string(b))
	}
	return out
}

// TestOrdinaryTextStays: masking what is no secret makes an output useless.
func TestOrdinaryTextStays(t *testing.T) {
	m := mustSet(t, Options{}, append(benchValues(200), awkward...)...).Compile()
	text := makeLog(1 << 20)
	if out, rep := m.Mask(text); !bytes.Equal(out, text) {
		t.Errorf("%+v", rep)
	}
}

func TestXMLEscape(t *testing.T) {
	const v = `a<b>&"c"'d'-0123456789`
	var b bytes.Buffer
	if err := xml.EscapeText(&b, []byte(v)); err != nil {
		t.Fatal(err)
	}
	if got := mask(t, mustSet(t, Options{}, v).Compile(), b.String()); got != "[redacted:h0.v]" {
		t.Errorf("%q passes: %q", b.String(), got)
	}
}
