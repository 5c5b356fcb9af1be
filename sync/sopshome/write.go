package sopshome

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/vault/sops"
	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

// VaultAlone is what NewResource.Source says for a resource that shall go to no file.
const VaultAlone = "vault"

// act is a person's act on a resource of a file. The lock is held until end.
type act struct {
	h     *Home
	actor vault.Actor
	r     vault.Resource
	path  string
}

// begin finds the file that a resource lives in and brings vault and file in step. nil: it lives in the vault alone, or its file is not configured any more.
func (h *Home) begin(ctx context.Context, actor vault.Actor, ref string) (*act, error) {
	r, err := h.Vault.Resource(ctx, ref)
	if err != nil || h.pathOf(r.Source) == "" {
		return nil, err
	}
	h.mu.Lock()
	h.step(ctx)
	a := &act{h: h, actor: actor}
	if a.r, err = h.Vault.Resource(ctx, r.ID); err == nil {
		a.path = h.pathOf(a.r.Source)
		err = h.inStep(a.path)
	}
	if err != nil {
		h.end()
		return nil, err
	}
	return a, nil
}

// inStep refuses a write while the file as it is now is not what is in force.
func (h *Home) inStep(path string) error {
	s := h.state(path)
	switch {
	case s.Path == "":
		return noFile()
	case s.Err != nil && s.Err.Code != fault.SyncShrunk:
		return s.Err
	case h.src == nil, h.dirty:
		return notYet(s.Name)
	}
	return nil
}

// end brings vault and file in step again, and lets go of them.
func (a *act) end(ctx context.Context) {
	_ = a.h.o.At("vault")
	a.h.step(context.WithoutCancel(ctx))
	a.h.end()
}

// write changes the file: on record before, and what came of it after.
func (a *act) write(ctx context.Context, what string, changes []wire.Change) error {
	defer wipeChanges(changes)
	if len(changes) == 0 {
		return nil
	}
	for _, c := range changes {
		if c.Value.Kind == wire.Map && a.h.unsure[a.r.Handle] { // an entry that is written anew would be written by us, what is not confirmed too
			return unconfirmed(a.r.Handle)
		}
	}
	return a.h.writeFile(ctx, a.actor, writing{path: a.path, act: what, subject: a.r.ID, handle: a.r.Handle, changes: changes})
}

func unconfirmed(handle string) error {
	return fault.New(fault.ApprovalRequired, "the file has a change of "+handle+" that is unconfirmed; nothing was written", "`zavhoz status` says which: confirm it with `zavhoz resource edit`, or take it back in the file")
}

// writing is one write of a file.
type writing struct {
	path, act       string
	subject, handle string // of the resource that it is for
	changes         []wire.Change
}

func (w writing) event(actor vault.Actor, phase string) audit.Event {
	return audit.Event{Actor: actor, Action: audit.FileWrite, Outcome: audit.Allowed, Subject: w.subject, Handle: w.handle,
		Detail: map[string]string{"file": name(w.path), "act": w.act, "phase": phase}}
}

// writeFile writes a file. The intent says which content the file has by then, so that after a stop it can be told whether it was written.
func (h *Home) writeFile(ctx context.Context, actor vault.Actor, w writing) error {
	e := w.event(actor, "intent")
	e.Detail["from"] = h.src.Sum(w.path)
	if err := h.Vault.Record(ctx, e); err != nil {
		return err
	}
	if err := h.o.At("intent"); err != nil {
		return err
	}
	err := h.src.Edit(ctx, w.path, w.changes)
	h.dirty = true
	e = w.event(actor, "outcome")
	if err != nil {
		e.Outcome, e.Code = audit.Failed, string(fault.CodeOf(err))
	}
	if end := h.Vault.Record(context.WithoutCancel(ctx), e); end != nil && err == nil {
		h.o.Log.Error("what came of the writing of a file of secrets could not be recorded", "file", name(w.path), "cause", fault.Cause(end))
	}
	return cmp.Or(err, h.o.At("outcome"))
}

