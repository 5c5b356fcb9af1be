package sopshome

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/vault/sops"
)

// State is how a file stands.
type State struct {
	Name     string // by which people call it
	Path     string
	LoadedAt time.Time // of what is in force; zero where this process has read none
	Entries  int       // that are in force
	Problems []sops.Problem
	Err      *fault.Error // why the file as it is now is not in force; nil if it is
	Since    time.Time    // of Err
	Lost     vault.Loss   // that is not believed yet; zero: none
}

// States tells how each file stands.
func (h *Home) States() []State {
	h.telling.Lock()
	defer h.telling.Unlock()
	return slices.Clone(h.states)
}

func itoa(n int) string { return strconv.Itoa(n) }

// refusal is an entry that this package or the vault does not take.
type refusal struct {
	file, where string
	err         *fault.Error
}

// valueField is the field of a project's secret.
const valueField = "value"

// handleOf is the handle under which a project's secret is a resource, as long as projects have no environment of their own.
func handleOf(p sops.ProjectSecret) string { return p.Project + "." + strings.ToLower(p.Name) }

// ofProject makes an entry of a project's secret: a generic value under its variable. Its secret is the set's own.
func ofProject(p sops.ProjectSecret) (sops.Entry, *fault.Error) {
	e := sops.Entry{Kind: "generic", Handle: handleOf(p), Project: p.Project, File: p.File, Path: p.Path, Keys: map[string]string{valueField: ""},
		Proof: sops.Proof{Whole: true}} // its name is its handle, its variable and its project, and an encrypted value is bound to that
	k, err := kind.Get(e.Kind)
	if err == nil {
		err = vault.CheckHandle(e.Handle)
	}
	if err != nil {
		return e, fault.Of(err)
	}
	ok, err := k.Validate(map[string]string{"env": p.Name}, map[string]secret.Secret{valueField: p.Value})
	if err != nil {
		return e, fault.Of(err)
	}
	e.Attrs, e.Secrets = ok.Attrs, ok.Secrets
	return e, nil
}

// all gives every entry of a set that names a handle, those of projects included; wipe ends what was made for it.
func all(set sops.Set) (out []sops.Entry, bad []refusal, wipe func()) {
	var made []secret.Secret
	taken := map[string]bool{}
	for _, e := range set.Entries {
		if e.Problem != nil && e.Problem.Code == fault.HandleTaken {
			continue // the other one of that handle counts
		}
		out, taken[e.Handle] = append(out, e), true
	}
	for _, p := range set.Secrets {
		e, err := ofProject(p)
		if err == nil && taken[e.Handle] {
			err = fault.New(fault.HandleTaken, "the handle "+e.Handle+" is there twice", "rename one of the two")
		}
		if err != nil {
			bad = append(bad, refusal{p.File, strings.Join(p.Path, "."), err})
			if taken[e.Handle] {
				continue
			}
			e.Problem = err
		}
		for _, s := range e.Secrets {
			made = append(made, s)
		}
		out, taken[e.Handle] = append(out, e), true
	}
	return out, bad, func() {
		for _, s := range made {
			s.Wipe()
		}
	}
}

// homeSet says in the vault's words what the files hold. The values stay the set's; those that were made for it are wiped by wipe.
func (h *Home) homeSet(set sops.Set, now time.Time) (in vault.HomeSet, bad []refusal, wipe func()) {
	entries, bad, wipe := all(set)
	in.Believe = map[string]bool{}
	for _, st := range h.src.States() {
		if !st.LoadedAt.IsZero() {
			in.Sources = append(in.Sources, source(st.Path))
		}
	}
	for s, since := range h.held {
		in.Believe[s] = now.Sub(since) >= believeAfter
	}
	for _, e := range entries {
		in.Entries = append(in.Entries, vault.HomeEntry{
			Source: source(e.File), Handle: e.Handle, Kind: e.Kind, Project: e.Project, Attrs: e.Attrs, Labels: e.Labels, Secrets: e.Secrets, Broken: e.Problem != nil,
			Proven: e.Proof.Of, Loose: e.Proof.Loose && !e.Proof.Whole,
		})
	}
	return in, bad, wipe
}

// tell brings States up to date, and puts news on record.
func (h *Home) tell(ctx context.Context, rep vault.HomeReport, refused []refusal, failed error, now time.Time) {
	where := h.wheres(rep)
	states := make([]State, 0, len(h.o.Files))
	for _, st := range h.src.States() {
		s := State{Name: name(st.Path), Path: st.Path, LoadedAt: st.LoadedAt, Entries: st.Entries, Problems: slices.Clone(st.Problems), Err: st.Err, Since: st.Since}
		for _, r := range append(slices.Clone(refused), where...) {
			if r.file == st.Path {
				s.Problems, s.Entries = append(s.Problems, sops.Problem{File: r.file, Where: r.where, Err: r.err}), s.Entries-1
			}
		}
		if loss, is := rep.Held[source(st.Path)]; is && s.Err == nil {
			s.Err, s.Since, s.Lost = shrunk(s.Name, loss), h.held[source(st.Path)], loss
		}
		if failed != nil && s.Err == nil {
			s.Err, s.Since = fault.Of(failed), now
		}
		states = append(states, s)
	}
	h.telling.Lock()
	h.states = states
	h.telling.Unlock()
	for _, s := range states {
		h.record(ctx, s)
	}
}

// wheres finds the entries that the vault refused.
func (h *Home) wheres(rep vault.HomeReport) (out []refusal) {
	if len(rep.Refused) == 0 {
		return nil
	}
	_ = h.src.View(func(set sops.Set) error {
		entries, _, wipe := all(set)
		defer wipe()
		for _, e := range entries {
			if err := rep.Refused[e.Handle]; err != nil {
				out = append(out, refusal{e.File, strings.Join(e.Path, "."), err})
			}
		}
		return nil
	})
	slices.SortFunc(out, func(a, b refusal) int { return cmp.Compare(a.where, b.where) })
	return out
}

func shrunk(file string, l vault.Loss) *fault.Error {
	return fault.Newf(fault.SyncShrunk, "%s lost %d of %d resources at once, so their absence is not believed yet", file, l.Absent, l.Known).
		WithNext("put them back; if they are meant to go, `zavhoz sops accept %s` says so, and a loss that stays is believed after 10 minutes", file).
		With("absent", l.Absent).With("known", l.Known)
}
