package mcp

import (
	"context"
	"sync"
)

// flights are the requests of one connection or session that are being served. Each has a table of its own, keyed by the id's bytes as
// they came: no client can cancel what another started, whatever ids they choose (defect 3, threat-model.md 64), and 1 is not "1".
type flights struct {
	mu sync.Mutex
	by map[string]*flight
}

type flight struct {
	ctx     context.Context
	cancel  context.CancelFunc
	stopped bool // by the client: nobody waits for a reply
}

func (f *flights) start(ctx context.Context, id []byte) *flight {
	fl := &flight{}
	fl.ctx, fl.cancel = context.WithCancel(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.by == nil {
		f.by = map[string]*flight{}
	}
	f.by[string(id)] = fl
	return fl
}

// end forgets a flight and tells whether its client still waits.
func (f *flights) end(id []byte, fl *flight) (wanted bool) {
	fl.cancel()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.by[string(id)] == fl {
		delete(f.by, string(id))
	}
	return !fl.stopped
}

// stop ends a flight that its client gave up; it is false where there is none of that id.
func (f *flights) stop(id []byte) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	fl := f.by[string(id)]
	if fl == nil {
		return false
	}
	fl.stopped = true
	fl.cancel()
	return true
}

func (f *flights) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.by)
}
