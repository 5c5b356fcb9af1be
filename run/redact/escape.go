package redact

import (
	"fmt"
	"html"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// escapes are the forms in which only some characters change. A value of plain characters has none.
// Each is a function of the text; some go through Go strings, which cannot be wiped: they are short-lived.
var escapes = []func(string) string{
	jsonMinimal,
	func(s string) string { return jsonMinimal(jsonMinimal(s)) }, // JSON in JSON: a tool result in a transcript
	func(s string) string { return strings.ReplaceAll(jsonMinimal(s), "/", `\/`) },
	func(s string) string { return jsonUnicode(s, `"\`, "0123456789abcdef", false) },
	func(s string) string { return jsonUnicode(s, `"\`, "0123456789ABCDEF", false) },
	func(s string) string { return jsonUnicode(s, `<>&`, "0123456789abcdef", true) }, // encoding/json
	func(s string) string { return jsonUnicode(s, `<>&'`, "0123456789ABCDEF", true) },
	func(s string) string { return jsonUnicode(s, "", "0123456789abcdef", false) }, // ASCII only
	func(s string) string { return jsonUnicode(jsonMinimal(s), `<>&`, "0123456789abcdef", true) },
	func(s string) string { return jsonMinimal(jsonUnicode(s, `<>&`, "0123456789abcdef", true)) },
	func(s string) string { return jsonMinimal(jsonUnicode(s, "", "0123456789abcdef", false)) },
	jsString,
	func(s string) string { return unquote(strconv.Quote(s)) },
	func(s string) string { return unquote(strconv.QuoteToASCII(s)) },
	html.EscapeString,
	func(s string) string { return entities(s, map[rune]string{'"': "&quot;", '\'': "&apos;"}, "") },
	func(s string) string { return entities(s, map[rune]string{'"': "&quot;", '\'': "&#x27;"}, "") },
	func(s string) string { return entities(s, map[rune]string{'"': "&quot;", '\'': "&#39;"}, "") },
	func(s string) string { return entities(s, map[rune]string{'"': "&quot;", '\'': "&#039;"}, "") },
	func(s string) string { return entities(s, nil, "&#%d;") },
	func(s string) string { return entities(s, nil, "&#x%x;") },
	func(s string) string { return entities(s, nil, "&#x%X;") },
	func(s string) string { return strings.ReplaceAll(s, `'`, `'\''`) },
	func(s string) string { return strings.ReplaceAll(s, `'`, `'"'"'`) },
	func(s string) string { return escapeBefore(s, "\"$`\\") },
	func(s string) string { return escapeBefore(s, "\"$`\\!") },
	func(s string) string { return shellWord(s) },
	func(s string) string { return ansiC(s) },
	url.QueryEscape,
	url.PathEscape,
	func(s string) string { return percent(s, "-_.~", false) },
	func(s string) string { return percent(s, "-_.~", true) },
	func(s string) string { return percent(s, "-_.!~*'()", false) },            // encodeURIComponent
	func(s string) string { return percent(s, "-_.!~*'();/?:@&=+$,#", false) }, // encodeURI
	func(s string) string { return percent(s, "-_.~/", false) },                // urllib.parse.quote
	func(s string) string { return percent(s, "", false) },
	func(s string) string { return strings.ReplaceAll(percent(s, "-_. ", false), " ", "+") },
	func(s string) string { return strings.ReplaceAll(percent(s, "-_.~ ", true), " ", "+") },
}

func (b *builder) escapes(u []byte) {
	plain := true
	for _, c := range u {
		plain = plain && (isAlnum(c) || c == '_')
	}
	if plain {
		return
	}
	s := string(u)
	seen := map[string]bool{s: true}
	for _, f := range escapes {
		if t := f(s); !seen[t] {
			seen[t] = true
			b.add([]byte(t), edge{}, false)
		}
	}
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func unquote(s string) string { return s[1 : len(s)-1] }

var jsonShort = map[rune]string{'"': `\"`, '\\': `\\`, '\n': `\n`, '\r': `\r`, '\t': `\t`, '\b': `\b`, '\f': `\f`}

// jsonMinimal escapes what JSON must have escaped.
func jsonMinimal(s string) string { return jsonUnicode(s, "", "0123456789abcdef", true) }

// jsonUnicode writes control characters and those of extra as \u00XX, and all that is not ASCII unless keep.
func jsonUnicode(s, extra, digits string, keep bool) string {
	var o strings.Builder
	unit := func(c uint16) {
		o.WriteString(`\u`)
		for sh := 12; sh >= 0; sh -= 4 {
			o.WriteByte(digits[c>>sh&15])
		}
	}
	for _, r := range s {
		switch e, short := jsonShort[r]; {
		case strings.ContainsRune(extra, r):
			unit(uint16(r))
		case short:
			o.WriteString(e)
		case r < 0x20, r >= utf8.RuneSelf && !keep, r == '\u2028', r == '\u2029':
			for _, c := range utf16.AppendRune(nil, r) {
				unit(c)
			}
		default:
			o.WriteRune(r)
		}
	}
	return o.String()
}

// jsString is what text/template's js writes.
func jsString(s string) string {
	var o strings.Builder
	for _, r := range s {
		switch {
		case strings.ContainsRune(`\'"`, r):
			o.WriteByte('\\')
			o.WriteRune(r)
		case strings.ContainsRune(`<>&=`, r), r < 0x20:
			fmt.Fprintf(&o, `\u%04X`, r)
		default:
			o.WriteRune(r)
		}
	}
	return o.String()
}

// entities writes & < > and quotes as entities: by name, or all by format.
func entities(s string, names map[rune]string, format string) string {
	var o strings.Builder
	for _, r := range s {
		switch {
		case !strings.ContainsRune(`&<>"'`, r):
			o.WriteRune(r)
		case names[r] != "":
			o.WriteString(names[r])
		case format != "":
			fmt.Fprintf(&o, format, r)
		default:
			o.WriteString(map[rune]string{'&': "&amp;", '<': "&lt;", '>': "&gt;", '"': `"`, '\'': `'`}[r])
		}
	}
	return o.String()
}

func escapeBefore(s, special string) string {
	var o strings.Builder
	for i := range len(s) {
		if strings.IndexByte(special, s[i]) >= 0 {
			o.WriteByte('\\')
		}
		o.WriteByte(s[i])
	}
	return o.String()
}

// shellWord escapes each special character by a backslash, as printf %q of bash does.
func shellWord(s string) string {
	var o strings.Builder
	for i := range len(s) {
		if c := s[i]; !isAlnum(c) && c < utf8.RuneSelf && strings.IndexByte("_-./:=@%+", c) < 0 {
			o.WriteByte('\\')
		}
		o.WriteByte(s[i])
	}
	return o.String()
}

// ansiC is the inside of $'…'.
func ansiC(s string) string {
	var o strings.Builder
	for i := range len(s) {
		switch c := s[i]; {
		case c == '\'' || c == '\\':
			o.WriteByte('\\')
			o.WriteByte(c)
		case c == '\n':
			o.WriteString(`\n`)
		case c == '\r':
			o.WriteString(`\r`)
		case c == '\t':
			o.WriteString(`\t`)
		case c < 0x20 || c >= 0x7f:
			fmt.Fprintf(&o, `\%03o`, c)
		default:
			o.WriteByte(c)
		}
	}
	return o.String()
}

// percent escapes every byte that is neither alphanumeric nor in safe.
func percent(s, safe string, lower bool) string {
	digits := "0123456789ABCDEF"
	if lower {
		digits = "0123456789abcdef"
	}
	var o strings.Builder
	for i := range len(s) {
		if c := s[i]; isAlnum(c) || strings.IndexByte(safe, c) >= 0 {
			o.WriteByte(c)
		} else {
			o.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	return o.String()
}
