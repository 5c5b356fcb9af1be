package redact

import (
	"cmp"
	"slices"
	"sync/atomic"
)

// Matcher finds the values of a Set. It is immutable but for Wipe, and safe for concurrent use.
type Matcher struct {
	opts  Options
	names []string
	marks []string
	also  map[uint32][]uint32 // further names of the pattern with this off
	long  *index
	short *index // values under MinLen, raw; nil if there are none
	left  [256]bool
	joins *pairs

	hexDigits int // length of the shortest pattern of the hex view; 0: there is none
	hexSpan   int // length of the shortest text that can match there
	hexWords  int // words of 8 bytes that are tested together, every hexStep bytes
	hexStep   int

	wiped atomic.Bool
}

// Report says what was redacted, without values.
type Report struct {
	Redactions int      // merged ranges
	Names      []string // which values, sorted, each once
}

func (b *builder) matcher() *Matcher {
	m := &Matcher{opts: b.opts, names: b.names, also: map[uint32][]uint32{}}
	for _, n := range b.names {
		m.marks = append(m.marks, b.opts.Marker(n))
	}
	clear(b.scratch)
	if pats := sorted(b.arena, b.pats, m.also); len(pats) > 0 {
		m.long = newIndex(b.arena, pats, shortest(pats))
		m.learnEdges(pats)
		m.learnHex(pats)
		m.joins = learnJoins(m.long)
	}
	if pats := sorted(b.arena, b.short, m.also); len(pats) > 0 {
		m.short = newIndex(b.arena, pats, shortest(pats))
	}
	return m
}

func shortest(pats []pattern) int {
	n := pats[0].len
	for i := range pats {
		n = min(n, pats[i].len)
	}
	return int(n)
}

// learnEdges gathers the characters that may stand left of a match and belong to it.
func (m *Matcher) learnEdges(pats []pattern) {
	var seen [8][8][32]bool
	for i := range pats {
		e := pats[i].edge
		if e.lbits == 0 || seen[e.radix][e.lbits][e.lval] {
			continue
		}
		seen[e.radix][e.lbits][e.lval] = true
		for c := range 256 {
			m.left[c] = m.left[c] || e.left(byte(c))
		}
	}
}

func (m *Matcher) learnHex(pats []pattern) {
	for i := range pats {
		if n := int(pats[i].len); pats[i].hex && (m.hexDigits == 0 || n < m.hexDigits) {
			m.hexDigits = n
		}
	}
	if m.hexDigits > 0 {
		m.hexSpan = m.hexDigits + (m.hexDigits-1)/maxGroup
		m.hexWords = max(1, min(m.hexSpan/20, 3))
		m.hexStep = m.hexSpan - 8*m.hexWords + 1
	}
}

// Patterns is the number of byte forms that are looked for.
func (m *Matcher) Patterns() int {
	n := 0
	for _, x := range []*index{m.long, m.short} {
		if x != nil {
			n += len(x.pats)
		}
	}
	return n
}

// MemoryBytes is about what the Matcher keeps in memory.
func (m *Matcher) MemoryBytes() int {
	n := 0
	for _, x := range []*index{m.long, m.short} {
		if x != nil {
			n += x.bytes() + len(x.pats)*40
		}
	}
	if m.long != nil {
		n += cap(m.long.arena)
	}
	return n
}

// Mask redacts a whole text into a new slice.
func (m *Matcher) Mask(text []byte) ([]byte, Report) { return m.MaskKnown(text, nil) }

// MaskKnown is Mask for a reader to whom markers give only the names that known takes; nil: all. See Stream.Known.
func (m *Matcher) MaskKnown(text []byte, known func(name string) bool) ([]byte, Report) {
	var out appender
	s := m.Stream(&out)
	s.Known(known)
	if _, err := s.Write(text); err != nil {
		return nil, s.Report()
	}
	_ = s.Close()
	return out, s.Report()
}

type appender []byte

func (a *appender) Write(p []byte) (int, error) {
	*a = append(*a, p...)
	return len(p), nil
}

// Contains tells whether Mask would change text.
func (m *Matcher) Contains(text []byte) bool {
	_, r := m.Mask(text)
	return r.Redactions > 0
}

