package postgres

import (
	"math/rand/v2"
	"testing"
	"time"
)

// Callers are waited for where commits take long whatever is in them, and not where their time goes with the number of calls, whatever was done before.
func TestPaceFollowsWhatCommitsTake(t *testing.T) {
	const callers = 32
	p := &pace{}
	p.inside.Store(callers)
	if p.gathers() {
		t.Error("it waits before anything was measured")
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		name             string
		fixed, each, run time.Duration
		gathers          bool
	}{
		{"a slow disk", 8 * time.Millisecond, 80 * time.Microsecond, 60 * time.Microsecond, true},
		{"a fast one", 400 * time.Microsecond, 70 * time.Microsecond, 60 * time.Microsecond, false},
		{"functions that take no time", 2 * time.Millisecond, 70 * time.Microsecond, 5 * time.Microsecond, true},
		{"functions that take long", 2 * time.Millisecond, 70 * time.Microsecond, 300 * time.Microsecond, false},
		{"a slow disk again", 20 * time.Millisecond, 70 * time.Microsecond, 300 * time.Microsecond, true},
	} {
		waited := 0
		const rounds, counted = 4 * pacePeriod, 2 * pacePeriod
		for i := range rounds {
			calls := callers/2 - 2 + rnd.IntN(5)
			if p.gathers() {
				calls = callers
				if i >= rounds-counted {
					waited++
				}
			}
			for range calls {
				p.ran(c.run)
			}
			p.committed(c.fixed + time.Duration(calls)*c.each + time.Duration(rnd.Int64N(int64(time.Millisecond/4))))
		}
		if share := float64(waited) / counted; c.gathers && share < 0.98 || !c.gathers && share > 0 {
			t.Errorf("%s: %.0f %% of the batches waited", c.name, 100*share)
		}
	}
}
