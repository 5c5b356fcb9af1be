package quick

import (
	"bytes"
	"unicode/utf8"
)

// list writes texts as a JSON list. encoding/json would be shorter here, and longer in the time that it takes to get going.
func list(b *bytes.Buffer, texts []string) {
	b.WriteByte('[')
	for i, s := range texts {
		if i > 0 {
			b.WriteByte(',')
		}
		quote(b, s)
	}
	b.WriteByte(']')
}

func quote(b *bytes.Buffer, s string) {
	const hex = "0123456789abcdef"
	b.WriteByte('"')
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
			i++
		case c < 0x20:
			b.WriteString(`\u00`)
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
			i++
		default:
			r, n := utf8.DecodeRuneInString(s[i:])
			b.WriteRune(r) // what is no UTF-8 becomes U+FFFD, as in encoding/json
			i += n
		}
	}
	b.WriteByte('"')
}
