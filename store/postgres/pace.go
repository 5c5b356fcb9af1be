package postgres

import (
	"sync/atomic"
	"time"
)

// pace tells whether a batch waits for the callers that the one before it has just told, who most often come again at once, or leaves them to the next one. Where they are
// waited for, few commits are full, and nothing is committed while their functions run; where they are not, the functions of one half of the callers run while the other
// half's commit is made, and twice as many commits wait for the disk. So it is better to wait where what any commit takes, however few calls it is for, is longer than the functions of all callers.
type pace struct {
	inside atomic.Int64 // calls that are under way
	call   atomic.Int64 // nanoseconds that a function takes, about

	// The rest belongs to who has the turn to commit.
	least   [2]time.Duration // that the server took for a commit, of those of the period before and of this one; 0: there was none. Most take longer for what is in them, and for the functions that run beside them.
	commits int              // of this period
}

// A period has so many commits. The first few wait for nobody: were all of them full, nothing would say what a smaller one takes.
const (
	pacePeriod = 256
	paceTries  = 4
)

// ran notes a function that went well, in its turn.
func (p *pace) ran(d time.Duration) {
	was := p.call.Load()
	p.call.Store(was + (int64(d)-was)/8)
}

// committed notes what the server took for a commit that it made, in its turn.
func (p *pace) committed(d time.Duration) {
	if p.commits++; p.commits > pacePeriod {
		p.commits, p.least = 1, [2]time.Duration{p.least[1], 0}
	}
	if p.least[1] == 0 || d < p.least[1] {
		p.least[1] = d
	}
}

// gathers tells whether it is better to wait for them. It is the asker's turn to commit.
func (p *pace) gathers() bool {
	if p.commits%pacePeriod < paceTries {
		return false
	}
	least := p.least[1]
	if before := p.least[0]; before > 0 && before < least {
		least = before
	}
	return int64(least) > p.inside.Load()*p.call.Load()
}
