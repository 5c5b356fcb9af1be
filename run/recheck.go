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
		err := e.o.MayGoOn(ctx, l.recorded())
		switch fault.CodeOf(err) {
		case fault.UnknownAgent, fault.Unauthenticated, fault.LeaseReleased, fault.UnknownResource, fault.ResourceDisabled:
			l.cancel(errRevoked)
		}
	}
}
