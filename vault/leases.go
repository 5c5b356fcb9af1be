package vault

import (
	"context"
	"errors"
	"slices"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/id"
	"github.com/zavhoz/zavhoz/vault/record"
)

// putLease stores a live lease with the row that leads to it from its resource.
func (v *Vault) putLease(tx store.Tx, l Lease) error {
	if err := errors.Join(v.leases.Put(tx, l.ID, l), v.live.Put(tx, l.Resource+"/"+l.ID, link{l.ID})); err != nil {
		return err
	}
	return v.countLeases(tx, l, 1)
}

// countLeases keeps the number of an agent's live explicit leases.
func (v *Vault) countLeases(tx store.Tx, l Lease, by int) error {
	if l.Implicit {
		return nil
	}
	key := leaseCount(Agent{ID: l.Agent})
	c, err := v.counters.Get(tx, key)
	if err = ignoreNotFound(err); err != nil {
		return err
	}
	if by > 0 {
		c.Uses++
	} else if c.Uses > 0 {
		c.Uses--
	}
	if c.Uses == 0 {
		return v.counters.Delete(tx, key)
	}
	return v.counters.Put(tx, key, c)
}

// endLease marks a lease as ended and takes it off the live ones.
func (v *Vault) endLease(tx store.Tx, l *Lease, why string) error {
	l.ReleasedAt, l.ReleasedWhy = v.now(), why
	if err := v.live.Delete(tx, l.Resource+"/"+l.ID); err != nil {
		return err
	}
	if err := v.countLeases(tx, *l, -1); err != nil {
		return err
	}
	return v.leases.Put(tx, l.ID, *l)
}

// endLeases ends every live lease that which says.
func (v *Vault) endLeases(tx store.Tx, which func(Lease) bool, why string) error {
	return v.endLeasesUnder(tx, "", which, why)
}

// endLeasesOf ends what agents hold of a resource that is gone: leases, requests and words.
func (v *Vault) endLeasesOf(tx store.Tx, rid, why string) error {
	if err := v.endApprovalsOf(tx, rid); err != nil {
		return err
	}
	return v.endLeasesUnder(tx, rid+"/", func(Lease) bool { return true }, why)
}

func (v *Vault) endLeasesUnder(tx store.Tx, prefix string, which func(Lease) bool, why string) error {
	var ending []Lease
	err := v.live.Scan(tx, prefix, "", func(_ string, l link) (bool, error) {
		x, err := v.leases.Get(tx, l.ID)
		if err == nil && which(x) {
			ending = append(ending, x)
		}
		return true, err
	})
	for _, l := range ending {
		err = errors.Join(err, v.endLease(tx, &l, why))
	}
	return err
}

// Release ends an agent's own lease, and for an operator anybody's. Releasing one that has ended already is no error.
func (v *Vault) Release(ctx context.Context, actor Actor, leaseID string) (l Lease, err error) {
	err = v.update(ctx, func(tx store.Tx) error {
		if !id.Is(leaseID, id.Lease) {
			return noLease()
		}
		if l, err = v.leases.Get(tx, leaseID); err != nil {
			return found(err, noLease())
		}
		if actor.Type == audit.Agent && l.Agent != actor.ID {
			return noLease()
		}
		if !l.ReleasedAt.IsZero() {
			return nil
		}
		why := "released"
		if actor.Type != audit.Agent {
			why = "revoked"
		}
		if err := v.endLease(tx, &l, why); err != nil {
			return err
		}
		return v.audit.Append(tx, audit.Event{Actor: actor, Action: audit.LeaseRelease, Outcome: audit.Allowed, Subject: l.ID, Handle: l.Handle})
	})
	if locked(err) && id.Is(leaseID, id.Lease) { // it gives nothing while the vault is locked, and nothing after
		return Lease{ID: leaseID}, v.releaseLater(actor, leaseID)
	}
	if err != nil {
		subject := ""
		if id.Is(leaseID, id.Lease) {
			subject = leaseID
		}
		return Lease{}, v.deny(ctx, actor, audit.LeaseRelease, subject, "", err)
	}
	return l, nil
}

// Leases lists the live leases, of one agent where actor is one, for status and the operator.
func (v *Vault) Leases(ctx context.Context, actor Actor) (out []Lease, err error) {
	err = v.view(ctx, func(tx store.Tx) error {
		out = nil
		return v.live.Scan(tx, "", "", func(_ string, l link) (bool, error) {
			x, err := v.leases.Get(tx, l.ID)
			if err == nil && v.leaseLives(x) == nil && (actor.Type != audit.Agent || x.Agent == actor.ID) {
				out = append(out, x)
			}
			return true, err
		})
	})
	return out, err
}

