package egress

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"slices"
	"sync"

	"github.com/zavhoz/zavhoz/run/redact"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// filler stands for masked bytes that have no stand-in.
const filler = '*'

// guard knows what must not come back: what the run's matchers look for, and each value that this proxy itself sent and they do not know, such as a token that was
// made a moment ago. Of values that they do know it keeps a keyed digest, and a copy in small letters to know names by.
type guard struct {
	matchers func() []*redact.Matcher
	key      [32]byte

	mu     sync.Mutex
	from   []*redact.Matcher
	base   []*redact.SameLength // of from
	views  []*redact.SameLength // base and own; replaced, never changed
	learnt map[[32]byte]bool    // by digest: views cover the value
	own    *redact.Set
	stands []standIn // of own
	folded [][]byte  // each value that was sent, in lower case; grows only
}

// standIn is a value of own, by the name that it has there.
type standIn struct {
	value secret.Secret
	text  string
}

func newGuard(matchers func() []*redact.Matcher) *guard {
	g := &guard{matchers: matchers, learnt: map[[32]byte]bool{}, own: redact.NewSet(redact.Options{AllowShort: true})}
	_, _ = rand.Read(g.key[:])
	return g
}

// current gives the views to search a reply by.
func (g *guard) current() []*redact.SameLength {
	var now []*redact.Matcher
	if g.matchers != nil {
		now = g.matchers()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if !slices.Equal(now, g.from) { // the vault changed: what was learnt of the old ones does not hold
		g.from, g.base = slices.Clone(now), nil
		clear(g.learnt)
		for _, m := range g.from {
			if m != nil && (m.Patterns() > 0 || m.Wiped()) { // a wiped one, which stands where the matcher could not be made, refuses every reply
				g.base = append(g.base, m.SameLength(filler))
			}
		}
		g.combine()
	}
	return g.views
}

// combine puts the view of what this proxy sent itself behind the others.
func (g *guard) combine() {
	g.views = slices.Clone(g.base)
	if g.own.Len() > 0 {
		v := g.own.Compile().SameLength(filler)
		for _, s := range g.stands {
			v = v.With(redact.StandIn{Value: s.value, Text: s.text})
		}
		g.views = append(g.views, v)
	}
}

// learn makes sure that a value about to be sent is masked in every reply from here on, by its placeholder where that has the same length.
func (g *guard) learn(value secret.Secret, placeholder string) {
	g.current()
	d := g.digest(value)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.learnt[d] {
		return
	}
	known := false
	g.base = slices.Clone(g.base)
	for i, v := range g.base {
		if v.Matcher().Knows(value) {
			g.base[i], known = v.With(redact.StandIn{Value: value, Text: placeholder}), true
		}
	}
	if !known {
		_ = g.own.Add("sent", value) // ErrShort: matched raw
		g.stands = append(g.stands, standIn{value.Clone(), placeholder})
	}
	g.combine()
	g.fold(value)
	g.learnt[d] = true
}

// fold keeps a value for named.
func (g *guard) fold(value secret.Secret) {
	small := bytes.ToLower(value.Reveal())
	if len(small) < redact.FloorLen || slices.ContainsFunc(g.folded, func(f []byte) bool { return subtle.ConstantTimeCompare(f, small) == 1 }) {
		clear(small)
		return
	}
	g.folded = append(g.folded, small)
}

// dropNamed removes the headers whose name holds a value that was sent, in whatever case, and gives their number: names lose their case on the way, by HTTP/2
// or by the library, and a matcher would not know them.
func (g *guard) dropNamed(h http.Header) (n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for name := range h {
		var buf [256]byte
		small := append(buf[:0], name...)
		for i, c := range small {
			if 'A' <= c && c <= 'Z' {
				small[i] = c | 0x20
			}
		}
		if slices.ContainsFunc(g.folded, func(f []byte) bool { return bytes.Contains(small, f) }) {
			delete(h, name)
			n++
		}
		clear(small)
	}
	return n
}

func (g *guard) digest(value secret.Secret) (d [32]byte) {
	h := hmac.New(sha256.New, g.key[:])
	_, _ = h.Write(value.Reveal())
	h.Sum(d[:0])
	return d
}

// wipe erases what was kept.
func (g *guard) wipe() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, s := range g.stands {
		s.value.Wipe()
	}
	for _, f := range g.folded {
		clear(f)
	}
	g.own.Wipe()
	g.base, g.views, g.stands, g.folded = nil, nil, nil, nil
}
