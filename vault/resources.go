package vault

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/id"
	"github.com/zavhoz/zavhoz/vault/internal/lazyregexp"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// Limits of a resource's public part.
const (
	maxLabels   = 32
	maxLabelLen = 128
	maxWhy      = 200
)

var (
	handleShape = lazyregexp.New(`^[a-z0-9][a-z0-9_.-]{0,63}$`)
	labelShape  = lazyregexp.New(`^[a-z0-9][a-z0-9_./-]{0,62}$`)
)

func utoa(n uint64) string { return strconv.FormatUint(n, 10) }

// CheckHandle refuses what is not a handle: lower-case letters, digits, "_-.", 1–64, beginning with a letter or digit; and what could be
// taken for an id of ours.
func CheckHandle(h string) error {
	if !handleShape.MatchString(h) || id.Is(h, id.Lease) || id.Is(h, id.Resource) {
		return fault.New(fault.InvalidArgument, "a handle has 1–64 lower-case letters, digits, `_`, `-` or `.`, and begins with a letter or digit", "choose another handle")
	}
	return nil
}

// noResource is the one answer for what is not there and for what the caller may not see: it tells nothing apart.
func noResource() *fault.Error {
	return fault.New(fault.UnknownResource, "there is no such resource, or you may not use it", "call list_resources to see what there is")
}

// AddResource validates, seals and stores a resource, in one transaction with its audit record.
// Errors: invalid_argument, unknown_kind, unknown_field, secret_missing, secret_invalid, handle_taken, unknown_project.
func (v *Vault) AddResource(ctx context.Context, actor Actor, n NewResource) (Resource, error) {
	may := func(store.Tx) error { return nil }
	if n.asked != nil {
		may = func(tx store.Tx) error { return n.asked(tx, false) }
	}
	return v.add(ctx, actor, n, may, nil)
}

// add stores a new resource if may, asked in the same transaction, has nothing against it.
func (v *Vault) add(ctx context.Context, actor Actor, n NewResource, may func(store.Tx) error, detail map[string]string) (Resource, error) {
	defer wipeAll(n.Secrets)
	r, values, err := v.draft(actor, n)
	if err != nil {
		return Resource{}, err
	}
	defer wipeAll(values)
	if r.Sealed, err = v.seal(r.ID, 1, values); err != nil {
		return Resource{}, err
	}
	v.handles.Warm(ctx, v.st, r.Handle)
	err = v.update(ctx, func(tx store.Tx) error {
		if err := errors.Join(may(tx), v.resealed(&r, values)); err != nil {
			return err
		}
		if err := v.projectExists(tx, r.Project); err != nil {
			return err
		}
		if err := v.claimHandle(tx, r.Handle, r.ID); err != nil {
			return err
		}
		if err := v.resources.Add(tx, r.ID, r); err != nil {
			return err
		}
		return v.audit.Append(tx, resourceEvent(actor, audit.ResourceAdd, r, detail))
	})
	return r, err
}

// draft checks all of a new resource that needs no transaction.
func (v *Vault) draft(actor Actor, n NewResource) (Resource, map[string]secret.Secret, error) {
	k, err := kind.Get(n.Kind)
	if err != nil {
		return Resource{}, nil, err
	}
	if n.Handle == "" {
		n.Handle = n.Kind + "_" + randomWord()
	}
	if n.Project == "" {
		n.Project = DefaultProject
	}
	if err := errors.Join(CheckHandle(n.Handle), checkLabels(n.Labels), checkWhy(n.Why)); err != nil {
		return Resource{}, nil, err
	}
	ok, err := k.Validate(n.Attrs, n.Secrets)
	if err != nil {
		return Resource{}, nil, err
	}
	if err := policy.Validate(n.Policy, k.StandIn, k.Deliveries); err != nil {
		return Resource{}, nil, err
	}
	now := v.now()
	return Resource{
		Format: 1, ID: id.New(id.Resource), Handle: n.Handle, Kind: n.Kind, Attrs: ok.Attrs, Labels: n.Labels, Project: n.Project,
		Policy: n.Policy, Status: Active, Version: 1, CreatedAt: now, UpdatedAt: now, UpdatedBy: actor.Name, Why: n.Why, Source: n.Source,
		Remarks: append(ok.Warnings, ok.Notes...),
	}, ok.Secrets, nil
}

// seal seals each value as a field of resource rid at version.
func (v *Vault) seal(rid string, version uint64, values map[string]secret.Secret) (map[string]Sealed, error) {
	out := make(map[string]Sealed, len(values))
	for field, s := range values {
		text, err := v.k.Seal(keyring.Ref{Type: "resource", ID: rid, Field: field, Version: version}, s)
		if err != nil {
			return nil, err
		}
		out[field] = Sealed{Value: text, Version: version, Class: s.LengthClass()}
	}
	return out, nil
}

// FieldRef names a sealed field of r for an opener.
func (r Resource) FieldRef(field string) keyring.Ref {
	return keyring.Ref{Type: "resource", ID: r.ID, Field: field, Version: r.Sealed[field].Version}
}

