package redact

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
)

// pattern is one byte form of one value, as it looks in the wrap view. Its bytes are in the builder's arena.
type pattern struct {
	key  uint64 // first 8 bytes, big endian: sorts like the bytes
	off  uint32
	len  uint32
	name uint32 // index into names; after merging of equals the lowest
	edge edge
	hex  bool // valid in the hex view
}

// edge describes the characters beside a base64 or base32 match that hold some of its bits and others of the neighbour's.
type edge struct {
	radix       uint8 // bits a character: 6, 5, or 0 for none
	lbits, lval uint8 // the low lbits bits of the character before
	rbits, rval uint8 // the high rbits bits of the character after
}

func (e edge) left(c byte) bool {
	v := digits(e.radix)[c]
	return e.lbits > 0 && v != noDigit && v&(1<<e.lbits-1) == e.lval
}

func (e edge) right(c byte) bool {
	v := digits(e.radix)[c]
	return e.rbits > 0 && v != noDigit && v>>(e.radix-e.rbits) == e.rval
}

// builder collects patterns; matcher() turns them into a Matcher.
type builder struct {
	opts    Options
	names   []string
	arena   []byte
	pats    []pattern
	short   []pattern
	scratch []byte
	name    uint32 // of the value at work
	maxLen  int
}

func newBuilder(o Options, names []string) *builder {
	return &builder{opts: o, names: slices.Clone(names)}
}

// add takes a copy of p, brought into the form of the wrap view.
func (b *builder) add(p []byte, e edge, hex bool) {
	at := len(b.arena)
	b.arena = appendWrapped(room(b.arena, len(p)), p)
	n := len(b.arena) - at
	if n < FloorLen {
		clear(b.arena[at:])
		b.arena = b.arena[:at]
		return
	}
	b.maxLen = max(b.maxLen, n)
	b.pats = append(room(b.pats, 1), pattern{binary.BigEndian.Uint64(b.arena[at:]), uint32(at), uint32(n), b.name, e, hex})
}

// addShort takes a value under MinLen: raw text only, outside of all views.
func (b *builder) addShort(p []byte) {
	at := len(b.arena)
	b.arena = append(room(b.arena, len(p)), p...)
	var head [8]byte
	copy(head[:], p)
	b.short = append(room(b.short, 1), pattern{key: binary.BigEndian.Uint64(head[:]), off: uint32(at), len: uint32(len(p)), name: b.name})
}

// room makes room for n more, and erases the slice that it leaves.
func room[T any](s []T, n int) []T {
	if len(s)+n <= cap(s) {
		return s
	}
	t := append(make([]T, 0, max(2*cap(s), len(s)+n, 64)), s...)
	clear(s)
	return t
}

// sorted orders patterns by their bytes and merges equals: a value known by many names gives one pattern, its other names in also, by the
// pattern's off.
func sorted(arena []byte, in []pattern, also map[uint32][]uint32) []pattern {
	text := func(p *pattern) []byte { return arena[p.off : p.off+p.len] }
	slices.SortFunc(in, func(x, y pattern) int {
		if x.key != y.key {
			return cmp.Compare(x.key, y.key)
		}
		if c := bytes.Compare(text(&x), text(&y)); c != 0 {
			return c
		}
		return cmp.Compare(x.name, y.name)
	})
	out := in[:0]
	for _, p := range in {
		if n := len(out); n > 0 && out[n-1].len == p.len && out[n-1].edge == p.edge && bytes.Equal(text(&out[n-1]), text(&p)) {
			q := &out[n-1]
			q.hex = q.hex || p.hex
			if a := also[q.off]; p.name != q.name && (len(a) == 0 || a[len(a)-1] != p.name) {
				also[q.off] = append(a, p.name)
			}
			continue
		}
		out = append(out, p)
	}
	clear(in[len(out):])
	return out
}
