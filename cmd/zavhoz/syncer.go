package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/zavhoz/zavhoz/sync"
	"github.com/zavhoz/zavhoz/sync/registry"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
	"github.com/zavhoz/zavhoz/vault/open"
	"github.com/zavhoz/zavhoz/web/api"
)

// syncer is the provider's sync as the daemon runs it; without a configured provider it says so.
type syncer struct {
	clock *sync.Scheduler                                                    // nil: no provider
	ask   func(ctx context.Context, confirmShrunk bool) (rep any, err error) // the daemon that leads; neither: this one does. nil: it is alone
	wake  chan struct{}
}

// newSyncer wires the provider that the configuration names. leads tells whether a cycle is this daemon's to run.
func newSyncer(v *vault.Vault, opener *open.Opener, cfg home.Config, leads func(context.Context) bool, log *slog.Logger) (*syncer, error) {
	c := cfg.Sync.Time4VPS
	if c.Resource == "" {
		return &syncer{wake: make(chan struct{}, 1)}, nil
	}
	provider, err := newTime4VPS(v, opener, c)
	if err != nil {
		return nil, err
	}
	ghosts := slices.Concat(c.GhostServers, sync.SplitGhosts(os.Getenv("GHOST_SERVERS")))
	r := sync.NewReconciler(sync.Options{
		Provider: provider, Registry: registry.New(v), Log: log, Grace: c.MissingGrace,
		Policy: func(context.Context) (sync.Policy, error) {
			return sync.Policy{Ghosts: ghosts, AutoManage: c.AutoManage}, nil
		},
	})
	clock, err := sync.NewScheduler(r, sync.ScheduleOptions{Spec: c.Schedule, Leader: leads, Log: log})
	return &syncer{clock: clock, wake: make(chan struct{}, 1)}, err
}

// Info says how fresh the provider's data is.
func (s *syncer) Info(ctx context.Context) (api.SyncInfo, error) {
	if s.clock == nil {
		return api.SyncInfo{}, nil
	}
	r := s.clock.Reconciler()
	at, err := r.LastSuccess(ctx)
	if err != nil {
		return api.SyncInfo{}, err
	}
	info := api.SyncInfo{Configured: true, LastSuccess: at}
	if !at.IsZero() {
		age := int64(time.Since(at).Seconds())
		info.AgeS = &age
	}
	if last, ran := r.Last(); ran && last.Incident != nil {
		info.Failing, info.Code, info.Failures = true, string(last.Incident.Code), last.Incident.Count
	}
	return info, nil
}

// Now runs a cycle, or joins the one under way, and gives its report. A cycle that read the list and stored it is no error, whatever it found.
func (s *syncer) Now(ctx context.Context, confirmShrunk bool) (any, error) {
	if s.clock == nil {
		return nil, fault.New(fault.SyncNotConfigured, "no provider is configured", "name the resource with its login under sync.time4vps in config.yaml, then `zavhoz stop`")
	}
	if s.ask != nil {
		if rep, err := s.ask(ctx, confirmShrunk); rep != nil || err != nil {
			return rep, err
		}
	}
	if confirmShrunk {
		s.clock.Reconciler().ConfirmShrunk()
	}
	rep, err := s.clock.Trigger(ctx)
	if err != nil {
		return nil, err
	}
	if !rep.Applied && rep.Err() != nil {
		return nil, rep.Err()
	}
	return rep, nil
}

// Wake runs a cycle soon: the vault was unlocked, and what the clock ran meanwhile came to nothing.
func (s *syncer) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run runs cycles by the clock until ctx ends, the first at once.
func (s *syncer) Run(ctx context.Context) {
	if s.clock == nil {
		<-ctx.Done()
		return
	}
	s.clock.Start()
	for s.Wake(); ctx.Err() == nil; {
		select {
		case <-s.wake:
			_, _ = s.clock.Trigger(ctx) // its report and its failure are in Last and in the log
		case <-ctx.Done():
		}
	}
	grace, cancel := context.WithTimeout(context.Background(), stopGrace)
	defer cancel()
	_ = s.clock.Stop(grace)
}

// printReport prints a cycle's report for people: its fields, one a line.
func printReport(w io.Writer, raw json.RawMessage) {
	var m map[string]any
	if json.Unmarshal(raw, &m) != nil {
		return
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(w, "%-14s %v\n", k, m[k])
	}
}
