package record

import (
	"encoding/binary"
	"math/bits"
)

// sum is a number modulo 2^256, least significant word first.
type sum [4]uint64

func sumOf(b [32]byte) (s sum) {
	for i := range s {
		s[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	return s
}

func (s sum) bytes() (b [32]byte) {
	for i, w := range s {
		binary.LittleEndian.PutUint64(b[8*i:], w)
	}
	return b
}

func (s sum) plus(o sum) (r sum) {
	var carry uint64
	for i := range s {
		r[i], carry = bits.Add64(s[i], o[i], carry)
	}
	return r
}

func (s sum) minus(o sum) (r sum) {
	var borrow uint64
	for i := range s {
		r[i], borrow = bits.Sub64(s[i], o[i], borrow)
	}
	return r
}
