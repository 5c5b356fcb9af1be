package vault

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// SecretType says where a project's secret comes from.
type SecretType string

// The types of a project's secrets, frozen.
const (
	SecretUser     SecretType = "user"     // a person gives it
	SecretInfra    SecretType = "infra"    // generated once, kept before its first use, never generated again
	SecretComputed SecretType = "computed" // follows from others
)

// What a service said of a value.
const (
	CheckVerified   = "verified"   // it took it
	CheckUnverified = "unverified" // it could not be asked
)

// SecretMeta is what is known of a secret without its value.
type SecretMeta struct {
	Version   uint64     `json:"version"` // that of the config when the value came: never used twice, so an old ciphertext is never a newer one's
	Type      SecretType `json:"type"`
	Class     string     `json:"class"`           // of length: secret.LengthClass
	Check     string     `json:"check,omitempty"` // where a service can tell whether it is good: verified, unverified
	CreatedAt time.Time  `json:"created_at"`      // of the name
	UpdatedAt time.Time  `json:"updated_at"`
	UpdatedBy string     `json:"updated_by"`
	Why       string     `json:"why,omitempty"`
}

// Prober asks the service that a value is for whether it is good.
type Prober interface {
	// Probe gives nil where the service takes the value, fault secret_invalid where it refuses it, and any other error where it could not be asked. It does not
	// outlast ctx, keeps nothing and wipes nothing.
	Probe(ctx context.Context, kind, field string, value secret.Secret) error
}

// Bounds of what a merge asks of services.
const (
	probeTime = 5 * time.Second // for all values of one merge
	maxProbes = 4               // of one merge; those beyond stay unverified
)

// SecretChange is one value of a merge.
type SecretChange struct {
	Value     secret.Secret
	Type      SecretType // "": as it is, and of a new name user
	IfVersion *uint64    // only where it is at this version; 0: only where there is none
}

// SecretMerge is what MergeProjectSecrets takes.
type SecretMerge struct {
	Secrets  map[string]SecretChange
	Hints    map[string]string // by name, in words; "" takes one away
	IfAbsent bool              // names that are there stay as they are
	IfConfig *uint64           // only where the config is at this version
	Why      string
	Purge    bool // the earlier values of what it gives go for good
	unasked  bool // no service is asked about a value that is in use already
}

// Merged is what a merge made.
type Merged struct {
	Project Project
	Version uint64                // of the config
	Keys    []string              // all names that the project has now, sorted
	Existed []string              // of those given: they were there, and stay (IfAbsent); sorted
	Known   map[string]SecretMeta // of those given, as they are now
	Late    bool                  // the earlier system's table, which its programs still read, has it later
}

// MergeProjectSecrets seals values into a project's config: all of them, or none, in one transaction with the audit record. Names that it does not give stay. A
// service that can tell whether a value is good is asked before that, for no transaction waits for a network; and before the service, whether the actor may: nobody
// has values probed for a project that is not theirs. It wipes the values, whatever happens.
// Errors: secret_missing (nothing given), secret_invalid, invalid_argument, unknown_project, not_permitted, name_taken and version_conflict (with detail "field"), too_large.
func (v *Vault) MergeProjectSecrets(ctx context.Context, actor Actor, ref string, m SecretMerge) (out Merged, err error) {
	defer m.wipe()
	x := merging{v: v, actor: actor, ref: ref, m: m, given: map[string]given{}}
	defer x.wipe()
	if err := errors.Join(checkWhy(m.Why), x.check()); err != nil {
		return out, err
	}
	if x.asks() {
		err = v.view(ctx, func(tx store.Tx) error {
			_, err := v.projectFor(tx, actor, ref, ScopeWrite)
			return err
		})
		if err != nil {
			return out, v.refused(ctx, actor, audit.SecretMerge, err)
		}
	}
	if err := x.ask(ctx); err != nil {
		return out, err
	}
	if err := v.update(ctx, x.run); err != nil {
		return Merged{}, v.refused(ctx, actor, audit.SecretMerge, err)
	}
	x.out.Late = v.mirrored(ctx, x.out.Project)
	return x.out, nil
}

