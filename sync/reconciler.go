package sync

import (
	"context"
	"log/slog"
	stdsync "sync"
	"time"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/id"
)

// Options are what a Reconciler is made of. Zero numbers mean the defaults named.
type Options struct {
	Provider Provider
	Registry Registry
	// Policy is read at the start of every cycle; an error stops the cycle. nil: no ghosts, nothing managed by itself.
	Policy func(ctx context.Context) (Policy, error)
	// OnIncident is told when an outage opens (closed false) and when it ends. Its error is counted and changes nothing else.
	OnIncident func(ctx context.Context, provider string, i Incident, closed bool) error
	Log        *slog.Logger // default slog.Default
	Clock      func() time.Time
	NewID      func() string // of new rows; default id.New(id.Server)

	Grace         int           // cycles that a server may be absent before it can be missing; 3
	Patience      int           // cycles after which an implausible loss that stays the same is believed; 10
	Checks        int           // service checks a cycle; 20
	CheckAgain    time.Duration // how long an answer of the service check stands; 15 min
	DetailsEvery  time.Duration // 4 min: the allocator refuses numbers older than five, so they are renewed before
	DetailsAt     int           // details calls at once; 8
	DetailsBudget time.Duration // for details within one cycle; 20 s
	ApplyReserve  time.Duration // of the cycle's deadline, kept for the transaction; 5 s
}

func (o *Options) fill() {
	if o.Policy == nil {
		o.Policy = func(context.Context) (Policy, error) { return Policy{}, nil }
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.NewID == nil {
		o.NewID = func() string { return id.New(id.Server) }
	}
	for _, n := range []struct {
		at *int
		to int
	}{{&o.Grace, 3}, {&o.Patience, 10}, {&o.Checks, 20}, {&o.DetailsAt, 8}} {
		if *n.at <= 0 {
			*n.at = n.to
		}
	}
	for _, d := range []struct {
		at *time.Duration
		to time.Duration
	}{{&o.CheckAgain, 15 * time.Minute}, {&o.DetailsEvery, 4 * time.Minute}, {&o.DetailsBudget, 20 * time.Second}, {&o.ApplyReserve, 5 * time.Second}} {
		if *d.at <= 0 {
			*d.at = d.to
		}
	}
}

// Reconciler runs cycles over one provider, one at a time.
type Reconciler struct {
	o Options

	cycling stdsync.Mutex // held for a whole cycle; guards the two maps and said
	asked   map[string]time.Time
	tried   map[string]time.Time
	said    string // what the log said last, to say it once

	mu        stdsync.Mutex // guards what follows, which doors read at any time
	last      Report
	ran       bool
	incident  *Incident
	pending   string // digest of the loss that the guard holds back
	confirmed string // digest of the loss that the operator confirmed
}

// New makes a Reconciler over o.Provider and o.Registry.
func NewReconciler(o Options) *Reconciler {
	o.fill()
	return &Reconciler{o: o, asked: map[string]time.Time{}, tried: map[string]time.Time{}}
}

// Provider is the provider's name.
func (r *Reconciler) Provider() string { return r.o.Provider.Name() }

// Last is the report of the last cycle; false before the first.
func (r *Reconciler) Last() (Report, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last.clone(), r.ran
}

// LastSuccess is when the provider's list was last read and stored: what every answer about servers tells as the data's age. Before the first cycle
// it asks the registry, so that a restart does not forget.
func (r *Reconciler) LastSuccess(ctx context.Context) (time.Time, error) {
	if last, ran := r.Last(); ran && !last.LastSuccess.IsZero() {
		return last.LastSuccess, nil
	}
	snap, err := r.o.Registry.Snapshot(ctx, r.Provider())
	return snap.State.LastSuccess, err
}

// ConfirmShrunk takes the operator's word that what the guard holds back is really gone: the next cycles count it, as long as the loss is the same one.
// It tells whether there was anything to confirm.
func (r *Reconciler) ConfirmShrunk() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.confirmed = r.pending
	return r.pending != ""
}

func (r *Reconciler) confirmation() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.confirmed
}

// Cycle runs one cycle and gives its report. It never panics, and a second caller waits for the first.
func (r *Reconciler) Cycle(ctx context.Context) Report {
	r.cycling.Lock()
	defer r.cycling.Unlock()
	rep := Report{Provider: r.Provider(), Started: r.now()}
	last, _ := r.Last()
	rep.LastSuccess = last.LastSuccess
	var was State
	err := guarded(func() error { return r.cycle(ctx, &rep, &was) })
	rep.Finished = r.now()
	r.conclude(ctx, &rep, was, err)
	return rep.clone()
}

func (r *Reconciler) now() time.Time { return r.o.Clock().UTC() }

// guarded turns a panic into a fault: one bad cycle, or one bad record, must not end the daemon. What was panicked with is not kept: it may hold
// anything.
func guarded(fn func() error) (err error) {
	defer func() {
		if recover() != nil {
			err = fault.New(fault.Internal, "sync stumbled over a defect of its own", "see the daemon's log; `zavhoz doctor` checks the installation")
		}
	}()
	return fn()
}
