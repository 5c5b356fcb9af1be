package vault

import (
	"context"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/audit"
)

// AbandonRotation ends a rotation without looking at anything elsewhere: for a server or a service that is gone, where neither its end nor its beginning can be
// reached. The resource has the old credential; the new one stays as a former version, so that nothing is lost whichever of the two works there. Errors:
// invalid_argument where none is under way, version_conflict.
func (v *Vault) AbandonRotation(ctx context.Context, actor Actor, x Rotation) (r Resource, err error) {
	err = v.update(ctx, func(tx store.Tx) error {
		if r, err = v.byHandle(tx, x.Resource); err != nil {
			return err
		}
		kept, err := v.rotationOf(tx, r.ID)
		switch {
		case err != nil:
			return err
		case kept == nil:
			return noRotation(r.Handle)
		case kept.Step != x.Step || !kept.BegunAt.Equal(x.BegunAt):
			return crossed(r.Handle)
		}
		if err := v.keepBoth(tx, actor, &r, *kept); err != nil {
			return err
		}
		if err := v.rotations.Delete(tx, r.ID); err != nil {
			return err
		}
		e := rotationEvent(actor, audit.RotationAbort, r, *kept)
		e.Detail["forced"] = "yes"
		return v.audit.Append(tx, e)
	})
	return r, err
}

// keepBoth leaves the old credential as the resource's, and the new one as the version before.
func (v *Vault) keepBoth(tx store.Tx, actor Actor, r *Resource, x Rotation) error {
	if len(x.Sealed) == 0 {
		return nil // it was not made
	}
	old, err := v.oldCredential(tx, x)
	if err != nil {
		return err
	}
	if x.Step != RotationSwitched {
		secrets, err := v.openNew(*r, x)
		if err != nil {
			return err
		}
		defer wipeAll(secrets)
		fresh, err := v.edited(*r, Edit{Secrets: secrets})
		if err != nil {
			return err
		}
		if err := v.keep(tx, actor, *r, &fresh, "the new credential of a rotation that was given up"); err != nil {
			return err
		}
		*r = fresh
	}
	next := *r
	next.Sealed = old.Sealed
	if err := v.keep(tx, actor, *r, &next, "rotation given up"); err != nil {
		return err
	}
	*r = next
	return nil
}
