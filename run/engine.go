package run

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/zavhoz/zavhoz/run/ssh"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// Engine runs. It is safe for concurrent use.
type Engine struct {
	o     Options
	masks *masks // nil without Options.Secrets
	pool  *ssh.Pool

	mu    sync.Mutex
	live  map[string]*live // under way, by run id
	ended []*live          // oldest first
	busy  map[string]int   // runs under way, by agent
	total int
	open  map[string]vault.Run // a person's own runs that have a plan
	shelf shelf                // what runs wrote beside folders

	misses misses // captures that failed
	shut   bool
	asleep bool          // the vault is locked, or about to be
	quiet  chan struct{} // closed when what Sleep ended has ended; nil: Sleep was not called
	late   []vault.Run   // ends of a person's own runs, told while the vault was locked
	wait   sync.WaitGroup
}

// Why a run was ended, as the cause of its context.
var (
	errTimeout  = errors.New("run: timeout")
	errStopped  = errors.New("run: stopped")
	errShutdown = errors.New("run: the daemon ends")
)

const defaultPerAgent = 8

// New makes an Engine. Shut it down.
func New(o Options) *Engine {
	o.setDefaults()
	e := &Engine{o: o, pool: ssh.NewPool(o.SSH), live: map[string]*live{}, busy: map[string]int{}, open: map[string]vault.Run{}}
	if o.Secrets != nil {
		e.masks = &masks{secrets: o.Secrets, idle: o.MatcherIdle}
	}
	if e.asleep = o.Asleep; !e.asleep {
		e.loadShelf()
	}
	return e
}

// Changed tells that secrets of the vault have changed; ids are the resources that did, if known. Later runs see the change.
func (e *Engine) Changed(ids ...string) {
	if e.masks != nil {
		e.masks.changed()
	}
	for _, id := range ids {
		e.pool.Forget(id)
	}
}

// Run runs a request and waits for its end; in the background it returns once the run is recorded. An error is a refusal, or says why the run did not
// come about or broke; Result then says as much as is known. Ending ctx stops a run that is not in the background.
func (e *Engine) Run(ctx context.Context, r Request) (Result, error) {
	if err := r.check(e.o.MaxTimeout); err != nil {
		return Result{}, err
	}
	leave, err := e.enter(r.Actor)
	if err != nil {
		return Result{}, err
	}
	l, err := e.begin(ctx, r, leave)
	if err != nil {
		leave()
		return Result{}, err
	}
	if r.Background {
		return l.result(0, false), nil
	}
	e.follow(ctx, l, r.Progress)
	return l.result(0, true), l.failure()
}

// begin authorises, plans and records; then the run lives on a goroutine of its own.
func (e *Engine) begin(ctx context.Context, r Request, leave func()) (*live, error) {
	uses, err := e.o.Authority.Authorise(ctx, r.Actor, r.Refs)
	if err != nil {
		return nil, err
	}
	p, err := e.plan(ctx, r, uses)
	if err != nil {
		return nil, err
	}
	if err := e.prepareCapture(ctx, &r, uses); err != nil {
		return nil, err
	}
	command, err := e.maskCommand(ctx, r.Command)
	if err != nil {
		return nil, err
	}
	record := p.record(r, command)
	if record.Proposal, err = e.propose(ctx, p, r); err != nil {
		return nil, err
	}
	record, uses, err = e.o.Authority.StartRun(ctx, r.Actor, record, uses)
	if err != nil {
		return nil, e.turnedDown(ctx, err)
	}
	l := e.newLive(record, r)
	l.captures = r.capture != nil
	if p, err = e.again(ctx, p, r, uses); err == nil {
		err = e.prepareCapture(ctx, &r, uses)
	}
	e.mu.Lock()
	if err == nil {
		err = e.refused()
	}
	if err == nil {
		e.live[record.ID] = l
		e.wait.Add(1) // under mu: Shutdown waits for it or has refused it
	}
	e.mu.Unlock()
	if err != nil {
		l.close(e, exit{}, err)
		return nil, err
	}
	e.recheck(ctx, l)
	go func() {
		defer e.wait.Done()
		ctx, cancel := context.WithTimeoutCause(l.ctx, r.Timeout, errTimeout)
		defer cancel()
		x, err := e.execute(ctx, l, p, r)
		l.close(e, x, err)
		e.settle(l)
		leave()
		close(l.done)
	}()
	return l, nil
}

// again plans with what the recording transaction saw: the resources may have changed since the first look. What was recorded is what happens, or nothing: a
// pin that came in between must not hand over what the record calls a placeholder.
func (e *Engine) again(ctx context.Context, first *plan, r Request, uses []vault.Use) (*plan, error) {
	p, err := e.plan(ctx, r, uses)
	if err != nil {
		return nil, err
	}
	return p, first.same(p)
}

