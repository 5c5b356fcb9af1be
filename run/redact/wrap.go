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

// wrap fills v with the wrap view of text, which begins in state st.
func (v *view) wrap(text []byte, st lineState) {
	v.runs, v.end, v.sym = v.runs[:0], len(text), nil
	nextN, nextR := bytes.IndexByte(text, '\n'), bytes.IndexByte(text, '\r')
	if nextN < 0 && nextR < 0 && st.skipped == 0 { // no copy
		v.runs = append(v.runs, run{})
		v.sym = text
		return
	}
	out := v.own[:0]
	skipped := st.skipped
	for i := 0; i < len(text); {
		for skipped > 0 || isBreak(text[i]) {
			if skipped >= maxSkip || !isBreak(text[i]) && !isBlank(text[i]) {
				skipped = 0
				break
			}
			skipped++
			if i++; i == len(text) {
				v.own, v.sym = out, out
				return
			}
		}
		// text[i] is a symbol, even if it is a break after too long a run
		nextN = next(text, i+1, nextN, '\n')
		nextR = next(text, i+1, nextR, '\r')
		to := min(nextN, nextR)
		v.runs = append(v.runs, run{len(out), i})
		out = append(out, text[i:to]...)
		i = to
	}
	v.own, v.sym = out, out
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

// next gives the first offset ≥ from of c in text, or its length; known is an earlier answer.
func next(text []byte, from, known int, c byte) int {
	if known >= from {
		return known
	}
	if known < 0 { // never seen: none in text
		return len(text)
	}
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
	if !bytes.ContainsAny(p, "\r\n") {
		return append(dst, p...)
	}
	var v view
	v.wrap(p, lineState{})
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
