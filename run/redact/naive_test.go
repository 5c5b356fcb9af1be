package redact

import (
	"bytes"
	"slices"
)

// naive is the redactor's meaning, written as plainly as possible: every pattern is tried at every symbol of both views, of the whole text.
// It shares the patterns with the real one (variants_test.go proves those against the programs that write them), and nothing else.
func naive(m *Matcher, text []byte) []byte {
	masked := make([]bool, len(text))
	label := map[int]naiveSpan{}
	mark := func(s naiveSpan) {
		for i := s.lo; i < s.hi; i++ {
			masked[i] = true
		}
		if old, ok := label[s.lo]; !ok || s.hi > old.hi || s.hi == old.hi && s.name < old.name {
			label[s.lo] = s
		}
	}
	if m.long != nil {
		for i := range m.long.pats {
			p, t := &m.long.pats[i], m.long.text(i)
			naiveMatch(text, naiveWrap(text), t, func(pos []int) {
				lo, cut := naiveLead(text, pos)
				hi := pos[len(pos)-1] + 1
				if !cut && lo > 0 && p.edge.left(text[lo-1]) {
					lo--
				}
				if hi < len(text) && p.edge.right(text[hi]) {
					hi++
				}
				mark(naiveSpan{lo, hi, p.name})
			})
			if !p.hex {
				continue
			}
			naiveMatch(text, naiveHex(text), t, func(pos []int) {
				groups := []int{1}
				for k := 1; k < len(pos); k++ {
					if pos[k] != pos[k-1]+1 {
						groups = append(groups, 0)
					}
					groups[len(groups)-1]++
				}
				if len(groups) == 1 || groups[0]%2 == 1 || slices.Max(groups) > 6 {
					return
				}
				lo, _ := naiveLead(text, pos)
				mark(naiveSpan{lo, pos[len(pos)-1] + 1, p.name})
			})
		}
	}
	if m.short != nil {
		for i := range m.short.pats {
			p, t := &m.short.pats[i], m.short.text(i)
			for at := range text {
				if bytes.HasPrefix(text[at:], t) {
					mark(naiveSpan{at, at + len(t), p.name})
				}
			}
		}
	}
	var out []byte
	for i := 0; i < len(text); i++ {
		switch {
		case !masked[i]:
			out = append(out, text[i])
		case m.opts.Fill != 0:
			out = append(out, m.opts.Fill)
		case i == 0 || !masked[i-1]:
			out = append(out, m.marks[label[i].name]...)
		}
	}
	return out
}

type naiveSpan struct {
	lo, hi int
	name   uint32
}

type naiveSym struct {
	c   byte
	pos int
}

func naiveMatch(text []byte, syms []naiveSym, pat []byte, found func(pos []int)) {
	for i := 0; i+len(pat) <= len(syms); i++ {
		k := 0
		for k < len(pat) && syms[i+k].c == pat[k] {
			k++
		}
		if k == len(pat) {
			var pos []int
			for _, s := range syms[i : i+k] {
				pos = append(pos, s.pos)
			}
			found(pos)
		}
	}
}

func naiveWrap(text []byte) (syms []naiveSym) {
	skipped := 0
	for i, c := range text {
		skip := c == '\n' || c == '\r' || skipped > 0 && (c == ' ' || c == '\t')
		if skip && skipped < 128 {
			skipped++
			continue
		}
		skipped = 0
		syms = append(syms, naiveSym{c, i})
	}
	return syms
}

func naiveHex(text []byte) (syms []naiveSym) {
	gap := 0
	for i, c := range text {
		switch {
		case bytes.IndexByte([]byte("0123456789abcdefABCDEF"), c) >= 0:
			if gap > 32 {
				syms = append(syms, naiveSym{0, i - 1})
			}
			gap = 0
			syms = append(syms, naiveSym{bytes.ToLower([]byte{c})[0], i})
		case bytes.IndexByte([]byte(" :-,%=\t\r\n"), c) >= 0:
			gap++
		default:
			gap = 0
			syms = append(syms, naiveSym{0, i})
		}
	}
	return syms
}

func naiveLead(text []byte, pos []int) (lo int, cut bool) {
	lo = pos[0]
	for k := 1; k < min(4, len(pos)); k++ {
		if bytes.ContainsAny(text[pos[k-1]:pos[k]], "\r\n") && slices.Contains([]byte("\r\n"), firstBreak(text[pos[k-1]+1:pos[k]])) {
			lo, cut = pos[k], true
		}
	}
	return lo, cut
}

func firstBreak(b []byte) byte {
	for _, c := range b {
		if c == '\r' || c == '\n' {
			return c
		}
	}
	return 0
}
