package vault

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"maps"
	"reflect"
	"slices"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// How many earlier versions of a resource stay: by default, and the bounds of what may be asked for (config.yaml, versions.keep).
const (
	KeepVersions    = 10
	MinKeepVersions = 1
	MaxKeepVersions = 1000
)

func versionKey(rid string, version uint64) string { return rid + "/" + inOrder(version) }

// inOrder gives the 16 digits by which a number stands in a key: keys are then in order of their numbers.
func inOrder(n uint64) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], n)
	return hex.EncodeToString(b[:])
}

// EditResource changes a resource and keeps the version before. Fields that the edit does not name stay as they are, sealed.
// Errors: as AddResource, and version_conflict; resource_busy for attributes and secrets while a rotation is under way.
func (v *Vault) EditResource(ctx context.Context, actor Actor, ref string, e Edit) (r Resource, err error) {
	defer wipeAll(e.Secrets)
	if err := errors.Join(checkLabels(e.Labels), checkWhy(e.Why)); err != nil {
		return r, err
	}
	v.near(ctx, ref)
	ahead := v.foresee(ref, e)
	err = v.update(ctx, func(tx store.Tx) error {
		old, err := v.byHandle(tx, ref)
		if err != nil {
			return err
		}
		if e.IfVersion != 0 && e.IfVersion != old.Version {
			return fault.Newf(fault.VersionConflict, "the resource is at version %d, not %d", old.Version, e.IfVersion).WithNext("read it again with `zavhoz resource show %s`", old.Handle)
		}
		if len(e.Attrs)+len(e.Secrets) > 0 {
			if err := v.refuseCrossed(tx, old); err != nil {
				return err
			}
		}
		if r, err = v.editedAs(old, e, ahead); err != nil {
			return err
		}
		if err := v.projectExists(tx, r.Project); err != nil {
			return err
		}
		if err := v.keep(tx, actor, old, &r, e.Why); err != nil {
			return err
		}
		action := audit.ResourceEdit
		if e.Policy != nil {
			action = audit.ResourcePolicy
		}
		if err := v.audit.Append(tx, resourceEvent(actor, action, r, map[string]string{"changed": joinNames(changed(old, r))})); err != nil {
			return err
		}
		if err := v.withUses(tx, &r); err != nil {
			return err
		}
		if e.Policy != nil && usedUp(r) {
			r.Remarks = append(slices.Clip(r.Remarks), "it has been used "+utoa(r.Uses)+" times, and the policy allows "+utoa(r.Policy.MaxUses)+": it is exhausted")
		}
		return nil
	})
	return r, err
}

func usedUp(r Resource) bool { return r.Policy.MaxUses > 0 && r.Uses >= r.Policy.MaxUses }

// edited applies e to a copy of old, validates the whole, and seals what is new under the next version.
func (v *Vault) edited(old Resource, e Edit) (Resource, error) { return v.editedAs(old, e, nil) }

// editedAs is edited with what was foreseen of it; nil: nothing was.
func (v *Vault) editedAs(old Resource, e Edit, ahead *values) (Resource, error) {
	k, err := kind.Get(old.Kind)
	if err != nil {
		return old, err
	}
	r := old
	r.Labels = merged(old.Labels, e.Labels)
	if e.Project != nil {
		r.Project = *e.Project
	}
	if e.Status != nil {
		if *e.Status != Active && *e.Status != Disabled {
			return r, fault.New(fault.InvalidArgument, "a status is active or disabled", "")
		}
		if *e.Status == Active && old.Status == Gone {
			return r, goneFault(old)
		}
		r.Status = *e.Status
	}
	if e.Policy != nil {
		r.Policy = *e.Policy
	}
	if err := errors.Join(policy.Validate(r.Policy, k.StandIn, k.Deliveries), checkLabels(r.Labels)); err != nil {
		return r, err
	}
	if len(e.Attrs) == 0 && len(e.Secrets) == 0 {
		r.Attrs, r.Sealed = merged(old.Attrs, nil), maps.Clone(old.Sealed)
		return r, nil
	}
	if !ahead.of(v.k, old) {
		if ahead, err = v.revalue(k, old, e); err != nil {
			return r, err
		}
	}
	r.Attrs, r.Sealed, r.Remarks = ahead.attrs, ahead.sealed, ahead.remarks
	return r, nil
}

// canonical puts fields under their own names, where an edit calls them by an alias: what is kept is known by those. A field given under two names stays so, and
// is refused for it. What needs no change is given back as it is.
func canonical[V any](k kind.Kind, given map[string]V) map[string]V {
	out := given
	own := false
	for name, v := range given {
		f, ok := k.Lookup(name)
		if !ok || f.Name == name {
			continue
		}
		if !own {
			out, own = maps.Clone(given), true
		}
		if _, twice := out[f.Name]; !twice {
			delete(out, name)
			out[f.Name] = v
		}
	}
	return out
}

