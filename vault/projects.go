package vault

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/id"
	"github.com/zavhoz/zavhoz/vault/internal/lazyregexp"
)

// DefaultProject is the slug of the project that exists from init.
const DefaultProject = "default"

var slugShape = lazyregexp.New(`^[a-z][a-z0-9-]{0,39}$`)

// AddProject makes a project.
func (v *Vault) AddProject(ctx context.Context, actor Actor, slug, title string) (p Project, err error) {
	if !slugShape.MatchString(slug) || longer(title, 255) || !printable(title) {
		return p, fault.New(fault.InvalidArgument, "a project's slug begins with a letter and has at most 40 lower-case letters, digits and `-`; its title is one line of at most 255 characters", "")
	}
	p = Project{Format: 1, ID: id.New(id.Project), Slug: slug, Title: title, CreatedAt: v.now()}
	err = v.update(ctx, func(tx store.Tx) error {
		if _, err := v.projects.Get(tx, slug); !errors.Is(err, store.ErrNotFound) {
			if err == nil {
				err = fault.New(fault.NameTaken, "there is a project "+slug, "choose another slug")
			}
			return err
		}
		if err := v.projects.Put(tx, slug, p); err != nil {
			return err
		}
		return v.audit.Append(tx, audit.Event{Actor: actor, Action: audit.ProjectAdd, Outcome: audit.Allowed, Subject: p.ID, Handle: slug})
	})
	return p, err
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

func (v *Vault) projectExists(tx store.Tx, slug string) error {
	missing := fault.New(fault.UnknownProject, "there is no such project", "`zavhoz project list` shows them; `zavhoz project create SLUG` makes one")
	if !slugShape.MatchString(slug) {
		return missing
	}
	_, err := v.projects.Get(tx, slug)
	return found(err, missing)
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
