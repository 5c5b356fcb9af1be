package redact

import "bytes"

// The hex view is the text's hex digits in lower case, without what tools put between bytes: "de ad", "DE:AD", "dead beef", "%de%ad",
// "=DE=AD", over any number of lines. Digits without gaps are the business of the wrap view.
//
// It is built only where some words of the text, every hexStep bytes, have none but such bytes and a gap each. That misses nothing: a match is
// at least hexSpan bytes long, so wherever it begins hexWords whole words at some multiple of hexStep lie in it.
const (
	maxGap   = 32 // bytes that may stand between two digits
	maxGroup = 6  // digits that may stand between two gaps; before the first gap of a match they are an even number, for they are bytes
)

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

const ones = 0x0101010101010101

// hexBeyond is not 0 if one of eight bytes is a letter beyond f or not ASCII. All bytes of hexClass pass, and some others.
func hexBeyond(v uint64) uint64 {
	return (v&(0x1f*ones)+0x19*ones)&(v>>1)&(0x20*ones) | v&(0x80*ones) // low five bits ≥ 7, and bit 6
}

// hexGapIn tells whether one of eight bytes that passed is a gap: no letter (bit 6), and below '0' (bit 4) or above '9' (low nibble).
func hexGapIn(v uint64) bool {
	return (^v|(v&(0x0f*ones)+0x06*ones))&^(v>>2)&(0x10*ones) != 0
}

// findHex looks for stretches of hexClass and scans each.
func (f *finder) findHex(text []byte, final bool) {
	step, n, done := f.m.hexStep, len(text), 0
	size := 8 * f.m.hexWords
	for i := 0; i+size <= n; i += step {
		if hexBeyond(load(text, i))|hexBeyond(load(text, i+size-8)) != 0 || !hexWords(text[i:i+size]) || i+size <= done {
			continue
		}
		hi := hexEnd(text, i)
		if hi < i+size {
			continue
		}
		f.scanHex(text, hexBegin(text, i, max(0, done-maxGroup)), hi, final)
		done = hi
	}
	if final {
		return
	}
	if lo := hexBegin(text, n, 0); lo < n {
		f.scanHex(text, lo, n, false)
	}
}

// hexEnd gives the end of the stretch from i on that may be of one match.
func hexEnd(text []byte, i int) int {
	for group := 0; i < len(text); i++ {
		switch hexClass[text[i]] {
		case hexNone:
			return i
		case hexGap:
			group = 0
		default:
			if group++; group > maxGroup {
				return i
			}
		}
	}
	return i
}

// hexBegin is hexEnd to the left.
func hexBegin(text []byte, i, limit int) int {
	for group := 0; i > limit; i-- {
		switch hexClass[text[i-1]] {
		case hexNone:
			return i
		case hexGap:
			group = 0
		default:
			if group++; group > maxGroup {
				return i
			}
		}
	}
	return i
}

// hexWords tests the words of b. Most texts fail at letters, and are refused without a branch a word.
func hexWords(b []byte) bool {
	var beyond uint64
	for i := 0; i+8 <= len(b); i += 8 {
		beyond |= hexBeyond(load(b, i))
	}
	if beyond != 0 {
		return false
	}
	for i := 0; i+8 <= len(b); i += 8 {
		if !hexGapIn(load(b, i)) {
			return false
		}
	}
	return true
}

// scanHex scans text[lo:hi], all of hexClass.
func (f *finder) scanHex(text []byte, lo, hi int, final bool) {
	open := hi == len(text) && !final
	if !open && hi-lo < f.m.hexSpan {
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

// aligned tells whether [a,b) has a gap, an even number of digits before the first, and no group of digits that is too long. open tells that b is the last
// symbol of an unfinished text: then what stands behind it is a gap.
func (v *hexView) aligned(a, b int, open bool) bool {
	gaps, group := 0, 0
	for k := a; k < b; k++ {
		if k > a && v.pos[k] > v.pos[k-1]+1 {
			if gaps++; gaps == 1 && group%2 == 1 {
				return false
			}
			group = 0
		}
		if group++; group > maxGroup {
			return false
		}
	}
	if open {
		return gaps > 0 || group%2 == 0 || int(v.pos[b-1])+1 == v.end
	}
	return gaps > 0
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
