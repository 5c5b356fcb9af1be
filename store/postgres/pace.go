package postgres

import (
	"sync/atomic"
	"time"
)

// pace tells whether a batch waits for the callers that the one before it has just told, who most often come again at once: their functions take so long one after the
// other, and a commit takes so long for how many it may be. Where commits are slow, few that are full are best; where they are fast, the functions of one half of the
// callers run while the other half's commit is made.
type pace struct {
	call   atomic.Int64 // nanoseconds that a function takes, about
	commit atomic.Int64 // and a commit
	calls  atomic.Int64 // of the last commit
}

// about follows what was measured: an eighth of each new one counts.
func about(mean *atomic.Int64, d time.Duration) {
	was := mean.Load()
	mean.Store(was + (int64(d)-was)/8)
}

// ran notes a function that went well, in its turn.
func (p *pace) ran(d time.Duration) { about(&p.call, d) }

// committed notes a commit of so many calls, in its turn.
func (p *pace) committed(d time.Duration, calls int) {
	about(&p.commit, d)
	p.calls.Store(int64(calls))
}

// gathers tells whether it is better to wait for them.
func (p *pace) gathers() bool { return p.calls.Load()*p.call.Load() < p.commit.Load() }
