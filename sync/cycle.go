package sync

import (
	"context"
	"time"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// cycle is one pass: configuration, list, plan, service checks, numbers, then one transaction. An error means that nothing was stored.
func (r *Reconciler) cycle(ctx context.Context, rep *Report, was *State) error {
	snap, err := r.o.Registry.Snapshot(ctx, r.Provider())
	if err != nil {
		return err
	}
	*was = snap.State
	rep.LastSuccess = snap.State.LastSuccess
	f, err := r.configure(ctx)
	if err != nil {
		return err
	}
	list, err := r.o.Provider.List(ctx)
	if err != nil {
		return err
	}
	f.seen = sight(list, r.o.Registry)
	rep.problem(fault.ProviderReply, f.seen.bad)
	f.now = r.now() // of the list, not of the cycle's start: the age of the data
	p := r.plan(f, snap)
	f.services = r.check(ctx, p.absent, rep)
	f.numbers = r.refresh(ctx, p.due, rep)

	var v verdict
	err = r.o.Registry.Apply(ctx, r.Provider(), func(now Snapshot) Outcome {
		v = f.decide(now)
		return v.Outcome
	})
	if err != nil {
		return err
	}
	r.settle(rep, v)
	return nil
}

// configure reads the policy afresh: a change of the ghost list counts from the next cycle on, also for rows that exist.
func (r *Reconciler) configure(ctx context.Context) (findings, error) {
	policy, err := r.o.Policy(ctx)
	if err != nil {
		return findings{}, err
	}
	ghosts, err := ParseGhosts(policy.Ghosts)
	if err != nil {
		return findings{}, err
	}
	return findings{
		now: r.now(), policy: policy, ghosts: ghosts.matcher(r.o.Registry.Print),
		grace: r.o.Grace, patience: r.o.Patience, confirmed: r.confirmation(), newID: r.o.NewID,
	}, nil
}

// settle writes into the report what was stored.
func (r *Reconciler) settle(rep *Report, v verdict) {
	checked, waiting := rep.Checked, rep.Waiting
	rep.Counts = v.Counts
	rep.Checked, rep.Waiting = checked, waiting
	rep.Applied, rep.OK, rep.LastSuccess, rep.Shrunk = true, true, v.State.LastSuccess, v.shrunk
	rep.problem(fault.RecordTampered, v.twins)
	n := 0
	for _, c := range rep.Problems {
		n += c
	}
	switch {
	case v.held:
		rep.fail(shrunkFault(v.shrunk))
	case n > 0 || rep.Skipped > 0:
		rep.fail(fault.Newf(fault.SyncIncomplete, "the cycle was stored, but %d records could not be read or asked after and %d were skipped", n, rep.Skipped).
			WithNext("the report's problems name them by code; the next cycle tries again"))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending = ""
	if v.held {
		r.pending = v.shrunk.Lost
	}
	if v.shrunk == nil {
		r.confirmed = ""
	}
}

// plan says whom to ask.
type plan struct {
	absent []string // provider ids due for a service check, longest unasked first
	due    []string // provider ids whose numbers are due, oldest first
}

// plan is made over a snapshot outside the transaction; where the rows change meanwhile, an answer too many or too few does no harm.
func (r *Reconciler) plan(f findings, snap Snapshot) plan {
	s := match(snap.Rows, f.seen)
	_, held := guard(snap.State.Shrunk, s.loss(), f.patience, f.confirmed, f.now)
	var absent, due queue
	for _, p := range s.pairs {
		switch {
		case p.seen != nil:
			due.add(p.row.ProviderID, r.numbersAt(*p.row), f.now, r.o.DetailsEvery)
		case !held && p.row.Status != Decommissioned && (p.row.Status.gone() || p.row.Absent+1 >= r.o.Grace):
			absent.add(p.row.ProviderID, r.asked[p.row.ProviderID], f.now, r.o.CheckAgain)
		}
	}
	for _, x := range s.fresh {
		due.add(x.ProviderID, time.Time{}, f.now, r.o.DetailsEvery)
	}
	r.forget(f.now)
	return plan{absent: absent.first(r.o.Checks), due: due.first(len(due))}
}

// numbersAt is when the numbers were last read or tried: a server whose details fail is not asked again in every cycle.
func (r *Reconciler) numbersAt(row Row) time.Time {
	at := r.tried[row.ProviderID]
	if row.HealthAt.IsZero() && row.ObservedAt.After(at) {
		at = row.ObservedAt
	}
	return at
}

// forget drops what is too old to matter, so that the maps stay as small as the account.
func (r *Reconciler) forget(now time.Time) {
	for id, at := range r.asked {
		if now.Sub(at) > r.o.CheckAgain {
			delete(r.asked, id)
		}
	}
	for id, at := range r.tried {
		if now.Sub(at) > r.o.DetailsEvery {
			delete(r.tried, id)
		}
	}
}
