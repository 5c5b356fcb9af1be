package postgres

import (
	mrand "math/rand/v2"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/zavhoz/zavhoz/store"
)

// moment names a commit: its number, and a random name, which tells two histories with the same numbers apart.
type moment struct {
	seq   uint64
	batch [16]byte
}

// Bounds of what is kept in memory.
const (
	cacheBytes = 48 << 20
	cacheValue = 32 << 10 // bytes of a value that is kept
	cacheSpans = 16 << 20 // of rows within spans
	spansMost  = 16 << 10 // of a collection
)

// point is what is known of one key: its value, or that there is none.
type point struct {
	value []byte // nil: no record
	since uint64 // the commit that made it so, or one after which it was read
}

// row is a record within a scan. value is nil where it is long: Get has it.
type row struct {
	key   string
	value []byte
	long  bool
}

// span is all of a collection's records within [lo, hi).
type span struct {
	lo, hi string
	rows   []row
	since  uint64
}

// cache holds what was read, as it is at the moment `at`. A reader of an earlier moment may use what has been so since then.
type cache struct {
	mu     sync.Mutex
	at     moment
	age    uint64 // how often all was forgotten: what was read before does not come back
	points map[store.Collection]map[string]point
	spans  map[store.Collection][]*span // in order, and apart from each other
	bytes  int                          // of points
	within int                          // of spans
	coming []*write                     // commits of this process that were sent, and are not told of yet, in their order: two at most
	recent recent                       // what the last commits changed
	passed [8]moment                    // of this process's last commits, where each number finds its place
}

func newCache(at moment) *cache {
	c := &cache{}
	c.reset(at)
	return c
}

// reset forgets all.
func (c *cache) reset(at moment) {
	c.at, c.bytes, c.within = at, 0, 0
	c.age++
	c.recent, c.passed = recent{from: at.seq}, [8]moment{}
	c.points, c.spans = map[store.Collection]map[string]point{}, map[store.Collection][]*span{}
}

// now gives the moment that the cache is at, and its age.
func (c *cache) now() (moment, uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at, c.age
}

// get gives what is known of a key at a moment. value is not a copy; nil: there is no record.
func (c *cache) get(col store.Collection, key string, at moment, age uint64) (value []byte, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.toward(at)
	if age != c.age || at.seq > c.at.seq {
		return nil, false
	}
	if p, ok := c.points[col][key]; ok {
		return p.value, p.since <= at.seq
	}
	s := c.spanOf(col, key)
	if s == nil || s.since > at.seq {
		return nil, false
	}
	if i, ok := s.find(key); ok {
		return s.rows[i].value, !s.rows[i].long
	}
	return nil, true
}

// after gives the number of spans that begin at key or before it.
func (c *cache) after(col store.Collection, key string) int {
	list := c.spans[col]
	return sort.Search(len(list), func(i int) bool { return list[i].lo > key })
}

// spanOf gives the span that covers a key, or nil.
func (c *cache) spanOf(col store.Collection, key string) *span {
	if i := c.after(col, key); i > 0 && key < c.spans[col][i-1].hi {
		return c.spans[col][i-1]
	}
	return nil
}

// forgetSpan drops the span that covers a key.
func (c *cache) forgetSpan(col store.Collection, key string) {
	if i := c.after(col, key); i > 0 && key < c.spans[col][i-1].hi {
		c.within -= c.spans[col][i-1].size()
		c.spans[col] = slices.Delete(c.spans[col], i-1, i)
	}
}

// size is about what a span takes, in bytes.
func (s *span) size() int {
	n := 128 + len(s.lo) + len(s.hi)
	for _, r := range s.rows {
		n += 64 + len(r.key) + len(r.value)
	}
	return n
}

func (s *span) find(key string) (int, bool) {
	return slices.BinarySearchFunc(s.rows, key, func(r row, k string) int { return strings.Compare(r.key, k) })
}

