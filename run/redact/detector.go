package redact

import (
	"encoding/base64"
	"encoding/binary"
	"slices"
)

// Window is the length in bytes of the pieces of a value that alarm the Detector, if found in a row.
const Window = 12

// Detector is an alarm, not a masker: it tells whether a captured output as a whole seems to hold a value that was disguised by simple
// transforms (threat-model.md 3): split, folded, spaced, case changed, rot13, reversed, octal, hex or decimal codes, words of a dump, base 58, encoded twice. What it finds is
// not masked but withheld. It knows no exact places, and it may err: Window letters and digits in a row that a value shares with ordinary text alarm.
//
// It does not see XOR, ciphers, compression or sums; nothing does. Nor base 85, whose alphabets and alignments would cost more than all the rest.
//
// It is built for one captured output and is safe for concurrent use once built.
type Detector struct {
	names   []string
	windows map[[Window]byte]int // folded piece → index into names
	heads   [1 << 16]bool        // hashes of the pieces' first four bytes: most text needs no look into the map
}

// learn takes the pieces of a value, folded: letters in lower case and digits, nothing else.
func (d *Detector) learn(name string, v []byte) {
	if d.windows == nil {
		d.windows = map[[Window]byte]int{}
	}
	id := len(d.names)
	d.names = append(d.names, name)
	f := fold(v)
	d.pieces(f, id)
	slices.Reverse(f)
	d.pieces(f, id)
	clear(f)
}

func (d *Detector) pieces(f []byte, id int) {
	for i := 0; i+Window <= len(f); i++ {
		w := [Window]byte(f[i:])
		if _, ok := d.windows[w]; !ok && !dull(w) {
			d.windows[w] = id
			d.heads[hash4(f[i:])] = true
		}
	}
}

// dull pieces ("aaaaaaaaaaaa", "000000000000", "abababababab") say nothing.
func dull(w [Window]byte) bool {
	seen := map[byte]bool{}
	for _, c := range w {
		seen[c] = true
	}
	return len(seen) < 4
}

// Alarm tells which values the output seems to hold, sorted; none means no alarm.
func (d *Detector) Alarm(output []byte) []string {
	found := map[int]bool{}
	if len(d.windows) > 0 {
		d.look(output, decoders, found)
	}
	var names []string
	for id := range found {
		names = append(names, d.names[id])
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// look searches text and what it decodes to; what was decoded once, by twice only.
func (d *Detector) look(text []byte, by []decoder, found map[int]bool) {
	f := fold(text)
	d.match(f, found)
	for i, c := range f {
		if c >= 'a' {
			f[i] = 'a' + (c-'a'+13)%26
		}
	}
	d.match(f, found)
	var again []decoder
	if len(by) > len(twice) {
		again = twice
		for _, decode := range once {
			for _, t := range decode(text) {
				d.match(fold(t), found)
			}
		}
	}
	for _, decode := range by {
		for _, t := range decode(text) {
			if len(t) >= Window {
				d.look(t, again, found)
			}
		}
	}
}

func (d *Detector) match(f []byte, found map[int]bool) {
	for i := 0; i+Window <= len(f); i++ {
		if !d.heads[hash4(f[i:])] {
			continue
		}
		if id, ok := d.windows[[Window]byte(f[i:])]; ok {
			found[id] = true
		}
	}
}

// Wipe lets go of what the Detector knows, as far as Go lets it: a map's old cells are the collector's.
func (d *Detector) Wipe() {
	clear(d.windows)
	clear(d.heads[:])
	d.windows, d.names = nil, nil
}

func hash4(b []byte) uint16 { return uint16(binary.LittleEndian.Uint32(b) * 0x9E3779B1 >> 16) }

// fold keeps letters, in lower case, and digits.
func fold(v []byte) []byte {
	f := make([]byte, 0, len(v))
	for _, c := range v {
		if isAlnum(c) {
			if c >= 'A' && c <= 'Z' {
				c |= 0x20
			}
			f = append(f, c)
		}
	}
	return f
}

// decoder gives what a text may mean. Separators, offsets and line ends are guessed at, since the aim is an alarm.
type decoder func([]byte) [][]byte

var (
	decoders = []decoder{fromBase64, fromHex, dumps(16), dumps(8), dumps(10)}
	twice    = []decoder{fromBase64, fromHex}
	once     = []decoder{words, from58} // costly, and hence not of what was decoded before
)

// fromBase64 decodes all that is of the alphabet as one stream at each alignment, whatever stands between.
func fromBase64(text []byte) (out [][]byte) {
	var all []byte
	for _, c := range text {
		if v := digits64[c]; v != noDigit {
			all = append(all, std64[v])
		}
	}
	for s := range min(4, len(all)) {
		t := all[s:]
		dst := make([]byte, base64.RawStdEncoding.DecodedLen(len(t)))
		n, _ := base64.RawStdEncoding.Decode(dst, t[:len(t)-len(t)%4])
		out = append(out, dst[:n])
	}
	return out
}

// fromHex reads all hex digits as one stream, from each of two alignments.
func fromHex(text []byte) (out [][]byte) {
	var d []byte
	for _, c := range text {
		if v := digits16[c]; v != noDigit {
			d = append(d, v)
		}
	}
	for s := range min(2, len(d)) {
		var t []byte
		for i := s; i+1 < len(d); i += 2 {
			t = append(t, d[i]<<4|d[i+1])
		}
		out = append(out, t)
	}
	return out
}

// dumps reads groups of digits in a base as bytes: character codes, od and hexdump with or without offsets, also two bytes a group in
// either order. Long groups are offsets.
func dumps(base int) decoder {
	return func(text []byte) [][]byte {
		var one, be, le []byte
		value, n := 0, 0
		for i := 0; i <= len(text); i++ {
			v := noDigit
			if i < len(text) {
				v = int(digits16[text[i]])
			}
			if v < base {
				value, n = value*base+v, n+1
				value &= 0xffffff
				continue
			}
			if n > 0 && n <= 6 {
				if value < 256 && n <= 4 {
					one = append(one, byte(value))
				}
				be = append(be, byte(value>>8), byte(value))
				le = append(le, byte(value), byte(value>>8))
			}
			value, n = 0, 0
		}
		return [][]byte{one, be, le}
	}
}
