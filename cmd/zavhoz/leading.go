package main

import (
	"context"
	"sync"
	"sync/atomic"
)

// leader is a store that several daemons share, of which one at a time does what the clock asks for.
type leader interface {
	Lead(ctx context.Context, name string, fn func(context.Context)) error
}

// leadership tells whether this daemon is the one that does it: always, where nobody shares its store.
type leadership struct{ is atomic.Bool }

func (l *leadership) holds(context.Context) bool { return l.is.Load() }

// byClock does what the clock asks for, sync, overlaps of rotations, expiry, on one daemon of all that share the vault, until ctx ends.
func (d *daemon) byClock(ctx context.Context) {
	work := func(ctx context.Context) {
		d.leads.is.Store(true)
		defer d.leads.is.Store(false)
		d.sync.Wake()
		var wg sync.WaitGroup
		wg.Go(func() { d.rotate.Run(ctx) })
		wg.Go(func() { d.sweep(ctx) })
		wg.Wait()
	}
	if l, shared := d.lock.raw.(leader); shared {
		_ = l.Lead(ctx, "clock", work) // ends with ctx, or with the store
		return
	}
	work(ctx)
}
