package postgres

import (
	"context"
	"sync"

	"github.com/zavhoz/zavhoz/store"
)

// watchKeys is how many keys wait for one slow subscriber before they are merged into one notice a collection.
const watchKeys = 1024

// subscribers are the running watches.
type subscribers struct {
	mu     sync.Mutex
	all    map[*subscriber]struct{}
	known  map[store.Collection]struct{} // that anybody was told of
	closed bool
	pumps  sync.WaitGroup
}

// subscriber holds what one watch has not been told yet.
type subscriber struct {
	mu      sync.Mutex
	pending map[store.Change]struct{}
	merged  bool          // pending holds collections only
	wake    chan struct{} // 1 slot: there is something
	stop    chan struct{}
}

func (ss *subscribers) add(sub *subscriber) bool {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.closed {
		return false
	}
	if ss.all == nil {
		ss.all = map[*subscriber]struct{}{}
	}
	ss.all[sub] = struct{}{}
	ss.pumps.Add(1)
	return true
}

func (ss *subscribers) remove(sub *subscriber) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	delete(ss.all, sub)
}

// tell notes changes for every subscriber.
func (ss *subscribers) tell(changes []store.Change) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if ss.known == nil {
		ss.known = map[store.Collection]struct{}{}
	}
	for _, ch := range changes {
		ss.known[ch.Collection] = struct{}{}
	}
	for sub := range ss.all {
		sub.add(changes)
	}
}

// heard gives every collection that was told of.
func (ss *subscribers) heard() (out []store.Change) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	for c := range ss.known {
		out = append(out, store.Change{Collection: c})
	}
	return out
}

// close ends every watch and waits for their goroutines.
func (ss *subscribers) close() {
	ss.mu.Lock()
	ss.closed = true
	for sub := range ss.all {
		close(sub.stop)
	}
	ss.mu.Unlock()
	ss.pumps.Wait()
}

func (sub *subscriber) add(changes []store.Change) {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	for _, n := range changes {
		if sub.merged {
			n.Key = ""
		}
		sub.pending[n] = struct{}{}
		if !sub.merged && len(sub.pending) > watchKeys {
			sub.merge()
		}
	}
	select {
	case sub.wake <- struct{}{}:
	default:
	}
}

// merge keeps the collections and forgets the keys.
func (sub *subscriber) merge() {
	merged := map[store.Change]struct{}{}
	for n := range sub.pending {
		merged[store.Change{Collection: n.Collection}] = struct{}{}
	}
	sub.pending, sub.merged = merged, true
}

func (sub *subscriber) take() map[store.Change]struct{} {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	taken := sub.pending
	sub.pending, sub.merged = map[store.Change]struct{}{}, false
	return taken
}

func (sub *subscriber) pump(ctx context.Context, out chan<- store.Change) {
	for {
		select {
		case <-sub.wake:
		case <-ctx.Done():
			return
		case <-sub.stop:
			return
		}
		for n := range sub.take() {
			select {
			case out <- n:
			case <-ctx.Done():
				return
			case <-sub.stop:
				return
			}
		}
	}
}
