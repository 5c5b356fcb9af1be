package sopshome

import (
	"context"
	"maps"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/vault/sops"
	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

// A rotation of a resource of a file is the vault's own (run/rotate): the new credential is sealed there before anything else knows it. What the resource has changes at
// three of its steps, and at each the file has it first. While one is under way the vault takes no other change of the entry; it does so when it ends.

// BeginRotation begins one where the file could take a new value: all of the write is rehearsed but its last step, with the new value where it is known by now.
func (h *Home) BeginRotation(ctx context.Context, actor vault.Actor, ref string, n vault.NewRotation) (r vault.Resource, x vault.Rotation, err error) {
	a, err := h.begin(ctx, actor, ref)
	if a == nil && err == nil {
		return h.Vault.BeginRotation(ctx, actor, ref, n)
	}
	if err != nil {
		wipe(n.Secrets)
		return r, x, err
	}
	defer a.end(ctx)
	if err := a.rehearse(ctx, n.Secrets); err != nil {
		wipe(n.Secrets)
		return a.r, x, err
	}
	return h.Vault.BeginRotation(ctx, actor, a.r.ID, n)
}

// rehearse sees that the file takes values; nil: those that it has.
func (a *act) rehearse(ctx context.Context, values map[string]secret.Secret) error {
	if a.h.unsure[a.r.Handle] {
		return unconfirmed(a.r.Handle)
	}
	if values == nil {
		kept, err := a.h.opened(a.r.Sealed, a.r.FieldRef)
		defer wipe(kept)
		if err != nil {
			return err
		}
		values = onlySecret(a.r, kept)
	}
	var changes []wire.Change
	err := a.entry(func(e sops.Entry) (err error) {
		changes, err = patch{secrets: values}.changes(e)
		return err
	})
	defer wipeChanges(changes)
	if err != nil {
		return err
	}
	return a.h.src.Rehearse(ctx, a.path, changes)
}

// onlySecret leaves out what is sealed for being an address: no rotation exchanges that.
func onlySecret(r vault.Resource, values map[string]secret.Secret) map[string]secret.Secret {
	k, err := kind.Get(r.Kind)
	out := maps.Clone(values)
	maps.DeleteFunc(out, func(field string, _ secret.Secret) bool {
		f, ok := k.Lookup(field)
		return err != nil || !ok || f.Class != kind.Secret
	})
	return out
}

// SwitchRotation gives the resource the new credential, in the file first. After a stop between the two the file has it, and nothing is written twice. Errors: those
// of vault.SwitchRotation and of a write; version_conflict where somebody gave the file a third value meanwhile.
func (h *Home) SwitchRotation(ctx context.Context, actor vault.Actor, x vault.Rotation) (vault.Resource, vault.Rotation, error) {
	a, err := h.beginStep(ctx, actor, x)
	if err != nil {
		return vault.Resource{}, x, err
	}
	if a == nil || x.Step != vault.RotationProven {
		a.leave(ctx)
		return h.Vault.SwitchRotation(ctx, actor, x)
	}
	defer a.end(ctx)
	fresh, err := h.opened(x.Sealed, x.FieldRef)
	defer wipe(fresh)
	if err == nil {
		err = a.bring(ctx, "rotate", patch{secrets: fresh}, x)
	}
	if err != nil {
		return a.r, x, err
	}
	return h.Vault.SwitchRotation(ctx, actor, x)
}

// UnswitchRotation gives the resource the old credential again, in the file first. Errors: as SwitchRotation.
func (h *Home) UnswitchRotation(ctx context.Context, actor vault.Actor, x vault.Rotation) (vault.Resource, vault.Rotation, error) {
	a, err := h.beginStep(ctx, actor, x)
	if err != nil {
		return vault.Resource{}, x, err
	}
	if a == nil || x.Step != vault.RotationSwitched {
		a.leave(ctx)
		return h.Vault.UnswitchRotation(ctx, actor, x)
	}
	defer a.end(ctx)
	if err := a.former(ctx, x); err != nil {
		return a.r, x, err
	}
	return h.Vault.UnswitchRotation(ctx, actor, x)
}

// AbandonRotation leaves the resource with the old credential, in the file first. A third value that somebody gave the file stays: it wins.
func (h *Home) AbandonRotation(ctx context.Context, actor vault.Actor, x vault.Rotation) (vault.Resource, error) {
	a, err := h.beginStep(ctx, actor, x)
	if err != nil {
		return vault.Resource{}, err
	}
	if a == nil || len(x.Sealed) == 0 {
		a.leave(ctx)
		return h.Vault.AbandonRotation(ctx, actor, x)
	}
	defer a.end(ctx)
	if err := a.former(ctx, x); err != nil && fault.CodeOf(err) != fault.VersionConflict {
		return a.r, err
	}
	return h.Vault.AbandonRotation(ctx, actor, x)
}

// EndRotation ends it. What the file says otherwise of the resource counts from now on.
func (h *Home) EndRotation(ctx context.Context, actor vault.Actor, x vault.Rotation, purge bool) (vault.Resource, error) {
	r, err := h.Vault.EndRotation(ctx, actor, x, purge)
	if err == nil && h.pathOf(r.Source) != "" {
		h.mu.Lock()
		defer h.end()
		h.dirty = true
		h.step(context.WithoutCancel(ctx))
	}
	return r, err
}

// beginStep is begin for a step of a rotation that is where x says; nil where the vault is to refuse it, or the resource lives in the vault alone.
func (h *Home) beginStep(ctx context.Context, actor vault.Actor, x vault.Rotation) (*act, error) {
	a, err := h.begin(ctx, actor, x.Resource)
	if a == nil || err != nil {
		return nil, err
	}
	_, kept, err := h.Vault.Rotation(ctx, a.r.ID)
	if err == nil && kept != nil && kept.Step == x.Step && kept.BegunAt.Equal(x.BegunAt) {
		return a, nil
	}
	a.end(ctx)
	return nil, err
}

// leave is end for an act that may be none.
func (a *act) leave(ctx context.Context) {
	if a != nil {
		a.end(ctx)
	}
}

// former brings the old credential of a rotation into the file.
func (a *act) former(ctx context.Context, x vault.Rotation) error {
	old, err := a.h.Vault.OldCredential(ctx, x)
	if err != nil {
		return err
	}
	p, err := a.back(old)
	defer func() { wipe(p.secrets) }()
	if err != nil {
		return err
	}
	kept := map[string]vault.Sealed{} // where the resource has it still, the file may have the new one: a stop came before the vault's part of the switch
	for field := range x.Sealed {
		if s, had := old.Sealed[field]; had && p.secrets[field].IsZero() {
			kept[field] = s
		}
	}
	values, err := a.h.opened(kept, old.FieldRef)
	maps.Copy(p.secrets, values)
	if err != nil {
		return err
	}
	return a.bring(ctx, "rotate back", p, x)
}

// bring writes a patch of the fields of a rotation, of which the file may have a part by now: after a stop. Of each it has the value of the resource, the new one of
// the rotation, or what it is to have; anything else a person put there.
func (a *act) bring(ctx context.Context, what string, p patch, x vault.Rotation) error {
	now, err := a.h.opened(a.r.Sealed, a.r.FieldRef)
	defer wipe(now)
	if err != nil {
		return err
	}
	fresh, err := a.h.opened(x.Sealed, x.FieldRef)
	defer wipe(fresh)
	if err != nil {
		return err
	}
	var changes []wire.Change
	err = a.entry(func(e sops.Entry) (err error) {
		todo := patch{attrs: maps.Clone(p.attrs), secrets: map[string]secret.Secret{}}
		maps.DeleteFunc(todo.attrs, func(field, v string) bool { return e.Attrs[field] == v })
		for field, v := range p.secrets {
			has := e.Secrets[field]
			switch {
			case has.Equal(v):
			case has.Equal(now[field]), has.Equal(fresh[field]):
				todo.secrets[field] = v
			default:
				return fault.New(fault.VersionConflict, "the file has another "+field+" of "+a.r.Handle+" than when its rotation began; nothing was written",
					"put it back in the file, or `zavhoz resource rotate "+a.r.Handle+" --abort --force`: then the file's counts")
			}
		}
		if len(todo.secrets)+len(todo.attrs) > 0 {
			changes, err = todo.changes(e)
		}
		return err
	})
	if err != nil {
		return err
	}
	return a.write(ctx, what, changes)
}

// opened opens sealed fields; the caller wipes them, those of an error too.
func (h *Home) opened(sealed map[string]vault.Sealed, ref func(string) keyring.Ref) (map[string]secret.Secret, error) {
	out := map[string]secret.Secret{}
	for field, s := range sealed {
		v, err := h.o.Opener.Open(ref(field), s.Value)
		if err != nil {
			return out, err
		}
		out[field] = v
	}
	return out, nil
}
