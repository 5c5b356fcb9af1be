package vault

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/id"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// Adoption is a project of the earlier system, its values opened.
type Adoption struct {
	Former  string // its id there: a UUID
	Slug    string
	Title   string
	Secrets map[string]secret.Secret
	Hints   map[string]string
	Config  map[string]json.RawMessage // every other key
}

// Adopted says what became of it.
type Adopted struct {
	Merged
	New     bool     // it was not here before
	Joined  bool     // a project of its slug was here, of nobody there: the two are one from now on
	Refused []string // names of secrets and keys of the config that no project of ours may have: they stay where they are; sorted
}

// AdoptProject takes a project of the earlier system: it is found by its former id from then on, and its values are sealed here. It may be asked again: what is there
// stays as it is. What could not be taken is told, and keeps nothing else from being taken. It wipes the values. Errors: invalid_argument, name_taken.
func (v *Vault) AdoptProject(ctx context.Context, actor Actor, a Adoption) (out Adopted, err error) {
	defer wipeAll(a.Secrets)
	m, config, refused, err := a.sift()
	defer m.wipe()
	if err != nil {
		return out, err
	}
	out.Refused = refused
	if out.New, out.Joined, err = v.adoptShell(ctx, actor, a, config); err != nil {
		return Adopted{}, err
	}
	if len(m.Secrets) > 0 {
		out.Merged, err = v.MergeProjectSecrets(ctx, actor, a.Former, m)
	}
	return out, err
}

// LookAtAdoption tells what AdoptProject would make of a project, and changes nothing. It wipes the values. Errors: those of AdoptProject.
func (v *Vault) LookAtAdoption(ctx context.Context, a Adoption) (out Adopted, err error) {
	defer wipeAll(a.Secrets)
	m, _, refused, err := a.sift()
	defer m.wipe()
	if err != nil {
		return out, err
	}
	err = v.view(ctx, func(tx store.Tx) error {
		p, fresh, err := v.adopting(tx, a)
		if err != nil || fresh {
			out = Adopted{New: fresh, Refused: refused}
			return err
		}
		c, err := v.configOf(tx, p)
		out = Adopted{Joined: p.Former == "", Refused: refused}
		for _, name := range slices.Sorted(maps.Keys(m.Secrets)) {
			if _, has := c.Config.Secrets[name]; has {
				out.Existed = append(out.Existed, name)
			}
		}
		return err
	})
	return out, err
}

// sift parts what a project of ours may have from what stays where it is. Errors: invalid_argument, where nothing of it can be taken.
func (a Adoption) sift() (m SecretMerge, config map[string]json.RawMessage, refused []string, err error) {
	if !uuidShape.MatchString(a.Former) || !slugShape.MatchString(a.Slug) || longer(a.Title, 255) || !printable(a.Title) {
		return m, nil, nil, fault.New(fault.InvalidArgument, "a project of the earlier system has a UUID, a slug of at most 40 lower-case letters, digits and `-`, and a title of one line", "change it there")
	}
	m = SecretMerge{Secrets: map[string]SecretChange{}, Hints: map[string]string{}, IfAbsent: true, Why: "adopted", unasked: true}
	for name, value := range a.Secrets {
		own, _, _, err := secret.Secret{}, "", "", error(nil)
		if kind.SecretName(name) {
			own, _, _, err = kind.ProjectSecret(name, value)
		}
		if own.IsZero() || err != nil {
			refused = append(refused, name)
			continue
		}
		m.Secrets[name] = SecretChange{Value: own}
	}
	for name, text := range a.Hints {
		if checkHints(map[string]string{name: text}, a.Secrets) == nil {
			m.Hints[name] = text
		} else {
			refused = append(refused, keyEnvHints+"."+name)
		}
	}
	config = maps.Clone(a.Config)
	maps.DeleteFunc(config, func(key string, raw json.RawMessage) bool {
		_, err := checkSettings(map[string]json.RawMessage{key: raw})
		if err != nil {
			refused = append(refused, key)
		}
		return err != nil
	})
	slices.Sort(refused)
	return m, config, refused, nil
}

// ErrSlugTaken refuses a second project of the earlier system under one slug.
func ErrSlugTaken(slug string) *fault.Error {
	return fault.New(fault.NameTaken, "there is a project "+slug+" that was adopted from another", "give one of them another slug in the earlier system")
}

// adopting finds the project that a is, by its former id or else by its slug. Errors: name_taken, where another of the earlier system's has the slug here.
func (v *Vault) adopting(tx store.Tx, a Adoption) (p Project, fresh bool, err error) {
	p, err = v.byProject(tx, a.Former)
	if fault.CodeOf(err) == fault.UnknownProject {
		p, err = v.byProject(tx, a.Slug)
	}
	switch {
	case fault.CodeOf(err) == fault.UnknownProject:
		return Project{}, true, nil
	case err == nil && p.Former != "" && p.Former != a.Former:
		return p, false, ErrSlugTaken(a.Slug)
	}
	return p, false, err
}