// claimHandle makes the handle point at rid; a handle that points elsewhere is taken.
func (v *Vault) claimHandle(tx store.Tx, handle, rid string) error {
	switch _, err := v.handles.Get(tx, handle); {
	case err == nil:
		return handleTaken(handle)
	case !errors.Is(err, store.ErrNotFound):
		return err
	}
	return v.handles.Put(tx, handle, link{rid})
}

func handleTaken(handle string) error {
	return fault.New(fault.HandleTaken, "the handle "+handle+" is taken", "choose another, or change that resource with `zavhoz resource edit "+handle+"`")
}

// byHandle finds a resource by handle or id.
func (v *Vault) byHandle(tx store.Tx, ref string) (Resource, error) {
	if !id.Is(ref, id.Resource) {
		if len(ref) == 0 || len(ref) > 64 {
			return Resource{}, noResource()
		}
		l, err := v.handles.Get(tx, ref)
		if err != nil {
			return Resource{}, found(err, noResource())
		}
		r, err := v.resources.Get(tx, l.ID)
		if err == nil && (r.ID != l.ID || r.Handle != ref) {
			return Resource{}, fault.New(fault.RecordTampered, "the handle "+ref+" does not lead to its resource", "run `zavhoz doctor`; restore from a backup")
		}
		if err != nil {
			err = found(err, fault.New(fault.VaultCorrupt, "the handle "+ref+" leads to a resource that is lost", "restore from a backup"))
		}
		return r, err
	}
	r, err := v.resources.Get(tx, ref)
	if err != nil {
		err = found(err, noResource())
	}
	return r, err
}

// Resource gives one resource for the operator, by handle or id.
func (v *Vault) Resource(ctx context.Context, ref string) (r Resource, err error) {
	err = v.view(ctx, func(tx store.Tx) error {
		if r, err = v.byHandle(tx, ref); err != nil {
			return err
		}
		return v.withUses(tx, &r)
	})
	return r, err
}

func (v *Vault) withUses(tx store.Tx, r *Resource) error {
	c, err := v.counters.Get(tx, r.ID)
	if errors.Is(err, store.ErrNotFound) {
		err = nil
	}
	r.Uses = c.Uses
	return err
}

// ListResources gives the operator a page of resources in order of handle, and the cursor of the next ("" at the end).
func (v *Vault) ListResources(ctx context.Context, f Filter) ([]Resource, string, error) {
	return v.list(ctx, f, func(Resource) bool { return true })
}

// list walks handles in order and keeps what passes the filter and may.
func (v *Vault) list(ctx context.Context, f Filter, may func(Resource) bool) (out []Resource, next string, err error) {
	from, err := decodeCursor(f.Cursor)
	if err != nil {
		return nil, "", err
	}
	if f.Limit <= 0 {
		f.Limit = 50
	}
	f.Limit = min(f.Limit, 500)
	err = v.view(ctx, func(tx store.Tx) error {
		out, next = make([]Resource, 0, f.Limit), ""
		return v.handles.Scan(tx, "", from, func(h string, l link) (bool, error) {
			r, err := v.resources.Get(tx, l.ID)
			if err != nil {
				return false, found(err, fault.New(fault.VaultCorrupt, "the handle "+h+" leads to a resource that is lost", "restore from a backup"))
			}
			if !f.matches(r) || !may(r) {
				return true, nil
			}
			if len(out) == f.Limit {
				next = encodeCursor(h)
				return false, nil
			}
			out = append(out, r)
			return true, v.withUses(tx, &out[len(out)-1])
		})
	})
	return out, next, err
}

func (f Filter) matches(r Resource) bool {
	return (f.Projects == nil || slices.Contains(f.Projects, r.Project)) && (f.Kind == "" || f.Kind == r.Kind) && (f.Project == "" || f.Project == r.Project) && (f.Label == "" || hasLabel(r.Labels, f.Label))
}

// RenameResource gives a resource another handle. Its id, leases and history stay.
func (v *Vault) RenameResource(ctx context.Context, actor Actor, ref, handle string) (r Resource, err error) {
	if err := CheckHandle(handle); err != nil {
		return r, err
	}
	err = v.update(ctx, func(tx store.Tx) error {
		if r, err = v.byHandle(tx, ref); err != nil {
			return err
		}
		old := r
		if err := v.claimHandle(tx, handle, r.ID); err != nil {
			return err
		}
		if err := v.handles.Delete(tx, old.Handle); err != nil {
			return err
		}
		r.Handle, r.MovesTo = handle, ""
		if err := v.keep(tx, actor, old, &r, "renamed from "+old.Handle); err != nil {
			return err
		}
		return v.audit.Append(tx, resourceEvent(actor, audit.ResourceRename, r, map[string]string{"from": old.Handle}))
	})
	return r, err
}

