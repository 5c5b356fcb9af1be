package redact

import (
	"bytes"
	"slices"
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
	fold    bool // the literal in any case; it is written in lower case here
	word    bool // what stands before the literal is no letter, digit, "_" or "-"
	// find looks at b, in which the literal stands at offset at. It looks back at most contextLen bytes, and says unsure only where more text can change what
	// it says, within a few KiB: final says that none follows.
	find func(b []byte, at int, final bool) (finding, verdict)
}

// foreignTable finds the literals of all rules in one pass. Each has a window of three bytes that is rare in text. At every second offset two bytes are looked
// up in a set of 65536 bits: of a window one pair stands there, whichever offset it has.
type foreignTable struct {
	pairs   [1 << 16 / 64]uint64
	windows [1 << windowBits][]placed
	begun   map[string]bool // proper prefixes of literals; of those in any case in lower case
	longest int             // of the literals, in bytes
}

const windowBits = 12

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
	for w := range cases(r.literal[off:off+3], r.fold) {
		t.mark(w[0], w[1])
		t.mark(w[1], w[2])
		key := windowKey([]byte(w))
		slot := &t.windows[windowSlot(key)]
		*slot = append(*slot, placed{key, off, r})
	}
	for n := 1; n < len(r.literal); n++ {
		t.begun[r.literal[:n]] = true
		if r.fold { // tail asks with the text as it is, and in lower case
			t.begun[foldMark+r.literal[:n]] = true
		}
	}
	t.longest = max(t.longest, len(r.literal))
}

// foldMark sets apart, in begun, what is compared in lower case.
const foldMark = "\x00"

func (t *foreignTable) mark(a, b byte) { v := uint(a) | uint(b)<<8; t.pairs[v>>6] |= 1 << (v & 63) }

func windowKey(b []byte) uint32 { return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 }

func windowSlot(key uint32) uint32 { return key * 0x9E3779B1 >> (32 - windowBits) }

// rarest gives the offset of the three bytes of a literal that stand in ordinary text least often.
func rarest(literal string) (best int) {
	least := 1 << 30
	for i := 0; i+3 <= len(literal); i++ {
		if n := weight(literal[i])*weight(literal[i+1]) + weight(literal[i+1])*weight(literal[i+2]); n < least {
			best, least = i, n
		}
	}
	return best
}

// weight is about how often a byte stands in logs, code and JSON, as far as choosing a window needs it.
func weight(c byte) int {
	switch {
	case bytes.IndexByte([]byte("etaoinsrhlduc "), c) >= 0:
		return 9
	case c >= 'a' && c <= 'z', c == '.', c == '-', c == '/', c == '"':
		return 4
	case c >= '0' && c <= '9', c == ':', c == '=':
		return 3
	}
	return 1
}

// cases gives w, or w in every case.
func cases(w string, fold bool) map[string]bool {
	all := map[string]bool{w: true}
	if !fold {
		return all
	}
	for i := range 3 {
		for x := range all {
			b := []byte(x)
			b[i] = upperCase(b[i])
			all[string(b)] = true
		}
	}
	return all
}

func upperCase(c byte) byte {
	if c >= 'a' && c <= 'z' {
		return c - 'a' + 'A'
	}
	return c
}

// begins tells whether b is a proper prefix of a literal.
func (t *foreignTable) begins(b []byte) bool {
	return t.begun[string(b)] || t.begun[foldMark+string(bytes.ToLower(b))]
}

// window gives the first offset ≥ from at which a window of some rule stands, or -1.
func (t *foreignTable) window(b []byte, from int) int {
	i, n := from, len(b)
	for i+8 <= n {
		v := load(b, i)
		hit := t.has(v)&1 | t.has(v>>16)&1<<1 | t.has(v>>32)&1<<2 | t.has(v>>48)&1<<3
		if hit != 0 {
			for k := range 4 {
				if hit>>k&1 == 0 {
					continue
				}
				for at := i + 2*k - 1; at <= i+2*k; at++ {
					if at >= from && at+3 <= n && t.known(b[at:]) {
						return at
					}
				}
			}
		}
		i += 8
	}
	for at := max(from, i-1); at+3 <= n; at++ {
		if t.known(b[at:]) {
			return at
		}
	}
	return -1
}

// has gives, in its lowest bit, whether the pair in the low 16 bits of v is in the set.
func (t *foreignTable) has(v uint64) uint64 { return t.pairs[v&0xffff>>6] >> (v & 63) }

func (t *foreignTable) known(b []byte) bool {
	key := windowKey(b)
	return slices.ContainsFunc(t.windows[windowSlot(key)], func(p placed) bool { return p.key == key })
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
	if string(here) != r.literal[:len(here)] && !(r.fold && bytes.EqualFold(here, []byte(r.literal[:len(here)]))) {
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
