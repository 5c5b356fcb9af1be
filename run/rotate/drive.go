package rotate

import (
	"context"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// Start begins a rotation and brings it as far as it gets: to its end, or to the overlap. It wipes what q holds. Where a step fails the rotation stays, and the
// error says why. Errors: unknown_resource, resource_busy, invalid_argument, not_supported, secret_missing, secret_invalid, those of the method.
func (t *Rotator) Start(ctx context.Context, actor vault.Actor, ref string, q Request) (State, error) {
	defer wipe(q.Secrets)
	r, x, err := t.o.Vault.Rotation(ctx, ref)
	if err != nil {
		return State{}, err
	}
	if x != nil {
		return State{}, fault.New(fault.ResourceBusy, "a rotation of "+r.Handle+" is under way", "`zavhoz resource rotate "+r.Handle+" --resume` brings it to its end, --abort takes it back")
	}
	m, p, err := plan(r, q)
	if err != nil {
		return State{}, err
	}
	leave, err := t.enter(r)
	if err != nil {
		return State{}, err
	}
	defer leave()
	j := &Job{t: t, Resource: r, old: r}
	n := vault.NewRotation{Method: m.Name, Overlap: p.Overlap, Purge: q.Purge, Secrets: clone(q.Secrets)}
	if err := t.prepare(ctx, m, j, q, &n); err != nil {
		wipe(n.Secrets)
		return State{}, err
	}
	t.at("begin")
	if j.Resource, j.Rotation, err = t.o.Vault.BeginRotation(ctx, actor, r.ID, n); err != nil {
		return State{}, err
	}
	t.at("made")
	t.warnOfShared(ctx, m, j)
	return t.drive(ctx, actor, m, j, false)
}

// prepare makes what is on record from the beginning: the new credential, where it is made here.
func (t *Rotator) prepare(ctx context.Context, m Method, j *Job, q Request, n *vault.NewRotation) (err error) {
	if m.Notes != nil {
		if n.Notes, err = m.Notes(ctx, j, q); err != nil {
			return err
		}
	}
	switch {
	case m.Make != nil:
		n.Secrets, err = m.Make(ctx, j, q)
	case m.Guided && len(n.Secrets) == 0:
		err = fault.New(fault.SecretMissing, "the new value is needed: a person makes it", "give it with --secret NAME=-, on standard input")
	}
	return err
}

// Resume brings a rotation that stopped as far as it gets; in the overlap it ends that. Errors: invalid_argument where none is under way, resource_busy, those of the
// method, version_conflict where it was being taken back and can be.
func (t *Rotator) Resume(ctx context.Context, actor vault.Actor, ref string) (State, error) {
	m, j, leave, err := t.take(ctx, ref)
	if err != nil {
		return State{}, err
	}
	defer leave()
	return t.drive(ctx, actor, m, j, true)
}

// take finds a rotation that is under way, and the version with the old credential.
func (t *Rotator) take(ctx context.Context, ref string) (m Method, j *Job, leave func(), err error) {
	r, err := t.o.Vault.Resource(ctx, ref)
	if err != nil {
		return m, nil, nil, err
	}
	out, err := t.enter(r)
	if err != nil {
		return m, nil, nil, err
	}
	defer func() {
		if err != nil {
			out()
		}
	}()
	r, x, err := t.o.Vault.Rotation(ctx, r.ID)
	if err != nil {
		return m, nil, nil, err
	}
	if x == nil {
		return m, nil, nil, fault.New(fault.InvalidArgument, "no rotation of "+r.Handle+" is under way", "`zavhoz resource rotate "+r.Handle+"` begins one")
	}
	m, ok := methods[x.Method]
	if !ok {
		return m, nil, nil, fault.New(fault.VaultFormat, "the rotation of "+r.Handle+" was begun by a newer zavhoz", "upgrade zavhoz")
	}
	j = &Job{t: t, Resource: r, Rotation: *x}
	j.old, err = t.o.Vault.OldCredential(ctx, *x)
	if fault.CodeOf(err) == fault.UnknownVersion && x.Step == vault.RotationSwitched {
		err = nil // a person purged it: there is nothing left to go back to, and the end needs it not
	}
	return m, j, out, err
}

// drive does step after step. now ends an overlap that has not.
func (t *Rotator) drive(ctx context.Context, actor vault.Actor, m Method, j *Job, now bool) (State, error) {
	proven := false
	for {
		step := j.Rotation.Step
		if step == vault.RotationSwitched && !now && t.o.Clock().Before(j.Rotation.Until) {
			return j.state(""), nil
		}
		ended, err := t.step(ctx, actor, m, j, &proven)
		if err != nil {
			t.fail(ctx, actor, j, err)
			return j.state(""), err
		}
		if ended {
			return j.state("done"), nil
		}
		now = now && j.Rotation.Step != vault.RotationSwitched // a rotation that is brought on gets its overlap all the same
		t.at(string(j.Rotation.Step))
	}
}

// step does what follows the last step, and records it.
func (t *Rotator) step(ctx context.Context, actor vault.Actor, m Method, j *Job, proven *bool) (ended bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	v := t.o.Vault
	switch j.Rotation.Step {
	case vault.RotationBegun:
		return false, t.create(ctx, actor, m, j)
	case vault.RotationMade:
		if err := j.do(ctx, "install", m.Install); err != nil {
			return false, err
		}
		j.Rotation, err = v.AdvanceRotation(ctx, actor, j.Rotation, vault.RotationInstalled)
	case vault.RotationInstalled:
		if err := j.do(ctx, "prove", m.Prove); err != nil {
			return false, err
		}
		*proven = true
		j.Rotation, err = v.AdvanceRotation(ctx, actor, j.Rotation, vault.RotationProven)
	case vault.RotationProven:
		if !*proven { // that was before a stop: what was true then is looked at again
			if err := j.do(ctx, "prove", m.Prove); err != nil {
				return false, err
			}
		}
		j.Resource, j.Rotation, err = v.SwitchRotation(ctx, actor, j.Rotation)
	case vault.RotationSwitched:
		if err := j.do(ctx, "retire", m.Retire); err != nil {
			return false, err
		}
		j.Resource, err = v.EndRotation(ctx, actor, j.Rotation, m.Purges)
		return true, err
	default:
		return false, t.turn(ctx, actor, m, j)
	}
	return false, err
}

// turn leads a rotation that was being taken back forward again, where there is no way back: the new credential works, and the old one does not.
func (t *Rotator) turn(ctx context.Context, actor vault.Actor, m Method, j *Job) (err error) {
	back := fault.New(fault.VersionConflict, "the rotation of "+j.Resource.Handle+" is being taken back", "`zavhoz resource rotate "+j.Resource.Handle+" --abort` brings that to its end")
	if m.Prove == nil || m.Works != nil && fault.CodeOf(m.Works(ctx, j)) != fault.RemoteAuthFailed {
		return back
	}
	if err := m.Prove(ctx, j); err != nil {
		return back.Because(err)
	}
	j.Rotation, err = t.o.Vault.AdvanceRotation(ctx, actor, j.Rotation, vault.RotationInstalled)
	return err
}

// create has another service make the new credential.
func (t *Rotator) create(ctx context.Context, actor vault.Actor, m Method, j *Job) error {
	if m.Create == nil {
		return errDefect
	}
	secrets, notes, err := m.Create(ctx, j)
	if err != nil {
		return err
	}
	t.at("create")
	j.Rotation, err = t.o.Vault.SealRotation(context.WithoutCancel(ctx), actor, j.Rotation, secrets, notes)
	return err
}

// fail puts on record why it does not get on. Where that cannot be done (a full disk), the log has it.
func (t *Rotator) fail(ctx context.Context, actor vault.Actor, j *Job, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stepTimeout)
	defer cancel()
	if ferr := t.o.Vault.FailRotation(ctx, actor, j.Rotation, fault.Of(err)); ferr != nil {
		t.o.Log.Error("a rotation failed, and that could not be recorded", "resource", j.Resource.ID, "code", string(fault.CodeOf(err)), "cause", fault.Cause(ferr))
	}
}

func wipe(m map[string]secret.Secret) {
	for _, s := range m {
		s.Wipe()
	}
}

func clone(m map[string]secret.Secret) map[string]secret.Secret {
	if m == nil {
		return nil
	}
	out := make(map[string]secret.Secret, len(m))
	for k, s := range m {
		out[k] = s.Clone()
	}
	return out
}
