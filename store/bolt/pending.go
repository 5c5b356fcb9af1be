package bolt

import (
	"hash/maphash"
	"maps"
	"strings"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/internal/backend"
)

// pending is what the journal holds and the file does not yet: by collection, a tree of what was written last under each key. A pending never changes: with
// gives another that shares what is the same, so whoever has one has a moment, and keeping it costs nothing. The zero value is empty.
type pending struct {
	trees  map[store.Collection]*node
	writes int    // to it, those that were written over as well
	bytes  int    // of their keys and values
	number uint64 // one more than that of what it was made from: no node of that has it
}

// node is a tree of keys in order, and a heap of weights that nobody can foresee: so it is about balanced whatever the keys are.
type node struct {
	key         string
	e           entry
	weight      uint64
	made        uint64 // the number of the pending that it was made for, which alone may change it, while it is made
	left, right *node
}

var weights = maphash.MakeSeed()

func (p *pending) empty() bool { return p == nil || len(p.trees) == 0 }

// tree gives what is pending of a collection, nil for nothing.
func (p *pending) tree(c store.Collection) *node {
	if p == nil {
		return nil
	}
	return p.trees[c]
}

// with gives p and changes after it.
func (p *pending) with(changes []change) *pending {
	q := &pending{writes: len(changes), number: 1}
	if p != nil {
		q.trees, q.bytes, q.writes, q.number = maps.Clone(p.trees), p.bytes, p.writes+len(changes), p.number+1
	}
	if q.trees == nil {
		q.trees = map[store.Collection]*node{}
	}
	for _, ch := range changes {
		q.trees[ch.Collection] = q.trees[ch.Collection].put(&node{key: ch.Key, e: entry{Fate: ch.Fate, Value: ch.Value}, weight: maphash.String(weights, ch.Key), made: q.number})
		q.bytes += len(ch.Key) + len(ch.Value)
	}
	return q
}

// changes gives all that is pending, in order of collection and key.
func (p *pending) changes() []change {
	var out []change
	if p == nil {
		return nil
	}
	for c, t := range p.trees {
		w := walkUp(t, "")
		for n := w.next(); n != nil; n = w.next() {
			out = append(out, change{Collection: c, Key: n.key, Entry: n.e})
		}
	}
	backend.Sort(out)
	return out
}

// put gives the tree with n in it; the nodes on the way are copied, those that were made for the same pending are changed.
func (t *node) put(n *node) *node {
	if t == nil {
		return n
	}
	top := t
	if t.made != n.made {
		own := *t
		own.made = n.made
		top = &own
	}
	switch strings.Compare(n.key, t.key) {
	case 0:
		top.e = n.e
	case -1:
		if top.left = t.left.put(n); top.left.weight > top.weight {
			l := top.left // made by this call
			top.left, l.right = l.right, top
			return l
		}
	default:
		if top.right = t.right.put(n); top.right.weight > top.weight {
			r := top.right
			top.right, r.left = r.left, top
			return r
		}
	}
	return top
}

// get gives what is pending under key.
func (t *node) get(key string) entry {
	for t != nil {
		switch strings.Compare(key, t.key) {
		case 0:
			return t.e
		case -1:
			t = t.left
		default:
			t = t.right
		}
	}
	return entry{}
}

// walk goes through a tree in order, either way.
type walk struct {
	up    bool
	stack []*node // whose turn comes, the next last
}

// walkUp begins at the first key >= from.
func walkUp(t *node, from string) *walk {
	w := &walk{up: true}
	for t != nil {
		if t.key >= from {
			w.stack = append(w.stack, t)
			t = t.left
		} else {
			t = t.right
		}
	}
	return w
}

// walkDown begins at the last key of which may says yes; it says no of all above some key.
func walkDown(t *node, may func(key string) bool) *walk {
	w := &walk{}
	for t != nil {
		if may(t.key) {
			w.stack = append(w.stack, t)
			t = t.right
		} else {
			t = t.left
		}
	}
	return w
}

// next gives nil at the end.
func (w *walk) next() *node {
	if len(w.stack) == 0 {
		return nil
	}
	n := w.stack[len(w.stack)-1]
	w.stack = w.stack[:len(w.stack)-1]
	t := n.right
	if !w.up {
		t = n.left
	}
	for t != nil {
		w.stack = append(w.stack, t)
		if w.up {
			t = t.left
		} else {
			t = t.right
		}
	}
	return n
}

// walk gives the writes that a scan meets.
func (t *node) walk(in reach) backend.Writes {
	w := walkUp(t, max(in.Prefix, in.From))
	if !in.Up {
		end, bounded := backend.PrefixEnd(in.Prefix)
		w = walkDown(t, func(key string) bool { return (in.From == "" || key <= in.From) && (!bounded || key < end) })
	}
	return func() (string, entry, bool) {
		n := w.next()
		if n == nil || !strings.HasPrefix(n.key, in.Prefix) {
			return "", entry{}, false
		}
		return n.key, n.e, true
	}
}
