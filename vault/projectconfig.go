package vault

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/internal/lazyregexp"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// Limits of a project's config.
const (
	MaxProjectSecrets = 512       // names
	MaxProjectSealed  = 8 << 20   // bytes of all sealed texts together
	MaxProjectOther   = 256 << 10 // bytes of all that is not secret
	maxHint           = 500       // characters
	maxConfigKeys     = 128
)

var configKey = lazyregexp.New(`^[A-Za-z][A-Za-z0-9_.-]{0,63}$`)

// ProjectConfig is a project's config, with what is known of each of its secrets. It is one record: a merge is one write.
type ProjectConfig struct {
	Format    int                   `json:"format"`  // 1
	Project   string                `json:"project"` // prj_…
	Version   uint64                `json:"version"` // one more with each change
	Config    Settings              `json:"config"`
	Known     map[string]SecretMeta `json:"known"` // by name of a secret
	UpdatedAt time.Time             `json:"updated_at"`
	UpdatedBy string                `json:"updated_by"`

	// former is the versions of the earlier values, newest first, of each name where they were looked for: in memory alone. It goes with the record as it was read, and
	// whoever adds such a value writes the config too, so it lacks none; one that was purged since may still be in it.
	former map[string][]uint64
}

// Settings is a config in the shape that the earlier system has: names and all else in clear, secrets by name as sealed texts.
type Settings struct {
	Secrets  map[string]string          // NAME → zvh1:…
	EnvHints map[string]string          // NAME → what it is, in words for people and models
	Other    map[string]json.RawMessage // every other key
}

// The keys of a config that are not Other's.
const (
	keySecrets  = "secrets"
	keyEnvHints = "env_hints"
)

