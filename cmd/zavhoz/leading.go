package main

import (
	"context"
	"sync"
	"sync/atomic"
)

// leader is a store that several daemons share, of which one at a time does what the clock asks for.
type leader interface {
	Lead(ctx context.Context, name, who string, fn func(context.Context)) error
	Leader(ctx context.Context, name string) (who string, err error)
}

// clock is the name under which daemons lead.
const clock = "clock"

// leadership tells whether this daemon is the one that does it: always, where nobody shares its store.
type leadership struct{ is atomic.Bool }

func (l *leadership) holds(context.Context) bool { return l.is.Load() }

// byClock does what the clock asks for, sync, overlaps and ends of rotations, expiry, on one daemon of all that share the vault, until ctx ends. One that is locked could do nothing: it
// leaves it to the others.
func (d *daemon) byClock(ctx context.Context) {
	work := func(ctx context.Context) {
		d.leads.is.Store(true)
		defer d.leads.is.Store(false)
		d.sync.Wake()
		var wg sync.WaitGroup
		wg.Go(func() { d.keys.Run(ctx) })
		wg.Go(func() { d.rotate.Run(ctx) })
		wg.Go(func() { d.sweep(ctx) })
		if d.shares() {
			wg.Go(func() { d.callRoll(ctx) })
		}
		wg.Wait()
	}
	l, shared := d.lock.raw.(leader)
	if !shared {
		work(ctx)
		return
	}
	for ctx.Err() == nil {
		shut, changed := d.lock.gate.Turn()
		if shut {
			select {
			case <-changed:
			case <-ctx.Done():
			}
			continue
		}
		open, lock := context.WithCancel(ctx)
		var wg sync.WaitGroup
		wg.Go(func() {
			select {
			case <-changed:
				lock()
			case <-open.Done():
			}
		})
		_ = l.Lead(open, clock, d.vault.Self().ID, work) // ends with open, or with the store
		lock()
		wg.Wait()
		if open.Err() == nil {
			return
		}
	}
}