// adoptShell makes the project, or the way to it by its former id.
func (v *Vault) adoptShell(ctx context.Context, actor Actor, a Adoption, config map[string]json.RawMessage) (fresh, joined bool, err error) {
	err = v.update(ctx, func(tx store.Tx) error {
		var p Project
		if p, fresh, err = v.adopting(tx, a); err != nil {
			return err
		}
		joined = !fresh && p.Former == ""
		switch {
		case fresh:
			p = Project{Format: 1, ID: id.New(id.Project), Slug: a.Slug, Title: a.Title, CreatedAt: v.now()}
		case !joined:
			return nil // it was taken before
		}
		p.Former = a.Former
		old, err := v.configOf(tx, p)
		if err != nil {
			return err
		}
		c := old.next(actor, v.now())
		for key, raw := range config {
			if _, has := c.Config.Other[key]; !has {
				c.Config.Other[key] = raw
			}
		}
		err = errors.Join(v.putProject(tx, p), v.projectIDs.Put(tx, p.Former, link{p.Slug}), v.putConfig(tx, c))
		if err != nil {
			return err
		}
		return v.audit.Append(tx, projectEvent(actor, audit.ProjectAdopt, p, map[string]string{"former": p.Former}))
	})
	return fresh, joined, err
}

// Bridge is the way to the earlier system's table while its programs still read it: what is changed here of an adopted project is written there too.
type Bridge struct {
	Format  int               `json:"format"` // 1
	Table   string            `json:"table"`
	Sealed  map[string]Sealed `json:"sealed"` // database: its URL; key: the Fernet keys
	Version uint64            `json:"version"`
	Since   time.Time         `json:"since"`
	By      string            `json:"by"`
}

const cBridges store.Collection = "bridges"

const bridgeKey = "earlier"

// FieldRef names a sealed field for an opener.
func (b Bridge) FieldRef(field string) keyring.Ref {
	return keyring.Ref{Type: "bridge", ID: bridgeKey, Field: field, Version: b.Sealed[field].Version}
}

// Bridge gives the bridge, if there is one.
func (v *Vault) Bridge(ctx context.Context) (b Bridge, there bool, err error) {
	err = v.view(ctx, func(tx store.Tx) error {
		b, err = v.bridges.Get(tx, bridgeKey)
		there = err == nil
		return ignoreNotFound(err)
	})
	return b, there, err
}

// PutBridge keeps the way to the earlier system's table, in place of the one that the caller has looked at, the zero value for none. It wipes neither value. Errors:
// version_conflict where there is another by now.
func (v *Vault) PutBridge(ctx context.Context, actor Actor, was Bridge, table string, database, key secret.Secret) error {
	return v.update(ctx, func(tx store.Tx) error {
		old, err := v.bridges.Get(tx, bridgeKey)
		if err = ignoreNotFound(err); err != nil {
			return err
		}
		if old.Version != was.Version || !old.Since.Equal(was.Since) {
			return fault.New(fault.VersionConflict, "another adoption was begun meanwhile", "look at `zavhoz project adopt --state`, then try again")
		}
		b := Bridge{Format: 1, Table: table, Version: old.Version + 1, Since: v.now(), By: actor.Name, Sealed: map[string]Sealed{}}
		for field, value := range map[string]secret.Secret{"database": database, "key": key} {
			b.Sealed[field] = Sealed{Version: b.Version, Class: value.LengthClass()}
			text, err := v.k.Seal(b.FieldRef(field), value)
			if err != nil {
				return err
			}
			b.Sealed[field] = Sealed{Value: text, Version: b.Version, Class: value.LengthClass()}
		}
		if err := v.bridges.Put(tx, bridgeKey, b); err != nil {
			return err
		}
		return v.audit.Append(tx, audit.Event{Actor: actor, Action: audit.ProjectAdopt, Outcome: audit.Allowed, Detail: map[string]string{"bridge": "built"}})
	})
}

// RemoveBridge ends the adoption: nothing is written to the earlier system's table any more, and the vault forgets its key. Errors: invalid_argument where there is none.
func (v *Vault) RemoveBridge(ctx context.Context, actor Actor) error {
	return v.update(ctx, func(tx store.Tx) error {
		if _, err := v.bridges.Get(tx, bridgeKey); err != nil {
			return found(err, fault.New(fault.InvalidArgument, "no adoption is under way", ""))
		}
		if err := v.bridges.Delete(tx, bridgeKey); err != nil {
			return err
		}
		return v.audit.Append(tx, audit.Event{Actor: actor, Action: audit.ProjectAdopt, Outcome: audit.Allowed, Detail: map[string]string{"bridge": "removed"}})
	})
}

// AdoptedProjects gives the ids of the projects that the earlier system had.
func (v *Vault) AdoptedProjects(ctx context.Context) (out []string, err error) {
	all, err := v.ListProjects(ctx)
	for _, p := range all {
		if p.Former != "" {
			out = append(out, p.ID)
		}
	}
	return out, err
}

// Mirror is told when the secrets of an adopted project have changed, in the flow of the change and after it is durable. What it cannot write it writes later; until
// then it says so by an error.
type Mirror func(ctx context.Context, project string) error

// mirrored tells the mirror.
func (v *Vault) mirrored(ctx context.Context, p Project) (late bool) {
	return p.Former != "" && v.mirror != nil && v.mirror(ctx, p.ID) != nil
}

// SetMirror says who is told. Call it before the vault is used.
func (v *Vault) SetMirror(m Mirror) { v.mirror = m }
