package vault

import (
	"context"
	"errors"
	"sync"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
)

// Gate is a store that can be shut: a locked vault's. While it is shut every transaction is refused with vault_locked before it begins. Shutting waits for those under
// way, so that the keys are never wiped under one of them: a record written without them would bear a mark that no key makes.
type Gate struct {
	st store.Store

	mu    sync.Mutex
	state gateState
	turn  chan struct{} // closed when state changes; nil: nobody waits
	under int           // transactions under way
	empty chan struct{} // closed when the last of them ends; nil: nobody waits

	keys  *keyring.Keyring            // held against the header that each transaction sees; nil: nobody else changes it
	moved func(context.Context) error // gets the keys that it lacks
	alone sync.RWMutex                // held by who changes the header, and by every other write for reading
}

var _ store.Warmer = (*Gate)(nil)

// gateState is who may pass.
type gateState int

const (
	gateOpen   gateState = iota
	gateWaking           // only what makes the vault fit to answer
	gateShut
)

type wakingKey struct{}

// waking marks what belongs to the unlocking itself.
func waking(ctx context.Context) context.Context { return context.WithValue(ctx, wakingKey{}, true) }

// NewGate puts a gate before a store.
func NewGate(st store.Store, shut bool) *Gate {
	g := &Gate{st: st}
	if shut {
		g.state = gateShut
	}
	return g
}

// Follow holds the keys against the header from the begin of each transaction on, for a store of which other daemons replace the data key: what is sealed is sealed under the present
// one. Where the header has a key that they lack, moved gets it, outside of any transaction, and the transaction begins anew. To be called before the first of them.
func (g *Gate) Follow(k *keyring.Keyring, moved func(context.Context) error) {
	g.keys, g.moved = k, moved
}

// errMoved says that another daemon replaced the data key.
var errMoved = errors.New("vault: the data key is another")

// heeding puts the look at the header before fn.
func (g *Gate) heeding(writes bool, fn func(store.Tx) error) func(store.Tx) error {
	if g.keys == nil {
		return fn
	}
	return func(tx store.Tx) error {
		missing, err := g.keys.Heed(tx, writes)
		if missing {
			err = errMoved
		}
		if err != nil {
			return err
		}
		return fn(tx)
	}
}

// pass lets one transaction through.
func (g *Gate) pass(ctx context.Context, do func(context.Context, func(store.Tx) error) error, fn func(store.Tx) error) error {
	for range 3 {
		if err := g.enter(ctx); err != nil {
			return err
		}
		err := func() error {
			defer g.leave()
			return do(ctx, fn)
		}()
		if !errors.Is(err, errMoved) {
			return err
		}
		if err := g.moved(ctx); err != nil {
			return err
		}
	}
	return fault.New(fault.Busy, "the data key was replaced at this moment", "try again")
}

// Turn tells whether the gate is shut for whoever comes, and when that may be different.
func (g *Gate) Turn() (shut bool, changed <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.turn == nil {
		g.turn = make(chan struct{})
	}
	return g.state != gateOpen, g.turn
}

// set runs under mu.
func (g *Gate) set(s gateState) {
	g.state = s
	if g.turn != nil {
		close(g.turn)
		g.turn = nil
	}
}

// Shut refuses what comes and waits for what is under way, or for ctx.
func (g *Gate) Shut(ctx context.Context) error {
	g.mu.Lock()
	g.set(gateShut)
	if g.under == 0 {
		g.mu.Unlock()
		return nil
	}
	if g.empty == nil {
		g.empty = make(chan struct{})
	}
	empty := g.empty
	g.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return StoreFault(ctx.Err())
	}
}

// Wake lets through what Vault.Awaken does, and the audit records, once the keys are there. Everybody else waits for Open.
func (g *Gate) Wake() { g.become(gateWaking) }

// Open lets every transaction through.
func (g *Gate) Open() { g.become(gateOpen) }

func (g *Gate) become(s gateState) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.set(s)
}

// IsShut tells whether the vault is locked, as far as anybody who comes is concerned.
func (g *Gate) IsShut() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state != gateOpen
}

func (g *Gate) enter(ctx context.Context) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state == gateShut || g.state == gateWaking && ctx.Value(wakingKey{}) == nil {
		return ErrLocked()
	}
	g.under++
	return nil
}

func (g *Gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.under--; g.under == 0 && g.empty != nil {
		close(g.empty)
		g.empty = nil
	}
}

// View implements store.Store.
func (g *Gate) View(ctx context.Context, fn func(store.Tx) error) error {
	return g.pass(ctx, g.st.View, g.heeding(false, fn))
}

// Update implements store.Store.
func (g *Gate) Update(ctx context.Context, fn func(store.Tx) error) error {
	if g.keys == nil {
		return g.pass(ctx, g.st.Update, fn)
	}
	g.alone.RLock()
	defer g.alone.RUnlock()
	return g.pass(ctx, g.st.Update, g.heeding(true, fn))
}

// Warm implements store.Warmer, where the store does.
func (g *Gate) Warm(ctx context.Context, c store.Collection, keys ...string) {
	w, ok := g.st.(store.Warmer)
	if !ok || g.enter(ctx) != nil {
		return
	}
	defer g.leave()
	w.Warm(ctx, c, keys...)
}

// UpdateAlone is Update for what changes the header: no other write of this process runs beside it, which could see the new header, and seal under its key, before it is durable.
func (g *Gate) UpdateAlone(ctx context.Context, fn func(store.Tx) error) error {
	if g.keys != nil {
		g.alone.Lock()
		defer g.alone.Unlock()
	}
	return g.pass(ctx, g.st.Update, g.heeding(true, fn))
}

// Watch implements store.Store: what is watched for is no secret.
func (g *Gate) Watch(ctx context.Context) <-chan store.Change { return g.st.Watch(ctx) }

// Close implements store.Store.
func (g *Gate) Close() error { return g.st.Close() }

// ErrLocked is the one answer of a locked vault.
func ErrLocked() error { return keyring.ErrLocked() }

// locked tells whether an error is that answer.
func locked(err error) bool { return fault.CodeOf(err) == fault.VaultLocked }
