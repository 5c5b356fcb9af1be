package bolt

import (
	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/internal/backend"
)

// layers is what lies over the file for who reads: what is on its way into the file, and over it what came since.
type layers struct {
	base     uint64 // the transaction of the file over which they lie, or a later one: less is pending since
	old, cur *pending
}

func (l *layers) get(c store.Collection, key string) entry {
	if l == nil {
		return entry{}
	}
	if e := l.cur.tree(c).get(key); e.Fate != backend.Unchanged {
		return e
	}
	return l.old.tree(c).get(key)
}

// over lays the layers over the file's rows.
func (l *layers) over(in reach, next backend.Rows) backend.Rows {
	if l == nil {
		return next
	}
	for _, p := range []*pending{l.old, l.cur} {
		if t := p.tree(in.Collection); t != nil {
			next = backend.Merge(next, t.walk(in), in.Up)
		}
	}
	return next
}

func (l *layers) empty() bool { return l == nil || l.old.empty() && l.cur.empty() }

// merged gives all that is pending.
func merged(l *layers) []change { return l.old.with(l.cur.changes()).changes() }
