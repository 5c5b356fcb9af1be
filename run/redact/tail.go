package redact

import "unicode/utf8"

// Tail keeps the end of a text: at most a number of bytes, and the count of all. It is fed with what a Stream lets out, so what it cuts was
// redacted before (threat-model.md 59). The cut splits neither a marker nor a UTF-8 character. It is for one goroutine at a time.
type Tail struct {
	limit int
	buf   []byte // up to twice the limit
	total int64
	mark  []byte
}

// NewTail keeps at most limit bytes; limit ≤ 0 keeps none.
func NewTail(limit int) *Tail { return &Tail{limit: max(limit, 0), mark: []byte("[redacted:")} }

// maxMark bounds how far back a marker is looked for, in bytes: handles and fields are shorter.
const maxMark = 256

// Write takes the next bytes; it never fails.
func (t *Tail) Write(p []byte) (int, error) {
	n := len(p)
	t.total += int64(n)
	keep := t.limit + maxMark // beyond the limit, to see whether a marker spans the cut
	if len(p) > keep {
		p, t.buf = p[len(p)-keep:], t.buf[:0]
	}
	if len(t.buf)+len(p) > 2*keep {
		t.buf = t.buf[:copy(t.buf, t.buf[len(t.buf)+len(p)-keep:])]
	}
	t.buf = append(t.buf, p...)
	return n, nil
}

// Truncated tells whether Bytes is not the whole text.
func (t *Tail) Truncated() bool { return t.total > int64(t.limit) }

// Bytes gives the tail; where the text was cut inside a marker or a character it begins behind it. It is valid until the next Write.
func (t *Tail) Bytes() []byte {
	cut := max(0, len(t.buf)-t.limit)
	if cut > 0 {
		cut = t.behindMark(cut)
		for k := 0; k < utf8.UTFMax-1 && cut < len(t.buf) && !utf8.RuneStart(t.buf[cut]); k++ {
			cut++
		}
	}
	return t.buf[cut:]
}

// behindMark moves cut behind the marker that it would split.
func (t *Tail) behindMark(cut int) int {
	for i := max(0, cut-maxMark); i < cut; i++ {
		if n := markerAt(t.buf[i:], t.mark); n > 0 && i+n > cut {
			return i + n
		}
	}
	return cut
}

// markerAt gives the length of the marker that b begins with, or 0.
func markerAt(b, mark []byte) int {
	for i, c := range b[:min(len(b), maxMark)] {
		switch {
		case i < len(mark):
			if c != mark[i] {
				return 0
			}
		case c == ']':
			return i + 1
		case c <= ' ' || c >= 0x7f:
			return 0
		}
	}
	return 0
}