// refused records that an actor may not do something to a project; other errors pass.
func (v *Vault) refused(ctx context.Context, actor Actor, a audit.Action, err error) error {
	if c := fault.CodeOf(err); c != fault.UnknownProject && c != fault.NotPermitted {
		return err
	}
	return v.deny(ctx, actor, a, "", "", err)
}

func (m SecretMerge) wipe() {
	for _, c := range m.Secrets {
		c.Value.Wipe()
	}
}

// merging is one merge under way.
type merging struct {
	v     *Vault
	actor Actor
	ref   string
	m     SecretMerge
	given map[string]given
	out   Merged
}

// given is one value, checked.
type given struct {
	value       secret.Secret
	kind, field string // whose service can tell whether it is good
	check       string
}

func (x *merging) wipe() {
	for _, g := range x.given {
		g.value.Wipe()
	}
}

func (x *merging) names() []string { return slices.Sorted(maps.Keys(x.m.Secrets)) }

// check looks at all that can be looked at without the project.
func (x *merging) check() error {
	if len(x.m.Secrets) == 0 {
		return fault.New(fault.SecretMissing, "there is no secret in the request", "give at least one: {\"secrets\":{\"NAME\":\"value\"}}")
	}
	if len(x.m.Secrets) > MaxProjectSecrets || len(x.m.Hints) > MaxProjectSecrets {
		return fault.Newf(fault.TooLarge, "a project has at most %d secrets", MaxProjectSecrets)
	}
	values := make(map[string]secret.Secret, len(x.m.Secrets))
	for _, name := range x.names() {
		c := x.m.Secrets[name]
		if !kind.SecretName(name) { // it is not repeated: what stands in its place may be a value
			return fault.New(fault.InvalidArgument, "a secret's name is that of a variable: 1 to 128 letters, digits and `_`, not beginning with a digit", "")
		}
		if c.Type != "" && c.Type != SecretUser && c.Type != SecretInfra && c.Type != SecretComputed {
			return fault.New(fault.InvalidArgument, "a secret's type is user, infra or computed", "")
		}
		own, asks, field, err := kind.ProjectSecret(name, c.Value)
		if err != nil {
			return err
		}
		x.given[name] = given{value: own, kind: asks, field: field}
		values[name] = own
	}
	return checkHints(x.m.Hints, values)
}

// asks tells whether a service is asked about any of the values.
func (x *merging) asks() bool {
	for _, g := range x.given {
		if g.kind != "" && x.v.probe != nil && !x.m.unasked {
			return true
		}
	}
	return false
}

// ask has services tell whether values are good. One that cannot be asked keeps nobody from storing a value: it is marked.
func (x *merging) ask(ctx context.Context) error {
	asking, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	left := maxProbes
	for _, name := range x.names() {
		g := x.given[name]
		if g.kind == "" {
			continue
		}
		g.check = CheckUnverified
		if left--; x.v.probe != nil && left >= 0 && !x.m.unasked {
			err := x.v.probe.Probe(asking, g.kind, g.field, g.value)
			if fault.CodeOf(err) == fault.SecretInvalid {
				return fault.New(fault.SecretInvalid, name+" is not valid: its service refuses it", "get a new one from the service, and give that").With("field", name)
			}
			if err == nil {
				g.check = CheckVerified
			}
		}
		x.given[name] = g
	}
	return StoreFault(ctx.Err())
}

