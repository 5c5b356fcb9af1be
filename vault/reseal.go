package vault

import (
	"bytes"
	"encoding/json"
	"maps"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/record"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// Resealer seals what records hold anew under the present data key: which collections hold sealed fields, and what each belongs to, is known here.
type Resealer struct {
	Opener  Opener
	Keyring *keyring.Keyring
}

// Book is the vault's accounts of its records, for vault/rekey: what writes to the same collections shares one.
func (v *Vault) Book() *record.Book { return v.book }

// Body gives a record's body with every sealed field under the present key and every fingerprint made with it; the same bytes for a record that has neither.
// Errors: as an opener's, and vault_format for a body that this version cannot read whole.
func (s Resealer) Body(c store.Collection, body []byte) ([]byte, error) {
	switch c {
	case cResources, cVersions:
		var r Resource
		if err := whole(body, &r); err != nil {
			return nil, err
		}
		if err := s.fields(&r.Sealed, r.FieldRef, nil); err != nil {
			return nil, err
		}
		return json.Marshal(r)
	case cRotations:
		var x Rotation
		if err := whole(body, &x); err != nil {
			return nil, err
		}
		if err := s.fields(&x.Sealed, x.FieldRef, nil); err != nil {
			return nil, err
		}
		return json.Marshal(x)
	case cConfigs:
		var p ProjectConfig
		if err := whole(body, &p); err != nil {
			return nil, err
		}
		p.Config.Secrets = maps.Clone(p.Config.Secrets)
		for name := range p.Config.Secrets {
			text := p.Config.Secrets[name]
			if err := s.text(&text, p.SecretRef(name)); err != nil {
				return nil, err
			}
			p.Config.Secrets[name] = text
		}
		return json.Marshal(p)
	case cFormer:
		var f FormerSecret
		if err := whole(body, &f); err != nil {
			return nil, err
		}
		if err := s.text(&f.Value, f.Ref()); err != nil {
			return nil, err
		}
		return json.Marshal(f)
	case cBridges:
		var b Bridge
		if err := whole(body, &b); err != nil {
			return nil, err
		}
		if err := s.fields(&b.Sealed, b.FieldRef, nil); err != nil {
			return nil, err
		}
		return json.Marshal(b)
	case cServers:
		var v Server
		if err := whole(body, &v); err != nil {
			return nil, err
		}
		v.Prints = maps.Clone(v.Prints)
		err := s.fields(&v.Sealed, v.FieldRef, func(field string, value secret.Secret) {
			if _, has := v.Prints[field]; has {
				v.Prints[field] = serverPrint(s.Keyring, field, value)
			}
		})
		if err != nil {
			return nil, err
		}
		return json.Marshal(v)
	}
	return body, nil
}

// whole decodes a body of which nothing may be lost.
func whole(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fault.New(fault.VaultFormat, "a record is authentic, but this zavhoz cannot read it", "upgrade zavhoz").Because(err)
	}
	return nil
}

// fields seals anew what is under an older key. each sees every value, where it is not nil; it must not keep it.
func (s Resealer) fields(sealed *map[string]Sealed, ref func(string) keyring.Ref, each func(string, secret.Secret)) error {
	out := maps.Clone(*sealed)
	for field, x := range *sealed {
		fresh := s.Keyring.Seals(x.Value)
		if fresh && each == nil {
			continue
		}
		value, err := s.Opener.Open(ref(field), x.Value)
		if err != nil {
			return err
		}
		if each != nil {
			each(field, value)
		}
		if !fresh {
			x.Value, err = s.Keyring.Seal(ref(field), value)
			out[field] = x
		}
		value.Wipe()
		if err != nil {
			return err
		}
	}
	*sealed = out
	return nil
}

// text seals one value anew, where it is under an older key.
func (s Resealer) text(sealed *string, ref keyring.Ref) error {
	if s.Keyring.Seals(*sealed) {
		return nil
	}
	value, err := s.Opener.Open(ref, *sealed)
	if err != nil {
		return err
	}
	defer value.Wipe()
	*sealed, err = s.Keyring.Seal(ref, value)
	return err
}

// Stale tells whether a record's fingerprints were made with a former key, which nothing else of it shows: a cycle of sync may bring one that it made before.
func (s Resealer) Stale(c store.Collection, body []byte) (bool, error) {
	if c != cServers {
		return false, nil
	}
	again, err := s.Body(c, body)
	return !bytes.Equal(again, body), err
}

// resealed seals the values of a new record again, in the transaction that stores it, where the data key changed since they were sealed.
func (v *Vault) resealed(r *Resource, values map[string]secret.Secret) (err error) {
	for _, x := range r.Sealed {
		if !v.k.Seals(x.Value) {
			r.Sealed, err = v.seal(r.ID, r.Version, values)
			return err
		}
	}
	return nil
}

// same tells whether two versions of one resource hold the same sealing of a field: the version in which it was sealed names it. Its text changes with the data key.
func (s Sealed) same(o Sealed) bool { return s.Version == o.Version }

func serverPrint(k *keyring.Keyring, field string, value secret.Secret) string {
	return k.Print("server."+field, value)
}
