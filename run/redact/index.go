package redact

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"sort"
)

// index finds patterns in a sequence of symbols. Each pattern's first stride+q-1 bytes give stride q-grams (those that begin at its offsets 0
// to stride-1); of the text only every stride-th q-gram is looked up, and whichever of them falls on a pattern's beginning is known.
//
// Patterns that share a beginning (keys of one type, a hostile text that repeats it) cost a binary search, not a walk over all of them.
type index struct {
	arena  []byte
	pats   []pattern // sorted by bytes
	parent []int32   // the longest other pattern that is a prefix of this one, or -1

	q, stride int
	qmask     uint64
	filter    []uint64
	fshift    uint

	headLen int // 1–8, at most the shortest pattern
	hmask   uint64
	heads   []head
	hshift  uint
	first   [256]bool // bytes that begin a pattern
}

// head is the range of sorted patterns that begin with the same headLen bytes.
type head struct {
	key    uint64
	lo, hi uint32
}

const (
	mul      = 0x9E3779B97F4A7C15
	maxGrams = 3 << 20 // over this the stride is not widened: memory and time to build
)

// newIndex takes sorted patterns, none shorter than minLen.
func newIndex(arena []byte, pats []pattern, minLen int) *index {
	x := &index{arena: arena, pats: pats}
	x.q, x.stride = shape(minLen, len(pats))
	x.qmask = ^uint64(0) >> (64 - 8*x.q)
	x.headLen = min(8, minLen)
	x.hmask = ^uint64(0) >> (64 - 8*x.headLen)
	x.link()
	x.indexHeads()
	x.indexGrams()
	return x
}

// shape chooses q and stride ≤ minLen-q+1. Wide strides are fast, long grams selective; many patterns need selective ones.
func shape(minLen, n int) (q, stride int) {
	switch {
	case minLen < 8:
		return minLen, 1
	case minLen >= 15:
		q = 8
	case n <= 4096:
		q = max(4, minLen-7)
	default:
		q = max(6, minLen-7)
	}
	stride = min(minLen-q+1, 32)
	for stride > 8 && stride*n > maxGrams {
		stride--
	}
	return q, stride
}

func (x *index) text(i int) []byte {
	p := &x.pats[i]
	return x.arena[p.off : p.off+p.len]
}

func (x *index) link() {
	x.parent = make([]int32, len(x.pats))
	for i := range x.pats {
		x.first[byte(x.pats[i].key>>56)] = true
		j := int32(i - 1)
		for j >= 0 && !bytes.HasPrefix(x.text(i), x.text(int(j))) {
			j = x.parent[j]
		}
		x.parent[i] = j
	}
}

func (x *index) indexHeads() {
	x.hshift = 64 - tableBits(len(x.pats))
	x.heads = make([]head, 1<<(64-x.hshift))
	for i := 0; i < len(x.pats); {
		key := x.headKey(x.pats[i].key)
		j := i + 1
		for j < len(x.pats) && x.headKey(x.pats[j].key) == key {
			j++
		}
		k := key * mul >> x.hshift
		for x.heads[k].hi != 0 {
			k = (k + 1) & uint64(len(x.heads)-1)
		}
		x.heads[k] = head{key, uint32(i), uint32(j)}
		i = j
	}
}

func (x *index) headKey(big uint64) uint64 { return bits.ReverseBytes64(big) & x.hmask }

// indexGrams fills the filter: two bits of one word a gram.
func (x *index) indexGrams() {
	n := len(x.pats) * x.stride
	x.fshift = 64 + 6 - uint(min(max(bits.Len(uint(n))+3, 12), 25))
	x.filter = make([]uint64, 1<<(64-x.fshift))
	var tail [40]byte
	for i := range x.pats {
		clear(tail[:])
		copy(tail[:], x.text(i)) // stride+q-1 ≤ 39
		for o := range x.stride {
			h := load(tail[:], o) & x.qmask * mul
			x.filter[h>>x.fshift] |= 1<<(h>>6&63) | 1<<(h>>12&63)
		}
	}
	clear(tail[:])
}

// tableBits sizes an open table of n entries to a load of at most a half.
func tableBits(n int) uint { return uint(max(bits.Len(uint(max(n, 1)*2-1)), 4)) }

func load(b []byte, i int) uint64 { return binary.LittleEndian.Uint64(b[i : i+8 : i+8]) }

// loadTail is load with zeros behind the end.
func loadTail(b []byte, i int) uint64 {
	var t [8]byte
	copy(t[:], b[i:])
	return binary.LittleEndian.Uint64(t[:])
}

