package main

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/zavhoz/zavhoz/run"
	"github.com/zavhoz/zavhoz/vault"
)

// idleness knows how long nobody has been there. A daemon that a door started ends when it is idle without runs or leases.
type idleness struct {
	after time.Duration // 0: never
	mu    sync.Mutex
	open  int
	since time.Time
}

func newIdleness(after time.Duration) *idleness { return &idleness{after: after, since: time.Now()} }

// enter counts a visitor in; what it gives counts it out.
func (i *idleness) enter() (leave func()) {
	i.mu.Lock()
	i.open++
	i.mu.Unlock()
	return func() {
		i.mu.Lock()
		i.open--
		i.since = time.Now()
		i.mu.Unlock()
	}
}

func (i *idleness) wrap(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer i.enter()()
		h.ServeHTTP(w, r)
	})
}

func (i *idleness) long() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.after > 0 && i.open == 0 && time.Since(i.since) >= i.after
}

// endWhenIdle stops the daemon when it has been idle long enough and holds no runs, leases or changes that would go with it.
func (d *daemon) endWhenIdle(ctx context.Context) {
	tick := time.NewTicker(min(max(d.idle.after/10, 50*time.Millisecond), 10*time.Second))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !d.idle.long() {
			continue
		}
		if d.lock.gate.IsShut() {
			if !d.engine.Fleeting() {
				d.log.Info("idle: ending", "locked", true)
				d.stop()
				return
			}
			continue
		}
		if d.byPerson() {
			continue // the next daemon could not unlock the vault; lock_after_s says how long it stays so
		}
		runs, err := d.vault.Runs(ctx, vault.OperatorActor())
		leases, err2 := d.vault.Leases(ctx, vault.OperatorActor())
		held, err3 := d.engine.Holding(vault.OperatorActor())
		if err == nil && err2 == nil && err3 == nil && len(runs)+len(leases) == 0 && !slices.ContainsFunc(held, func(h run.Held) bool { return !h.Lasting }) && d.idle.long() {
			d.log.Info("idle: ending")
			d.stop()
			return
		}
		d.log.Debug("kept though nobody is there", "runs", len(runs), "leases", len(leases), "held", len(held))
	}
}
