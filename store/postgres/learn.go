package postgres

import (
	mrand "math/rand/v2"
	"slices"

	"github.com/zavhoz/zavhoz/store"
)

// recentMost is how many changes the cache remembers the places of: so many are looked at for each thing that is learned late.
const recentMost = 1024

// recent says what the last commits changed: what was read a few commits ago is true still where none of them did.
type recent struct {
	from    uint64 // what commits up to this one changed is not remembered
	changes []touch
}

// touch is one change, in order of commits.
type touch struct {
	seq uint64
	at  place
}

func (r *recent) add(seq uint64, at place) {
	if len(r.changes) >= recentMost {
		half := len(r.changes) / 2
		r.from = r.changes[half-1].seq
		r.changes = append(make([]touch, 0, recentMost), r.changes[half:]...)
	}
	r.changes = append(r.changes, touch{seq, at})
}

// holds tells whether what was true after the commit seq is true now: no later one changed a place that meets.
func (r *recent) holds(seq uint64, meets func(place) bool) bool {
	if seq < r.from {
		return false
	}
	for i := len(r.changes) - 1; i >= 0 && r.changes[i].seq > seq; i-- {
		if meets(r.changes[i].at) {
			return false
		}
	}
	return true
}

// was tells whether a moment is one that the cache was at since it last forgot all, of the age given, or can be moved to.
func (c *cache) was(at moment, age uint64) bool {
	c.toward(at)
	return age == c.age && (at == c.at || at.seq < c.at.seq)
}

// learn keeps what was read at a moment, if it is so still. since is the commit that wrote it; for no record, the moment's.
func (c *cache) learn(col store.Collection, key string, value []byte, since uint64, at moment, age uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(value) > cacheValue || !c.was(at, age) {
		return
	}
	if c.recent.holds(at.seq, func(p place) bool { return p.c == col && p.key == key }) {
		c.put(col, key, point{value, since})
	}
}

// learnSpan keeps all rows of [lo, hi), read at a moment, if they are so still.
func (c *cache) learnSpan(col store.Collection, s *span, at moment, age uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.lo >= s.hi || !c.was(at, age) {
		return
	}
	if !c.recent.holds(at.seq, func(p place) bool { return p.c == col && s.lo <= p.key && p.key < s.hi }) {
		return
	}
	c.within += s.size()
	c.spans[col] = slices.DeleteFunc(c.spans[col], func(o *span) bool {
		meets := o.lo < s.hi && s.lo < o.hi
		if meets {
			c.within -= o.size()
		}
		return meets
	})
	for (c.within > cacheSpans || len(c.spans[col]) >= spansMost) && c.evictSpan() {
	}
	c.spans[col] = slices.Insert(c.spans[col], c.after(col, s.lo), s)
}

// evictSpan drops any one span, as evict does a point: whoever uses more than there is room for does not lose all of it each time.
func (c *cache) evictSpan() bool {
	n := 0
	for _, list := range c.spans {
		n += len(list)
	}
	if n == 0 {
		return false
	}
	at := mrand.IntN(n)
	for col, list := range c.spans {
		if at >= len(list) {
			at -= len(list)
			continue
		}
		c.within -= list[at].size()
		c.spans[col] = slices.Delete(list, at, at+1)
		break
	}
	return true
}
