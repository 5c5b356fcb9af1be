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

// escapes are the forms in which only some characters change. Each is a function of the text; they go through Go strings, which cannot be
// wiped: short-lived, and only for values that have such characters.
//
// quoting ones change quotes, blanks, controls, brackets and what is not ASCII.
var quoting = []func(string) string{
	jsonMinimal,
	func(s string) string { return jsonMinimal(jsonMinimal(s)) }, // JSON in JSON: a tool result in a transcript
	func(s string) string { return strings.ReplaceAll(jsonMinimal(s), "/", `\/`) },
	func(s string) string { return jsonUnicode(s, `"\`, lowerHex, false) },
	func(s string) string { return jsonUnicode(s, `"\`, upperHex, false) },
	func(s string) string { return jsonUnicode(s, `<>&`, lowerHex, true) }, // encoding/json
	func(s string) string { return jsonUnicode(s, `<>&'`, upperHex, true) },
	func(s string) string { return jsonUnicode(s, "", lowerHex, false) }, // ASCII only
	func(s string) string { return jsonUnicode(jsonMinimal(s), `<>&`, lowerHex, true) },
	func(s string) string { return jsonMinimal(jsonUnicode(s, `<>&`, lowerHex, true)) },
	func(s string) string { return jsonMinimal(jsonUnicode(s, "", lowerHex, false)) },
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
	shellWord,
	ansiC,
}

// percents change what a URL reserves.
var percents = []func(string) string{
	url.QueryEscape,
	url.PathEscape,
	func(s string) string { return percent(s, "-_.~", upperHex) },
	func(s string) string { return percent(s, "-_.~", lowerHex) },
	func(s string) string { return percent(s, "-_.!~*'()", upperHex) },            // encodeURIComponent
	func(s string) string { return percent(s, "-_.!~*'();/?:@&=+$,#", upperHex) }, // encodeURI
	func(s string) string { return percent(s, "-_.~/", upperHex) },                // urllib.parse.quote
	func(s string) string { return strings.ReplaceAll(percent(s, "-_. ", upperHex), " ", "+") },
	func(s string) string { return strings.ReplaceAll(percent(s, "-_.~ ", lowerHex), " ", "+") },
	escapeAll,
}

// Characters that the percents, and that the quoting escapes as well, leave alone.
const (
	lowerHex     = "0123456789abcdef"
	upperHex     = "0123456789ABCDEF"
	quietPercent = "-_."
	quietQuoting = "-_.:@+%"
)

func escapeAll(s string) string { return percent(s, "", upperHex) }

func (b *builder) escapes(u []byte) {
	var forms [][]func(string) string
	switch {
	case only(u, "_"):
		return
	case only(u, quietPercent):
		forms = [][]func(string) string{{escapeAll}}
	case only(u, quietQuoting):
		forms = [][]func(string) string{percents}
	default:
		forms = [][]func(string) string{percents, quoting}
	}
	s := string(u)
	seen := map[string]bool{s: true}
	for _, fs := range forms {
		for _, f := range fs {
			if t := f(s); !seen[t] {
				seen[t] = true
				b.add([]byte(t), edge{}, false)
			}
		}
	}
}

// only tells whether u has nothing but letters, digits and those of set.
func only(u []byte, set string) bool {
	for _, c := range u {
		if !isAlnum(c) && strings.IndexByte(set, c) < 0 {
			return false
		}
	}
	return true
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func unquote(s string) string { return s[1 : len(s)-1] }

var jsonShort = map[rune]string{'"': `\"`, '\\': `\\`, '\n': `\n`, '\r': `\r`, '\t': `\t`, '\b': `\b`, '\f': `\f`}

// jsonMinimal escapes what JSON must have escaped.
func jsonMinimal(s string) string { return jsonUnicode(s, "", lowerHex, true) }

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
func percent(s, safe, digits string) string {
	o := make([]byte, 0, 3*len(s))
	for i := range len(s) {
		if c := s[i]; isAlnum(c) || strings.IndexByte(safe, c) >= 0 {
			o = append(o, c)
		} else {
			o = append(o, '%', digits[c>>4], digits[c&15])
		}
	}
	return string(o)
}