// span gives the known part of [lo, hi) from its beginning, or its end where down: rows in order of keys, and up to where they are all.
func (c *cache) span(col store.Collection, lo, hi string, down bool, at moment, age uint64) (rows []row, end string, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.toward(at)
	if age != c.age || at.seq > c.at.seq {
		return nil, "", false
	}
	if !down {
		s := c.spanOf(col, lo)
		if s == nil || s.since > at.seq {
			return nil, "", false
		}
		end = min(s.hi, hi)
		return s.between(lo, end), end, true
	}
	list := c.spans[col]
	i := sort.Search(len(list), func(i int) bool { return list[i].lo >= hi })
	if i == 0 || hi > list[i-1].hi || list[i-1].since > at.seq {
		return nil, "", false
	}
	end = max(list[i-1].lo, lo)
	return list[i-1].between(end, hi), end, true
}

func (s *span) between(lo, hi string) []row {
	i := sort.Search(len(s.rows), func(i int) bool { return s.rows[i].key >= lo })
	j := sort.Search(len(s.rows), func(i int) bool { return s.rows[i].key >= hi })
	return s.rows[i:max(i, j)]
}

func (c *cache) put(col store.Collection, key string, p point) {
	m := c.points[col]
	if m == nil {
		m = map[string]point{}
		c.points[col] = m
	}
	c.drop(col, key)
	m[key] = p
	c.bytes += len(key) + len(p.value) + 64
	for c.bytes > cacheBytes && c.evict() {
	}
}

func (c *cache) drop(col store.Collection, key string) {
	if p, ok := c.points[col][key]; ok {
		c.bytes -= len(key) + len(p.value) + 64
		delete(c.points[col], key)
	}
}

// evict drops any one point, each with about the same chance: by collections, the one row of accounts would go as often as any of a hundred thousand resources.
func (c *cache) evict() bool {
	n := 0
	for _, m := range c.points {
		n += len(m)
	}
	if n == 0 {
		return false
	}
	at := mrand.IntN(n)
	for col, m := range c.points {
		if at -= len(m); at >= 0 {
			continue
		}
		for key := range m { // which, the map's order says, which is random
			c.drop(col, key)
			return true
		}
	}
	return false
}

// change is one write of a commit.
type change struct {
	c     store.Collection
	key   string
	value []byte // nil: removed
	fresh bool   // there was none before; the commit fails where there was
}

// expect says which commit is sent: who asks for the newest moment may hear of it before its sender does, and who builds on it reads before it was told.
func (c *cache) expect(w *write) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.coming = append(c.coming, w)
}

// forget takes back that a commit is expected.
func (c *cache) forget(w *write) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.coming = slices.DeleteFunc(c.coming, func(o *write) bool { return o == w })
}

// wrote moves the cache over a commit of this process.
func (c *cache) wrote(w *write) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.move(w)
	c.coming = slices.DeleteFunc(c.coming, func(o *write) bool { return o == w })
}

// reach moves the cache as far as a moment that is known to be, where commits of this process lead there.
func (c *cache) reach(known func(moment) bool) {
	for i := len(c.coming) - 1; i >= 0; i-- {
		if known(c.coming[i].to) {
			for _, w := range c.coming[:i+1] {
				c.move(w)
			}
			return
		}
	}
}

// toward is reach for a reader of a moment that was.
func (c *cache) toward(at moment) {
	if at.seq > c.at.seq {
		c.reach(at.is)
	}
}

// is makes a moment what reach asks for.
func (m moment) is(o moment) bool { return m == o }

// move is wrote under mu. Where the cache is beyond it already, who asked meanwhile has moved it.
func (c *cache) move(w *write) {
	if c.at != w.from {
		return
	}
	c.at = w.to
	c.passed[w.to.seq%uint64(len(c.passed))] = w.to
	for _, ch := range w.changes {
		c.recent.add(w.to.seq, place{ch.c, ch.key})
		if len(ch.value) > cacheValue {
			c.drop(ch.c, ch.key)
		} else {
			c.put(ch.c, ch.key, point{ch.value, w.to.seq})
		}
		c.patch(ch, w.to.seq)
	}
}

