package vault

import (
	"context"
	"sync"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/record"
)

// Bounds of what is asked of a locked vault and done when it is unlocked: of all, and of each actor, so that none of them takes the others' place.
const (
	maxPending      = 1024
	maxPendingActor = 64
)

// pending is what a locked vault was asked to take back: leases that their agents released.
type pending struct {
	mu       sync.Mutex
	releases []release
	woke     bool // Awaken was called
}

type release struct {
	actor Actor
	lease string
}

// releaseLater keeps a release for the unlocking, once. Who is not known releases nothing then, and is refused now. It gives nothing away: whose lease it is, and whether there is one, is seen then.
func (v *Vault) releaseLater(actor Actor, leaseID string) error {
	v.later.mu.Lock()
	defer v.later.mu.Unlock()
	if actor.Type == audit.Agent && actor.ID == "" {
		return ErrLocked()
	}
	of := 0
	for _, r := range v.later.releases {
		if r.actor.Type != actor.Type || r.actor.ID != actor.ID {
			continue
		}
		if r.lease == leaseID {
			return nil
		}
		of++
	}
	if len(v.later.releases) >= maxPending || of >= maxPendingActor {
		return ErrLocked()
	}
	v.later.releases = append(v.later.releases, release{actor, leaseID})
	return nil
}

// Awaken makes a vault that was unlocked fit to answer: it checks every record, count and digest, records how it came to be open, marks what runs a daemon before left, and does what was asked of it while
// it was locked. It passes a Gate that lets through this alone. Errors: record_tampered or vault_corrupt, and what recording gives; then lock it again.
func (v *Vault) Awaken(ctx context.Context, e audit.Event) error {
	ctx = waking(ctx)
	if err := v.Verify(ctx); err != nil {
		return err
	}
	if err := v.Noted(ctx); err != nil { // what could not be written before is written now, or nothing more can be
		return err
	}
	if err := v.Note(ctx, e); err != nil {
		return err
	}
	if err := v.Noted(ctx); err != nil {
		return err
	}
	v.later.mu.Lock()
	first := !v.later.woke
	v.later.woke = true
	all := v.later.releases
	v.later.releases = nil
	v.later.mu.Unlock()
	switch {
	case v.replica.ID != "": // whose runs are lost, the Roll tells
		if err := v.Join(ctx); err != nil {
			return err
		}
	case first: // later no run is under way but a person's own, which is told of
		if _, err := v.MarkLost(ctx); err != nil {
			return err
		}
	}
	for _, r := range all {
		_, _ = v.Release(ctx, r.actor, r.lease) // a refusal is on record
	}
	return nil
}

// PresenceUnder gives what proves the operator's presence, by a candidate's keys: those of an unlocking that is not allowed yet. set is false where nothing does.
func PresenceUnder(ctx context.Context, st store.Store, k *keyring.Keyring) (p keyring.Presence, set bool, err error) {
	rows := record.NewSet[keyring.Presence](record.NewBook(k), cSettings)
	err = StoreFault(st.View(ctx, func(tx store.Tx) (err error) {
		p, err = rows.Get(tx, presenceKey)
		set = err == nil
		return ignoreNotFound(err)
	}))
	return p, set, err
}

// errForgetful says that what happened while the vault was locked is more than is kept of it.
var errForgetful = fault.New(fault.AuditUnavailable, "too much was refused while the vault was locked to keep a record of it", "unlock the vault")