// entry shows fn the act's entry as the file has it. Values live until fn returns.
func (a *act) entry(fn func(sops.Entry) error) error {
	return a.h.src.View(func(set sops.Set) error {
		entries, _, wipe := all(set)
		defer wipe()
		i := slices.IndexFunc(entries, func(e sops.Entry) bool { return e.Handle == a.r.Handle && e.File == a.path })
		if i < 0 {
			return fault.New(fault.ResourceDisabled, "the resource "+a.r.Handle+" is not in the file that is its home any more", "put it back into the file, or `zavhoz resource rm "+a.r.Handle+"`")
		}
		if err := entries[i].Problem; err != nil {
			return err
		}
		return fn(entries[i])
	})
}

// EditResource changes a resource where it lives: in its file first. Policy and status are the vault's own.
func (h *Home) EditResource(ctx context.Context, actor vault.Actor, ref string, e vault.Edit) (r vault.Resource, err error) {
	if len(e.Attrs)+len(e.Secrets)+len(e.Labels) == 0 && e.Project == nil {
		return h.Vault.EditResource(ctx, actor, ref, e)
	}
	a, err := h.begin(ctx, actor, ref)
	if a == nil && err == nil {
		return h.Vault.EditResource(ctx, actor, ref, e)
	}
	defer wipe(e.Secrets)
	if err != nil {
		return r, err
	}
	defer a.end(ctx)
	next, err := h.Vault.RehearseEdit(ctx, a.r.ID, e)
	if err != nil {
		return r, err
	}
	p := patch{attrs: e.Attrs, secrets: e.Secrets, labels: next.Labels, relabel: len(e.Labels) > 0}
	if e.Project != nil && next.Project != a.r.Project {
		p.project = next.Project
	}
	if err := a.patch(ctx, "edit", p); err != nil {
		return r, err
	}
	e.IfVersion = 0 // looked at above; the file has the change by now
	return h.Vault.EditResource(ctx, actor, a.r.ID, e)
}

// patch writes a patch of the act's entry.
func (a *act) patch(ctx context.Context, what string, p patch) error {
	var changes []wire.Change
	err := a.entry(func(e sops.Entry) (err error) {
		changes, err = p.changes(e)
		return err
	})
	if err != nil {
		return err
	}
	return a.write(ctx, what, changes)
}

// RollbackResource makes an earlier version present again, in the file first.
func (h *Home) RollbackResource(ctx context.Context, actor vault.Actor, ref string, version uint64, why string) (r vault.Resource, err error) {
	a, err := h.begin(ctx, actor, ref)
	if err != nil {
		return r, err
	}
	if a == nil {
		return h.Vault.RollbackResource(ctx, actor, ref, version, why)
	}
	defer a.end(ctx)
	old, err := h.Vault.EarlierVersion(ctx, a.r.ID, version)
	if err != nil {
		return r, err
	}
	p, err := a.back(old)
	defer func() { wipe(p.secrets) }()
	if err != nil {
		return r, err
	}
	p.labels, p.relabel = old.Labels, !maps.Equal(old.Labels, a.r.Labels)
	if err := a.patch(ctx, "rollback", p); err != nil {
		return r, err
	}
	return h.Vault.RollbackResource(ctx, actor, a.r.ID, version, why)
}

// back gives the patch that makes a version's attributes and values present again. The caller wipes it.
func (a *act) back(old vault.Resource) (patch, error) {
	p := patch{attrs: map[string]string{}, secrets: map[string]secret.Secret{}}
	for f := range a.r.Attrs {
		p.attrs[f] = ""
	}
	maps.Copy(p.attrs, old.Attrs)
	maps.DeleteFunc(p.attrs, func(f, v string) bool { return a.r.Attrs[f] == v })
	for f := range a.r.Sealed {
		if _, had := old.Sealed[f]; !had {
			p.secrets[f] = secret.Secret{}
		}
	}
	for f, s := range old.Sealed {
		if s.Version == a.r.Sealed[f].Version {
			continue
		}
		v, err := a.h.o.Opener.Open(old.FieldRef(f), s.Value)
		if err != nil {
			return p, err
		}
		p.secrets[f] = v
	}
	return p, nil
}

