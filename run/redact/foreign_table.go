package redact

import (
	"math/bits"
	"strings"
	"sync"
)

// verdict is what a rule says of a place in the text.
type verdict int

const (
	no     verdict = iota
	unsure         // more of the text decides
	yes
)

// finding is a place that a rule knows: buf[lo:hi] is masked, and what over says after it.
type finding struct {
	rule   *foreignRule
	from   int // where the rule's literal begins: ≤ lo
	lo, hi int
	over   *overrun
}

// foreignRule knows one shape of secret. It is found by its literal.
type foreignRule struct {
	name    string // as it stands in markers behind "looks-like-": "a-github-token"
	literal string
	word    bool // what stands before the literal is no letter, digit, "_" or "-"
	// find looks at b, in which the literal stands at offset at. It looks back at most contextLen bytes, and says unsure only where more text can change what
	// it says, within a few KiB: final says that none follows.
	find func(b []byte, at int, final bool) (finding, verdict)
}

// foreignTable finds the literals of all rules in one pass. Each has a window of three bytes that is rare in text. At every second offset two bytes are looked
// up: of a window one pair stands there, whichever offset it has.
type foreignTable struct {
	pairs   [1 << 16]half        // 64 KiB, of which text touches a fifth
	keys    [1 << keyBits]uint32 // whole windows, by their hash, the next free place where that is taken; 0: free
	windows [1 << windowBits][]placed
	begun   map[string]bool // proper prefixes of literals
	longest int             // of the literals, in bytes
}

// half says which half of a window a pair may be.
type half uint8

const (
	secondHalf half = 1 << iota // a window begins one byte before the pair
	firstHalf                   // or with it
)

const (
	windowBits = 12
	keyBits    = 11 // four times as many places as there are windows
)

// placed is a rule whose window has the key, at an offset of its literal.
type placed struct {
	key  uint32
	off  int
	rule *foreignRule
}

// foreignRules is made at the first byte that a ForeignStream sees: most starts of the program need none.
var foreignRules = sync.OnceValue(func() *foreignTable {
	t := &foreignTable{begun: map[string]bool{}}
	for _, group := range [][]foreignRule{privateKeys(), forgeTokens(), cloudTokens(), serviceTokens(), webSecrets(), assignments()} {
		for i := range group {
			t.add(&group[i])
		}
	}
	return t
})

func (t *foreignTable) add(r *foreignRule) {
	off := rarest(r.literal)
	w := r.literal[off : off+3]
	t.pairs[uint(w[0])|uint(w[1])<<8] |= firstHalf
	t.pairs[uint(w[1])|uint(w[2])<<8] |= secondHalf
	key := windowKey([]byte(w))
	at := keySlot(key)
	for t.keys[at] != 0 && t.keys[at] != key {
		at = (at + 1) % (1 << keyBits)
	}
	t.keys[at] = key
	slot := &t.windows[windowSlot(key)]
	*slot = append(*slot, placed{key, off, r})
	for n := 1; n < len(r.literal); n++ {
		t.begun[r.literal[:n]] = true
	}
	t.longest = max(t.longest, len(r.literal))
}

func windowKey(b []byte) uint32 { return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 }

func keySlot(key uint32) uint32 { return key * 0x9E3779B1 >> (32 - keyBits) }

func windowSlot(key uint32) uint32 { return key * 0x9E3779B1 >> (32 - windowBits) }

// rarest gives the offset of the three bytes of a literal that stand in ordinary text least often.
func rarest(literal string) (best int) {
	least := 1 << 30
	for i := 0; i+3 <= len(literal); i++ {
		if n := weight(literal[i:i+2]) + weight(literal[i+1:i+3]); n < least {
			best, least = i, n
		}
	}
	return best
}

// often is about how often a byte stands in logs, code and JSON, as far as choosing a window needs it. What is not in it is rare.
var often = map[byte]int{
	'e': 12, 't': 9, 'a': 8, 'o': 8, 'i': 7, 'n': 7, 's': 6, 'r': 6, 'h': 6, 'd': 4, 'l': 4, 'u': 3, 'c': 3, 'm': 3, 'f': 2, 'w': 2, 'g': 2, 'p': 2, 'y': 2, 'b': 2,
	'0': 6, '1': 6, '2': 6, '3': 6, '4': 6, '5': 6, '6': 6, '7': 6, '8': 6, '9': 6, ' ': 10, '"': 4, '-': 3, '.': 3, ':': 3, '/': 3, '=': 2,
}

// common are the pairs of English, and of what machines write, that single letters say too little of.
const common = " th he in er an re on at en nd ti es or te of ed is it al ar st to nt ng se ha as ou io le ve co me de hi ri ro ic ne ea ra ce li ch ll be ma si om ur la lo ai ec ap ut pu ul pa pi pl cc ps by xa ge im et ag ke ey us ta ow wo ok ab ck nd ss sh ts tt so sk d= "

func weight(pair string) int {
	n := max(often[pair[0]], 1) * max(often[pair[1]], 1)
	if strings.Contains(common, " "+pair+" ") {
		n += 60
	}
	return n
}

// begins tells whether b is a proper prefix of a literal.
func (t *foreignTable) begins(b []byte) bool {
	return t.begun[string(b)]
}

// window gives the first offset ≥ from at which a window of some rule stands, or -1.
func (t *foreignTable) window(b []byte, from int) int {
	i, n := from, len(b)
	for ; i+10 <= n; i += 8 { // pairs at i+1, i+3, i+5, i+7: windows from i on
		v := load(b, i+1)
		hits := uint32(t.pairs[v&0xffff]) | uint32(t.pairs[v>>16&0xffff])<<8 | uint32(t.pairs[v>>32&0xffff])<<16 | uint32(t.pairs[v>>48])<<24
		for ; hits != 0; hits &= hits - 1 {
			bit := bits.TrailingZeros32(hits)
			if at := i + bit>>3<<1 + bit&7; t.is(b, at) {
				return at
			}
		}
	}
	for at := i; at+3 <= n; at++ {
		if t.is(b, at) {
			return at
		}
	}
	return -1
}

// is tells whether the three bytes at b[at] are a window.
func (t *foreignTable) is(b []byte, at int) bool {
	key := windowKey(b[at:])
	for k := keySlot(key); t.keys[k] != 0; k = (k + 1) % (1 << keyBits) {
		if t.keys[k] == key {
			return true
		}
	}
	return false
}

// next finds the first place at or behind scan of which a rule says something, and leaves scan at its window.
func (s *ForeignStream) next(final bool) (finding, verdict) {
	t, b := foreignRules(), s.buf
	for {
		at := t.window(b, s.scan)
		if at < 0 {
			s.scan = max(s.scan, len(b)-2, 0)
			return finding{}, no
		}
		s.scan = at
		key := windowKey(b[at:])
		for _, p := range t.windows[windowSlot(key)] {
			from := at - p.off
			if p.key != key || from < s.pos {
				continue
			}
			if f, v := p.rule.look(b, from, final); v != no {
				f.rule, f.from = p.rule, from
				return f, v
			}
		}
		s.scan++
	}
}

// look compares the literal, and asks the rule.
func (r *foreignRule) look(b []byte, from int, final bool) (finding, verdict) {
	here := b[from:min(len(b), from+len(r.literal))]
	if string(here) != r.literal[:len(here)] {
		return finding{}, no
	}
	if r.word && from > 0 && wordLeft[b[from-1]] {
		return finding{}, no
	}
	if len(here) < len(r.literal) {
		if final {
			return finding{}, no
		}
		return finding{}, unsure
	}
	return r.find(b, from, final)
}
