package run

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/zavhoz/zavhoz/run/capture"
	"github.com/zavhoz/zavhoz/run/redact"
	"github.com/zavhoz/zavhoz/run/sandbox"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// live is a run under way, or one that ended lately.
type live struct {
	ctx    context.Context // not of any caller: a run outlives its door
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when all of it is settled
	keep   int           // bytes of each stream in a reply
	now    func() time.Time
	text   *transcript
	mask   *mask

	mu       sync.Mutex
	captured *capture.Kept
	record   vault.Run // ID and StartedAt never change
	err      error
	guarded  *redact.Set // delivered values, for the alarm; nil where none was handed over
	alarm    *redact.Detector
	alarmed  bool
	captures bool // something is cut from what it prints: no name that the command chose is told
	refusals []Denial
	hints    []Hint
	changes  []sandbox.Change // held for a person's word
	from     string           // the run whose changes it went on from
	apart    string           // a run under way whose changes it does not see
	in       string           // the run that went on from its own

	unsettled error // what a person decided about its changes failed
}

// exit is how a run's command ended.
type exit struct{ code int }

func (e *Engine) newLive(record vault.Run, r Request) *live {
	limit := e.o.KeepOutput
	if r.Background {
		limit = e.o.RingOutput
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	handles := record.Handles
	if record.Actor.Type == audit.Operator { // who may know every name
		handles = nil
	}
	return &live{
		ctx: ctx, cancel: cancel, done: make(chan struct{}), keep: e.o.KeepOutput, now: e.o.Clock, record: record,
		text: &transcript{limit: limit},
		mask: &mask{engine: e.masks, own: redact.NewSet(redact.Options{AllowShort: true}), budget: int64(e.o.RedactionBudget), handles: handles},
	}
}

// close settles how the run ended, and records it: before anybody is told.
func (l *live) close(e *Engine, x exit, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second) // whoever asked may be gone
	defer cancel()
	l.mu.Lock()
	l.record.ExitCode = x.code
	l.record.State, l.err = ended(err)
	l.explain(err)
	l.withheld() // the last look: what it needs is erased now
	if l.guarded != nil {
		l.guarded.Wipe()
		l.guarded, l.alarm = nil, nil
	}
	out, errs := l.text.totals()
	l.record.OutBytes, l.record.EndedAt, l.record.Redactions = out+errs, l.now(), int(l.mask.count.Load())
	record := l.record
	l.mu.Unlock()
	l.mask.done()
	if n := record.Redactions; n > 0 {
		if _, err := e.o.Authority.SpendRedactions(ctx, record.Leases, n); err != nil {
			e.o.Log.Error("redactions not counted", "run", record.ID, "cause", fault.Cause(err))
		}
	}
	if e.o.Noted != nil {
		if err := e.o.Noted(ctx); err != nil {
			e.o.Log.Error("events of a run not recorded", "run", record.ID, "cause", fault.Cause(err))
		}
	}
	if err := e.o.Authority.EndRun(ctx, record); err != nil {
		e.o.Log.Error("end of run not recorded", "run", record.ID, "cause", fault.Cause(err))
	}
	l.cancel(nil)
}

// guard sets the alarm for values that the command holds in full.
func (l *live) guard(values *redact.Set) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.guarded = values
}

func (l *live) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

func (l *live) recorded() vault.Run {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.record
}

func (l *live) endedAt() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.record.EndedAt
}

// result tells what may be told: the tails, or the page from an offset on.
func (l *live) result(offset int64, tails bool) Result {
	l.mu.Lock()
	defer l.mu.Unlock()
	running := l.record.State == vault.RunRunning
	r := ofRecord(l.record)
	r.StdoutBytes, r.StderrBytes = l.text.totals()
	r.Captured = l.captured
	r.Denials, r.Hints, r.Changes = slices.Clone(l.refusals), slices.Clone(l.hints), l.changes
	r.From, r.Apart, r.In = l.from, l.apart, l.in
	if l.captures { // a file's name or a host could be the secret that nobody knew yet
		r.Changes = make([]sandbox.Change, len(l.changes))
		for i, c := range l.changes {
			r.Changes[i] = sandbox.Change{Workdir: c.Workdir, Kind: c.Kind}
		}
		r.unplaced()
	}
	r.Redactions, r.Foreign = int(l.mask.count.Load()), int(l.mask.foreign.Load())
	if running {
		r.Duration = l.now().Sub(l.record.StartedAt)
	}
	if r.Withheld = l.withheld(); r.Withheld {
		r.Changes = slices.Clone(r.Changes)
		for i := range r.Changes {
			r.Changes[i].Path = ""
		}
		r.unplaced() // a command's own words, as its output
		r.NextOffset = r.StdoutBytes + r.StderrBytes
		return r
	}
	p, limit := page{}, 8*pageLen // what is not text is shown by up to eight bytes
	if tails {
		p, limit = l.text.all(), l.keep
	} else {
		p = l.text.from(offset, pageLen, running)
	}
	var cut [2]bool
	r.Stdout, cut[0] = shown(p.text[stdout], limit)
	r.Stderr, cut[1] = shown(p.text[stderr], limit)
	r.Truncated = p.cut || cut[0] || cut[1]
	r.NextOffset = p.next
	return r
}

// unplaced leaves of denials and hints only that there were such.
func (r *Result) unplaced() {
	r.Denials, r.Hints = uncounted(r.Denials), unhinted(r.Hints)
}

// withheld runs under mu. It asks before anything is shown: what was handed over in full may come back disguised (threat-model.md 3).
func (l *live) withheld() bool {
	if l.mask.gagged.Load() || l.alarmed {
		return true
	}
	if l.guarded == nil {
		return false
	}
	if l.alarm == nil {
		l.alarm = l.guarded.Detector()
	}
	p := l.text.all()
	for _, text := range p.text {
		if len(text) > 0 && len(l.alarm.Alarm(text)) > 0 {
			l.alarmed = true
		}
		clear(text)
	}
	return l.alarmed
}

// ofRecord is a run without its output.
func ofRecord(r vault.Run) Result {
	res := Result{RunID: r.ID, State: r.State, ExitCode: r.ExitCode, Redactions: r.Redactions, Isolation: r.Isolation, Delivered: maps.Clone(r.Delivered), Truncated: r.OutBytes > 0, Failure: failureOf(r)}
	if !r.EndedAt.IsZero() {
		res.Duration = r.EndedAt.Sub(r.StartedAt)
	}
	return res
}

// sink is where one redacted stream of a run goes.
type sink struct {
	l  *live
	of stream
}

func (s sink) Write(p []byte) (int, error) {
	if s.l.mask.gagged.Load() {
		return 0, errGagged
	}
	s.l.text.write(s.of, p)
	return len(p), nil
}
