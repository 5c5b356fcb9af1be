package backend

import (
	"cmp"
	"slices"
	"sort"

	"github.com/zavhoz/zavhoz/store"
)

// Fate is what an overlay says of a key.
type Fate uint8

// The fates.
const (
	Unchanged Fate = iota // a write that was taken back: what lies below counts
	Written
	Deleted
)

// Entry is a buffered write.
type Entry struct {
	Fate  Fate
	Fresh bool // there is none in the backend: nobody looked
	Value []byte
	Held  store.Held // instead of Value: not encoded yet
}

// Bytes gives what is written; not a copy. Errors: the Held's own, store.ErrTooLarge.
func (e Entry) Bytes() ([]byte, error) {
	if e.Held == nil {
		return e.Value, nil
	}
	v, err := e.Held.Encode()
	if err == nil && len(v) > store.MaxValue {
		err = store.ErrTooLarge
	}
	return v, err
}

// Change is one buffered write that reaches the backend.
type Change struct {
	Collection store.Collection
	Key        string
	Entry
}

// Sort puts changes in order of collection and key.
func Sort(list []Change) {
	slices.SortFunc(list, func(a, b Change) int {
		return cmp.Or(cmp.Compare(a.Collection, b.Collection), cmp.Compare(a.Key, b.Key))
	})
}

// layer holds the buffered writes of one collection.
type layer struct {
	entries map[string]Entry
	sorted  []string // every key of entries but the fresh ones
	fresh   []string // keys since the last scan
	scans   int      // running; writes are refused meanwhile
}

// Overlay holds the buffered writes of a batch over the backend, and how to take back those of the member that runs.
type Overlay struct {
	Base   *Overlay // of the batch before, until that is durable: it lies between the two
	layers map[store.Collection]*layer
	undo   []undo
	bytes  int
}

type undo struct {
	layer *layer
	key   string
	prev  Entry
}

// NewOverlay is empty.
func NewOverlay() *Overlay { return &Overlay{layers: map[store.Collection]*layer{}} }

// Bytes counts the keys and values that were set, taken back or not.
func (o *Overlay) Bytes() int { return o.bytes }

func (o *Overlay) get(c store.Collection, key string) Entry {
	for ; o != nil; o = o.Base {
		if l := o.layers[c]; l != nil {
			if e := l.entries[key]; e.Fate != Unchanged {
				return e
			}
		}
	}
	return Entry{}
}

// layer gives a collection's, made if there is none.
func (o *Overlay) layer(c store.Collection) *layer {
	l := o.layers[c]
	if l == nil {
		l = &layer{entries: map[string]Entry{}}
		o.layers[c] = l
	}
	return l
}

func (o *Overlay) set(c store.Collection, key string, e Entry) {
	l := o.layer(c)
	prev, known := l.entries[key]
	if !known {
		l.fresh = append(l.fresh, key)
	}
	o.undo = append(o.undo, undo{l, key, prev})
	l.entries[key] = e
	o.bytes += len(key) + len(e.Value)
}

func (o *Overlay) scanning(c store.Collection) bool {
	l := o.layers[c]
	return l != nil && l.scans > 0
}

// Keep makes the writes since the last Keep or Rollback the batch's.
func (o *Overlay) Keep() { o.undo = o.undo[:0] }

// Rollback takes them back.
func (o *Overlay) Rollback() {
	for _, u := range slices.Backward(o.undo) {
		u.layer.entries[u.key] = u.prev
	}
	o.undo = o.undo[:0]
}

// Changes gives the overlay's own writes in order of collection and key, what was held encoded: a value that is written is not nil. Errors: those of Entry.Bytes.
func (o *Overlay) Changes() (out []Change, err error) {
	n := 0
	for _, l := range o.layers {
		n += len(l.entries)
	}
	out = make([]Change, 0, n)
	for c, l := range o.layers {
		for k, e := range l.entries {
			switch e.Fate {
			case Unchanged:
				continue
			case Written:
				if e.Value, err = e.Bytes(); err != nil {
					return nil, err
				}
				if e.Value == nil {
					e.Value = []byte{}
				}
			}
			out = append(out, Change{c, k, e})
		}
	}
	Sort(out)
	return out, nil
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

// window gives the keys that a scan may meet, in its order.
func (o *Overlay) window(in Reach) (keys []string) {
	for ; o != nil; o = o.Base {
		l := o.layers[in.Collection]
		if l == nil {
			continue
		}
		more := l.window(in)
		if len(keys) == 0 {
			keys = more
			continue
		}
		keys = slices.Concat(keys, more)
		slices.Sort(keys)
		keys = slices.Compact(keys)
		if !in.Up {
			slices.Reverse(keys)
		}
	}
	return keys
}

// window gives the layer's own.
func (l *layer) window(in Reach) []string {
	keys := l.keys()
	lo := sort.SearchStrings(keys, in.Prefix)
	hi := len(keys)
	if end, bounded := PrefixEnd(in.Prefix); bounded {
		hi = sort.SearchStrings(keys, end)
	}
	switch {
	case in.Up:
		lo = max(lo, sort.SearchStrings(keys, in.From))
	case in.From != "":
		hi = min(hi, sort.Search(len(keys), func(i int) bool { return keys[i] > in.From }))
	}
	if lo >= hi {
		return nil
	}
	if in.Up {
		return keys[lo:hi]
	}
	down := slices.Clone(keys[lo:hi])
	slices.Reverse(down)
	return down
}
