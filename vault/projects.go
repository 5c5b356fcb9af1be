package vault

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/id"
	"github.com/zavhoz/zavhoz/vault/internal/lazyregexp"
)

// DefaultProject is the slug of the project that exists from init.
const DefaultProject = "default"

var (
	slugShape = lazyregexp.New(`^[a-z][a-z0-9-]{0,39}$`)
	uuidShape = lazyregexp.New(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`) // ids that the earlier system gave its projects
)

// noProject is the one answer for a project that is not there and for one that the caller may not know of.
func noProject() *fault.Error {
	return fault.New(fault.UnknownProject, "there is no such project", "`zavhoz project list` shows them; `zavhoz project create SLUG` makes one")
}

// AddProject makes a project. Errors: invalid_argument, name_taken; not_permitted for a token that is bound to other projects.
func (v *Vault) AddProject(ctx context.Context, actor Actor, slug, title string) (p Project, err error) {
	if !slugShape.MatchString(slug) || longer(title, 255) || !printable(title) {
		return p, fault.New(fault.InvalidArgument, "a project's slug begins with a letter and has at most 40 lower-case letters, digits and `-`; its title is one line of at most 255 characters", "")
	}
	p = Project{Format: 1, ID: id.New(id.Project), Slug: slug, Title: title, CreatedAt: v.now()}
	err = v.update(ctx, func(tx store.Tx) error {
		switch err := v.mayAct(tx, actor, p, ScopeWrite); {
		case fault.CodeOf(err) == fault.UnknownProject:
			return fault.New(fault.NotPermitted, "the token is bound to other projects", "ask the operator to make this one: `zavhoz project create "+slug+"`")
		case err != nil:
			return err
		}
		if _, err := v.projects.Get(tx, slug); !errors.Is(err, store.ErrNotFound) {
			if err == nil {
				err = fault.New(fault.NameTaken, "there is a project "+slug, "choose another slug")
			}
			return err
		}
		return v.makeProject(tx, actor, p)
	})
	return p, err
}

// makeProject stores a new project, the way to it by its id, and the audit record.
func (v *Vault) makeProject(tx store.Tx, actor Actor, p Project) error {
	if err := v.putProject(tx, p); err != nil {
		return err
	}
	return v.audit.Append(tx, audit.Event{Actor: actor, Action: audit.ProjectAdd, Outcome: audit.Allowed, Subject: p.ID, Handle: p.Slug})
}

func (v *Vault) putProject(tx store.Tx, p Project) error {
	return errors.Join(v.projectIDs.Put(tx, p.ID, link{p.Slug}), v.projects.Put(tx, p.Slug, p))
}

// ListProjects gives every project in order of slug.
func (v *Vault) ListProjects(ctx context.Context) (out []Project, err error) {
	err = v.view(ctx, func(tx store.Tx) error {
		out = nil
		return v.projects.Scan(tx, "", "", func(_ string, p Project) (bool, error) {
			out = append(out, p)
			return true, nil
		})
	})
	return out, err
}

// Project gives one project by id (prj_…, or the one that the earlier system gave it) or slug, to who may read of it. Errors: unknown_project.
func (v *Vault) Project(ctx context.Context, actor Actor, ref string) (p Project, err error) {
	err = v.view(ctx, func(tx store.Tx) error {
		p, err = v.projectFor(tx, actor, ref, ScopeRead)
		return err
	})
	return p, err
}

// projectFor finds a project for who acts on it.
func (v *Vault) projectFor(tx store.Tx, actor Actor, ref string, need Scope) (Project, error) {
	p, err := v.byProject(tx, ref)
	if err == nil {
		err = v.mayAct(tx, actor, p, need)
	}
	if err != nil {
		return Project{}, err
	}
	return p, nil
}

// byProject finds a project by id or slug. Projects of vaults from before there was a way by id are looked for one by one.
func (v *Vault) byProject(tx store.Tx, ref string) (p Project, err error) {
	byID := id.Is(ref, id.Project) || uuidShape.MatchString(ref)
	slug := ref
	if byID {
		switch l, err := v.projectIDs.Get(tx, ref); {
		case err == nil:
			slug = l.ID
		case !errors.Is(err, store.ErrNotFound):
			return p, err
		default:
			return v.unlinked(tx, ref)
		}
	}
	if !slugShape.MatchString(slug) {
		return p, noProject()
	}
	if p, err = v.projects.Get(tx, slug); err != nil {
		return p, found(err, noProject())
	}
	if byID && p.ID != ref && p.Former != ref {
		return Project{}, fault.New(fault.RecordTampered, "the id of a project does not lead to it", "run `zavhoz doctor`; restore from a backup")
	}
	return p, nil
}

func (v *Vault) unlinked(tx store.Tx, ref string) (p Project, err error) {
	err = v.projects.Scan(tx, "", "", func(_ string, x Project) (bool, error) {
		if x.ID == ref {
			p = x
		}
		return p.ID == "", nil
	})
	if err == nil && p.ID == "" {
		err = noProject()
	}
	return p, err
}

// mayAct tells whether an actor may act on a project. Who comes over the operator's own socket may; a token does what its scopes and projects say; an agent reads
// what its grants cover, and gives no values: they would have to pass through the model. It is asked before a merge waits for anything, and again within it.
func (v *Vault) mayAct(tx store.Tx, actor Actor, p Project, need Scope) error {
	if actor.Type == audit.System || actor.Type == audit.Operator && actor.ID == "" {
		return nil
	}
	a, err := v.agents.Get(tx, actor.ID)
	if err != nil {
		return found(err, fault.New(fault.Unauthenticated, "the token's owner was removed", "ask the operator for another token"))
	}
	if !slices.Contains(a.Grants.Projects, "*") && !slices.Contains(a.Grants.Projects, p.Slug) {
		return noProject()
	}
	switch {
	case actor.Type == audit.Operator:
		return a.allows(need)
	case need == ScopeRead:
		return nil
	}
	return fault.New(fault.NotPermitted, "an agent does not change a project", "call request_secret: a person gives the value")
}

func (v *Vault) projectExists(tx store.Tx, slug string) error {
	if !slugShape.MatchString(slug) {
		return noProject()
	}
	_, err := v.projects.Get(tx, slug)
	return found(err, noProject())
}

func joinNames(names []string) string { return strings.Join(names, ",") }

// Cursors are opaque: base64url of the next key.
func encodeCursor(key string) string { return base64.RawURLEncoding.EncodeToString([]byte(key)) }

func decodeCursor(c string) (string, error) {
	key, err := base64.RawURLEncoding.DecodeString(c)
	if err != nil || len(key) > store.MaxKey {
		return "", fault.New(fault.InvalidArgument, "the cursor is not one that zavhoz gave", "start again without a cursor")
	}
	return string(key), nil
}
