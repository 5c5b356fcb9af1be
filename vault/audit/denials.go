package audit

import (
	"slices"
	"time"
)

// Bounds of folding.
const (
	foldFor  = time.Minute
	foldKeep = 1024 // different denials at once; beyond that the place is no difference
)

// Folded is an event that stands for Count equal ones.
type Folded struct {
	Event Event
	Count uint64
}

// Denials folds equal denials (same actor, action, subject, handle, code and place) within a minute into one record, so that a client that
// hammers at a door cannot fill the disk. Where there are too many different places, those of one kind are one record without a place. It is not for more than
// one goroutine. The zero Denials is ready.
type Denials struct {
	open map[denialKey]*foldedDenial
	due  time.Time // when the oldest is over
}

type denialKey struct {
	actor, name, subject, handle, code string
	action                             Action
	place                              string // where a request was to go, what a session asked for
}

type foldedDenial struct {
	event Event
	since time.Time
	count uint64 // since the first, which was given back at once
}

// Fold takes a denial at the time now and gives what is to be recorded: e itself where it is the first of its kind, and the folds whose minute is over.
func (d *Denials) Fold(e Event, now time.Time) []Folded {
	out := d.Flush(now)
	key := denialKey{e.Actor.ID, e.Actor.Name, e.Subject, e.Handle, e.Code, e.Action, e.Detail["host"] + " " + e.Detail["port"] + " " + e.Detail["what"]}
	if f, ok := d.open[key]; ok {
		f.count++
		return out
	}
	if len(d.open) >= foldKeep {
		key.place, e.Detail = "", map[string]string{"places": "too many to name each"}
		if f, ok := d.open[key]; ok {
			f.count++
			return out
		}
		if len(d.open) >= 2*foldKeep {
			return append(out, Folded{e, 1})
		}
	}
	if d.open == nil {
		d.open = map[denialKey]*foldedDenial{}
	}
	if len(d.open) == 0 {
		d.due = now.Add(foldFor)
	}
	d.open[key] = &foldedDenial{event: e, since: now}
	return append(out, Folded{e, 1})
}

// Flush gives the folds whose minute is over.
func (d *Denials) Flush(now time.Time) []Folded {
	if now.Before(d.due) {
		return nil
	}
	out := d.flush(func(f *foldedDenial) bool { return now.Sub(f.since) >= foldFor })
	d.due = now.Add(foldFor)
	for _, f := range d.open {
		if at := f.since.Add(foldFor); at.Before(d.due) {
			d.due = at
		}
	}
	return out
}

// Close gives all folds.
func (d *Denials) Close() []Folded { return d.flush(func(*foldedDenial) bool { return true }) }

func (d *Denials) flush(over func(*foldedDenial) bool) (out []Folded) {
	var gone []*foldedDenial
	for key, f := range d.open {
		if !over(f) {
			continue
		}
		delete(d.open, key)
		if f.count > 0 {
			gone = append(gone, f)
		}
	}
	slices.SortFunc(gone, func(a, b *foldedDenial) int { return a.since.Compare(b.since) })
	for _, f := range gone {
		out = append(out, Folded{f.event, f.count})
	}
	return out
}