// RenameResource gives a resource another handle, in the file first. Its policy and history stay whatever happens between the two.
func (h *Home) RenameResource(ctx context.Context, actor vault.Actor, ref, handle string) (r vault.Resource, err error) {
	a, err := h.begin(ctx, actor, ref)
	if err != nil {
		return r, err
	}
	if a == nil {
		return h.Vault.RenameResource(ctx, actor, ref, handle)
	}
	defer a.end(ctx)
	if err := h.Vault.BeginMove(ctx, a.r.ID, handle); err != nil {
		return r, err
	}
	var changes []wire.Change
	err = a.entry(func(e sops.Entry) (err error) {
		changes, err = moved(e, handle)
		return err
	})
	if err == nil {
		err = a.write(ctx, "rename", changes)
	}
	if err != nil {
		_ = h.Vault.BeginMove(context.WithoutCancel(ctx), a.r.ID, "") // stays: it leads nowhere while the file has the old name
		return r, err
	}
	return h.Vault.RenameResource(ctx, actor, a.r.ID, handle)
}

// RemoveResource removes a resource, from the file first. One that is not in its file any more goes from the vault.
func (h *Home) RemoveResource(ctx context.Context, actor vault.Actor, ref string) (r vault.Resource, err error) {
	a, err := h.begin(ctx, actor, ref)
	if err != nil {
		return r, err
	}
	if a == nil {
		return h.Vault.RemoveResource(ctx, actor, ref)
	}
	defer a.end(ctx)
	var path []string
	_ = h.src.View(func(set sops.Set) error { // a broken entry goes, too
		entries, _, wipe := all(set)
		defer wipe()
		if i := slices.IndexFunc(entries, func(e sops.Entry) bool { return e.Handle == a.r.Handle && e.File == a.path }); i >= 0 {
			path = entries[i].Path
		}
		return nil
	})
	if path != nil {
		if err := a.write(ctx, "remove", []wire.Change{{Path: path, Unset: true}}); err != nil {
			return r, err
		}
	}
	return h.Vault.RemoveResource(ctx, actor, a.r.ID)
}

// AddResource adds a resource to the file that n.Source names, to the one that new resources go to where it names none, or to the vault alone.
func (h *Home) AddResource(ctx context.Context, actor vault.Actor, n vault.NewResource) (r vault.Resource, err error) {
	if n.Source == "" && h.o.AddTo != "" {
		n.Source = sourceMark + h.o.AddTo
	}
	if n.Source == "" || n.Source == VaultAlone {
		n.Source = ""
		return h.Vault.AddResource(ctx, actor, n)
	}
	defer wipe(n.Secrets)
	a := &act{h: h, actor: actor, path: h.pathOf(n.Source)}
	if a.path == "" {
		return r, noFile()
	}
	h.mu.Lock()
	defer a.end(ctx)
	h.step(ctx)
	if err := h.inStep(a.path); err != nil {
		return r, err
	}
	made, values, err := h.Vault.RehearseAdd(ctx, actor, n)
	if err != nil {
		return r, err
	}
	defer wipe(values)
	a.r, n.Handle = made, made.Handle
	change, err := added(made, values, a.path)
	if err != nil {
		return r, err
	}
	if err := a.write(ctx, "add", change); err != nil {
		return r, err
	}
	return h.Vault.AddResource(ctx, actor, n)
}

// GiveIntake answers a request for a secret: a resource that comes of it goes where new ones go.
func (h *Home) GiveIntake(ctx context.Context, actor vault.Actor, ref string, g vault.Given) (vault.Intake, error) {
	g.Add = h.AddResource
	return h.Vault.GiveIntake(ctx, actor, ref, g)
}

// GiveByCode is the same for who has the request's code.
func (h *Home) GiveByCode(ctx context.Context, ref, code string, g vault.Given) (vault.Intake, error) {
	g.Add = h.AddResource
	return h.Vault.GiveByCode(ctx, ref, code, g)
}

func wipeChanges(changes []wire.Change) {
	for _, c := range changes {
		c.Value.Wipe()
	}
}

func wipe(m map[string]secret.Secret) {
	for _, s := range m {
		s.Wipe()
	}
}
