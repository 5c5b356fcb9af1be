package postgres

import (
	"cmp"
	"slices"
	"sort"

	"github.com/zavhoz/zavhoz/store"
)

// fate is what the overlay says of a key.
type fate uint8

const (
	unchanged fate = iota // a write that was taken back: the database counts
	written
	deleted
)

type entry struct {
	fate  fate
	value []byte
	held  store.Held // instead of value: not encoded yet
	fresh bool       // there is none in the database: nobody looked
}

// bytes gives what is written; not a copy.
func (e entry) bytes() ([]byte, error) {
	if e.held == nil {
		return e.value, nil
	}
	v, err := e.held.Encode()
	if err == nil && len(v) > store.MaxValue {
		err = store.ErrTooLarge
	}
	return v, err
}

// layer holds the buffered writes of one collection.
type layer struct {
	entries map[string]entry
	sorted  []string // every key of entries but the fresh ones
	fresh   []string // keys since the last scan
	scans   int      // running; writes are refused meanwhile
}

// overlay holds the buffered writes of a batch over the database, and how to take back those of the member that runs. Between the two lies the overlay of the batch
// before, until that is durable.
type overlay struct {
	base   *overlay
	layers map[store.Collection]*layer
	undo   []undo
	bytes  int
}

type undo struct {
	layer *layer
	key   string
	prev  entry
}

func newOverlay() *overlay { return &overlay{layers: map[store.Collection]*layer{}} }

func (o *overlay) get(c store.Collection, key string) entry {
	for ; o != nil; o = o.base {
		if l := o.layers[c]; l != nil {
			if e := l.entries[key]; e.fate != unchanged {
				return e
			}
		}
	}
	return entry{}
}

func (o *overlay) set(c store.Collection, key string, e entry) {
	l := o.layers[c]
	if l == nil {
		l = &layer{entries: map[string]entry{}}
		o.layers[c] = l
	}
	prev, known := l.entries[key]
	if !known {
		l.fresh = append(l.fresh, key)
	}
	o.undo = append(o.undo, undo{l, key, prev})
	l.entries[key] = e
	o.bytes += len(key) + len(e.value)
}

func (o *overlay) scanning(c store.Collection) bool {
	l := o.layers[c]
	return l != nil && l.scans > 0
}

// keep makes the writes since the last keep or rollback the batch's.
func (o *overlay) keep() { o.undo = o.undo[:0] }

// rollback takes them back.
func (o *overlay) rollback() {
	for _, u := range slices.Backward(o.undo) {
		u.layer.entries[u.key] = u.prev
	}
	o.undo = o.undo[:0]
}

// keys gives the layer's keys in order.
func (l *layer) keys() []string {
	if len(l.fresh) == 0 {
		return l.sorted
	}
	slices.Sort(l.fresh)
	merged := make([]string, 0, len(l.sorted)+len(l.fresh))
	a, b := l.sorted, l.fresh
	for len(a) > 0 && len(b) > 0 {
		if a[0] < b[0] {
			merged, a = append(merged, a[0]), a[1:]
		} else {
			merged, b = append(merged, b[0]), b[1:]
		}
	}
	l.sorted, l.fresh = append(append(merged, a...), b...), nil
	return l.sorted
}

// window gives the keys of c that a scan may meet, in the scan's order.
func (o *overlay) window(c store.Collection, prefix, from string, up bool) (keys []string) {
	for ; o != nil; o = o.base {
		l := o.layers[c]
		if l == nil {
			continue
		}
		more := l.window(prefix, from, up)
		if len(keys) == 0 {
			keys = more
			continue
		}
		keys = slices.Concat(keys, more)
		slices.Sort(keys)
		keys = slices.Compact(keys)
		if !up {
			slices.Reverse(keys)
		}
	}
	return keys
}

// window gives the layer's own.
func (l *layer) window(prefix, from string, up bool) []string {
	keys := l.keys()
	lo := sort.SearchStrings(keys, prefix)
	hi := len(keys)
	if end, bounded := prefixEnd(prefix); bounded {
		hi = sort.SearchStrings(keys, end)
	}
	switch {
	case up:
		lo = max(lo, sort.SearchStrings(keys, from))
	case from != "":
		hi = min(hi, sort.Search(len(keys), func(i int) bool { return keys[i] > from }))
	}
	if lo >= hi {
		return nil
	}
	if up {
		return keys[lo:hi]
	}
	down := slices.Clone(keys[lo:hi])
	slices.Reverse(down)
	return down
}

// changes gives the writes in order of collection and key, what was held encoded.
func (o *overlay) changes() (out []change, err error) {
	for c, l := range o.layers {
		for k, e := range l.entries {
			ch := change{c: c, key: k, fresh: e.fresh}
			switch e.fate {
			case unchanged:
				continue
			case written:
				if ch.value, err = e.bytes(); err != nil {
					return nil, err
				}
				if ch.value == nil {
					ch.value = []byte{}
				}
			}
			out = append(out, ch)
		}
	}
	slices.SortFunc(out, func(a, b change) int { return cmp.Or(cmp.Compare(a.c, b.c), cmp.Compare(a.key, b.key)) })
	return out, nil
}
