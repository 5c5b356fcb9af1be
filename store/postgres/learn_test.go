package postgres

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/store"
)

// model is every moment of a history, as a store that keeps nothing in memory gives them.
type model struct {
	moments []moment
	states  []map[place]string // the records at each
	wrote   []map[place]uint64 // and the commits that wrote them
}

func (m *model) last() int { return len(m.moments) - 1 }

// commit changes a few places at random and moves the cache over that, as a commit of this process or of another.
func (m *model) commit(c *cache, r *rand.Rand) {
	n := m.last()
	from, to := m.moments[n], after(m.moments[n])
	state, wrote := maps.Clone(m.states[n]), maps.Clone(m.wrote[n])
	w, other, told := &write{from: from, to: to}, commit{moment: to}, map[place]*[]byte{}
	for range 1 + r.IntN(4) {
		p := somewhere(r)
		ch := change{c: p.c, key: p.key}
		if r.IntN(4) > 0 {
			ch.value = []byte(fmt.Sprint(to.seq, "-", r.IntN(9)))
			state[p], wrote[p] = string(ch.value), to.seq
		} else {
			delete(state, p)
			delete(wrote, p)
		}
		w.changes = append(w.changes, ch)
		other.cols, other.keys = append(other.cols, string(p.c)), append(other.keys, []byte(p.key))
	}
	for _, ch := range w.changes { // what is told of another's commit is how it is now; some of it is not told
		if p := (place{ch.c, ch.key}); r.IntN(3) > 0 {
			told[p] = nil
			if v, there := state[p]; there {
				now := []byte(v)
				told[p] = &now
			}
		}
	}
	switch r.IntN(8) {
	case 0, 1, 2:
		c.wrote(w)
	case 3:
		other.keys = nil // too many: all of their collections may have changed
		c.advance(from, &news{at: to, commits: []commit{{moment: from}, other}})
	default:
		c.advance(from, &news{at: to, commits: []commit{{moment: from}, other}, changed: told})
	}
	m.moments, m.states, m.wrote = append(m.moments, to), append(m.states, state), append(m.wrote, wrote)
}

func somewhere(r *rand.Rand) place {
	return place{store.Collection([]string{"a", "b"}[r.IntN(2)]), fmt.Sprintf("k%02d", r.IntN(24))}
}

// rows are those of [lo, hi) at a moment.
func (m *model) rows(n int, c store.Collection, lo, hi string) (out []row) {
	for p, v := range m.states[n] {
		if p.c == c && lo <= p.key && p.key < hi {
			out = append(out, row{key: p.key, value: []byte(v)})
		}
	}
	slices.SortFunc(out, func(a, b row) int { return strings.Compare(a.key, b.key) })
	return out
}

// learn hands the cache an answer of the moment n, which may be long ago.
func (m *model) learn(c *cache, r *rand.Rand, n int, age uint64) {
	if p := somewhere(r); r.IntN(2) == 0 {
		v, there := m.states[n][p]
		since := m.moments[n].seq
		var value []byte
		if there {
			value, since = []byte(v), m.wrote[n][p]
		}
		c.learn(p.c, p.key, value, since, m.moments[n], age)
		return
	}
	lo := r.IntN(24)
	s := &span{lo: fmt.Sprintf("k%02d", lo), hi: fmt.Sprintf("k%02d", lo+1+r.IntN(6)), since: m.moments[n].seq}
	col := somewhere(r).c
	s.rows = m.rows(n, col, s.lo, s.hi)
	c.learnSpan(col, s, m.moments[n], age)
}

// holds compares all that the cache says of the moments since first with what was so. known counts what it could say of the last.
func (m *model) holds(t *testing.T, c *cache, first int, age uint64) (known int) {
	t.Helper()
	for n := first; n <= m.last(); n++ {
		for _, col := range []store.Collection{"a", "b"} {
			for k := range 24 {
				p := place{col, fmt.Sprintf("k%02d", k)}
				got, ok := c.get(p.c, p.key, m.moments[n], age)
				want, there := m.states[n][p]
				if ok && (string(got) != want || (got != nil) != there) {
					t.Fatalf("%v at %d is %q, want %q %v", p, n, got, want, there)
				}
				if ok && n == m.last() {
					known++
				}
				rows, end, ok := c.span(col, p.key, beyond, false, m.moments[n], age)
				same := func(a, b row) bool { return a.key == b.key && string(a.value) == string(b.value) }
				if ok && !slices.EqualFunc(rows, m.rows(n, col, p.key, end), same) {
					t.Fatalf("%s from %s to %s at %d: %v", col, p.key, end, n, rows)
				}
			}
		}
	}
	return known
}

// What was read at an earlier moment is kept where it is so still, and what the cache says of any moment is what a serial history says of it, whoever committed, and
// however late an answer came.
func TestWhatIsLearnedLateIsTrue(t *testing.T) {
	late := 0
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		m := &model{moments: []moment{{}}, states: []map[place]string{{}}, wrote: []map[place]uint64{{}}}
		c := newCache(moment{})
		_, age := c.now()
		for range 40 {
			m.commit(c, r)
			if _, now := c.now(); now != age {
				t.Fatal("the cache forgot all")
			}
			before := m.holds(t, c, max(0, m.last()-4), age)
			for range 4 {
				m.learn(c, r, max(0, m.last()-1-r.IntN(4)), age)
			}
			late += max(0, m.holds(t, c, max(0, m.last()-4), age)-before)
			m.learn(c, r, m.last(), age)
		}
	}
	if late < 300 {
		t.Errorf("%d keys were known by answers that came late", late)
	}
}

