package redact

import "bytes"

// The hex view is the text's hex digits in lower case, without what tools put between bytes: "de ad", "DE:AD", "dead beef", "%de%ad",
// "=DE=AD", over any number of lines. It is built only where a word of the text (one in hexStep) has none but such bytes.
//
// maxGap bounds what may stand between two digits. The digits of a match before its first gap are an even number: they are bytes.
const maxGap = 32

const (
	hexNone = iota
	hexDigit
	hexGap
)

var hexClass = func() (t [256]uint8) {
	for c := range 256 {
		if digits16[c] != noDigit {
			t[c] = hexDigit
		}
	}
	for _, c := range " :-,%=\t\r\n" {
		t[c] = hexGap
	}
	return t
}()

type hexView struct {
	sym []byte
	pos []int32 // text offset of each symbol
	end int
}

// hexWord tells whether none of the eight bytes is a letter beyond f or not ASCII: all bytes of hexClass pass, and some others.
func hexWord(v uint64) bool {
	const one = 0x0101010101010101
	beyond := (v&(0x1f*one) + 0x19*one) & (v >> 1) & (0x20 * one) // low five bits ≥ 7, and bit 6
	return beyond|v&(0x80*one) == 0
}

// findHex looks for stretches of hexClass and scans each.
func (f *finder) findHex(text []byte, final bool) {
	step, n, done := f.m.hexStep, len(text), 0
	for i := 0; i+8 <= n; i += step {
		if !hexWord(load(text, i)) || i < done {
			continue
		}
		lo, hi := i, i
		for hi < n && hexClass[text[hi]] != hexNone {
			hi++
		}
		if hi < i+8 {
			continue
		}
		for lo > done && hexClass[text[lo-1]] != hexNone {
			lo--
		}
		f.scanHex(text, lo, hi, final)
		done = hi
	}
	if final || done == n {
		return
	}
	lo := n
	for lo > done && hexClass[text[lo-1]] != hexNone {
		lo--
	}
	if lo < n {
		f.scanHex(text, lo, n, final)
	}
}

// scanHex scans text[lo:hi], all of hexClass.
func (f *finder) scanHex(text []byte, lo, hi int, final bool) {
	open := hi == len(text) && !final
	if !open && hi-lo < f.m.hexDigits {
		return
	}
	v := &f.hex
	v.sym, v.pos, v.end = v.sym[:0], v.pos[:0], len(text)
	gap := 0
	for i := lo; i < hi; i++ {
		c := text[i]
		if hexClass[c] != hexDigit {
			gap++
			continue
		}
		if gap > maxGap {
			v.sym, v.pos = append(v.sym, 0), append(v.pos, int32(i-1))
		}
		gap = 0
		if c < 'a' && c >= 'A' {
			c |= 0x20
		}
		v.sym, v.pos = append(v.sym, c), append(v.pos, int32(i))
	}
	if gap > maxGap {
		open = false
	}
	if !open && len(v.sym) < f.m.hexDigits {
		return
	}
	var partial func(int)
	if open {
		partial = func(s int) { f.partialHex(text, s) }
	}
	f.m.long.scan(v.sym, func(s, pat int) { f.hitHex(text, s, &f.m.long.pats[pat]) }, partial)
}

func (f *finder) hitHex(text []byte, s int, p *pattern) {
	v, b := &f.hex, s+int(p.len)
	if !p.hex || !v.aligned(s, b, false) {
		return
	}
	f.spans = append(f.spans, span{v.lead(text, s, b, false), int(v.pos[b-1]) + 1, int(v.pos[s]), p})
}

func (f *finder) partialHex(text []byte, s int) {
	v := &f.hex
	if v.sym[s] == 0 || !v.aligned(s, len(v.sym), true) {
		return
	}
	f.wait(int(v.pos[s]), v.lead(text, s, len(v.sym), true))
}

// aligned tells whether the digits of [a,b) before the first gap are an even number. open tells that b is the last
// symbol of an unfinished text: then what stands behind it is a gap.
func (v *hexView) aligned(a, b int, open bool) bool {
	for k := a + 1; k < b; k++ {
		if v.pos[k] > v.pos[k-1]+1 {
			return (k-a)%2 == 0
		}
	}
	if open && int(v.pos[b-1])+1 < v.end {
		return (b-a)%2 == 0
	}
	return true
}

// lead is view.lead for the hex view.
func (v *hexView) lead(text []byte, a, b int, open bool) int {
	from := int(v.pos[a])
	prev := from
	for k := a + 1; k < a+minLead && k <= b; k++ {
		p := v.end
		if k < b {
			p = int(v.pos[k])
		} else if !open {
			break
		}
		if p > prev+1 && bytes.ContainsAny(text[prev+1:p], "\r\n") {
			from = p
		}
		prev = p
	}
	return from
}
