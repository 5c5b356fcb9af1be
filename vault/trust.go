package vault

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// trust is what this process knows of the vault beside what the store says: who writes the store past us can take a row away, and a row that is not there bears no mark.
type trust struct {
	presence atomic.Bool                 // something proved the operator's presence; for good, for nothing here takes it away
	lost     atomic.Pointer[fault.Error] // what was found; for as long as this process lives
}

// Distrusted gives record_tampered once the store was found to hold what nobody wrote here: nothing is written then, and nothing answered that is recorded. A new start
// checks everything, and refuses to start, or shows that all is well.
func (v *Vault) Distrusted() error {
	if f := v.trust.lost.Load(); f != nil {
		return f
	}
	return nil
}

// distrust keeps the first thing that was found.
func (v *Vault) distrust(found *fault.Error) error {
	f := fault.New(fault.RecordTampered, "somebody or something other than zavhoz wrote to the vault: "+found.Message,
		"keep a copy of it as evidence and find out who did that; then restore a backup, or start the daemon again: it checks every record").Because(found)
	v.trust.lost.CompareAndSwap(nil, f)
	return v.Distrusted()
}

// Verify checks every record, count and digest (see record.Book), and learns whether something proves the operator's presence.
func (v *Vault) Verify(ctx context.Context) error {
	return StoreFault(v.st.View(ctx, func(tx store.Tx) error {
		if err := v.book.VerifyTx(ctx, tx); err != nil {
			return err
		}
		p, err := v.presence.Get(tx, presenceKey)
		if p.Format != 0 {
			v.trust.presence.Store(true)
		}
		return ignoreNotFound(err)
	}))
}

// Times and bounds of a Guard.
const (
	guardSoon  = 5 * time.Second  // after a change
	guardWalk  = 2 * time.Minute  // the deciding collections, changed or not
	guardAll   = 30 * time.Minute // everything
	guardBound = 2048             // rows of a collection that is checked after each change
)

// deciding are the small collections by whose rows, and by whose missing rows, is decided who may do what. audit_heads changes with every commit: an account of an
// earlier moment does not agree with it.
var deciding = []store.Collection{cSettings, cAgents, cAgentNames, cTokens, cCounters, cLive, cReserves, audit.Heads}

// Guard are the checks of a vault whose database others can write to.
type Guard struct {
	Changes <-chan store.Change // of this vault's store; ends with it
	Uncache func()              // lets what is read next come from the database itself; nil: it does so anyway
	Log     *slog.Logger
	Soon    time.Duration // 0: 5 s
	Walk    time.Duration // 0: 2 minutes
}

// Guard holds what the store says against the accounts until ctx ends: what was changed soon after, what decides every two minutes, everything every half hour. Where
// they do not agree, also when nothing comes from memory, Distrusted says so.
func (v *Vault) Guard(ctx context.Context, g Guard) {
	if g.Soon <= 0 {
		g.Soon = guardSoon
	}
	if g.Walk <= 0 {
		g.Walk = guardWalk
	}
	tick := time.NewTicker(g.Soon)
	defer tick.Stop()
	touched := map[store.Collection]struct{}{}
	walked, all, said := time.Now(), time.Now(), false
	for {
		select {
		case <-ctx.Done():
			return
		case c, open := <-g.Changes:
			if !open {
				return
			}
			touched[c.Collection] = struct{}{}
			continue
		case <-tick.C:
		}
		switch {
		case v.Distrusted() != nil:
		case time.Since(all) >= guardAll:
			v.inspect(ctx, g, true, 0)
			walked, all = time.Now(), time.Now()
			clear(touched)
		case time.Since(walked) >= g.Walk:
			v.inspect(ctx, g, true, 0, deciding...)
			walked = time.Now()
		case len(touched) > 0:
			cols := make([]store.Collection, 0, len(touched))
			for c := range touched {
				cols = append(cols, c)
			}
			clear(touched)
			v.inspect(ctx, g, false, guardBound, cols...)
		}
		if err := v.Distrusted(); err != nil && !said {
			said = true
			g.Log.Error("the vault was written to by somebody else: nothing is written any more", "code", string(fault.CodeOf(err)), "cause", fault.Of(err).Message)
		}
	}
}

// inspect checks collections, of no more rows than most, or all where none is named, and where that fails once more with nothing from memory. What the database does not
// answer, or a locked vault, is no finding.
func (v *Vault) inspect(ctx context.Context, g Guard, fresh bool, most uint64, cols ...store.Collection) {
	check := v.book.VerifyTx
	if len(cols) > 0 {
		check = func(ctx context.Context, tx store.Tx) error { return v.book.VerifyThese(ctx, tx, most, cols...) }
	}
	for range 2 {
		if fresh && g.Uncache != nil {
			g.Uncache()
		}
		err := v.view(ctx, func(tx store.Tx) error { return check(ctx, tx) })
		switch code := fault.CodeOf(err); {
		case code != fault.RecordTampered && code != fault.VaultCorrupt || errors.Is(err, store.ErrRewound):
			return
		case fresh:
			_ = v.distrust(fault.Of(err))
			return
		}
		fresh = true
	}
}
