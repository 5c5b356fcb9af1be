package sync_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	stdsync "sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zavhoz/zavhoz/sync"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// fake is a provider whose list the test writes. The scheduler's tests run in a bubble with a clock of its own, where no socket may be.
type fake struct {
	mu   stdsync.Mutex
	list func(ctx context.Context) ([]sync.Observed, error)
	n    atomic.Int32
}

func (*fake) Name() string { return "fake" }
func (f *fake) List(ctx context.Context) ([]sync.Observed, error) {
	f.n.Add(1)
	f.mu.Lock()
	list := f.list
	f.mu.Unlock()
	if list == nil {
		return nil, nil
	}
	return list(ctx)
}
func (*fake) Details(context.Context, string) (sync.Details, error) { return sync.Details{}, nil }
func (*fake) Lifecycle(context.Context, string) (sync.Lifecycle, error) {
	return sync.LifecycleUnknown, nil
}

func schedule(t *testing.T, f *fake, o sync.ScheduleOptions) *sync.Scheduler {
	t.Helper()
	o.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	s, err := sync.NewScheduler(sync.NewReconciler(sync.Options{Provider: f, Registry: NewMemoryRegistry(), Log: o.Log}), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func stop(t *testing.T, s *sync.Scheduler) {
	t.Helper()
	if err := s.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestEveryMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		s := schedule(t, f, sync.ScheduleOptions{})
		s.Start()
		time.Sleep(5*time.Minute + 30*time.Second)
		synctest.Wait()
		stop(t, s)
		if n := f.n.Load(); n != 6 { // at once, then every minute
			t.Errorf("%d cycles", n)
		}
		time.Sleep(5 * time.Minute)
		if n := f.n.Load(); n != 6 {
			t.Errorf("%d cycles: some after Stop", n)
		}
		if _, err := s.Trigger(t.Context()); fault.CodeOf(err) != fault.DaemonUnavailable {
			t.Errorf("a trigger after Stop: %v", err)
		}
	})
}

func TestSkipWhileRunningAndDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{list: func(ctx context.Context) ([]sync.Observed, error) { <-ctx.Done(); return nil, ctx.Err() }}
		s := schedule(t, f, sync.ScheduleOptions{Spec: "@every 1m", Deadline: 150 * time.Second})
		s.Start()
		time.Sleep(149 * time.Second)
		if n := f.n.Load(); n != 1 {
			t.Errorf("%d cycles at once", n)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if n := f.n.Load(); n != 2 {
			t.Errorf("%d cycles: the deadline did not end the first", n)
		}
		if last, _ := s.Reconciler().Last(); last.Code != string(fault.TimedOut) {
			t.Errorf("%+v", last)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := s.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("stop: %v", err)
		}
		if last, _ := s.Reconciler().Last(); last.Code != string(fault.Canceled) || !last.Idle {
			t.Errorf("a cycle that was stopped is no outage: %+v", last)
		}
	})
}

func TestAPanickingCycleDoesNotStopTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{list: func(context.Context) ([]sync.Observed, error) { panic("canary") }}
		s := schedule(t, f, sync.ScheduleOptions{Leader: func(context.Context) bool {
			if f.n.Load() == 3 {
				f.n.Add(1)
				panic("a leader hook that panics")
			}
			return true
		}})
		s.Start()
		time.Sleep(6*time.Minute + time.Second)
		synctest.Wait()
		stop(t, s)
		if n := f.n.Load(); n != 7 {
			t.Errorf("%d cycles", n)
		}
	})
}

func TestTriggerJoinsTheRunningCycle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		f := &fake{list: func(ctx context.Context) ([]sync.Observed, error) {
			select {
			case <-gate:
				return []sync.Observed{{ProviderID: "1"}}, nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}}
		s := schedule(t, f, sync.ScheduleOptions{})
		impatient, leave := context.WithCancel(t.Context())
		var wg stdsync.WaitGroup
		wg.Go(func() {
			if _, err := s.Trigger(impatient); fault.CodeOf(err) != fault.TimedOut {
				t.Errorf("a caller that leaves: %v", err)
			}
		})
		for range 20 {
			wg.Go(func() {
				if rep, err := s.Trigger(t.Context()); err != nil || rep.Seen != 1 {
					t.Errorf("%+v, %v", rep, err)
				}
			})
		}
		synctest.Wait()
		leave()
		synctest.Wait()
		close(gate)
		wg.Wait()
		if n := f.n.Load(); n != 1 {
			t.Errorf("%d cycles for 21 callers", n)
		}
		if _, err := s.Trigger(t.Context()); err != nil || f.n.Load() != 2 {
			t.Error("a later trigger runs a cycle of its own")
		}
		stop(t, s)
	})
}

func TestOnlyTheLeaderSyncs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		var leads atomic.Bool
		s := schedule(t, f, sync.ScheduleOptions{Leader: func(context.Context) bool { return leads.Load() }})
		s.Start()
		time.Sleep(3*time.Minute + 30*time.Second)
		synctest.Wait()
		if rep, err := s.Trigger(t.Context()); fault.CodeOf(err) != fault.Busy || !rep.Idle || f.n.Load() != 0 {
			t.Errorf("%+v, %v", rep, err)
		}
		leads.Store(true)
		if _, err := s.Trigger(t.Context()); err != nil || f.n.Load() != 1 {
			t.Errorf("%v", err)
		}
		stop(t, s)
	})
}

func TestABadSchedule(t *testing.T) {
	for _, spec := range []string{"every minute", "* * * *", "61 * * * *", "@every x"} {
		_, err := sync.NewScheduler(sync.NewReconciler(sync.Options{Provider: &fake{}, Registry: NewMemoryRegistry()}), sync.ScheduleOptions{Spec: spec})
		if fault.CodeOf(err) != fault.InvalidArgument {
			t.Errorf("%q: %v", spec, err)
		}
	}
}
