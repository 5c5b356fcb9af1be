package redact

import (
	"bytes"
	"sort"
)

// The wrap view is the text without line breaks and the blanks that follow them. Every pattern is brought into the same form, so one
// list finds a value as it is, wrapped at any column (base64, fold), indented (YAML), or with other line ends.
//
// maxSkip bounds a run of skipped bytes: what follows is ordinary text again. Otherwise the first letter of a secret and an endless run of empty
// lines would make a stream hold back without end.
const maxSkip = 128

// minLead is the number of symbols that must stand before a line break for a match to be masked from there; a shorter beginning stays,
// the rest after the break is masked. At most three characters of an encoding are shown, and in return a stream never holds back a line such as
// "OK\n" because "K" begins some pattern: a line protocol would stand still.
const minLead = 4

// view is a sequence of symbols and where each stands in the text.
type view struct {
	sym  []byte
	runs []run // ascending; the symbols from runs[i].sym on stand at text offsets runs[i].at, +1, …
	end  int   // length of the text
	own  []byte
}

type run struct{ sym, at int }

// lineState is what the wrap view must know of the bytes before: the length of the run of skipped bytes that it is in.
type lineState struct{ skipped int }

// at gives the text offset of symbol i, or the text's end.
func (v *view) at(i int) int {
	if i >= len(v.sym) {
		return v.end
	}
	k := sort.Search(len(v.runs), func(k int) bool { return v.runs[k].sym > i }) - 1
	return v.runs[k].at + i - v.runs[k].sym
}

// wrap fills v with the wrap view of text, which begins in state st. Line breaks between two bytes that are neighbours in no pattern (joins; nil: any
// may be) stay: no match spans them, and most texts need no copy then.
func (v *view) wrap(text []byte, st lineState, joins *pairs) {
	v.runs, v.end = v.runs[:0], len(text)
	out, from, at := v.own[:0], 0, 0
	if st.skipped > 0 {
		from = skip(text, 0, st.skipped)
		at = min(from+1, len(text))
	}
	for nextN, nextR := -1, -1; at < len(text); {
		if nextN < at {
			nextN = next(text, at, '\n')
		}
		if nextR < at {
			nextR = next(text, at, '\r')
		}
		gap := min(nextN, nextR)
		if gap == len(text) {
			break
		}
		to := gap + 1
		if to == len(text) || text[to] <= ' ' {
			to = skip(text, gap, 0)
		}
		if joins != nil && to < len(text) && gap > 0 && to-gap < maxSkip && !joins.has(text[gap-1], text[to]) {
			at = to + 1 // text[to] is a symbol
			continue
		}
		if from < gap {
			v.runs = append(v.runs, run{len(out), from})
			out = append(out, text[from:gap]...)
		}
		from, at = to, to+1
	}
	if from == 0 {
		v.runs = append(v.runs, run{})
		v.sym = text
		return
	}
	if from < len(text) {
		v.runs = append(v.runs, run{len(out), from})
		out = append(out, text[from:]...)
	}
	v.own, v.sym = out, out
}

// skip gives the end of the run of skipped bytes that goes on at text[i] after skipped ones. What stands there is a symbol.
func skip(text []byte, i, skipped int) int {
	for ; i < len(text) && skipped < maxSkip; i++ {
		if !isBreak(text[i]) && (skipped == 0 || !isBlank(text[i])) {
			break
		}
		skipped++
	}
	return i
}

// pairs is the set of byte pairs that stand side by side in some pattern.
type pairs [1 << 16 / 64]uint64

func (p *pairs) has(a, b byte) bool { return p[(uint(a)<<8|uint(b))>>6]>>(b&63)&1 != 0 }

func (p *pairs) add(a, b byte) { p[(uint(a)<<8|uint(b))>>6] |= 1 << (b & 63) }

// maxPaired bounds the patterns whose pairs are gathered: of more, all letters stand side by side somewhere.
const maxPaired = 2048

// learnJoins gives the pairs of all patterns, or nil where they are not worth having or a pattern holds a line break itself (after maxSkip).
func learnJoins(x *index) *pairs {
	if len(x.pats) > maxPaired {
		return nil
	}
	p := new(pairs)
	for i := range x.pats {
		t := x.text(i)
		if bytes.ContainsAny(t, "\r\n") {
			return nil
		}
		for k := 1; k < len(t); k++ {
			p.add(t[k-1], t[k])
		}
	}
	return p
}

// stateAt gives the line state at offset to of a text that begins in state st.
func stateAt(text []byte, to int, st lineState) lineState {
	from := to
	for from > 0 && (isBreak(text[from-1]) || isBlank(text[from-1])) {
		from--
	}
	if from > 0 {
		st = lineState{}
	}
	for _, c := range text[from:to] {
		switch {
		case st.skipped == 0 && !isBreak(c):
		case st.skipped >= maxSkip:
			st.skipped = 0
		default:
			st.skipped++
		}
	}
	return st
}

// next gives the first offset ≥ from of c in text, or its length.
func next(text []byte, from int, c byte) int {
	if k := bytes.IndexByte(text[from:], c); k >= 0 {
		return from + k
	}
	return len(text)
}

func isBreak(c byte) bool { return c == '\n' || c == '\r' }
func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// appendWrapped appends p in the form of the wrap view. Leading blanks go too: behind a line break the text loses them.
func appendWrapped(dst, p []byte) []byte {
	p = bytes.TrimLeft(p, " \t\r\n")
	if bytes.IndexByte(p, '\n') < 0 && bytes.IndexByte(p, '\r') < 0 {
		return append(dst, p...)
	}
	var v view
	v.wrap(p, lineState{}, nil)
	dst = append(dst, v.sym...)
	clear(v.own)
	return dst
}

// lead gives the text offset from which a match of the symbols [a,b) is masked: behind the last line break among its first minLead symbols.
// open tells that more may follow b: then a break after the last symbol counts as well.
func (v *view) lead(text []byte, a, b int, open bool) (from int, cut bool) {
	from = v.at(a)
	prev := from
	for k := a + 1; k < a+minLead && k <= b; k++ {
		if k == b && !open {
			break
		}
		p := v.at(k)
		if p > prev+1 && bytes.ContainsAny(text[prev+1:p], "\r\n") {
			from, cut = p, true
		}
		prev = p
	}
	return from, cut
}
