package postgres

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// allowance bounds how often a child is refused: so many at once, and so many a second. Connections whose outcome is not known yet count as refused until it is: otherwise as many
// as are open together would pass a check that each of them alone passes.
type allowance struct {
	limit *rate.Limiter

	mu      sync.Mutex
	asking  int           // whose outcome is not known
	settled chan struct{} // closed when the next one's is
}

func newAllowance(perSecond rate.Limit, atOnce int) *allowance {
	return &allowance{limit: rate.NewLimiter(perSecond, atOnce), settled: make(chan struct{})}
}

// ask waits until one more may be refused, and gives the function that says whether it was; its first word counts. ok is false where too many were, or ctx ends before it is known.
func (a *allowance) ask(ctx context.Context) (tell func(refused bool), waited, ok bool) {
	for {
		settled, refill, ok := a.try()
		if ok {
			var once sync.Once
			return func(refused bool) { once.Do(func() { a.settle(refused) }) }, waited, true
		}
		if settled == nil {
			return nil, waited, false
		}
		waited = true
		again := time.NewTimer(refill)
		select {
		case <-settled:
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return nil, waited, false
		}
		again.Stop()
	}
}

// try gives what to wait for, nil where too many were refused.
func (a *allowance) try() (settled <-chan struct{}, refill time.Duration, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	left, want := a.limit.Tokens(), float64(a.asking+1)
	switch {
	case left < 1:
		return nil, 0, false
	case left < want:
		return a.settled, time.Duration((want - left) / float64(a.limit.Limit()) * float64(time.Second)), false
	}
	a.asking++
	return nil, 0, true
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
