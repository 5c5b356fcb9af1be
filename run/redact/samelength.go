package redact

import (
	"bytes"
	"io"
	"slices"
	"sort"
	"sync"

	"github.com/zavhoz/zavhoz/vault/secret"
)

// SameLength is a Matcher as a proxy needs it: whatever is masked keeps its length, so that what counts bytes (Content-Length, ranges, frames) stays true. A
// value in plain that has a stand-in of its own length becomes that stand-in: the client then reads back what it sent. Everything else becomes fill bytes.
// It is immutable and safe for concurrent use; it goes with its Matcher's Wipe.
type SameLength struct {
	m       *Matcher
	fill    byte
	stand   map[uint32]string // stand-ins by the off of their value's pattern
	finders sync.Pool
}

// StandIn is a value and the text that stands for it outside.
type StandIn struct {
	Value secret.Secret
	Text  string
}

// SameLength makes the view. Stand-ins of another length than their value, or for a value that the Matcher does not know in plain, are left out.
func (m *Matcher) SameLength(fill byte, stands ...StandIn) *SameLength {
	v := &SameLength{m: m, fill: fill, stand: map[uint32]string{}}
	v.finders.New = func() any { return &finder{m: m} }
	for _, s := range stands {
		if off, ok := m.plain(s.Value.Reveal()); ok && len(s.Text) == s.Value.Len() {
			v.stand[off] = s.Text
		}
	}
	return v
}

// With gives the view with one more stand-in.
func (v *SameLength) With(s StandIn) *SameLength {
	n := v.m.SameLength(v.fill, s)
	for off, text := range v.stand {
		if _, twice := n.stand[off]; !twice {
			n.stand[off] = text
		}
	}
	return n
}

// Matcher is what the view is of.
func (v *SameLength) Matcher() *Matcher { return v.m }

// Knows tells whether the Matcher looks for the value in plain, and so for every form of it that it knows.
func (m *Matcher) Knows(value secret.Secret) bool {
	v := value.Reveal()
	if _, ok := m.plain(v); ok {
		return true
	}
	return m.short != nil && m.short.find(v) >= 0
}

// plain finds the pattern of a value as it is. One with white space at its ends or line breaks inside looks different in the wrap view, and is not found.
func (m *Matcher) plain(v []byte) (off uint32, ok bool) {
	if m.long == nil || m.wiped.Load() || len(v) < FloorLen || bytes.ContainsAny(v, "\r\n") || len(bytes.TrimSpace(v)) != len(v) {
		return 0, false
	}
	i := m.long.find(v)
	if i < 0 {
		return 0, false
	}
	return m.long.pats[i].off, true
}

// find gives the pattern that is exactly v and has no edges, or -1.
func (x *index) find(v []byte) int {
	i := sort.Search(len(x.pats), func(i int) bool { return bytes.Compare(x.text(i), v) >= 0 })
	for ; i < len(x.pats) && bytes.Equal(x.text(i), v); i++ {
		if x.pats[i].edge == (edge{}) {
			return i
		}
	}
	return -1
}

// Stream redacts into dst, at the same length.
func (v *SameLength) Stream(dst io.Writer) *Stream {
	s := v.m.Stream(dst)
	s.same = v
	return s
}

// Mask redacts a whole text in its place and gives the number of merged ranges. An error says that nothing of the text may pass.
func (v *SameLength) Mask(text []byte) (ranges int, err error) {
	return v.each(text, func(sp span, from int, fresh bool) {
		if fresh {
			from += copy(text[sp.lo:sp.hi], v.standFor(sp))
		}
		for i := from; i < sp.hi; i++ {
			text[i] = v.fill
		}
	})
}

// Find gives the number of merged ranges that Mask would write over. It changes nothing.
func (v *SameLength) Find(text []byte) (ranges int, err error) {
	return v.each(text, func(span, int, bool) {})
}

// each visits the matches of a whole text in order: from is where what was not visited before begins, fresh says that a new merged range does.
func (v *SameLength) each(text []byte, visit func(sp span, from int, fresh bool)) (ranges int, err error) {
	if v.m.wiped.Load() {
		return 0, ErrWiped
	}
	f := v.finders.Get().(*finder)
	f.find(text, lineState{}, true)
	masked := -1
	for _, sp := range f.spans {
		fresh := masked < sp.lo
		if fresh {
			ranges++
		}
		if from := max(masked, sp.lo); from < sp.hi {
			visit(sp, from, fresh)
		}
		masked = max(masked, sp.hi)
	}
	clear(f.view.own)
	clear(f.hex.sym)
	v.finders.Put(f)
	return ranges, nil
}

// Redactions is how many merged ranges the stream masked so far: Report's number, at no cost.
func (s *Stream) Redactions() int { return s.count }

// standFor gives the stand-in for a match that is exactly the value, unbroken.
func (v *SameLength) standFor(sp span) string {
	if t := v.stand[sp.p.off]; len(t) == sp.hi-sp.lo {
		return t
	}
	return ""
}

// coverOf gives n bytes that stand for masked ones: what is left of the range's stand-in, then fill.
func (s *Stream) coverOf(n int) []byte {
	out := slices.Grow([]byte(nil), n)
	k := min(n, len(s.cover))
	out = append(out, s.cover[:k]...)
	s.cover = s.cover[k:]
	return append(out, bytes.Repeat([]byte{s.same.fill}, n-k)...)
}
