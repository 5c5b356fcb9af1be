package redact

import (
	"bytes"
	"fmt"
	"unicode"
	"unicode/utf8"
)

// Clean makes a text that was redacted harmless to read, for a model or on a terminal: what moves a cursor, hides, reorders or rewrites text
// becomes visible as \u{…}, invalid UTF-8 becomes U+FFFD. Line feeds and tabs stay, CR LF becomes LF; a lone CR, which overwrites a line, is shown.
//
// Attack stopped: output that tells a person or a model something other than what it holds (escape sequences, bidi overrides, zero-width
// letters, tag characters). It runs after redaction, so it cannot break up a value before that is known; and it never removes bytes, so it cannot
// join one.
func Clean(text []byte) []byte {
	if plain(text) {
		return bytes.Clone(text)
	}
	out := make([]byte, 0, len(text)+len(text)/8)
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			out = utf8.AppendRune(out, utf8.RuneError)
		case r == '\r' && i+1 < len(text) && text[i+1] == '\n':
			// of CR LF the LF is enough
		case harmful(r):
			out = fmt.Appendf(out, `\u{%x}`, r)
		default:
			out = append(out, text[i:i+n]...)
		}
		i += n
	}
	return out
}

func plain(text []byte) bool {
	for _, c := range text {
		if c >= 0x7f || c < 0x20 && c != '\n' && c != '\t' {
			return false
		}
	}
	return true
}

// harmful tells control characters (C0, DEL, C1), format characters (direction overrides and isolates, zero width, soft hyphen, byte order mark,
// tags), line and paragraph separators, variation selectors, fillers that show nothing, private use and what is not a character.
func harmful(r rune) bool {
	switch {
	case r == '\n' || r == '\t':
		return false
	case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point):
		return true
	}
	return r&0xfffe == 0xfffe || r >= 0xfdd0 && r <= 0xfdef
}

// Unseen tells every character that is not drawn as itself: what moves a cursor, ends a line, hides or turns text, every blank but U+0020, and letters that are drawn as
// nothing, which unicode.IsPrint takes for printed ones: the Hangul fillers, a Braille pattern without dots. Who shows a name, or a line that somebody is to judge, writes
// it out or puts a sign in its place, else two names look alike. Clean asks less: what a command prints may be drawn with Braille.
func Unseen(r rune) bool {
	return !unicode.IsPrint(r) || r == '\u2800' || unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}