// MarshalJSON writes one object, its keys in order.
func (s Settings) MarshalJSON() ([]byte, error) {
	all := make(map[string]any, len(s.Other)+2)
	for k, v := range s.Other {
		all[k] = v
	}
	all[keySecrets], all[keyEnvHints] = orEmpty(s.Secrets), orEmpty(s.EnvHints)
	return json.Marshal(all)
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// UnmarshalJSON reads what MarshalJSON writes.
func (s *Settings) UnmarshalJSON(b []byte) error {
	if err := json.Unmarshal(b, &s.Other); err != nil {
		return err
	}
	for key, into := range map[string]*map[string]string{keySecrets: &s.Secrets, keyEnvHints: &s.EnvHints} {
		raw, ok := s.Other[key]
		if !ok {
			continue
		}
		if err := json.Unmarshal(raw, into); err != nil {
			return err
		}
		delete(s.Other, key)
	}
	return nil
}

// SecretRef names the sealed value of a project's secret for an opener.
func (c ProjectConfig) SecretRef(name string) keyring.Ref {
	return projectRef(c.Project, name, c.Known[name].Version)
}

func projectRef(project, name string, version uint64) keyring.Ref {
	return keyring.Ref{Type: "project", ID: project, Field: name, Version: version}
}

// configOf gives a project's config; an empty one where nothing was written yet.
func (v *Vault) configOf(tx store.Tx, p Project) (ProjectConfig, error) {
	c, err := v.configs.Get(tx, p.ID)
	if errors.Is(err, store.ErrNotFound) {
		return ProjectConfig{Format: 1, Project: p.ID}, nil
	}
	return c, err
}

// next is a copy that may be changed: what the store gives is shared.
func (c ProjectConfig) next(actor Actor, now time.Time) ProjectConfig {
	if now = now.Round(0); now.Before(c.UpdatedAt) { // another daemon's clock is ahead: times go one way, as versions do
		now = c.UpdatedAt
	}
	c.Version, c.UpdatedAt, c.UpdatedBy = c.Version+1, now, actor.Name
	c.Config.Secrets, c.Config.EnvHints = cloned(c.Config.Secrets), cloned(c.Config.EnvHints)
	c.Config.Other, c.Known, c.former = cloned(c.Config.Other), cloned(c.Known), cloned(c.former)
	return c
}

func cloned[V any](m map[string]V) map[string]V {
	out := maps.Clone(m)
	if out == nil {
		out = map[string]V{}
	}
	return out
}

// putConfig stores a config that keeps the limits.
func (v *Vault) putConfig(tx store.Tx, c ProjectConfig) error {
	if err := c.check(); err != nil {
		return err
	}
	return v.configs.Put(tx, c.Project, c)
}

// putMerged is putConfig of one to which nothing but secrets and hints came: nobody holds on to a part of it.
func (v *Vault) putMerged(tx store.Tx, c ProjectConfig) error {
	if err := c.check(); err != nil {
		return err
	}
	return v.configs.PutKept(tx, c.Project, c)
}

// check holds a config to the limits.
func (c ProjectConfig) check() error {
	sealed, other := 0, 0
	for _, text := range c.Config.Secrets {
		sealed += len(text)
	}
	for name, hint := range c.Config.EnvHints {
		other += len(name) + len(hint)
	}
	for key, raw := range c.Config.Other {
		other += len(key) + len(raw)
	}
	switch {
	case len(c.Config.Secrets) > MaxProjectSecrets || len(c.Config.EnvHints) > 2*MaxProjectSecrets:
		return fault.Newf(fault.TooLarge, "a project has at most %d secrets", MaxProjectSecrets)
	case sealed > MaxProjectSealed:
		return fault.Newf(fault.TooLarge, "the secrets of a project have at most %d MiB together", MaxProjectSealed>>20)
	case other > MaxProjectOther || len(c.Config.Other) > maxConfigKeys:
		return fault.Newf(fault.TooLarge, "a project's config has at most %d keys and %d KiB", maxConfigKeys, MaxProjectOther>>10)
	}
	return nil
}

// ProjectView is a project with its config as anybody may see it who may read of it: the names of secrets, no sealed text.
type ProjectView struct {
	Project
	Version  uint64                     // of the config; 0: nothing was written yet
	Keys     []string                   // names of secrets, sorted
	EnvHints map[string]string          // read-only
	Config   map[string]json.RawMessage // every other key; read-only
}

func (p Project) view(c ProjectConfig) ProjectView {
	keys := slices.AppendSeq(make([]string, 0, len(c.Config.Secrets)), maps.Keys(c.Config.Secrets))
	slices.Sort(keys)
	return ProjectView{Project: p, Version: c.Version, Keys: keys, EnvHints: c.Config.EnvHints, Config: c.Config.Other}
}

// ViewProject gives a project with its config. Errors: unknown_project.
func (v *Vault) ViewProject(ctx context.Context, actor Actor, ref string) (out ProjectView, err error) {
	err = v.view(ctx, func(tx store.Tx) error {
		p, err := v.projectFor(tx, actor, ref, ScopeRead)
		if err != nil {
			return err
		}
		c, err := v.configOf(tx, p)
		out = p.view(c)
		return err
	})
	return out, err
}

// ProjectEdit is what EditProject changes. Keys that it does not name stay.
type ProjectEdit struct {
	Title     *string
	Config    map[string]json.RawMessage // a key with null goes
	IfVersion *uint64                    // of the config; nil: whatever it is
}

// EditProject changes a project's title and the part of its config that is not secret. Secrets come by MergeProjectSecrets alone: a config that brings some, or that
// holds what looks like one, is refused with secret_invalid. Errors: unknown_project, version_conflict, invalid_argument, too_large.
func (v *Vault) EditProject(ctx context.Context, actor Actor, ref string, e ProjectEdit) (out ProjectView, err error) {
	if e.Title != nil && (longer(*e.Title, 255) || !printable(*e.Title)) {
		return out, fault.New(fault.InvalidArgument, "a title is one line of at most 255 characters", "")
	}
	hints, err := checkSettings(e.Config)
	if err != nil {
		return out, err
	}
	err = v.update(ctx, func(tx store.Tx) error {
		p, err := v.projectFor(tx, actor, ref, ScopeWrite)
		if err != nil {
			return err
		}
		old, err := v.configOf(tx, p)
		if err != nil {
			return err
		}
		if err := sameConfig(old, e.IfVersion); err != nil {
			return err
		}
		c := old.next(actor, v.now())
		for key, raw := range e.Config {
			if key == keyEnvHints {
				c.Config.EnvHints = cloned(hints)
			} else if isNull(raw) {
				delete(c.Config.Other, key)
			} else {
				c.Config.Other[key] = raw
			}
		}
		if e.Title != nil {
			p.Title = *e.Title
			if err := v.projects.Put(tx, p.Slug, p); err != nil {
				return err
			}
		}
		if err := v.putConfig(tx, c); err != nil {
			return err
		}
		out = p.view(c)
		return v.audit.Append(tx, projectEvent(actor, audit.ProjectEdit, p, map[string]string{"changed": clippedNames(slices.Sorted(maps.Keys(e.Config)))}))
	})
	return out, err
}

func isNull(raw json.RawMessage) bool { return string(bytes.TrimSpace(raw)) == "null" }

// sameConfig refuses a change that was decided on another state.
func sameConfig(c ProjectConfig, want *uint64) error {
	if want == nil || *want == c.Version {
		return nil
	}
	return fault.Newf(fault.VersionConflict, "the project's config is at version %d, not %d", c.Version, *want).WithNext("read it again, then decide again")
}

// checkSettings refuses secrets where everybody reads.
func checkSettings(config map[string]json.RawMessage) (hints map[string]string, err error) {
	for _, key := range slices.Sorted(maps.Keys(config)) {
		raw := config[key]
		switch {
		case key == keySecrets:
			return nil, fault.New(fault.SecretInvalid, "secrets do not come with a config", "POST …/config/secrets merges them; `zavhoz project secret set` does").With("field", key)
		case !configKey.MatchString(key) || !json.Valid(raw):
			return nil, fault.New(fault.InvalidArgument, "a key of a config has at most 64 letters, digits, `_`, `-` and `.`, and a JSON value", "")
		}
		if what, yes := kind.LooksSecret(string(raw)); yes {
			return nil, fault.New(fault.SecretInvalid, "the config holds "+what+", and everybody who may see the project reads it", "POST …/config/secrets, or `zavhoz project secret set`, keeps it sealed").With("field", key)
		}
		if key == keyOverrides {
			if err := checkOverrides(raw); err != nil {
				return nil, err
			}
		}
		if key != keyEnvHints || isNull(raw) {
			continue
		}
		if json.Unmarshal(raw, &hints) != nil {
			return nil, fault.New(fault.InvalidArgument, "env_hints is an object of texts by name", "").With("field", key)
		}
		if err := checkHints(hints, nil); err != nil {
			return nil, err
		}
	}
	return hints, nil
}

// checkHints refuses names and texts that are none, and texts that hold one of the values given beside them.
func checkHints(hints map[string]string, values map[string]secret.Secret) error {
	for _, name := range slices.Sorted(maps.Keys(hints)) {
		text := hints[name]
		if !kind.SecretName(name) || longer(text, maxHint) || !printable(text) {
			return fault.Newf(fault.InvalidArgument, "a hint is a line of at most %d characters, by the name of a variable", maxHint)
		}
		what, yes := kind.LooksSecret(text)
		for _, s := range values {
			if !yes && kind.Holds(text, s) {
				what, yes = "a value", true
			}
		}
		if yes {
			return fault.New(fault.SecretInvalid, "the hint of "+name+" holds "+what+", and models read it", "say in words what the secret is").With("field", name)
		}
	}
	return nil
}

func projectEvent(actor Actor, a audit.Action, p Project, detail map[string]string) audit.Event {
	return audit.Event{Actor: actor, Action: a, Outcome: audit.Allowed, Subject: p.ID, Handle: p.Slug, Detail: detail}
}

// clippedNames joins the first names for an audit record, which is small.
func clippedNames(names []string) string {
	const most = 32
	if len(names) > most {
		return joinNames(names[:most]) + ",… " + utoa(uint64(len(names)))
	}
	return joinNames(names)
}
