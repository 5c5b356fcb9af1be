package sync

import (
	"cmp"
	"context"
	"slices"
	stdsync "sync"
	"time"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// queue is who is due for a call, and since when they wait.
type queue []waiting

type waiting struct {
	id string
	at time.Time
}

func (q *queue) add(id string, at, now time.Time, every time.Duration) {
	if now.Sub(at) >= every || at.After(now) { // a clock set back must not stop the calls
		*q = append(*q, waiting{id, at})
	}
}

// first gives at most n ids, longest waiting first.
func (q queue) first(n int) []string {
	slices.SortFunc(q, func(a, b waiting) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.id, b.id)) })
	ids := make([]string, 0, min(n, len(q)))
	for _, w := range q[:min(n, len(q))] {
		ids = append(ids, w.id)
	}
	return ids
}

// stops are the failures after which asking for the next server is pointless, or harmful: a login refused many times may be barred.
var stops = []fault.Code{fault.ProviderLogin, fault.ProviderIPDenied, fault.VaultLocked, fault.SyncNotConfigured, fault.Canceled}

// patienceOfCalls is after how many failures in a row a phase gives the provider up for this cycle.
const patienceOfCalls = 20

// ask calls fn for each id, at most n at once, until the budget or the patience ends. It waits for every call that it started. Failures are counted by
// code in the report; those of one server stop no other. It gives how many ids were not asked.
func ask(ctx context.Context, rep *Report, ids []string, n int, fn func(ctx context.Context, id string) error) int {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		mu       stdsync.Mutex
		next     int
		failures int
	)
	take := func() (string, bool) {
		mu.Lock()
		defer mu.Unlock()
		if next >= len(ids) || ctx.Err() != nil {
			return "", false
		}
		next++
		return ids[next-1], true
	}
	done := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		if err == nil {
			failures = 0
			return
		}
		failures++
		rep.problem(fault.CodeOf(err), 1)
		if failures >= patienceOfCalls || slices.Contains(stops, fault.CodeOf(err)) {
			cancel()
		}
	}
	var wg stdsync.WaitGroup
	for range min(n, len(ids)) {
		wg.Go(func() {
			for id, ok := take(); ok; id, ok = take() {
				err := guarded(func() error { return fn(ctx, id) })
				if err != nil && ctx.Err() != nil { // ended by us, not by the server: it is asked in the next cycle
					mu.Lock()
					next--
					mu.Unlock()
					return
				}
				done(err)
			}
		})
	}
	wg.Wait()
	return len(ids) - next
}

// phase bounds a phase by its budget and by what the cycle's deadline leaves beside the transaction.
func (r *Reconciler) phase(ctx context.Context, budget time.Duration) (context.Context, context.CancelFunc) {
	if end, ok := ctx.Deadline(); ok {
		budget = min(budget, time.Until(end)-r.o.ApplyReserve)
	}
	return context.WithTimeout(ctx, budget)
}

// check asks what became of absent servers.
func (r *Reconciler) check(ctx context.Context, ids []string, rep *Report) map[string]Lifecycle {
	ctx, cancel := r.phase(ctx, r.o.DetailsBudget)
	defer cancel()
	var mu stdsync.Mutex
	answers := make(map[string]Lifecycle, len(ids))
	left := ask(ctx, rep, ids, r.o.DetailsAt, func(ctx context.Context, id string) error {
		answer, err := r.o.Provider.Lifecycle(ctx, id)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		answers[id], r.asked[id] = answer, r.now()
		return nil
	})
	rep.Checked = len(ids) - left
	return answers
}

// refresh reads numbers. What could not be read keeps its old numbers, and their age.
func (r *Reconciler) refresh(ctx context.Context, ids []string, rep *Report) map[string]Details {
	ctx, cancel := r.phase(ctx, r.o.DetailsBudget)
	defer cancel()
	var mu stdsync.Mutex
	numbers := make(map[string]Details, len(ids))
	rep.Waiting = ask(ctx, rep, ids, r.o.DetailsAt, func(ctx context.Context, id string) error {
		d, err := r.o.Provider.Details(ctx, id)
		mu.Lock()
		defer mu.Unlock()
		if ctx.Err() == nil {
			r.tried[id] = r.now()
		}
		if err == nil {
			numbers[id] = d
		}
		return err
	})
	return numbers
}
