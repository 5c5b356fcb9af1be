package egress

import "strings"

// nameScan reads the texts of a JSON body: one that is such a name, as a key or not. Outside of texts it reads the words, which lenient servers take for texts too; what
// stands there and is of no JSON (other quotes, comments) could have them begin elsewhere, and is taken for what hides something.
type nameScan struct {
	inText, escaped bool
	text            []byte
}

func (n *nameScan) overrides(b []byte) bool {
	for _, c := range b {
		switch {
		case c == 0: // UTF-16 and UTF-32 are recognised by it, and no other JSON holds it
			return true
		case n.escaped:
			n.escaped = false
			n.add('\\', c)
		case c == '"':
			n.inText = !n.inText
			if n.ends() {
				return true
			}
		case n.inText && c == '\\':
			n.escaped = true
		case n.inText:
			n.add(c)
		case strings.IndexByte("{}[]:, \t\r\n", c) >= 0:
			if n.ends() {
				return true
			}
		case c >= 0x80, strings.IndexByte(typeChars+"$", c) >= 0:
			n.add(c)
		default:
			return true
		}
	}
	return false
}

func (n *nameScan) add(c ...byte) {
	if len(n.text) <= maxJSONName {
		n.text = append(n.text, c...)
	}
}

func (n *nameScan) ends() bool {
	name := string(n.text)
	n.text = n.text[:0]
	if len(name) > maxJSONName {
		return false
	}
	if strings.IndexByte(name, '\\') >= 0 {
		name = unquoted(name)
	}
	return overridesAs(strings.TrimPrefix(name, "\ufeff"))
}

// unquoted decodes the escapes of a JSON text that names which count are written with, and those of JSON5; of what is no escape lenient servers take the character.
func unquoted(s string) string {
	var out strings.Builder
	for len(s) > 0 {
		switch {
		case len(s) >= 6 && strings.HasPrefix(s, `\u00`) && isHex(s[4]) && isHex(s[5]):
			out.WriteByte(unhex(s[4])<<4 | unhex(s[5]))
			s = s[6:]
			continue
		case len(s) >= 4 && strings.HasPrefix(s, `\x`) && isHex(s[2]) && isHex(s[3]):
			out.WriteByte(unhex(s[2])<<4 | unhex(s[3]))
			s = s[4:]
			continue
		case len(s) >= 2 && s[0] == '\\' && strings.IndexByte("bfnrtv", s[1]) >= 0:
			out.WriteByte(' ')
			s = s[2:]
			continue
		case len(s) >= 2 && s[0] == '\\' && s[1] != 'u' && s[1] != 'x':
			s = s[1:]
		}
		out.WriteByte(s[0])
		s = s[1:]
	}
	return out.String()
}