// Wiped tells whether Wipe was called: then nothing may pass, for nothing can be found.
func (m *Matcher) Wiped() bool { return m.wiped.Load() }

// Wipe zeroes all patterns. Streams that are still open withhold from then on (ErrWiped); none may be inside Write.
func (m *Matcher) Wipe() {
	m.wiped.Store(true)
	for _, x := range []*index{m.long, m.short} {
		if x == nil {
			continue
		}
		clear(x.arena[:cap(x.arena)])
		clear(x.pats)
		clear(x.heads)
		clear(x.filter)
	}
	if m.joins != nil {
		clear(m.joins[:])
	}
}

// span is a match in text offsets.
type span struct {
	lo, hi int // what is masked
	start  int // where the pattern itself begins: ≤ lo
	p      *pattern
}

// order sorts by where the masking begins; of matches that begin together the longest, then the first added, names the marker.
func order(a, b span) int {
	switch {
	case a.lo != b.lo:
		return a.lo - b.lo
	case a.hi != b.hi:
		return b.hi - a.hi
	default:
		return cmp.Or(cmp.Compare(a.p.name, b.p.name), cmp.Compare(a.p.off, b.p.off))
	}
}

// finder does one pass over a text; its buffers are reused by the next.
type finder struct {
	m     *Matcher
	view  view
	hex   hexView
	spans []span
	hold  int // text offset from which bytes may still become part of a match
	keep  int // text offset from which the text must be seen again: ≤ hold, the beginnings of what may still become a match
}

// find fills spans, hold and keep for text, which begins in state st; final says that nothing follows.
func (f *finder) find(text []byte, st lineState, final bool) {
	f.spans, f.hold, f.keep = f.spans[:0], len(text), len(text)
	m := f.m
	if m.long != nil {
		f.view.wrap(text, st, m.joins)
		var partial func(int)
		if !final {
			partial = func(lo int) { f.partial(text, &f.view, lo) }
		}
		m.long.scan(f.view.sym, func(lo, pat int) { f.hit(text, &f.view, lo, &m.long.pats[pat], final) }, partial)
		if n := len(text); n > 0 && !final && m.left[text[n-1]] {
			f.wait(n-1, n-1)
		}
		if m.hexDigits > 0 {
			f.findHex(text, final)
		}
	}
	if m.short != nil {
		var partial func(int)
		if !final {
			partial = func(lo int) { f.wait(lo, lo) }
		}
		m.short.scan(text, func(lo, pat int) {
			p := &m.short.pats[pat]
			f.spans = append(f.spans, span{lo, lo + int(p.len), lo, p})
		}, partial)
	}
	slices.SortFunc(f.spans, order)
	for _, s := range f.spans {
		if s.lo >= f.hold { // not released yet: must be found again
			f.keep = min(f.keep, s.start)
		}
	}
}

func (f *finder) wait(keep, hold int) {
	f.keep, f.hold = min(f.keep, keep), min(f.hold, hold)
}

// hit takes a match of p at symbol lo of the wrap view.
func (f *finder) hit(text []byte, v *view, lo int, p *pattern, final bool) {
	b := lo + int(p.len)
	from, cut := v.lead(text, lo, b, false)
	hi := v.at(b-1) + 1
	if !cut && from > 0 && p.edge.left(text[from-1]) {
		from--
	}
	if p.edge.rbits > 0 {
		switch {
		case hi < len(text):
			if p.edge.right(text[hi]) {
				hi++
			}
		case !final: // the next byte decides
			f.wait(min(v.at(lo), from), from)
		}
	}
	f.spans = append(f.spans, span{from, hi, min(v.at(lo), from), p})
}

// partial takes a symbol from which on the rest of the wrap view is the beginning of a pattern.
func (f *finder) partial(text []byte, v *view, lo int) {
	at := v.at(lo)
	from, cut := v.lead(text, lo, len(v.sym), true)
	if at > 0 && f.m.left[text[at-1]] {
		at--
		if !cut {
			from--
		}
	}
	f.wait(at, from)
}