// scan reports every pattern that stands in b (hit), and every place where a pattern may still be coming into being at b's end (partial).
func (x *index) scan(b []byte, hit func(lo, pat int), partial func(lo int)) {
	n, i, st := len(b), 0, x.stride
	filter, shift, qmask := x.filter, x.fshift&63, x.qmask
	for ; i+8+3*st <= n; i += 4 * st { // four at a time: their loads overlap, and one branch serves all
		h0, h1 := load(b, i)&qmask*mul, load(b, i+st)&qmask*mul
		h2, h3 := load(b, i+2*st)&qmask*mul, load(b, i+3*st)&qmask*mul
		w0, w1, w2, w3 := filter[h0>>shift], filter[h1>>shift], filter[h2>>shift], filter[h3>>shift]
		w0 = w0 >> (h0 >> 6 & 63) & (w0 >> (h0 >> 12 & 63))
		w1 = w1 >> (h1 >> 6 & 63) & (w1 >> (h1 >> 12 & 63))
		w2 = w2 >> (h2 >> 6 & 63) & (w2 >> (h2 >> 12 & 63))
		w3 = w3 >> (h3 >> 6 & 63) & (w3 >> (h3 >> 12 & 63))
		if (w0|w1|w2|w3)&1 != 0 {
			for k, w := range [4]uint64{w0, w1, w2, w3} {
				if w&1 != 0 {
					x.probe(b, i+k*st, hit, partial)
				}
			}
		}
	}
	for ; i+8 <= n; i += st {
		h := load(b, i) & qmask * mul
		if w := filter[h>>shift]; w>>(h>>6&63)&(w>>(h>>12&63))&1 != 0 {
			x.probe(b, i, hit, partial)
		}
	}
	for ; i+x.q <= n; i += st {
		x.probe(b, i, hit, partial)
	}
	if partial == nil {
		return
	}
	for lo := max(0, n-(st+x.q-2)); lo < n; lo++ { // too short to hold a gram for sure
		if !x.first[b[lo]] {
			continue
		}
		if n-lo >= x.headLen {
			x.lookup(b, lo, nil, partial)
		} else if x.begins(b[lo:]) {
			partial(lo)
		}
	}
}

// probe looks for patterns of which the gram at b[i] is one of the first stride ones. It walks left: of a pattern all grams on the way to its
// beginning are known to the filter, of a false alarm hardly one.
func (x *index) probe(b []byte, i int, hit func(lo, pat int), partial func(lo int)) {
	for lo := i; lo >= 0 && lo > i-x.stride; lo-- {
		if lo < i && !x.known(b, lo) {
			return
		}
		if x.first[b[lo]] && len(b)-lo >= x.headLen {
			x.lookup(b, lo, hit, partial)
		}
	}
}

// known tells whether the filter has the gram at b[i].
func (x *index) known(b []byte, i int) bool {
	var h uint64
	if i+8 <= len(b) {
		h = load(b, i) & x.qmask * mul
	} else {
		h = loadTail(b, i) & x.qmask * mul
	}
	w := x.filter[h>>x.fshift]
	return w>>(h>>6&63)&(w>>(h>>12&63))&1 != 0
}

// lookup finds the patterns that begin at b[lo]; headLen bytes are there.
func (x *index) lookup(b []byte, lo int, hit func(lo, pat int), partial func(lo int)) {
	var key uint64
	if lo+8 <= len(b) {
		key = load(b, lo) & x.hmask
	} else {
		key = loadTail(b, lo) & x.hmask
	}
	k := key * mul >> x.hshift
	for x.heads[k].key != key || x.heads[k].hi == 0 {
		if x.heads[k].hi == 0 {
			return
		}
		k = (k + 1) & uint64(len(x.heads)-1)
	}
	r, t := x.heads[k], b[lo:]
	after := int(r.lo) + sort.Search(int(r.hi-r.lo), func(j int) bool { return bytes.Compare(x.text(int(r.lo)+j), t) > 0 })
	if partial != nil && after < int(r.hi) && bytes.HasPrefix(x.text(after), t) {
		partial(lo)
	}
	if hit == nil {
		return
	}
	for j := int32(after - 1); j >= 0; j = x.parent[j] {
		if bytes.HasPrefix(t, x.text(int(j))) {
			hit(lo, int(j))
		}
	}
}

// begins tells whether t, shorter than a head, is a proper prefix of a pattern.
func (x *index) begins(t []byte) bool {
	var low [8]byte
	copy(low[:], t)
	key := binary.BigEndian.Uint64(low[:])
	i := sort.Search(len(x.pats), func(i int) bool { return x.pats[i].key >= key })
	return i < len(x.pats) && bytes.HasPrefix(x.text(i), t) && int(x.pats[i].len) > len(t)
}

// bytes is the memory of the index, patterns excluded.
func (x *index) bytes() int {
	return 8*len(x.filter) + 16*len(x.heads) + 4*len(x.parent)
}
