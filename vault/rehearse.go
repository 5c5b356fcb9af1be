package vault

import (
	"context"
	"errors"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// RehearseAdd gives what AddResource would store, and the values as it would seal them, which the caller wipes. It stores nothing, and does not wipe n.
func (v *Vault) RehearseAdd(ctx context.Context, actor Actor, n NewResource) (r Resource, values map[string]secret.Secret, err error) {
	if r, values, err = v.draft(actor, n); err != nil {
		return r, nil, err
	}
	err = v.view(ctx, func(tx store.Tx) error {
		if n.asked != nil {
			if err := n.asked(tx, true); err != nil {
				return err
			}
		}
		if _, err := v.handles.Get(tx, r.Handle); !errors.Is(err, store.ErrNotFound) {
			return errors.Join(err, handleTaken(r.Handle))
		}
		return v.projectExists(tx, r.Project)
	})
	if err != nil {
		wipeAll(values)
		return r, nil, err
	}
	return r, values, nil
}

// RehearseEdit gives what EditResource would make of a resource. It stores nothing, and does not wipe e.
func (v *Vault) RehearseEdit(ctx context.Context, ref string, e Edit) (next Resource, err error) {
	if err := errors.Join(checkLabels(e.Labels), checkWhy(e.Why)); err != nil {
		return next, err
	}
	err = v.view(ctx, func(tx store.Tx) error {
		old, err := v.byHandle(tx, ref)
		if err != nil {
			return err
		}
		if e.IfVersion != 0 && e.IfVersion != old.Version {
			return fault.Newf(fault.VersionConflict, "the resource is at version %d, not %d", old.Version, e.IfVersion).WithNext("read it again with `zavhoz resource show %s`", old.Handle)
		}
		if err := v.refuseCrossed(tx, old); err != nil {
			return err
		}
		if next, err = v.edited(old, e); err != nil {
			return err
		}
		return v.projectExists(tx, next.Project)
	})
	return next, err
}

// EarlierVersion gives a version of a resource that is kept. Errors: unknown_version.
func (v *Vault) EarlierVersion(ctx context.Context, ref string, version uint64) (old Resource, err error) {
	err = v.view(ctx, func(tx store.Tx) error {
		now, err := v.byHandle(tx, ref)
		if err != nil {
			return err
		}
		if err := v.refuseCrossed(tx, now); err != nil {
			return err
		}
		old, err = v.versions.Get(tx, versionKey(now.ID, version))
		return found(err, fault.Newf(fault.UnknownVersion, "version %d is not kept", version).WithNext("`zavhoz resource history %s` lists the versions", now.Handle))
	})
	return old, err
}

// BeginMove keeps that the file of a resource is about to be given another handle for it, so that the resource is known again under it, with its policy and its
// history, whatever happens between the two writes. An empty handle takes it back. RenameResource ends it.
func (v *Vault) BeginMove(ctx context.Context, ref, handle string) error {
	return v.update(ctx, func(tx store.Tx) error {
		r, err := v.byHandle(tx, ref)
		if err != nil {
			return err
		}
		if handle != "" {
			if err := CheckHandle(handle); err != nil {
				return err
			}
			if _, err := v.handles.Get(tx, handle); !errors.Is(err, store.ErrNotFound) {
				return errors.Join(err, handleTaken(handle))
			}
		}
		r.MovesTo = handle
		return v.resources.Put(tx, r.ID, r)
	})
}

// Record puts an event on record at once: it is durable when Record returns.
func (v *Vault) Record(ctx context.Context, e audit.Event) error {
	return v.update(ctx, func(tx store.Tx) error { return v.audit.Append(tx, e) })
}
