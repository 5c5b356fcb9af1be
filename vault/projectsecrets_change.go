package vault

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
)

// FormerSecret is an earlier value of a project's secret.
type FormerSecret struct {
	Format  int        `json:"format"` // 1
	Project string     `json:"project"`
	Name    string     `json:"name"`
	Value   string     `json:"value"` // zvh1:…
	Known   SecretMeta `json:"known"`
}

// Ref names the sealed value for an opener.
func (f FormerSecret) Ref() keyring.Ref { return projectRef(f.Project, f.Name, f.Known.Version) }

func formerPrefix(project, name string) string { return project + "/" + name + "/" }

func formerKey(project, name string, version uint64) string {
	return formerPrefix(project, name) + inOrder(version)
}

// keepFormer puts the value that a name has in old, which c comes after, among the earlier ones, of which it keeps as many as of resources.
func (v *Vault) keepFormer(tx store.Tx, old ProjectConfig, c *ProjectConfig, name string) error {
	f := FormerSecret{Format: 1, Project: c.Project, Name: name, Value: old.Config.Secrets[name], Known: old.Known[name]}
	if err := v.former.Add(tx, formerKey(c.Project, name, f.Known.Version), f); err != nil { // no version is used twice
		return err
	}
	if there, known := c.former[name]; known {
		c.former[name] = slices.Insert(slices.Clone(there), 0, f.Known.Version)
	}
	return v.dropFormer(tx, c, name, v.keeps)
}

// dropFormer leaves the newest earlier values of a name, as many as keeps says.
func (v *Vault) dropFormer(tx store.Tx, c *ProjectConfig, name string, keeps uint64) error {
	there, known := c.former[name]
	if !known || keeps == 0 { // who wants all of them gone has it looked at again what there is
		there = nil
		err := v.former.ScanDown(tx, formerPrefix(c.Project, name), "", func(_ string, f FormerSecret) (bool, error) {
			there = append(there, f.Known.Version)
			return true, nil
		})
		if err != nil {
			return err
		}
	}
	stay := min(keeps, uint64(len(there)))
	for _, version := range there[stay:] {
		if err := v.former.Delete(tx, formerKey(c.Project, name, version)); err != nil {
			return err
		}
	}
	c.former[name] = there[:stay:stay]
	return nil
}

// PurgeProjectSecret removes earlier values of a project's secret for good; the present one stays. It gives what is known of that and the versions that went. What a value
// looked like is forgotten with it: it is no longer masked in output, where it may still stand. Errors: unknown_project, unknown_secret, invalid_argument, not_permitted.
func (v *Vault) PurgeProjectSecret(ctx context.Context, actor Actor, ref, name string, p Purge) (now SecretMeta, gone []uint64, err error) {
	if err := p.check(); err != nil {
		return now, nil, err
	}
	err = v.update(ctx, func(tx store.Tx) error {
		of, c, err := v.secretOf(tx, actor, ref, name, ScopeWrite)
		if err != nil {
			return err
		}
		now = c.Known[name]
		if gone, err = v.purgeFormer(tx, of.ID, name, now, p); err != nil {
			return err
		}
		detail := map[string]string{"names": name, "versions": utoa(uint64(len(gone)))}
		if len(gone) > 0 {
			detail["from"], detail["to"] = utoa(gone[0]), utoa(gone[len(gone)-1])
		}
		return v.audit.Append(tx, projectEvent(actor, audit.SecretPurge, of, detail))
	})
	if err != nil {
		return SecretMeta{}, nil, v.refused(ctx, actor, audit.SecretPurge, err)
	}
	return now, gone, nil
}

// purgeFormer removes the earlier values that p names, oldest first, and stops at the first that stays: what is kept has no holes.
func (v *Vault) purgeFormer(tx store.Tx, project, name string, now SecretMeta, p Purge) (gone []uint64, err error) {
	var kept []SecretMeta
	err = v.former.Scan(tx, formerPrefix(project, name), "", func(_ string, f FormerSecret) (bool, error) {
		kept = append(kept, f.Known)
		return true, nil
	})
	for i, m := range kept {
		replaced := now.UpdatedAt
		if i+1 < len(kept) {
			replaced = kept[i+1].UpdatedAt
		}
		if err != nil || !p.All && m.Version >= p.Before && (p.OlderThan == 0 || v.now().Sub(replaced) <= p.OlderThan) {
			return gone, err
		}
		gone = append(gone, m.Version)
		err = v.former.Delete(tx, formerKey(project, name, m.Version))
	}
	return gone, err
}

