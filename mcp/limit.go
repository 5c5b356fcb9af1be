package mcp

import (
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// agentLimits counts what each agent takes, over all its doors together: opening more doors gains nothing.
type agentLimits struct {
	limits Limits
	clock  func() time.Time
	mu     sync.Mutex
	by     map[string]*agentLimit // by agent id: only agents that exist get here
}

type agentLimit struct {
	rate      *rate.Limiter
	perMinute int
	running   int
	handing   int           // messages to other servers
	asks      *rate.Limiter // of Limits.AsksPerHour
}

func newAgentLimits(l Limits, clock func() time.Time) *agentLimits {
	return &agentLimits{limits: l, clock: clock, by: map[string]*agentLimit{}}
}

// of gives an agent's counts. The caller holds a.mu.
func (a *agentLimits) of(agent string) *agentLimit {
	l := a.by[agent]
	if l == nil {
		l = &agentLimit{asks: rate.NewLimiter(rate.Limit(float64(a.limits.AsksPerHour)/3600), a.limits.AsksPerHour)}
		a.by[agent] = l
	}
	return l
}

// asks counts a question to an agent's person; false: they were asked enough. A model that makes request after request must not wear them out until they agree to whatever comes.
func (a *agentLimits) asks(agent string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.of(agent).asks.AllowN(a.clock(), 1)
}

// enter takes one request of an agent in, or gives a fault with retry_after_s. Call leave once for each success.
func (a *agentLimits) enter(ag Agent) (leave func(), e *fault.Error) {
	concurrent := ag.Concurrent
	if concurrent == 0 {
		concurrent = a.limits.Concurrent
	}
	return a.take(ag, concurrent, func(l *agentLimit) *int { return &l.running })
}

// maxHanding is how many messages of one agent are on their way to other servers at once: those carry 32 at a time, for everybody.
const maxHanding = 8

// hand is enter for what goes on to another server. It has places of its own: calls that take all of an agent's must not keep out the word that ends one.
func (a *agentLimits) hand(ag Agent) (leave func(), e *fault.Error) {
	return a.take(ag, maxHanding, func(l *agentLimit) *int { return &l.handing })
}

// take counts one more of what an agent has at once, of which there are so many places, and one more of its minute, which requests and what is handed on share. What is refused counts nowhere.
func (a *agentLimits) take(ag Agent, places int, taken func(*agentLimit) *int) (leave func(), e *fault.Error) {
	perMinute := ag.PerMinute
	if perMinute == 0 {
		perMinute = a.limits.PerMinute
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.of(ag.ID)
	n := taken(l)
	if l.perMinute != perMinute { // new, or the operator changed it
		l.perMinute, l.rate = perMinute, rate.NewLimiter(rate.Limit(float64(perMinute)/60), perMinute)
	}
	now := a.clock()
	if *n >= places {
		return nil, fault.New(fault.Busy, "this agent has too many calls or messages in flight", "wait for one to end, then send it again").With("retry_after_s", 1)
	}
	if !l.rate.AllowN(now, 1) {
		wait := max(1, int(math.Ceil((1-l.rate.TokensAt(now))/float64(l.rate.Limit()))))
		return nil, fault.New(fault.RateLimited, "this agent calls too often", "wait, then call again").With("retry_after_s", wait)
	}
	*n++
	return func() {
		a.mu.Lock()
		*n--
		a.mu.Unlock()
	}, nil
}
