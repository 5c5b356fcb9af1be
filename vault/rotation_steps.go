package vault

import (
	"context"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// noRotation is the answer where none is under way.
func noRotation(handle string) *fault.Error {
	return fault.New(fault.InvalidArgument, "no rotation of "+handle+" is under way", "`zavhoz resource rotate "+handle+"` begins one")
}

// step runs do on the rotation of a resource if it is where x says, and stores what do made of it.
func (v *Vault) step(ctx context.Context, actor Actor, x Rotation, action audit.Action, do func(store.Tx, *Resource, *Rotation) error) (r Resource, now Rotation, err error) {
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
		case kept.Step != x.Step || !kept.BegunAt.Equal(x.BegunAt): // another daemon on the same store was faster
			return fault.New(fault.VersionConflict, "the rotation of "+r.Handle+" has gone on meanwhile", "look where it is: zavhoz resource rotate "+r.Handle+" --status")
		}
		now = *kept
		now.Code, now.Message, now.Next, now.At = "", "", "", v.now()
		if err := do(tx, &r, &now); err != nil {
			return err
		}
		if err := v.rotations.Put(tx, r.ID, now); err != nil {
			return err
		}
		return v.audit.Append(tx, rotationEvent(actor, action, r, now))
	})
	return r, now, err
}

// SealRotation seals what another service made: from begun to made. It wipes secrets.
func (v *Vault) SealRotation(ctx context.Context, actor Actor, x Rotation, secrets map[string]secret.Secret, notes map[string]string) (Rotation, error) {
	defer wipeAll(secrets)
	_, now, err := v.step(ctx, actor, x, audit.RotationBegin, func(_ store.Tx, r *Resource, now *Rotation) error {
		if x.Step != RotationBegun {
			return crossed(r.Handle)
		}
		now.Notes = merged(now.Notes, notes)
		return v.takeNew(*r, now, secrets)
	})
	return now, err
}

// ways are the steps that AdvanceRotation takes, and what each is on record as.
var ways = map[RotationStep]struct {
	from   []RotationStep
	action audit.Action
}{
	RotationInstalled: {[]RotationStep{RotationMade, RotationUndoing}, audit.RotationInstall},
	RotationProven:    {[]RotationStep{RotationInstalled}, audit.RotationProve},
	RotationUndoing:   {[]RotationStep{RotationBegun, RotationMade, RotationInstalled, RotationProven}, audit.RotationUndo},
}

// AdvanceRotation records that a step is done: installed, proven, or undoing (which a person asked for). From undoing it leads to installed again, where the caller has
// seen that the new credential is there and the old one is not.
func (v *Vault) AdvanceRotation(ctx context.Context, actor Actor, x Rotation, to RotationStep) (Rotation, error) {
	w := ways[to]
	_, now, err := v.step(ctx, actor, x, w.action, func(_ store.Tx, r *Resource, now *Rotation) error {
		for _, from := range w.from {
			if from == now.Step {
				now.Step = to
				return nil
			}
		}
		return crossed(r.Handle)
	})
	return now, err
}

func crossed(handle string) error {
	return fault.New(fault.VersionConflict, "the rotation of "+handle+" is not at the step that this needs", "look where it is: zavhoz resource rotate "+handle+" --status")
}

// SwitchRotation gives the resource the new credential, as a new version: from proven to switched. The one before stays at least until the overlap ends.
func (v *Vault) SwitchRotation(ctx context.Context, actor Actor, x Rotation) (Resource, Rotation, error) {
	return v.step(ctx, actor, x, audit.RotationSwitch, func(tx store.Tx, r *Resource, now *Rotation) error {
		if now.Step != RotationProven {
			return crossed(r.Handle)
		}
		for field, was := range now.From {
			if r.Sealed[field].Version != was { // edits are refused meanwhile: this is for what writes past them
				return fault.New(fault.VersionConflict, r.Handle+" has another "+field+" than when its rotation began", "`zavhoz resource rotate "+r.Handle+" --abort` takes it back")
			}
		}
		secrets, err := v.openNew(*r, *now)
		if err != nil {
			return err
		}
		defer wipeAll(secrets)
		next, err := v.edited(*r, Edit{Secrets: secrets})
		if err != nil {
			return err
		}
		now.Base = r.Version
		if err := v.keep(tx, actor, *r, &next, "rotated ("+now.Method+")"); err != nil {
			return err
		}
		now.Step, now.Switched, now.Until = RotationSwitched, next.Version, v.now().Add(time.Duration(now.OverlapS)*time.Second)
		*r = next
		return nil
	})
}