// An answer of a moment that is too long ago, of one that the cache is not at yet, or from before it forgot all, is not kept.
func TestWhatCannotBeKnownIsNotLearned(t *testing.T) {
	c := newCache(moment{})
	_, age := c.now()
	at := moment{}
	for range 2 * recentMost {
		to := after(at)
		c.wrote(&write{from: at, to: to, changes: []change{{c: "other", key: "k", value: []byte("v")}}})
		at = to
	}
	if n := len(c.recent.changes); n > recentMost {
		t.Errorf("%d changes are remembered", n)
	}
	known := func() bool { _, ok := c.get("a", "k", at, age); return ok }
	c.learn("a", "k", []byte("v"), 0, moment{}, age)
	c.learn("a", "k", []byte("v"), 0, after(at), age)
	c.learn("a", "k", []byte("v"), 0, moment{seq: at.seq}, age)
	c.learn("a", "k", []byte("v"), 0, at, age-1)
	if known() {
		t.Error("it is kept")
	}
	c.learn("a", "k", []byte("v"), 0, at, age)
	if !known() {
		t.Error("an answer of now is not kept")
	}
}

// Who reads more ranges than there is room for keeps most of what was read: all of it went each time.
func TestManySpansDoNotPushOutAll(t *testing.T) {
	c := newCache(moment{})
	at, age := c.now()
	value := make([]byte, 64<<10)
	most := cacheSpans / len(value)
	for i := range most + 20 {
		key := fmt.Sprintf("%06d", i)
		c.learnSpan("a", &span{lo: key, hi: key + "x", rows: []row{{key: key, value: value}}}, at, age)
		within := 0
		for _, s := range c.spans["a"] {
			within += s.size()
		}
		if within != c.within || within > cacheSpans+len(value)+256 {
			t.Fatalf("%d bytes, it counts %d", within, c.within)
		}
	}
	if n := len(c.spans["a"]); n < most*9/10 {
		t.Errorf("%d of %d are left", n, most)
	}
}

// Who hears of another's commit takes the lock for the next batches, and then goes on trust; a commit of its own, of which a question tells before its sender does, is
// nobody else's.
func TestWhoIsOvertakenTakesTheLockForAWhile(t *testing.T) {
	var w wary
	locks := func() (n int) {
		for range 2 * waryBatches {
			if w.locks() {
				n++
			}
		}
		return n
	}
	if n := locks(); n != 0 {
		t.Errorf("alone, %d batches", n)
	}
	w.disturb()
	if n := locks(); n != waryBatches {
		t.Errorf("overtaken once, %d batches", n)
	}
	c := newCache(moment{})
	own, theirs := after(moment{}), after(after(moment{}))
	c.expect(&write{to: own})
	history := []commit{{}, {moment: own}}
	if _, others := c.advance(moment{}, &news{at: own, commits: history}); others {
		t.Error("its own commit is taken for another's")
	}
	if _, others := c.advance(own, &news{at: theirs, commits: append(history, commit{moment: theirs})}); !others {
		t.Error("another's commit is taken for its own")
	}
	if _, others := c.advance(theirs, &news{at: theirs, commits: []commit{{moment: theirs}}}); others {
		t.Error("nothing new is taken for another's commit")
	}
}

// Two commits of this process may be under way to the cache at once: it is moved over the first by whoever hears of either, never over the second alone, and not twice.
func TestWhatIsComingIsReachedInOrder(t *testing.T) {
	zero := moment{}
	one := after(zero)
	two := after(one)
	first := &write{from: zero, to: one, changes: []change{{c: "things", key: "k", value: []byte("1")}}}
	second := &write{from: one, to: two, changes: []change{{c: "things", key: "k", value: []byte("2")}, {c: "things", key: "j", value: []byte("2")}}}
	is := func(c *cache, at moment, want string) {
		t.Helper()
		_, age := c.now()
		if v, known := c.get("things", "k", at, age); !known || string(v) != want {
			t.Errorf("at %d: %q, known: %t, want %s", at.seq, v, known, want)
		}
	}
	for name, hear := range map[string]func(*cache){
		"by a reader":   func(c *cache) { is(c, two, "2") },
		"by a question": func(c *cache) { _, _ = c.joined(zero, two) },
		"by a span": func(c *cache) {
			_, age := c.now()
			_, _, _ = c.span("things", "", "z", false, two, age)
		},
		"by its commits": func(c *cache) {
			if _, others := c.advance(zero, &news{at: two, commits: []commit{{moment: zero}, {moment: one}, {moment: two}}}); others {
				t.Error("its own commits are taken for another's")
			}
		},
		"by the first": func(c *cache) { is(c, one, "1"); is(c, two, "2") },
		"by nobody":    func(c *cache) { c.wrote(first); c.wrote(second) },
	} {
		c := newCache(zero)
		c.expect(first)
		c.expect(second)
		hear(c)
		if at, _ := c.now(); at != two {
			t.Errorf("%s: it is at %d", name, at.seq)
		}
		c.wrote(first)
		c.wrote(second)
		if at, _ := c.now(); at != two || len(c.coming) != 0 || len(c.recent.changes) != 3 {
			t.Errorf("%s: at %d, %d are coming, %d changes", name, at.seq, len(c.coming), len(c.recent.changes))
		}
		is(c, two, "2")
	}
	c := newCache(zero)
	c.expect(first)
	c.forget(first)
	if _, ok := c.joined(zero, one); ok || len(c.coming) != 0 {
		t.Error("what was given up is still expected")
	}
}
