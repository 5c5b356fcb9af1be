package postgres

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// However many ask together, and however long they take, no more are refused than the bound says, and none waits for longer than it has to.
func TestAttack67_TheBoundHoldsForManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const burst, most = 10, 10 + 5*4
		a := newAllowance(5, burst)
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		refused := 0
		var mu sync.Mutex
		var all sync.WaitGroup
		for range 200 {
			all.Go(func() {
				for {
					tell, _, ok := a.ask(ctx)
					if !ok && ctx.Err() != nil {
						return
					}
					if !ok {
						time.Sleep(10 * time.Millisecond)
						continue
					}
					time.Sleep(50 * time.Millisecond)
					mu.Lock()
					refused++
					mu.Unlock()
					tell(true)
					tell(false) // its first word counts
				}
			})
		}
		all.Wait()
		if refused > most || refused < most-2 || a.asking != 0 {
			t.Errorf("%d of %d were refused, %d ask", refused, most, a.asking)
		}
	})
}

func TestWhoWaitsGoesOn(t *testing.T) {
	for what, x := range map[string]struct {
		others []bool        // what becomes of those who asked before, one after a second, nil for nothing
		burst  int           // tokens at first
		used   int           // of them
		limit  time.Duration // for the wait
		ok     bool
		after  time.Duration
	}{
		"there is room":                  {burst: 3, used: 1, limit: time.Minute, ok: true},
		"all are used":                   {burst: 3, used: 3, limit: time.Minute},
		"one is let in":                  {others: []bool{false}, burst: 1, limit: time.Minute, ok: true, after: time.Second},
		"one is refused":                 {others: []bool{true}, burst: 1, limit: time.Minute, after: time.Second},
		"time goes by, and one stays":    {others: []bool{}, burst: 2, used: 1, limit: time.Minute, ok: true, after: 200 * time.Millisecond},
		"one stays, and is all there is": {others: []bool{}, burst: 1, limit: 3 * time.Second, after: 3 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := newAllowance(5, x.burst)
			for range x.used {
				tell, _, _ := a.ask(t.Context())
				tell(true)
			}
			if x.others != nil {
				tell, _, ok := a.ask(t.Context())
				if !ok {
					t.Fatal(what)
				}
				for _, refused := range x.others {
					go func() {
						time.Sleep(time.Second)
						tell(refused)
					}()
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), x.limit)
			defer cancel()
			start := time.Now()
			_, waited, ok := a.ask(ctx)
			if took := time.Since(start); ok != x.ok || took != x.after || waited != (took > 0) {
				t.Errorf("%s: %v after %v", what, ok, took)
			}
			time.Sleep(2 * time.Second)
		})
	}
}
