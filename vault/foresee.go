package vault

import (
	"context"
	"maps"

	"github.com/zavhoz/zavhoz/vault/id"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// values is what an edit makes of a resource's attributes and secrets. It depends on nothing of the resource but what base says: its id, kind, version, attributes
// and sealed fields.
type values struct {
	base    Resource
	attrs   map[string]string
	sealed  map[string]Sealed
	remarks []string
}

// foresee does what the same edit will do in its transaction with values, on the resource as it was seen last: functions of transactions stand in one line, and checking
// and sealing is a fifth of what an edit's takes. It opens nothing. nil where nothing is known of it, or it would be refused: the transaction has the last word, and looks at all of it again.
func (v *Vault) foresee(ref string, e Edit) *values {
	if len(e.Attrs) == 0 && len(e.Secrets) == 0 {
		return nil
	}
	if !id.Is(ref, id.Resource) {
		l, _ := v.handles.Recall(ref)
		ref = l.ID
	}
	old, ok := v.resources.Recall(ref)
	if !ok || e.IfVersion != 0 && e.IfVersion != old.Version {
		return nil
	}
	k, err := kind.Get(old.Kind)
	if err != nil {
		return nil
	}
	given := canonical(k, e.Secrets)
	for field := range old.Sealed {
		if _, is := given[field]; !is {
			return nil // it would be opened, outside of the transaction that a lock waits for
		}
	}
	x, err := v.revalue(k, old, e)
	if err != nil {
		return nil
	}
	return x
}

// near asks for what an edit of ref is going to read, as far as that is known, before its turn.
func (v *Vault) near(ctx context.Context, ref string) {
	if !id.Is(ref, id.Resource) {
		v.handles.Warm(ctx, v.st, ref)
		l, _ := v.handles.Recall(ref)
		ref = l.ID
	}
	if ref == "" {
		return
	}
	v.resources.Warm(ctx, v.st, ref)
	v.rotations.Warm(ctx, v.st, ref)
	v.counters.Warm(ctx, v.st, ref)
	if old, known := v.resources.Recall(ref); known && old.Version > v.keeps { // the version that goes (dropBeyond)
		v.versions.Warm(ctx, v.st, versionKey(ref, old.Version-v.keeps))
	}
}

// of tells whether it is what the edit makes of r, too: r has what it was made of, and what is new in it is sealed under the key that seals now.
func (x *values) of(k *keyring.Keyring, r Resource) bool {
	if x == nil || r.ID != x.base.ID || r.Kind != x.base.Kind || r.Version != x.base.Version || !maps.Equal(r.Attrs, x.base.Attrs) || !maps.Equal(r.Sealed, x.base.Sealed) {
		return false
	}
	for _, s := range x.sealed {
		if s.Version > r.Version && !k.Seals(s.Value) {
			return false
		}
	}
	return true
}

// revalue validates the values of old with those of e, and seals what is new under the next version.
func (v *Vault) revalue(k kind.Kind, old Resource, e Edit) (*values, error) {
	e.Attrs, e.Secrets = canonical(k, e.Attrs), canonical(k, e.Secrets)
	all, err := v.withKept(old, e.Secrets)
	if err != nil {
		return nil, err
	}
	defer wipeAll(all)
	ok, err := k.Validate(merged(old.Attrs, e.Attrs), all)
	if err != nil {
		return nil, err
	}
	defer wipeAll(ok.Secrets)
	x := &values{base: old, attrs: ok.Attrs, sealed: cloned(old.Sealed), remarks: append(ok.Warnings, ok.Notes...)}
	maps.DeleteFunc(x.sealed, func(field string, _ Sealed) bool { return !wasGiven(ok.Secrets, field) })
	fresh := map[string]secret.Secret{}
	for field, s := range ok.Secrets {
		if kept, had := all[field]; had && kept.Equal(s) && !wasGiven(e.Secrets, field) {
			continue // unchanged: stays sealed as it was
		}
		fresh[field] = s
	}
	sealed, err := v.seal(old.ID, old.Version+1, fresh)
	if err != nil {
		return nil, err
	}
	maps.Copy(x.sealed, sealed)
	return x, nil
}
