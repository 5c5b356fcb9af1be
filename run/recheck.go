package run

import (
	"context"
	"errors"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// errRevoked is the cause of a run's end when what it was allowed by is gone.
var errRevoked = errors.New("run: no longer allowed")

// Recheck ends runs under way whose agent, lease or resource was taken away since they began. Where that cannot be told, the run goes on: the store that
// cannot be read stops the next one. Call it after a change; it is cheap while nothing runs.
func (e *Engine) Recheck(ctx context.Context) {
	if e.o.MayGoOn == nil {
		return
	}
	e.mu.Lock()
	lives := make([]*live, 0, len(e.live))
	for _, l := range e.live {
		lives = append(lives, l)
	}
	e.mu.Unlock()
	for _, l := range lives {
		e.recheck(ctx, l)
	}
}

// recheck looks at one run. It is called once more when the run is among those under way: what was taken away between its record and that moment no Recheck saw.
func (e *Engine) recheck(ctx context.Context, l *live) {
	if e.o.MayGoOn == nil {
		return
	}
	switch fault.CodeOf(e.o.MayGoOn(ctx, l.recorded())) {
	case fault.UnknownAgent, fault.Unauthenticated, fault.LeaseReleased, fault.UnknownResource, fault.ResourceDisabled:
		l.cancel(errRevoked)
	}
}
