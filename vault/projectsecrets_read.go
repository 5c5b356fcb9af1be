package vault

import (
	"context"
	"slices"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/kind"
)

// ProjectSecret is one name of a project: a secret, or a hint that waits for one.
type ProjectSecret struct {
	Name   string
	Filled bool // there is a value
	Hint   string
	SecretMeta
}

// ProjectSecretKeys gives the names of a project's secrets, sorted. Errors: unknown_project.
func (v *Vault) ProjectSecretKeys(ctx context.Context, actor Actor, ref string) ([]string, error) {
	p, err := v.ViewProject(ctx, actor, ref)
	if err != nil {
		return nil, v.refused(ctx, actor, audit.SecretList, err)
	}
	return p.Keys, nil
}

// ProjectSecrets gives what is known of a project's secrets, by name, values aside. That an agent read it is on record. Errors: unknown_project.
func (v *Vault) ProjectSecrets(ctx context.Context, actor Actor, ref string) (p Project, out []ProjectSecret, err error) {
	err = v.view(ctx, func(tx store.Tx) error {
		if p, err = v.projectFor(tx, actor, ref, ScopeRead); err != nil {
			return err
		}
		if err = v.mayEnvironments(tx, actor, p); err != nil {
			return err
		}
		c, err := v.configOf(tx, p)
		out = c.list()
		return err
	})
	if err != nil {
		return Project{}, nil, v.refused(ctx, actor, audit.SecretList, err)
	}
	if actor.Type != audit.Agent {
		return p, out, nil
	}
	return p, out, v.Note(ctx, projectEvent(actor, audit.SecretList, p, map[string]string{"count": utoa(uint64(len(out)))}))
}

func (c ProjectConfig) list() []ProjectSecret {
	out := make([]ProjectSecret, 0, len(c.Known))
	for _, name := range keysOf(c.Config.EnvHints, mapOf(c.Known)) {
		m, filled := c.Known[name]
		out = append(out, ProjectSecret{Name: name, Filled: filled, Hint: c.Config.EnvHints[name], SecretMeta: m})
	}
	return out
}

func mapOf(known map[string]SecretMeta) map[string]string {
	out := make(map[string]string, len(known))
	for name := range known {
		out[name] = ""
	}
	return out
}

// SealedSecret is a value of a project as it is kept, for who has an opener.
type SealedSecret struct {
	Ref    keyring.Ref
	Sealed string
	Known  SecretMeta
}

// SealedProjectSecrets gives the sealed values of a project that are asked for by name, all of them where names is nil. A name that has no value is left out. What
// opens them is the caller's business, and its callers' leave: no MCP tool and no page has an opener. Errors: unknown_project.
func (v *Vault) SealedProjectSecrets(ctx context.Context, actor Actor, ref string, names []string) (p Project, out map[string]SealedSecret, err error) {
	err = v.view(ctx, func(tx store.Tx) error {
		if p, err = v.projectFor(tx, actor, ref, ScopeRead); err != nil {
			return err
		}
		c, err := v.configOf(tx, p)
		out = map[string]SealedSecret{}
		for name, text := range c.Config.Secrets {
			if names == nil || slices.Contains(names, name) {
				out[name] = SealedSecret{Ref: c.SecretRef(name), Sealed: text, Known: c.Known[name]}
			}
		}
		return err
	})
	if err != nil {
		return Project{}, nil, v.refused(ctx, actor, audit.SecretList, err)
	}
	return p, out, nil
}

// SecretHistory lists the versions of a project's secret that are kept, newest first, the present one included. Errors: unknown_project, unknown_field.
func (v *Vault) SecretHistory(ctx context.Context, actor Actor, ref, name string) (out []SecretMeta, err error) {
	err = v.view(ctx, func(tx store.Tx) error {
		out = nil
		_, c, err := v.secretOf(tx, actor, ref, name, ScopeRead)
		if err != nil {
			return err
		}
		out = append(out, c.Known[name])
		return v.former.ScanDown(tx, formerPrefix(c.Project, name), "", func(_ string, f FormerSecret) (bool, error) {
			out = append(out, f.Known)
			return true, nil
		})
	})
	return out, err
}

// secretOf finds a project's config that has a secret of that name.
func (v *Vault) secretOf(tx store.Tx, actor Actor, ref, name string, need Scope) (Project, ProjectConfig, error) {
	p, err := v.projectFor(tx, actor, ref, need)
	if err != nil {
		return p, ProjectConfig{}, err
	}
	c, err := v.configOf(tx, p)
	if _, has := c.Known[name]; err == nil && (!has || !kind.SecretName(name)) {
		err = noSecret()
	}
	return p, c, err
}

func noSecret() *fault.Error {
	return fault.New(fault.UnknownSecret, "the project has no such secret", "`zavhoz project secret list PROJECT` shows their names")
}
