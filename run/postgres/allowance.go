package postgres

import (
	"context"
	"sync"

	"golang.org/x/time/rate"
)

// allowance bounds how often a child is refused: at once, and a second. Connections whose outcome is not known yet count as refused until it is: otherwise as many as are open
// together would pass a check that each of them alone passes.
type allowance struct {
	limit *rate.Limiter

	mu      sync.Mutex
	asking  int           // whose outcome is not known
	settled chan struct{} // closed when the next one's is
}

func newAllowance(perSecond rate.Limit, atOnce int) *allowance {
	return &allowance{limit: rate.NewLimiter(perSecond, atOnce), settled: make(chan struct{})}
}

// ask waits until one more may be refused, and gives the function that says whether it was, which counts once. ok is false where too many were, or ctx ends.
func (a *allowance) ask(ctx context.Context) (tell func(refused bool), ok bool) {
	for {
		wait, ok := a.try()
		if ok {
			var once sync.Once
			return func(refused bool) { once.Do(func() { a.settle(refused) }) }, true
		}
		if wait == nil {
			return nil, false
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, false
		}
	}
}

// try gives what to wait for, nil where there is nothing.
func (a *allowance) try() (wait <-chan struct{}, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch left := a.limit.Tokens(); {
	case left < 1:
		return nil, false
	case left < float64(a.asking+1):
		return a.settled, false
	}
	a.asking++
	return nil, true
}

func (a *allowance) settle(refused bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asking--
	if refused {
		a.limit.Allow()
	}
	close(a.settled)
	a.settled = make(chan struct{})
}
