package rotate

import (
	"context"

	"github.com/zavhoz/zavhoz/vault"
)

// Abort takes a rotation back: the resource has the old credential, which was seen to work where that can be seen, and the new one goes. What stops within it is
// gone on with by Abort only. Errors: invalid_argument where none is under way, unknown_version where the old one was purged, those of the method.
func (t *Rotator) Abort(ctx context.Context, actor vault.Actor, ref string) (State, error) {
	m, j, leave, err := t.take(ctx, ref)
	if err != nil {
		return State{}, err
	}
	defer leave()
	if err := t.abort(ctx, actor, m, j); err != nil {
		t.fail(ctx, actor, j, err)
		return j.state(""), err
	}
	return j.state("aborted"), nil
}

// Abandon ends a rotation without looking at anything elsewhere: for what is gone, or lets neither end be reached. The resource has the old credential, and the
// new one stays as its version before. Errors: invalid_argument where none is under way, resource_busy, unknown_version where the old one was purged.
func (t *Rotator) Abandon(ctx context.Context, actor vault.Actor, ref string) (State, error) {
	_, j, leave, err := t.take(ctx, ref)
	if err != nil {
		return State{}, err
	}
	defer leave()
	if j.Resource, err = t.o.Vault.AbandonRotation(ctx, actor, j.Rotation); err != nil {
		return State{}, err
	}
	j.Remark("nothing was looked at or changed outside of the vault; if the old credential is good no longer, the new one is the version before: zavhoz resource history " + j.Resource.Handle)
	return j.state("aborted"), nil
}

func (t *Rotator) abort(ctx context.Context, actor vault.Actor, m Method, j *Job) (err error) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	v := t.o.Vault
	if j.Rotation.Step != vault.RotationUndoing {
		if err := j.do(ctx, "works", m.Works); err != nil {
			return err
		}
		if j.Rotation.Step == vault.RotationSwitched {
			j.Resource, j.Rotation, err = v.UnswitchRotation(ctx, actor, j.Rotation)
		} else {
			j.Rotation, err = v.AdvanceRotation(ctx, actor, j.Rotation, vault.RotationUndoing)
		}
		if err != nil {
			return err
		}
		t.at(string(vault.RotationUndoing))
	}
	if err := j.do(ctx, "undo", m.Undo); err != nil {
		return err
	}
	j.Resource, err = v.EndRotation(ctx, actor, j.Rotation, false)
	return err
}
