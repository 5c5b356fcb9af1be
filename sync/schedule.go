package sync

import (
	"context"
	"log/slog"
	stdsync "sync"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// ScheduleOptions say when cycles run.
type ScheduleOptions struct {
	Spec     string                         // cron (five fields, UTC) or "@every 1m"; default every minute
	Deadline time.Duration                  // of one cycle; default 50 s, so that a stuck cycle costs one
	Leader   func(ctx context.Context) bool // whether this replica syncs; nil: always
	Log      *slog.Logger                   // default slog.Default
}

// Scheduler runs a reconciler's cycles by the clock and on demand, never two at a time. It owns the goroutines it starts: Stop waits for them.
type Scheduler struct {
	r    *Reconciler
	o    ScheduleOptions
	cron *cron.Cron
	base context.Context // of every cycle: a caller that leaves does not end the cycle that others joined
	end  context.CancelFunc

	mu      stdsync.Mutex
	flight  *flight
	stopped bool
	wg      stdsync.WaitGroup
}

// flight is a running cycle and those who wait for it.
type flight struct {
	done   chan struct{}
	report Report
}

// NewScheduler makes a Scheduler over r; Start starts the clock. The error is fault invalid_argument for a spec that is none.
func NewScheduler(r *Reconciler, o ScheduleOptions) (*Scheduler, error) {
	if o.Spec == "" {
		o.Spec = "* * * * *"
	}
	if o.Deadline <= 0 {
		o.Deadline = 50 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	s := &Scheduler{r: r, o: o}
	s.base, s.end = context.WithCancel(context.Background())
	l := cronLog{o.Log}
	// Recover sits inside SkipIfStillRunning: outside it, a panic would keep the token for ever, and no cycle would run again.
	s.cron = cron.New(cron.WithLocation(time.UTC), cron.WithLogger(l), cron.WithChain(cron.SkipIfStillRunning(l), cron.Recover(l)))
	if _, err := s.cron.AddFunc(o.Spec, s.tick); err != nil {
		s.end()
		return nil, fault.New(fault.InvalidArgument, "the sync schedule is not a cron line", "write five fields, as in \"* * * * *\", or \"@every 1m\"").Because(err)
	}
	return s, nil
}

// Start starts the clock, and a first cycle at once.
func (s *Scheduler) Start() {
	s.cron.Start()
	s.launch()
}

// tick is the clock's: a cycle that someone else started and that still runs is enough.
func (s *Scheduler) tick() {
	if f, mine := s.launch(); mine {
		<-f.done
	}
}

// launch starts a cycle unless one runs; it gives the running one and whether it is new. nil after Stop.
func (s *Scheduler) launch() (*flight, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped || s.flight != nil {
		return s.flight, false
	}
	f := &flight{done: make(chan struct{})}
	s.flight = f
	s.wg.Go(func() { s.fly(f) })
	return f, true
}

func (s *Scheduler) fly(f *flight) {
	defer func() {
		s.mu.Lock()
		s.flight = nil
		s.mu.Unlock()
		close(f.done)
	}()
	f.report = Report{Provider: s.r.Provider()}
	f.report.fail(fault.New(fault.Internal, "the cycle ended before it could report", "see the daemon's log"))
	err := guarded(func() error {
		ctx, cancel := context.WithTimeout(s.base, s.o.Deadline)
		defer cancel()
		if s.o.Leader != nil && !s.o.Leader(ctx) {
			f.report = s.follow()
			return nil
		}
		f.report = s.r.Cycle(ctx)
		return nil
	})
	if err != nil {
		s.o.Log.Error("sync: a cycle panicked", "provider", s.r.Provider())
	}
}

func (s *Scheduler) follow() Report {
	rep := Report{Provider: s.r.Provider(), Idle: true}
	rep.fail(fault.New(fault.Busy, "another replica syncs this provider", "look at the list: it is kept fresh by the other one"))
	return rep
}

// Trigger runs a cycle now, or joins the one that runs, and gives its report. When ctx ends the caller leaves; the cycle goes on.
func (s *Scheduler) Trigger(ctx context.Context) (Report, error) {
	f, _ := s.launch()
	if f == nil {
		return Report{}, fault.New(fault.DaemonUnavailable, "the daemon is stopping", "try again")
	}
	select {
	case <-f.done:
		return f.report.clone(), f.report.Err()
	case <-ctx.Done():
		return Report{}, fault.New(fault.TimedOut, "the cycle still runs", "`zavhoz server list` shows its result later").Because(ctx.Err())
	}
}

// Reconciler is the one whose cycles these are.
func (s *Scheduler) Reconciler() *Reconciler { return s.r }

// Stop stops the clock, lets a running cycle end, and cancels it when ctx ends first. No goroutine of ours is left when it returns.
func (s *Scheduler) Stop(ctx context.Context) error {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	ticks := s.cron.Stop()
	quiet := make(chan struct{})
	go func() {
		s.wg.Wait()
		<-ticks.Done()
		close(quiet)
	}()
	defer s.end()
	select {
	case <-quiet:
		return nil
	case <-ctx.Done():
		s.end()
		<-quiet
		return ctx.Err()
	}
}

// cronLog passes the clock's own words on, at debug: that a cycle was skipped since one runs is no news.
type cronLog struct{ log *slog.Logger }

var _ cron.Logger = cronLog{}

// Info logs at debug.
func (l cronLog) Info(msg string, _ ...any) { l.log.Debug("sync clock: " + msg) }

// Error logs what failed without the text of the error or the stack: a panic's value may hold anything.
func (l cronLog) Error(err error, msg string, _ ...any) {
	l.log.Error("sync clock: "+msg, "cause", fault.Cause(err))
}
