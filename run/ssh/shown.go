package ssh

import (
	"bytes"
	"io"
)

// shown masks, at the same length, the addresses that sshd itself puts into a session's environment, where they stand behind their names: with a server
// behind a NAT they are not those that it was dialled at, which the redactor knows (threat-model.md 49). It holds nothing back, for the names are
// no secret: only what follows them is. Who prints a value without its name, or in disguise, is not stopped.
type shown struct {
	dst   io.Writer
	buf   []byte
	tail  []byte // the last bytes of the text, as many as a name has
	value int    // bytes of a value that may still come; 0: not inside one
}

// connectionVars are what sshd sets.
var connectionVars = [][]byte{[]byte("SSH_CONNECTION"), []byte("SSH_CLIENT")}

// longestValue is two IPv6 addresses with zones and two ports, in bytes, with room.
const longestValue = 200

// Write passes p on; the error is that of the writer behind.
func (s *shown) Write(p []byte) (int, error) {
	out := p
	for i := 0; i < len(p); {
		if s.value > 0 {
			if &out[0] == &p[0] {
				s.buf = append(s.buf[:0], p...)
				out = s.buf
			}
			i += s.cover(out[i:])
			continue
		}
		j := bytes.IndexByte(p[i:], '=')
		if j < 0 {
			break
		}
		if s.named(p[:i+j]) {
			s.value = longestValue
		}
		i += j + 1
	}
	s.remember(p)
	return s.dst.Write(out)
}

// cover masks the beginning of b as far as it looks like addresses and ports, and gives how far that was, plus the byte that ended it.
func (s *shown) cover(b []byte) int {
	for i, c := range b {
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f', c >= 'A' && c <= 'F', c == '.', c == ':', c == '%':
			b[i] = '*'
		case c == ' ', c == '"', c == '\'', c == '\\', c == '$':
		default:
			s.value = 0
			return i // it may begin a name
		}
		if s.value--; s.value == 0 {
			return i + 1
		}
	}
	return len(b)
}

// named tells whether the text ends in one of the names.
func (s *shown) named(p []byte) bool {
	for _, name := range connectionVars {
		if len(p) >= len(name) && bytes.HasSuffix(p, name) {
			return true
		}
		if len(p) < len(name) && bytes.HasSuffix(name, p) && bytes.HasSuffix(s.tail, name[:len(name)-len(p)]) {
			return true
		}
	}
	return false
}

func (s *shown) remember(p []byte) {
	longest := len(connectionVars[0])
	if len(p) >= longest {
		s.tail = append(s.tail[:0], p[len(p)-longest:]...)
		return
	}
	s.tail = append(s.tail, p...)
	if over := len(s.tail) - longest; over > 0 {
		s.tail = s.tail[:copy(s.tail, s.tail[over:])]
	}
}
