package vault

import (
	"context"
	"errors"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// MayGoOn tells whether a run that is under way may go on: its agent is there, its leases were not given back or taken away, and its resources are there, active
// and still for that agent. A lease that has expired since, or whose uses are spent, ends no run: it was good when the run began. Errors: unknown_agent,
// lease_released, unknown_resource, resource_disabled; others say that it could not be told.
func (v *Vault) MayGoOn(ctx context.Context, run Run) error {
	if run.Actor.Type != audit.Agent {
		return nil // a person's own: they end it themselves
	}
	return v.view(ctx, func(tx store.Tx) error {
		a, err := v.agentOf(tx, run.Actor)
		if err != nil {
			return err
		}
		for _, lid := range run.Leases {
			l, err := v.leases.Get(tx, lid)
			if errors.Is(err, store.ErrNotFound) {
				return fault.New(fault.LeaseReleased, "a lease of the run is gone", "")
			}
			if err != nil {
				return err
			}
			if err := v.leaseHolds(tx, a, l); err != nil {
				return err
			}
		}
		return nil
	})
}

// leaseHolds tells whether nobody has ended the lease, its resource or the agent's right to it.
func (v *Vault) leaseHolds(tx store.Tx, a Agent, l Lease) error {
	if !l.ReleasedAt.IsZero() && l.ReleasedWhy != "expired" {
		return fault.New(fault.LeaseReleased, "a lease of the run was released", "")
	}
	r, err := v.resources.Get(tx, l.Resource)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return noResource()
	case err != nil:
		return err
	case r.Status != Active:
		return fault.New(fault.ResourceDisabled, "the operator disabled "+r.Handle, "")
	case !visible(r, a):
		return noResource()
	}
	return nil
}