// run is the transaction. It may be run more than once: what it leaves is set anew each time.
func (x *merging) run(tx store.Tx) error {
	v := x.v
	p, err := v.projectFor(tx, x.actor, x.ref, ScopeWrite)
	if err != nil {
		return err
	}
	old, err := v.configOf(tx, p)
	if err != nil {
		return err
	}
	if err := sameConfig(old, x.m.IfConfig); err != nil {
		return err
	}
	c := old.next(x.actor, v.now())
	existed, fresh := []string{}, []string{}
	for _, name := range x.names() {
		_, has := old.Known[name]
		if has && x.m.IfAbsent {
			existed = append(existed, name)
			continue
		}
		if err := matches(old, name, x.m.Secrets[name].IfVersion); err != nil {
			return err
		}
		if err := x.put(tx, old, &c, name); err != nil {
			return err
		}
		fresh = append(fresh, name)
	}
	hinted := c.hint(x.m.Hints)
	if len(fresh) == 0 && !hinted {
		c = old // everything was there
	} else if err := x.keep(tx, p, c, fresh, existed); err != nil {
		return err
	}
	x.out = Merged{Project: p, Version: c.Version, Keys: p.view(c).Keys, Existed: existed, Known: map[string]SecretMeta{}}
	for name := range x.m.Secrets {
		x.out.Known[name] = c.Known[name]
	}
	return nil
}

// matches is compare and set, for one name.
func matches(c ProjectConfig, name string, want *uint64) error {
	now, has := c.Known[name]
	switch {
	case want == nil || *want == now.Version: // 0 where there is none
		return nil
	case *want == 0:
		return fault.New(fault.NameTaken, "there is a secret "+name, "give the version that it replaces, or none").With("field", name)
	case !has:
		return fault.New(fault.VersionConflict, "there is no secret "+name+" any more", "read the list again, then decide again").With("field", name)
	}
	return fault.Newf(fault.VersionConflict, "the secret %s is at version %d, not %d", name, now.Version, *want).WithNext("read the list again, then decide again").With("field", name)
}

// put seals one value, and keeps the one before.
func (x *merging) put(tx store.Tx, old ProjectConfig, c *ProjectConfig, name string) error {
	v, g, change := x.v, x.given[name], x.m.Secrets[name]
	now, has := old.Known[name]
	err := error(nil)
	switch {
	case x.m.Purge:
		err = v.dropFormer(tx, c, name, 0)
	case has:
		err = v.keepFormer(tx, old, c, name)
	}
	if err != nil {
		return err
	}
	text, err := v.k.Seal(projectRef(c.Project, name, c.Version), g.value)
	if err != nil {
		return err
	}
	m := SecretMeta{Version: c.Version, Type: change.Type, Class: g.value.LengthClass(), Check: g.check, CreatedAt: now.CreatedAt, UpdatedAt: c.UpdatedAt, UpdatedBy: c.UpdatedBy, Why: x.m.Why}
	if !has {
		m.CreatedAt = c.UpdatedAt
	}
	if m.Type == "" {
		if m.Type = now.Type; !has {
			m.Type = SecretUser
		}
	}
	c.Config.Secrets[name], c.Known[name] = text, m
	return nil
}

// hint overlays hints, and tells whether anything changed.
func (c *ProjectConfig) hint(hints map[string]string) (changed bool) {
	for name, text := range hints {
		was, has := c.Config.EnvHints[name]
		switch {
		case text == "" && has:
			delete(c.Config.EnvHints, name)
			changed = true
		case text != "" && was != text:
			c.Config.EnvHints[name] = text
			changed = true
		}
	}
	return changed
}

func (x *merging) keep(tx store.Tx, p Project, c ProjectConfig, fresh, existed []string) error {
	if err := x.v.putMerged(tx, c); err != nil {
		return err
	}
	detail := map[string]string{"version": utoa(c.Version), "names": clippedNames(fresh)}
	if x.m.Purge {
		detail["purged"] = "yes"
	}
	if len(existed) > 0 {
		detail["existed"] = clippedNames(existed)
	}
	return x.v.audit.Append(tx, projectEvent(x.actor, audit.SecretMerge, p, detail))
}
