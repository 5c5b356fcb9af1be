package vault

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/vault/variable"
)

// AwaitedKind says what sort of word of a person's is waited for. Names are frozen.
type AwaitedKind string

// What the vault itself waits for.
const (
	AwaitedSecret      AwaitedKind = "secret"      // a value of a project's
	AwaitedEnvironment AwaitedKind = "environment" // a changed definition that nobody looked at
	AwaitedHostKey     AwaitedKind = "host_key"    // a server's, which is pinned before its first use
	AwaitedRotation    AwaitedKind = "rotation"    // one that does not get on
	AwaitedIntake      AwaitedKind = "intake"      // a request that a person give a secret
)

// Awaited is one thing of the vault that waits for a person. It holds no value.
type Awaited struct {
	Kind    AwaitedKind
	Project string // slug
	Name    string // of the secret, or the request's id; else the resource's handle
	What    string // in words: a description, or why it does not get on
	Since   time.Time
}

// Awaited lists what waits for a person's word, in order of kind, project and name: secrets that are hinted at or that an environment lacks, environments that were resolved of a changed definition,
// servers whose host key nobody agreed to, rotations that failed. within says which projects are looked at.
func (v *Vault) Awaited(ctx context.Context, within func(slug string) bool) (out []Awaited, err error) {
	err = v.view(ctx, func(tx store.Tx) error {
		a := awaiting{v: v, tx: tx, within: within, by: map[string]Resource{}, asked: map[string]bool{}}
		err := errors.Join(a.resources(), a.rotations(), a.intakes(), a.projects())
		out = a.out
		return err
	})
	slices.SortFunc(out, func(a, b Awaited) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Project, b.Project), cmp.Compare(a.Name, b.Name))
	})
	return out, err
}

// awaiting is one look, within one transaction.
type awaiting struct {
	v      *Vault
	tx     store.Tx
	within func(string) bool
	by     map[string]Resource // environments that are there, by id
	asked  map[string]bool     // project.KEY that a request waits for: it is not told twice
	out    []Awaited
}

func (a *awaiting) add(k AwaitedKind, r Resource, what string, since time.Time) {
	a.out = append(a.out, Awaited{Kind: k, Project: r.Project, Name: r.Handle, What: what, Since: since})
}

func (a *awaiting) resources() error {
	return a.v.resources.Scan(a.tx, "", "", func(_ string, r Resource) (bool, error) {
		switch {
		case r.Status != Active || !a.within(r.Project):
		case r.Kind == "server" && r.Attrs["host_key"] == "":
			a.add(AwaitedHostKey, r, "its host key is to be looked at and pinned: without it no connection is made", r.CreatedAt)
		case r.Kind == kind.Environment:
			a.by[r.ID] = r
			if r.Policy.Approval == policy.ApprovalFirst {
				a.add(AwaitedEnvironment, r, "its definition is another than the one that agents ran with before", r.CreatedAt)
			}
		}
		return true, nil
	})
}

func (a *awaiting) rotations() error {
	return a.v.rotations.Scan(a.tx, "", "", func(rid string, x Rotation) (bool, error) {
		if x.Code == "" {
			return true, nil
		}
		r, err := a.v.resources.Get(a.tx, rid)
		if err == nil && a.within(r.Project) {
			a.add(AwaitedRotation, r, x.Message, x.At)
		}
		return true, ignoreNotFound(err)
	})
}

func (a *awaiting) intakes() error {
	return a.v.intakes.Scan(a.tx, "", "", func(_ string, i Intake) (bool, error) {
		if i.State != IntakeWaiting || !a.within(i.Project) {
			return true, nil
		}
		p, err := a.v.byProject(a.tx, i.Project)
		if err == nil {
			err = a.v.settled(a.tx, p, &i)
		}
		if err != nil || i.State != IntakeWaiting {
			return true, err
		}
		what := "the " + i.Kind + " " + i.Handle
		if i.Key != "" {
			what, a.asked[i.subject()] = i.Key+" of "+i.Project, true
		}
		a.out = append(a.out, Awaited{Kind: AwaitedIntake, Project: i.Project, Name: i.ID, What: what + ", asked for by " + i.By + ": " + i.Reason, Since: i.CreatedAt})
		return true, nil
	})
}

func (a *awaiting) projects() error {
	return a.v.projects.Scan(a.tx, "", "", func(slug string, p Project) (bool, error) {
		if !a.within(slug) {
			return true, nil
		}
		return true, a.secrets(p)
	})
}

// secrets adds what a project lacks, each name once.
func (a *awaiting) secrets(p Project) error {
	c, err := a.v.configOf(a.tx, p)
	if err != nil {
		return err
	}
	lacks := map[string]Awaited{}
	for _, s := range c.list() {
		if !s.Filled {
			lacks[s.Name] = Awaited{Kind: AwaitedSecret, Project: p.Slug, Name: s.Name, What: s.Hint}
		}
	}
	err = a.v.environments.Scan(a.tx, p.ID+"/", "", func(_ string, e Environment) (bool, error) {
		if _, there := a.by[e.Resource]; !there { // a person took it away
			return true, nil
		}
		all, err := a.v.planOf(a.tx, p, e)
		for _, r := range all {
			if _, known := lacks[r.Name]; r.State == variable.Missing && !known {
				lacks[r.Name] = Awaited{Kind: AwaitedSecret, Project: p.Slug, Name: r.Name, What: r.Description, Since: e.CreatedAt}
			}
		}
		return true, err
	})
	for _, x := range lacks {
		if !a.asked[x.Project+"."+x.Name] {
			a.out = append(a.out, x)
		}
	}
	return err
}