// RemoveResource removes a resource, its history and its leases. A run that is using it goes on until its end.
func (v *Vault) RemoveResource(ctx context.Context, actor Actor, ref string) (r Resource, err error) {
	err = v.update(ctx, func(tx store.Tx) error {
		if r, err = v.byHandle(tx, ref); err != nil {
			return err
		}
		if err := errors.Join(v.dropHistory(tx, r.ID), v.rotations.Delete(tx, r.ID)); err != nil {
			return err
		}
		if err := v.endLeasesOf(tx, r.ID, "resource_removed"); err != nil {
			return err
		}
		if err := v.unlinkServer(tx, r.ID); err != nil {
			return err
		}
		if err := errors.Join(v.handles.Delete(tx, r.Handle), v.counters.Delete(tx, r.ID), v.reserves.Delete(tx, r.ID), v.resources.Delete(tx, r.ID)); err != nil {
			return err
		}
		return v.audit.Append(tx, resourceEvent(actor, audit.ResourceRemove, r, nil))
	})
	return r, err
}

func resourceEvent(actor Actor, a audit.Action, r Resource, detail map[string]string) audit.Event {
	return audit.Event{Actor: actor, Action: a, Outcome: audit.Allowed, Subject: r.ID, Handle: r.Handle, Detail: detail}
}

func checkLabels(labels map[string]string) error {
	bad := len(labels) > maxLabels
	for k, val := range labels {
		bad = bad || !labelShape.MatchString(k) || longer(val, maxLabelLen) || !printable(val)
	}
	if bad {
		return fault.New(fault.InvalidArgument, "labels are at most 32 pairs key=value: keys of lower-case letters, digits and `_./-`, values of at most 128 printable characters", "")
	}
	return nil
}

func checkWhy(why string) error {
	if longer(why, maxWhy) || !printable(why) {
		return fault.New(fault.InvalidArgument, "a reason is one line of at most 200 characters", "")
	}
	return nil
}

// longer tells whether s has more than n characters: what people and schemas count, in any script.
func longer(s string, n int) bool { return utf8.RuneCountInString(s) > n }

func printable(s string) bool {
	return !slices.ContainsFunc([]rune(s), func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xFFFD || (r >= 0x80 && r < 0xa0) })
}

// randomWord is 8 characters of lower-case base32 for generated handles.
func randomWord() string {
	const alphabet = "abcdefghijkmnopqrstuvwxyz2345678"
	var b [8]byte
	_, _ = rand.Read(b[:])
	for i := range b {
		b[i] = alphabet[b[i]&31]
	}
	return string(b[:])
}

func wipeAll(m map[string]secret.Secret) {
	for _, s := range m {
		s.Wipe()
	}
}

// EachSealed gives every secret field of every resource, of its earlier versions that are kept and of its rotation, with a public label (handle.field), and every secret of every
// project (slug.NAME): what a redactor must know in every run. Hidden fields (addresses) are the business of runs that use them: there are few enough of them to guess, and a redactor that knew them everywhere would
// tell who guesses right (threat-model.md 60). A value that was changed here may still work, and still stand where it was delivered. The values stay
// sealed; the caller has an opener.
func (v *Vault) EachSealed(ctx context.Context, fn func(label string, ref keyring.Ref, sealed string) error) error {
	return v.view(ctx, func(tx store.Tx) error {
		now := map[string]Resource{} // by id
		err := v.resources.Scan(tx, "", "", func(_ string, r Resource) (bool, error) {
			now[r.ID] = r
			for field, s := range r.Sealed {
				if hidden(r.Kind, field) {
					continue
				}
				if err := fn(r.Handle+"."+field, r.FieldRef(field), s.Value); err != nil {
					return false, err
				}
			}
			return true, nil
		})
		if err != nil {
			return err
		}
		if err := v.eachRotated(tx, func(rid string) string { return now[rid].Handle }, fn); err != nil {
			return err
		}
		return errors.Join(v.eachFormer(tx, now, fn), v.eachProjectSealed(tx, fn))
	})
}

// hidden tells whether a field is sealed without being a secret.
func hidden(kindName, field string) bool {
	k, err := kind.Get(kindName)
	if err != nil {
		return false
	}
	f, ok := k.Lookup(field)
	return ok && f.Class == kind.Hidden
}

// eachFormer gives what earlier versions hold and later ones do not, once, under the present handle.
func (v *Vault) eachFormer(tx store.Tx, now map[string]Resource, fn func(label string, ref keyring.Ref, sealed string) error) error {
	given := map[keyring.Ref]bool{}
	return v.versions.Scan(tx, "", "", func(_ string, old Resource) (bool, error) {
		r := now[old.ID]
		for field, s := range old.Sealed {
			ref := old.FieldRef(field)
			if given[ref] || r.Sealed[field].same(s) || hidden(old.Kind, field) {
				continue
			}
			given[ref] = true
			if err := fn(cmp.Or(r.Handle, old.Handle)+"."+field, ref, s.Value); err != nil {
				return false, err
			}
		}
		return true, nil
	})
}

// AgentRate gives the limits of an acting agent; zero limits for anyone else.
func (v *Vault) AgentRate(ctx context.Context, actor Actor) (r Rate, err error) {
	err = v.view(ctx, func(tx store.Tx) error {
		a, err := v.agentOf(tx, actor)
		r = a.Rate
		return err
	})
	return r, err
}