func wasGiven(given map[string]secret.Secret, field string) bool {
	_, ok := given[field]
	return ok
}

// withKept gives the full set of values to validate: the new ones, and the kept ones opened for the check alone.
func (v *Vault) withKept(old Resource, given map[string]secret.Secret) (map[string]secret.Secret, error) {
	all := make(map[string]secret.Secret, len(old.Sealed)+len(given))
	for field := range old.Sealed {
		if wasGiven(given, field) {
			continue
		}
		s, err := v.opener.Open(old.FieldRef(field), old.Sealed[field].Value)
		if err != nil {
			wipeAll(all)
			return nil, err
		}
		all[field] = s
	}
	for field, s := range given {
		all[field] = s.Clone()
	}
	return all, nil
}

// keep stores next as the version after old, and old in the history; it sets next's version, time and author.
func (v *Vault) keep(tx store.Tx, actor Actor, old Resource, next *Resource, why string) error {
	next.Version, next.UpdatedAt, next.UpdatedBy, next.Why = old.Version+1, v.now().Round(0), actor.Name, why
	if err := v.versions.Add(tx, versionKey(old.ID, old.Version), old); err != nil { // a version is replaced once
		return err
	}
	if err := v.dropBeyond(tx, old); err != nil {
		return err
	}
	if !samePolicy(&next.Policy, &old.Policy) { // who gave it may hold on to it
		return v.resources.Put(tx, next.ID, *next)
	}
	next.Policy = old.Policy
	return v.resources.PutKept(tx, next.ID, next.asRead())
}

// dropBeyond removes the versions that old, which was kept just now, is too many with; the old credential of a rotation stays as long as that. What is kept has no holes, so
// the first that is missing, from the newest that goes downwards, ends it: no more is read than goes.
func (v *Vault) dropBeyond(tx store.Tx, old Resource) error {
	if old.Version <= v.keeps {
		return nil
	}
	last := old.Version - v.keeps
	rotation, err := v.rotationOf(tx, old.ID)
	if err != nil {
		return err
	}
	if rotation != nil {
		last = min(last, max(rotation.Base, 1)-1)
	}
	for n := last; n > 0; n-- {
		if there, err := v.versions.Take(tx, versionKey(old.ID, n)); err != nil || !there {
			return err
		}
	}
	return nil
}

// asRead gives r as it comes back from the store, and nobody else's to change.
func (r Resource) asRead() Resource {
	r.Uses, r.Remarks = 0, nil
	r.Attrs, r.Labels, r.Sealed = orNil(r.Attrs), orNil(r.Labels), orNil(r.Sealed)
	return r
}

func orNil[V any](m map[string]V) map[string]V {
	if len(m) == 0 {
		return nil
	}
	return maps.Clone(m)
}

// changed names what differs between two versions.
func changed(a, b Resource) []string {
	var names []string
	for _, k := range keysOf(a.Attrs, b.Attrs) {
		if a.Attrs[k] != b.Attrs[k] {
			names = append(names, k)
		}
	}
	for _, k := range keysOf(a.Sealed, b.Sealed) {
		if !a.Sealed[k].same(b.Sealed[k]) {
			names = append(names, k)
		}
	}
	add := func(name string, differs bool) {
		if differs {
			names = append(names, name)
		}
	}
	add("labels", !maps.Equal(a.Labels, b.Labels))
	add("policy", !samePolicy(&a.Policy, &b.Policy))
	add("status", a.Status != b.Status)
	add("project", a.Project != b.Project)
	add("handle", a.Handle != b.Handle)
	return names
}

// samePolicy compares by reflection, so that no rule is ever left out; most resources have none, and DeepEqual takes ten times as long to say so.
func samePolicy(a, b *policy.Policy) bool {
	return saysNothing(a) && saysNothing(b) || reflect.DeepEqual(*a, *b)
}

func saysNothing(p *policy.Policy) bool { return reflect.ValueOf(p).Elem().IsZero() }

func keysOf[V any](a, b map[string]V) []string {
	keys := slices.AppendSeq(make([]string, 0, len(a)+len(b)), maps.Keys(a))
	keys = slices.AppendSeq(keys, maps.Keys(b))
	slices.Sort(keys)
	return slices.Compact(keys)
}

// merged overlays changes on base; an empty value removes.
func merged(base, changes map[string]string) map[string]string {
	out := maps.Clone(base)
	if out == nil {
		out = map[string]string{}
	}
	for k, val := range changes {
		if val == "" {
			delete(out, k)
		} else {
			out[k] = val
		}
	}
	return out
}