// ageAt gives the cache's age where it is at a moment that this process knows to have been, or can be moved there.
func (c *cache) ageAt(m moment) (age uint64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.toward(m)
	return c.age, c.at == m
}

// joined gives the cache's age where a moment, which was found by a question asked when the cache was at `asked`, is known without a look at the commits between.
func (c *cache) joined(asked, to moment) (age uint64, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reach(to.is)
	return c.age, to == c.at || to == asked || to.seq > 0 && to == c.passed[to.seq%uint64(len(c.passed))]
}

// patch writes a change into the span that covers it. Rows that were given to somebody stay as they are.
func (c *cache) patch(ch change, seq uint64) {
	s := c.spanOf(ch.c, ch.key)
	if s == nil {
		return
	}
	c.within -= s.size()
	i, there := s.find(ch.key)
	rows := slices.Clone(s.rows)
	r := row{ch.key, ch.value, false}
	if len(ch.value) > cacheValue {
		r.value, r.long = nil, true
	}
	switch {
	case ch.value == nil && there:
		rows = slices.Delete(rows, i, i+1)
	case ch.value == nil:
	case there:
		rows[i] = r
	default:
		rows = slices.Insert(rows, i, r)
	}
	s.rows, s.since = rows, seq
	c.within += s.size()
	if len(rows) > 4*pageFirst { // it grew, as the end of a chain does: read it anew
		c.forgetSpan(ch.c, ch.key)
	}
}

// commit is what another process's commit changed: keys is nil where all of the collections may have.
type commit struct {
	moment
	cols []string
	keys [][]byte
}

// advance moves the cache to a moment that was found by a question asked when the cache was at `asked`. Where the commits from then on do not join, history is another
// one, or too long ago: all is forgotten. It gives the cache's age, and whether there were commits of others that were not known here.
func (c *cache) advance(asked moment, n *news) (age uint64, others bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	to := n.at
	has := func(m moment) bool {
		return slices.ContainsFunc(n.commits, func(b commit) bool { return b.moment == m })
	}
	c.reach(func(m moment) bool { return m == to || has(m) })
	others = true
	switch {
	case to == c.at:
		others = false
	case !has(asked) || !has(to):
		c.reset(to)
	case to.seq <= c.at.seq: // an answer that came late: this process has committed meanwhile
		others = false
	case !has(c.at):
		c.reset(to)
	default:
		for _, b := range n.commits {
			if b.seq > c.at.seq {
				c.follow(b, n.changed)
			}
		}
		c.at = to
	}
	return c.age, others
}

// follow moves the cache over another process's commit: what is known of what it changed is kept as if it were this one's own, for whoever keeps an earlier version, or takes
// one away, reads what another wrote; the rest is forgotten.
func (c *cache) follow(b commit, changed map[place]*[]byte) {
	if b.keys == nil {
		c.recent = recent{from: b.seq}
		for _, col := range b.cols {
			for key := range c.points[store.Collection(col)] {
				c.drop(store.Collection(col), key)
			}
			for _, s := range c.spans[store.Collection(col)] {
				c.within -= s.size()
			}
			delete(c.spans, store.Collection(col))
		}
		return
	}
	for i, col := range b.cols {
		at := place{store.Collection(col), string(b.keys[i])}
		c.recent.add(b.seq, at)
		now, known := changed[at]
		if !known {
			c.drop(at.c, at.key)
			c.forgetSpan(at.c, at.key)
			continue
		}
		ch := change{c: at.c, key: at.key}
		if now != nil {
			ch.value = *now
		}
		c.put(at.c, at.key, point{ch.value, b.seq})
		c.patch(ch, b.seq)
	}
}
