package backend

import (
	"context"
	"sync"

	"github.com/zavhoz/zavhoz/store"
)

// WatchKeys is how many keys wait for one slow watcher before they are merged into one notice a collection.
const WatchKeys = 1024

// Watchers are the running watches. The zero value is ready; who tells never waits for who is told.
type Watchers struct {
	mu     sync.Mutex
	all    map[*watcher]struct{}
	closed bool
	pumps  sync.WaitGroup
}

// watcher holds what one watch has not been told yet.
type watcher struct {
	mu      sync.Mutex
	pending map[store.Change]struct{}
	merged  bool          // pending holds collections only
	wake    chan struct{} // 1 slot: there is something
	stop    chan struct{}
}

// Watch gives what is told from now on, until ctx ends or Close; then the channel closes.
func (ws *Watchers) Watch(ctx context.Context) <-chan store.Change {
	out := make(chan store.Change)
	w := &watcher{pending: map[store.Change]struct{}{}, wake: make(chan struct{}, 1), stop: make(chan struct{})}
	if !ws.add(w) {
		close(out)
		return out
	}
	go func() {
		defer ws.pumps.Done()
		defer close(out)
		defer ws.remove(w)
		w.pump(ctx, out)
	}()
	return out
}

func (ws *Watchers) add(w *watcher) bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.closed {
		return false
	}
	if ws.all == nil {
		ws.all = map[*watcher]struct{}{}
	}
	ws.all[w] = struct{}{}
	ws.pumps.Add(1)
	return true
}

func (ws *Watchers) remove(w *watcher) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	delete(ws.all, w)
}

// Any tells whether anybody watches.
func (ws *Watchers) Any() bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	return len(ws.all) > 0
}

// Tell notes changes for every watcher.
func (ws *Watchers) Tell(changes []store.Change) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for w := range ws.all {
		w.add(changes)
	}
}

// Close ends every watch and waits for their goroutines.
func (ws *Watchers) Close() {
	ws.mu.Lock()
	ws.closed = true
	for w := range ws.all {
		close(w.stop)
	}
	ws.mu.Unlock()
	ws.pumps.Wait()
}

func (w *watcher) add(changes []store.Change) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range changes {
		if w.merged {
			n.Key = ""
		}
		w.pending[n] = struct{}{}
		if !w.merged && len(w.pending) > WatchKeys {
			w.merge()
		}
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// merge keeps the collections and forgets the keys.
func (w *watcher) merge() {
	merged := map[store.Change]struct{}{}
	for n := range w.pending {
		merged[store.Change{Collection: n.Collection}] = struct{}{}
	}
	w.pending, w.merged = merged, true
}

func (w *watcher) take() map[store.Change]struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	taken := w.pending
	w.pending, w.merged = map[store.Change]struct{}{}, false
	return taken
}

func (w *watcher) pump(ctx context.Context, out chan<- store.Change) {
	for {
		select {
		case <-w.wake:
		case <-ctx.Done():
			return
		case <-w.stop:
			return
		}
		for n := range w.take() {
			select {
			case out <- n:
			case <-ctx.Done():
				return
			case <-w.stop:
				return
			}
		}
	}
}
