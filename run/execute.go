package run

import (
	"context"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/zavhoz/zavhoz/run/deliver"
	"github.com/zavhoz/zavhoz/run/process"
	"github.com/zavhoz/zavhoz/run/redact"
	"github.com/zavhoz/zavhoz/run/sandbox/private"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// execute runs a recorded plan to its end, or until ctx ends: the error is then ctx's cause.
func (e *Engine) execute(ctx context.Context, l *live, p *plan, r Request) (x exit, err error) {
	defer func() { // one run's defect must not end the others; its text could hold anything
		if recover() != nil {
			err = fault.New(fault.Internal, "the run failed inside zavhoz", "")
		}
	}()
	if err := e.learn(l, p); err != nil {
		return exit{}, err
	}
	out, errs := l.mask.to(l.ctx, sink{l, stdout}), l.mask.to(l.ctx, sink{l, stderr})
	if r.capture != nil {
		out.hold, errs.hold = &held{}, &held{}
	}
	switch {
	case p.sort == remoteRun:
		x, err = e.remote(ctx, l, p, r.Stdin, out, errs)
	case p.sort == brokeredRun:
		x, err = e.brokered(ctx, l, p, r, out, errs)
	case p.isolation == string(policy.LevelOpen):
		x, err = e.unconfined(ctx, l, p, r, out, errs)
	default:
		x, err = e.pinned(ctx, l, p, r, out, errs)
	}
	if r.capture != nil {
		err = e.captureOutput(ctx, l, r, x, err, out, errs)
	}
	_, _ = out.Close(), errs.Close() // a refusal here is a withheld output, which the result tells
	return x, repin(err, p)
}

// learn gives the run's redactor the run's own fields, also where the matcher of the whole vault knows them: that hears of a change a moment after it was
// made, and it takes no short values.
func (e *Engine) learn(l *live, p *plan) error {
	for _, u := range p.uses {
		if u.Resource.Kind == kind.Environment {
			if err := e.learnEnvironment(l, p, u.Resource); err != nil {
				return err
			}
			continue
		}
		now := e.present(u.Resource)
		for _, field := range slices.Sorted(maps.Keys(now.Sealed)) {
			s, err := e.field(now, field)
			if err != nil {
				return err
			}
			addWithParts(l.mask.add, u.Resource.Handle+"."+field, s)
			s.Wipe()
		}
	}
	return nil
}

// unseal opens one field of the resource as it is now. The caller wipes it.
func (e *Engine) unseal(r vault.Resource, field string) (secret.Secret, error) {
	return e.field(e.present(r), field)
}

// field opens one field of the resource as it is given: whoever opens many asks once what it is now. The caller wipes it.
func (e *Engine) field(r vault.Resource, field string) (secret.Secret, error) {
	sealed, ok := r.Sealed[field]
	if !ok {
		return secret.Secret{}, nil
	}
	if sealed.Ref != nil {
		return e.o.Opener.Open(*sealed.Ref, sealed.Value)
	}
	return e.o.Opener.Open(keyring.Ref{Type: "resource", ID: r.ID, Field: field, Version: sealed.Version}, sealed.Value)
}

// addWithParts adds a value and, of a URL that holds one, its password, as it stands there and decoded: tools print it by itself.
func addWithParts(add func(label string, s secret.Secret), label string, s secret.Secret) {
	add(label, s)
	for _, part := range urlPasswords(s) {
		add(label, part)
		part.Wipe()
	}
}

func urlPasswords(s secret.Secret) []secret.Secret {
	text := s.Reveal()
	if len(text) > 4096 || !strings.Contains(string(text[:min(len(text), 32)]), "://") {
		return nil
	}
	u, err := url.Parse(strings.TrimSpace(string(text)))
	if err != nil || u.User == nil {
		return nil
	}
	plain, _ := u.User.Password()
	parts := []secret.Secret{secret.FromString(plain)}
	if _, raw, ok := strings.Cut(u.User.String(), ":"); ok && raw != plain {
		parts = append(parts, secret.FromString(raw))
	}
	return parts
}

// unconfined runs a pinned command on a machine that gives no walls: check the binary, make a private folder, deliver, start.
func (e *Engine) unconfined(ctx context.Context, l *live, p *plan, r Request, out, errs *masked) (exit, error) {
	if err := e.trustedFolder(ctx, p.pin); err != nil {
		return exit{}, err
	}
	binary, err := process.OpenBinary(process.Want{Path: p.argv[0], SHA256: p.pin.SHA256})
	if err != nil {
		return exit{}, err
	}
	defer binary.Close()
	if err := unchanged(p.pin); err != nil {
		return exit{}, err
	}
	folders := private.New(e.o.TempDir, false)
	defer folders.Close()
	home, err := folders.Make("run-")
	if err != nil {
		return exit{}, err
	}
	dir, err := workdir(p.pin.Cwd, home)
	if err != nil {
		return exit{}, err
	}
	items, err := e.values(l, p)
	defer wipe(items)
	if err != nil {
		return exit{}, err
	}
	parcel, err := deliver.Pack(deliver.Options{Home: home, Plain: r.Env}, items)
	if err != nil {
		return exit{}, err
	}
	defer parcel.Close()
	spec := process.Spec{Binary: binary, Argv: p.argv, Env: parcel.Env, Dir: dir, Stdout: out, Stderr: errs, Files: parcel.Files}
	if len(r.Stdin) > 0 {
		spec.Input = r.Stdin
	}
	return supervise(ctx, spec)
}

// supervise starts a process and sees it to its end; when ctx ends it stops it.
func supervise(ctx context.Context, spec process.Spec) (exit, error) {
	if ctx.Err() != nil {
		return exit{}, context.Cause(ctx)
	}
	proc, err := process.Start(spec)
	if err != nil {
		return exit{}, fault.New(fault.BinaryMissing, "the pinned command could not be started", "a person tries it by hand, and corrects the pin").Because(err)
	}
	select {
	case <-proc.Done():
		return exit{proc.Wait().Code}, nil
	case <-ctx.Done():
		proc.Stop()
		return exit{proc.Wait().Code}, context.Cause(ctx)
	}
}

// values opens what is to be delivered to a pinned command, late. The caller wipes it once it is packed.
func (e *Engine) values(l *live, p *plan) (items []deliver.Item, err error) {
	guarded := redact.NewSet(redact.Options{})
	for _, u := range p.uses {
		as := policy.Delivery(p.delivered[u.Resource.Handle])
		watch := func(name string, value secret.Secret) error {
			if guarded.Add(u.Resource.Handle, value) == nil {
				return nil
			}
			return fault.New(fault.DeliveryRefused, "a value of "+u.Resource.Handle+" ("+name+") is too short to be kept out of output, so no agent's run gets it",
				"a person runs it: `zavhoz run "+u.Resource.Handle+" --open -- COMMAND…`")
		}
		if u.Resource.Kind == kind.Environment {
			made, err := e.environmentIn(p, l.record.Actor, u.Resource)
			if err != nil {
				return items, err
			}
			own, err := e.environmentItems(u.Resource, made, watch)
			if items = append(items, own...); err != nil {
				return items, err
			}
			continue
		}
		own, err := e.items(e.present(u.Resource), as == policy.File)
		if items = append(items, own...); err != nil {
			return items, err
		}
		for _, it := range own {
			if it.Field == "" {
				continue
			}
			if err := watch(it.Field, it.Value); err != nil {
				return items, err
			}
		}
	}
	l.guard(guarded)
	return items, nil
}

func wipe(items []deliver.Item) {
	for _, it := range items {
		it.Value.Wipe()
	}
}

// items opens what the variables of the resource, as it is given, are filled with. Plain ones go in the environment always; what is minted for a moment never here.
func (e *Engine) items(r vault.Resource, file bool) ([]deliver.Item, error) {
	var items []deliver.Item
	for _, v := range e.o.Rules.EnvVars(r) {
		it := deliver.Item{Name: v.Name, Handle: r.Handle, Field: v.Field, File: file && v.Field != ""}
		switch _, sealed := r.Sealed[v.Field]; {
		case v.Minted != "", v.Field != "" && !sealed:
			continue
		case v.Field == "":
			it.Value = secret.FromString(v.Value)
		default:
			s, err := e.field(r, v.Field)
			if err != nil {
				return items, err
			}
			it.Value = s
		}
		items = append(items, it)
	}
	if len(items) == 0 {
		return nil, fault.New(fault.DeliveryRefused, r.Handle+" fills no variable, so there is nothing to hand over", "a person can name one: zavhoz resource edit "+r.Handle+" --set env=NAME")
	}
	return items, nil
}

// workdir is the pin's folder, or the private one.
func workdir(pinned, home string) (string, error) {
	if pinned == "" {
		return home, nil
	}
	if st, err := os.Stat(pinned); err != nil || !st.IsDir() {
		return "", fault.New(fault.WorkdirRefused, "the pinned working folder is not there", "a person makes it, or corrects the pin").Because(err)
	}
	return pinned, nil
}

// removeAll removes a private folder also where the command took its own permissions away.
func removeAll(dir string) { _ = private.Remove(dir) }
