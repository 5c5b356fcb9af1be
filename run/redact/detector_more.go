package redact

import (
	"math/big"
	"slices"
)

// words reads groups of 8 or 16 hex digits as integers of four or eight bytes that a machine with the low byte first wrote (od -tx4, hexdump, xxd -e). Those with the
// high byte first are what fromHex reads.
func words(text []byte) [][]byte {
	var four, eight []byte
	at := -1
	for i := 0; i <= len(text); i++ {
		if i < len(text) && digits16[text[i]] != noDigit {
			if at < 0 {
				at = i
			}
			continue
		}
		if at >= 0 && (i-at == 8 || i-at == 16) {
			group := make([]byte, 0, 8)
			for k := i - 2; k >= at; k -= 2 {
				group = append(group, digits16[text[k]]<<4|digits16[text[k+1]])
			}
			if len(group) == 4 {
				four = append(four, group...)
			} else {
				eight = append(eight, group...)
			}
		}
		at = -1
	}
	return [][]byte{four, eight}
}

const alphabet58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

// max58 bounds a word that is read in base 58, in characters: the cost grows with its square. Longer ones are read by pieces, of which the value's own end is one.
const max58 = 512

// digits58 are the values of the alphabet's characters; 0xff: of none.
var digits58 = func() (t [256]byte) {
	for c := range t {
		t[c] = 0xff
	}
	for v, c := range []byte(alphabet58) {
		t[c] = byte(v)
	}
	return t
}()

// from58 reads each word of the alphabet as one number, which base 58 is. What is glued to a value on its left makes another number of it.
func from58(text []byte) (out [][]byte) {
	var base, digit, n big.Int
	base.SetUint64(58)
	var all []byte
	for at, i := -1, 0; i <= len(text); i++ {
		if i < len(text) && digits58[text[i]] != 0xff {
			if at < 0 {
				at = i
			}
			continue
		}
		if at >= 0 && i-at >= Window*4/3 && i-at <= max58 && !plainWord(text[at:i]) {
			n.SetUint64(0)
			for _, c := range text[at:i] {
				n.Add(n.Mul(&n, &base), digit.SetUint64(uint64(digits58[c])))
			}
			all = append(append(all, n.Bytes()...), '\n')
		}
		at = -1
	}
	return append(out, all)
}

// plainWord tells what is no base 58: a value of a dozen bytes there has letters of both cases or digits among them.
func plainWord(word []byte) bool {
	lower := func(c byte) bool { return c >= 'a' && c <= 'z' }
	return !slices.ContainsFunc(word, func(c byte) bool { return !lower(c) })
}