// SpendRedactions counts n secret values that a run printed against its leases; a lease over budget ends (threat-model.md 60). It tells whether one did.
func (v *Vault) SpendRedactions(ctx context.Context, leases []string, n int) (ended bool, err error) {
	err = v.update(ctx, func(tx store.Tx) error {
		ended = false
		for _, lid := range leases {
			l, err := v.leases.Get(tx, lid)
			if errors.Is(err, store.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			l.Redactions += n
			if l.Redactions <= v.budget || !l.ReleasedAt.IsZero() {
				if err := v.leases.Put(tx, l.ID, l); err != nil {
					return err
				}
				continue
			}
			ended = true
			if err := v.endLease(tx, &l, "redactions"); err != nil {
				return err
			}
			e := audit.Event{Actor: SystemActor("redactor"), Action: audit.LeaseRelease, Outcome: audit.Denied, Subject: l.ID, Handle: l.Handle, Detail: map[string]string{"why": "redactions"}}
			if err := v.audit.Append(tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	return ended, err
}

// sweepBatch bounds how many records of a sort one Sweep forgets.
const sweepBatch = 500

// Sweep ends leases and requests that have expired, and forgets leases, runs, requests and idempotency keys that ended before keep. The daemon calls it every minute. It looks in a
// View, and writes only what it found: months of ended runs must not hold up the one writer every minute.
func (v *Vault) Sweep(ctx context.Context) error {
	now := v.now()
	old := now.Add(-KeepEnded)
	expired := func(l Lease) bool { return !now.Before(l.ExpiresAt) }
	oldLease := func(l Lease) bool { return !l.ReleasedAt.IsZero() && l.ReleasedAt.Before(old) }
	oldRun := func(r Run) bool { return r.State != RunRunning && r.EndedAt.Before(old) }
	oldKey := func(r idemRow) bool { return r.Until.Before(now) }
	oldIntake := func(i Intake) bool { return i.ExpiresAt.Before(old) }
	over := func(a Approval) bool { return v.stateOf(a) == ApprovalExpired && live(a.State) }
	oldAsked := func(a Approval) bool { return !a.EndedAt.IsZero() && a.EndedAt.Before(old) }
	var leases, runs, keys, intakes, asked []string
	due := false
	err := v.view(ctx, func(tx store.Tx) (err error) {
		if due, err = v.anyLive(tx, expired); err != nil {
			return err
		}
		asks, err := v.askedBy(tx, "")
		due = due || slices.ContainsFunc(asks, over)
		return errors.Join(err, find(tx, v.leases, oldLease, &leases), find(tx, v.runs, oldRun, &runs), find(tx, v.idem, oldKey, &keys), find(tx, v.intakes, oldIntake, &intakes), find(tx, v.approvals, oldAsked, &asked))
	})
	if err != nil || !due && len(leases)+len(runs)+len(keys)+len(intakes)+len(asked) == 0 {
		return err
	}
	return v.update(ctx, func(tx store.Tx) error {
		if err := errors.Join(v.endLeases(tx, expired, "expired"), v.endApprovals(tx, "", over, "")); err != nil {
			return err
		}
		return errors.Join(forget(tx, v.leases, oldLease, leases), forget(tx, v.runs, oldRun, runs), forget(tx, v.idem, oldKey, keys), forget(tx, v.intakes, oldIntake, intakes), forget(tx, v.approvals, oldAsked, asked))
	})
}

// anyLive tells whether a live lease is one that which says.
func (v *Vault) anyLive(tx store.Tx, which func(Lease) bool) (any bool, err error) {
	err = v.live.Scan(tx, "", "", func(_ string, l link) (bool, error) {
		x, err := v.leases.Get(tx, l.ID)
		any = err == nil && which(x)
		return !any, err
	})
	return any, err
}

// find gives the keys of records that are over, at most sweepBatch.
func find[T any](tx store.Tx, set *record.Set[T], over func(T) bool, keys *[]string) error {
	*keys = nil
	return set.Scan(tx, "", "", func(k string, x T) (bool, error) {
		if over(x) {
			*keys = append(*keys, k)
		}
		return len(*keys) < sweepBatch, nil
	})
}

// forget deletes what was found, where it is still over: an idempotency key may have been used anew meanwhile.
func forget[T any](tx store.Tx, set *record.Set[T], over func(T) bool, keys []string) error {
	for _, k := range keys {
		x, err := set.Get(tx, k)
		if err == nil && over(x) {
			err = set.Delete(tx, k)
		}
		if err = ignoreNotFound(err); err != nil {
			return err
		}
	}
	return nil
}