// same refuses a plan that comes to something else than what was recorded.
func (p *plan) same(o *plan) error {
	if p.sort != o.sort || p.isolation != o.isolation || !maps.Equal(p.delivered, o.delivered) {
		return fault.New(fault.VersionConflict, "a resource was changed at this moment", "try again")
	}
	return nil
}

// follow waits for the run's end, tells of its progress, and stops it when ctx ends.
func (e *Engine) follow(ctx context.Context, l *live, tell func(Progress)) {
	tick := time.NewTicker(e.o.ProgressEvery)
	defer tick.Stop()
	for {
		select {
		case <-l.done:
			return
		case <-ctx.Done():
			l.cancel(context.Cause(ctx))
			<-l.done
			return
		case <-tick.C:
			if tell != nil {
				out, errs := l.text.totals()
				tell(Progress{l.record.ID, e.o.Clock().Sub(l.record.StartedAt), out + errs})
			}
		}
	}
}

// enter takes a place among the runs under way.
func (e *Engine) enter(a vault.Actor) (leave func(), err error) {
	limit := defaultPerAgent
	if e.o.PerAgent != nil {
		if n := e.o.PerAgent(a); n > 0 {
			limit = n
		}
	}
	who := string(a.Type) + " " + a.ID
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.refused(); err != nil {
		return nil, err
	}
	switch {
	case e.busy[who] >= limit:
		return nil, fault.Newf(fault.Busy, "%d runs of yours are under way, which is the limit", limit).WithNext("wait for one to end, or stop one: stop_run")
	case e.total >= e.o.Total:
		return nil, fault.New(fault.Busy, "too many runs are under way", "try again in a moment")
	}
	e.busy[who]++
	e.total++
	return sync.OnceFunc(func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.total--
		if e.busy[who]--; e.busy[who] == 0 {
			delete(e.busy, who)
		}
	}), nil
}

func shuttingDown() error {
	return fault.New(fault.DaemonUnavailable, "zavhoz is shutting down", "try again in a moment")
}

// Get gives what a run of the actor's has written from an offset on; offset 0 is its beginning, as far as it is still kept.
func (e *Engine) Get(ctx context.Context, actor vault.Actor, runID string, offset int64) (Result, error) {
	record, err := e.o.Authority.GetRun(ctx, actor, runID)
	if err != nil {
		return Result{}, err
	}
	if offset < 0 {
		return Result{}, fault.New(fault.InvalidArgument, "an offset is not negative", "use next_offset of the reply before")
	}
	if l := e.find(runID); l != nil {
		return l.result(offset, false), nil
	}
	if e.away(record) {
		return e.getAway(ctx, actor, record, offset)
	}
	return ofRecord(record), nil
}

// Stop ends a run of the actor's and waits for it.
func (e *Engine) Stop(ctx context.Context, actor vault.Actor, runID string) (Result, error) {
	record, err := e.o.Authority.GetRun(ctx, actor, runID)
	if err != nil {
		return Result{}, err
	}
	l := e.find(runID)
	if l == nil {
		if e.away(record) {
			return e.stopAway(ctx, actor, record)
		}
		return ofRecord(record), nil
	}
	l.cancel(errStopped)
	select {
	case <-l.done:
		return l.result(0, true), nil
	case <-ctx.Done():
		return l.result(0, true), nil // it is being stopped: its state says running
	}
}

func (e *Engine) find(id string) *live {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.forget()
	if l := e.live[id]; l != nil {
		return l
	}
	for _, l := range e.ended {
		if l.record.ID == id {
			return l
		}
	}
	return nil
}

// settle moves a run from those under way to those whose output is still kept.
func (e *Engine) settle(l *live) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.live, l.record.ID)
	e.ended = append(e.ended, l)
	e.forget()
}

// forget runs under mu: it wipes the output of runs that ended long ago, or too many ago.
func (e *Engine) forget() {
	now := e.o.Clock()
	for len(e.ended) > 0 && (len(e.ended) > e.o.KeepRuns || now.Sub(e.ended[0].endedAt()) > e.o.KeepFor) {
		e.ended[0].text.wipe()
		e.ended = e.ended[1:]
	}
}

// Shutdown stops every run and waits for all to be recorded, or for ctx to end. The Engine refuses new ones.
func (e *Engine) Shutdown(ctx context.Context) error {
	e.mu.Lock()
	e.shut = true
	for _, l := range e.live {
		l.cancel(errShutdown)
	}
	e.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.wait.Wait()
		e.clearShelf()
		e.pool.Close()
	}()
	select {
	case <-done:
		e.Changed()
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
