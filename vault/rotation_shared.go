package vault

import (
	"bytes"
	"context"
	"crypto/subtle"
	"slices"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// minShared is the shortest value that is compared, in bytes: shorter ones are the same by chance.
const minShared = 8

// Sharing names the resources that hold the same value as one of the fields of r, by handle, and the projects' secrets that do ("NAME of project SLUG"): it stops working there with it. Values are opened, compared and wiped; none is shown, but that
// two are the same is: who may not know it is not told. Addresses are not compared.
func (v *Vault) Sharing(ctx context.Context, r Resource, fields []string) (names []string, err error) {
	var mine []secret.Secret
	defer func() {
		for _, s := range mine {
			s.Wipe()
		}
	}()
	for _, field := range fields {
		sealed, has := r.Sealed[field]
		if !has || hidden(r.Kind, field) {
			continue
		}
		s, err := v.opener.Open(r.FieldRef(field), sealed.Value)
		if err != nil {
			return nil, err
		}
		mine = append(mine, s)
	}
	same := func(ref keyring.Ref, sealed string) (bool, error) {
		s, err := v.opener.Open(ref, sealed)
		if err != nil {
			return false, err
		}
		defer s.Wipe()
		return slices.ContainsFunc(mine, func(m secret.Secret) bool { return sameValue(m, s) }), nil
	}
	err = v.view(ctx, func(tx store.Tx) error {
		names = nil
		if len(mine) == 0 {
			return nil
		}
		err := v.sharingProjects(tx, same, &names)
		if err != nil {
			return err
		}
		return v.resources.Scan(tx, "", "", func(_ string, other Resource) (bool, error) {
			for field, s := range other.Sealed {
				if other.ID == r.ID || hidden(other.Kind, field) {
					continue
				}
				is, err := same(other.FieldRef(field), s.Value)
				if err != nil {
					return false, err
				}
				if is {
					names = append(names, other.Handle)
					break
				}
			}
			return true, nil
		})
	})
	slices.Sort(names)
	return slices.Compact(names), err
}

// sharingProjects adds the secrets of projects that hold the same value now.
func (v *Vault) sharingProjects(tx store.Tx, same func(keyring.Ref, string) (bool, error), names *[]string) error {
	return v.projects.Scan(tx, "", "", func(slug string, p Project) (bool, error) {
		c, err := v.configOf(tx, p)
		for name, sealed := range c.Config.Secrets {
			if err != nil {
				break
			}
			var is bool
			if is, err = same(c.SecretRef(name), sealed); is {
				*names = append(*names, name+" of project "+slug)
			}
		}
		return true, err
	})
}

// sameValue compares without the line's end that a file brought.
func sameValue(a, b secret.Secret) bool {
	if a.Len() < minShared {
		return false
	}
	return a.Equal(b) || subtle.ConstantTimeCompare(bytes.TrimSpace(a.Reveal()), bytes.TrimSpace(b.Reveal())) == 1
}

// SecretFields are the fields of a resource whose values a rotation exchanges, with what its kind derives from them.
func SecretFields(r Resource) (out []string) {
	k, err := kind.Get(r.Kind)
	if err != nil {
		return nil
	}
	for name := range r.Sealed {
		if f, ok := k.Lookup(name); ok && f.Class == kind.Secret {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}
