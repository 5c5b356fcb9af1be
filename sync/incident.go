package sync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// idle are the reasons for which a cycle waits quietly: nobody's outage.
var idle = []fault.Code{fault.VaultLocked, fault.SyncNotConfigured, fault.NotInitialized, fault.Canceled}

// conclude completes the report, opens or closes the incident, and says in the log what is new. One outage is one incident and one line.
func (r *Reconciler) conclude(ctx context.Context, rep *Report, was State, err error) {
	if err != nil {
		rep.fail(r.sayable(ctx, err))
	}
	switch {
	case err == nil:
		r.close(ctx, rep, was)
		r.sayDone(rep)
	case slices.Contains(idle, fault.Code(rep.Code)):
		rep.Idle = true
		r.say(slog.LevelDebug, "idle "+rep.Code, "sync waits", "code", rep.Code)
	default:
		r.open(ctx, rep, was, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last, r.ran = rep.clone(), true
}

// sayable is the fault that a failed cycle shows. A context that ended is told apart from a failure.
func (r *Reconciler) sayable(ctx context.Context, err error) *fault.Error {
	var f *fault.Error
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(ctx.Err(), context.Canceled):
		return fault.New(fault.Canceled, "the cycle was stopped; nothing was changed", "").Because(err)
	case errors.Is(err, context.DeadlineExceeded):
		return fault.New(fault.TimedOut, "the cycle ran out of time; nothing was changed", "the next cycle tries again").Because(err)
	}
	return fault.Of(err)
}

// open counts a failed cycle. The incident is stored when it opens, so that a restart does not open a second one.
func (r *Reconciler) open(ctx context.Context, rep *Report, was State, err error) {
	i := r.current(was)
	fresh := i == nil
	if fresh {
		i = &Incident{Since: rep.Started}
	}
	changed := i.Code != fault.Code(rep.Code)
	i.Code, i.Count = fault.Code(rep.Code), i.Count+1
	r.keep(i)
	rep.Incident = i
	if changed {
		r.say(slog.LevelError, "failed "+rep.Code, "sync cycle incomplete: nothing was changed; repeats are counted, not logged",
			"code", rep.Code, "message", rep.Message, "next", rep.Next, "cause", fault.Cause(err), "data_from", rep.LastSuccess)
		r.store(ctx, i)
	}
	if fresh {
		r.notify(ctx, rep, *i, false)
	}
}

// close ends the incident that is open, if one is. The cycle's own transaction has already cleared it in the store.
func (r *Reconciler) close(ctx context.Context, rep *Report, was State) {
	i := r.current(was)
	if i == nil {
		return
	}
	r.keep(nil)
	r.o.Log.Info("sync: the provider answers again", "provider", rep.Provider, "code", string(i.Code), "since", i.Since, "failed_cycles", i.Count)
	r.notify(ctx, rep, *i, true)
}

// current is a copy of the open incident: memory's, whose count is exact, else the store's.
func (r *Reconciler) current(was State) *Incident {
	r.mu.Lock()
	i := r.incident
	r.mu.Unlock()
	if i == nil {
		i = was.Incident
	}
	if i == nil {
		return nil
	}
	c := *i
	return &c
}

func (r *Reconciler) keep(i *Incident) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.incident = i
}

// store writes the incident beside the rows, which stay untouched. Where that fails (a locked vault, a full disk) memory still has it.
func (r *Reconciler) store(ctx context.Context, i *Incident) {
	err := guarded(func() error {
		return r.o.Registry.Apply(ctx, r.Provider(), func(now Snapshot) Outcome {
			s := now.State
			c := *i
			s.Incident = &c
			return Outcome{State: s}
		})
	})
	if err != nil {
		r.o.Log.Debug("sync: the incident was not stored", "provider", r.Provider(), "code", string(fault.CodeOf(err)))
	}
}

func (r *Reconciler) notify(ctx context.Context, rep *Report, i Incident, closed bool) {
	if r.o.OnIncident == nil {
		return
	}
	if err := guarded(func() error { return r.o.OnIncident(ctx, rep.Provider, i, closed) }); err != nil {
		rep.problem(fault.CodeOf(err), 1)
		r.o.Log.Warn("sync: nobody could be told of the incident", "provider", rep.Provider, "cause", fault.Cause(err))
	}
}

// sayDone logs a cycle that was stored: a complete one always, what needs a look once.
func (r *Reconciler) sayDone(rep *Report) {
	fields := []any{"seen", rep.Seen, "new", rep.New, "back", rep.Back, "absent", rep.Absent, "missing", rep.Missing, "suspended", rep.Suspended,
		"ghosts", rep.Ghosts, "refreshed", rep.Refreshed, "waiting", rep.Waiting, "took", rep.Finished.Sub(rep.Started)}
	if rep.Demoted > 1 {
		r.o.Log.Warn("sync: many servers are no longer managed", "provider", rep.Provider, "demoted", rep.Demoted)
	}
	if rep.OK {
		r.said = ""
		r.o.Log.Info("sync cycle complete", append([]any{"provider", rep.Provider}, fields...)...)
		return
	}
	var problems []any
	for _, code := range slices.Sorted(maps.Keys(rep.Problems)) {
		problems = append(problems, slog.Int(string(code), rep.Problems[code]))
	}
	fields = append(fields, "code", rep.Code, "skipped", rep.Skipped, slog.Group("problems", problems...))
	r.say(slog.LevelWarn, fmt.Sprint("stored ", rep.Code, rep.Skipped, rep.Problems), "sync cycle incomplete: the rest was stored", fields...)
}

// say logs unless it was said just before.
func (r *Reconciler) say(level slog.Level, what, text string, fields ...any) {
	if r.said == what {
		return
	}
	r.said = what
	r.o.Log.Log(context.Background(), level, text, append([]any{"provider", r.Provider()}, fields...)...)
}