// openNew opens the fields that the resource is to have; what its kind derives from them is not among them.
func (v *Vault) openNew(r Resource, x Rotation) (map[string]secret.Secret, error) {
	k, err := kind.Get(r.Kind)
	if err != nil {
		return nil, err
	}
	out := map[string]secret.Secret{}
	for field, s := range x.Sealed {
		if f, ok := k.Lookup(field); ok && f.Derived {
			continue
		}
		if out[field], err = v.opener.Open(x.FieldRef(field), s.Value); err != nil {
			wipeAll(out)
			return nil, err
		}
	}
	return out, nil
}

// UnswitchRotation gives the resource the old credential again, as a new version: from switched to undoing. The caller has seen that the old one works. Errors:
// unknown_version where it was purged.
func (v *Vault) UnswitchRotation(ctx context.Context, actor Actor, x Rotation) (Resource, Rotation, error) {
	return v.step(ctx, actor, x, audit.RotationUndo, func(tx store.Tx, r *Resource, now *Rotation) error {
		if now.Step != RotationSwitched {
			return crossed(r.Handle)
		}
		old, err := v.oldCredential(tx, *now)
		if err != nil {
			return err
		}
		next := *r
		next.Sealed, next.Attrs = old.Sealed, old.Attrs
		if err := v.keep(tx, actor, *r, &next, "rotation taken back"); err != nil {
			return err
		}
		now.Step = RotationUndoing
		*r = next
		return nil
	})
}

// FailRotation puts on record why a rotation does not get on: the fault is one of ours, and holds no value. It stays where it is.
func (v *Vault) FailRotation(ctx context.Context, actor Actor, x Rotation, f *fault.Error) error {
	return v.update(ctx, func(tx store.Tx) error {
		r, err := v.byHandle(tx, x.Resource)
		if err != nil {
			return err
		}
		kept, err := v.rotationOf(tx, r.ID)
		if err != nil || kept == nil || !kept.BegunAt.Equal(x.BegunAt) {
			return err
		}
		kept.Code, kept.Message, kept.Next, kept.At = string(f.Code), f.Message, f.Next, v.now()
		if err := v.rotations.Put(tx, r.ID, *kept); err != nil {
			return err
		}
		e := rotationEvent(actor, tryOf(kept.Step), r, *kept)
		e.Outcome, e.Code = audit.Failed, kept.Code
		return v.audit.Append(tx, e)
	})
}

// tryOf is what is tried after a step.
func tryOf(s RotationStep) audit.Action {
	switch s {
	case RotationBegun:
		return audit.RotationBegin
	case RotationMade:
		return audit.RotationInstall
	case RotationInstalled:
		return audit.RotationProve
	case RotationProven:
		return audit.RotationSwitch
	case RotationSwitched:
		return audit.RotationRetire
	}
	return audit.RotationAbort
}

// EndRotation takes the record away: the old credential is gone (from switched), or the new one (from undoing). With purge, or where the rotation was begun with it, the versions
// before the switch go for good: the old value is forgotten, and no longer masked.
func (v *Vault) EndRotation(ctx context.Context, actor Actor, x Rotation, purge bool) (r Resource, err error) {
	err = v.update(ctx, func(tx store.Tx) error {
		if r, err = v.byHandle(tx, x.Resource); err != nil {
			return err
		}
		kept, err := v.rotationOf(tx, r.ID)
		if err != nil {
			return err
		}
		if kept == nil || kept.Step != x.Step || !kept.BegunAt.Equal(x.BegunAt) || x.Step != RotationSwitched && x.Step != RotationUndoing {
			return crossed(r.Handle)
		}
		if err := v.rotations.Delete(tx, r.ID); err != nil {
			return err
		}
		if x.Step == RotationUndoing {
			return v.audit.Append(tx, rotationEvent(actor, audit.RotationAbort, r, *kept))
		}
		e := rotationEvent(actor, audit.RotationRetire, r, *kept)
		if purge || kept.Purge {
			gone, err := v.drop(tx, r.ID, func(old Resource, _ time.Time) bool { return old.Version < kept.Switched })
			if err != nil {
				return err
			}
			e.Detail["versions"] = utoa(uint64(len(gone)))
		}
		return v.audit.Append(tx, e)
	})
	return r, err
}

// eachRotated gives the new credentials of rotations: they may be in use before the resources have them.
func (v *Vault) eachRotated(tx store.Tx, handle func(rid string) string, fn func(label string, ref keyring.Ref, sealed string) error) error {
	return v.rotations.Scan(tx, "", "", func(_ string, x Rotation) (bool, error) {
		for field, s := range x.Sealed {
			if err := fn(handle(x.Resource)+"."+field, x.FieldRef(field), s.Value); err != nil {
				return false, err
			}
		}
		return true, nil
	})
}