// RemoveProjectSecret removes a secret with its hint and its earlier values, for good. ifVersion is that of the secret; nil: whatever it is.
// Errors: unknown_project, unknown_secret, version_conflict, not_permitted.
func (v *Vault) RemoveProjectSecret(ctx context.Context, actor Actor, ref, name string, ifVersion *uint64) (out ProjectView, err error) {
	err = v.update(ctx, func(tx store.Tx) error {
		p, old, err := v.secretOf(tx, actor, ref, name, ScopeWrite)
		if err != nil {
			return err
		}
		if ifVersion != nil {
			if err := matches(old, name, ifVersion); err != nil {
				return err
			}
		}
		c := old.next(actor, v.now())
		delete(c.Config.Secrets, name)
		delete(c.Config.EnvHints, name)
		delete(c.Known, name)
		if err := errors.Join(v.dropFormer(tx, &c, name, 0), v.putConfig(tx, c)); err != nil {
			return err
		}
		out = p.view(c)
		return v.audit.Append(tx, projectEvent(actor, audit.SecretRemove, p, map[string]string{"names": name, "version": utoa(c.Version)}))
	})
	if err != nil {
		return ProjectView{}, v.refused(ctx, actor, audit.SecretRemove, err)
	}
	v.mirrored(ctx, out.Project)
	return out, nil
}

// RollbackProjectSecret makes an earlier value present again, under a new version. Errors: unknown_project, unknown_secret, unknown_version, not_permitted.
func (v *Vault) RollbackProjectSecret(ctx context.Context, actor Actor, ref, name string, version uint64, why string) (out SecretMeta, err error) {
	if err := checkWhy(why); err != nil {
		return out, err
	}
	var p Project
	err = v.update(ctx, func(tx store.Tx) error {
		var old ProjectConfig
		if p, old, err = v.secretOf(tx, actor, ref, name, ScopeWrite); err != nil {
			return err
		}
		f, err := v.former.Get(tx, formerKey(p.ID, name, version))
		if err != nil {
			return found(err, fault.Newf(fault.UnknownVersion, "version %d is not kept", version).WithNext("`zavhoz project secret history %s %s` lists the versions", p.Slug, name))
		}
		c := old.next(actor, v.now())
		value, err := v.opener.Open(f.Ref(), f.Value)
		if err != nil {
			return err
		}
		defer value.Wipe()
		if err := v.keepFormer(tx, old, &c, name); err != nil {
			return err
		}
		if c.Config.Secrets[name], err = v.k.Seal(projectRef(p.ID, name, c.Version), value); err != nil {
			return err
		}
		out = f.Known
		out.Version, out.CreatedAt, out.UpdatedAt, out.UpdatedBy, out.Why = c.Version, old.Known[name].CreatedAt, c.UpdatedAt, c.UpdatedBy, why
		if out.Why == "" {
			out.Why = fmt.Sprintf("rolled back to version %d", version)
		}
		c.Known[name] = out
		if err := v.putConfig(tx, c); err != nil {
			return err
		}
		return v.audit.Append(tx, projectEvent(actor, audit.SecretRollback, p, map[string]string{"names": name, "to": utoa(version), "version": utoa(c.Version)}))
	})
	if err != nil {
		return SecretMeta{}, v.refused(ctx, actor, audit.SecretRollback, err)
	}
	v.mirrored(ctx, p)
	return out, nil
}

// eachProjectSealed gives every value of every project, the earlier ones too: what a redactor must know.
func (v *Vault) eachProjectSealed(tx store.Tx, fn func(label string, ref keyring.Ref, sealed string) error) error {
	slugs := map[string]string{} // by id
	err := v.projects.Scan(tx, "", "", func(slug string, p Project) (bool, error) {
		slugs[p.ID] = slug
		return true, nil
	})
	if err != nil {
		return err
	}
	err = v.configs.Scan(tx, "", "", func(_ string, c ProjectConfig) (bool, error) {
		for name, text := range c.Config.Secrets {
			if err := fn(slugs[c.Project]+"."+name, c.SecretRef(name), text); err != nil {
				return false, err
			}
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	err = v.former.Scan(tx, "", "", func(_ string, f FormerSecret) (bool, error) {
		return true, fn(slugs[f.Project]+"."+f.Name, f.Ref(), f.Value)
	})
	if err != nil {
		return err
	}
	return v.bridges.Scan(tx, "", "", func(_ string, b Bridge) (bool, error) {
		for field, s := range b.Sealed {
			if err := fn("adoption."+field, b.FieldRef(field), s.Value); err != nil {
				return false, err
			}
		}
		return true, nil
	})
}
