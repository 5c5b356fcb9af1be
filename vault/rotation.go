package vault

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// RotationStep is the last thing that is known to be done of a rotation. Names are frozen.
type RotationStep string

// The steps, in their order. What is done after the last, the record does not say: it is gone.
const (
	RotationBegun     RotationStep = "begun"     // what the new credential will be known by is on record; another service makes it
	RotationMade      RotationStep = "made"      // the new one is sealed here, and may be where it belongs by now
	RotationInstalled RotationStep = "installed" // it is where it belongs
	RotationProven    RotationStep = "proven"    // it works
	RotationSwitched  RotationStep = "switched"  // the resource has it; the old one is a former version, until Until
	RotationUndoing   RotationStep = "undoing"   // the resource has the old one, and the new one is on its way out: only an abort leads on
)

// MaxOverlap bounds how long the old credential stays.
const MaxOverlap = 366 * 24 * time.Hour

// Rotation is the exchange of one resource's credential that is under way, by its resource's id: one at a time. The new credential is sealed here before anything
// elsewhere knows it, so that no stop at any moment loses one that works.
type Rotation struct {
	Format   int               `json:"format"` // 1
	Resource string            `json:"resource"`
	Method   string            `json:"method"` // of run/rotate
	Step     RotationStep      `json:"step"`
	Base     uint64            `json:"base"`               // version of the resource when it began: it holds the old credential
	From     map[string]uint64 `json:"from"`               // by sealed field of the resource: its version then
	Sealed   map[string]Sealed `json:"secrets,omitempty"`  // the new credential, by field
	Notes    map[string]string `json:"notes,omitempty"`    // public: what the method must know again
	OverlapS int64             `json:"overlap_s"`          // how long the old one stays after the switch
	Switched uint64            `json:"switched,omitempty"` // version that the switch made
	Until    time.Time         `json:"until,omitzero"`     // when the overlap ends
	Purge    bool              `json:"purge,omitempty"`    // its end removes the versions from before, whatever the method does by itself
	Code     string            `json:"code,omitempty"`     // why the last try did not get on
	Message  string            `json:"message,omitempty"`
	Next     string            `json:"next,omitempty"`
	BegunAt  time.Time         `json:"begun_at"`
	BegunBy  string            `json:"begun_by"`
	At       time.Time         `json:"at"` // of the last step or try
}

// FieldRef names a sealed field of a rotation for an opener.
func (r Rotation) FieldRef(field string) keyring.Ref {
	return keyring.Ref{Type: "rotation", ID: r.Resource, Field: field, Version: r.Sealed[field].Version}
}

// NewRotation is what BeginRotation takes. Secrets are wiped by it, whatever happens.
type NewRotation struct {
	Method  string
	Secrets map[string]secret.Secret // nil: another service makes them; see SealRotation
	Notes   map[string]string
	Overlap time.Duration
	Purge   bool // with its end the versions from before go for good
}

// underWay is the refusal of whatever would cross a rotation.
func underWay(handle string) *fault.Error {
	return fault.New(fault.ResourceBusy, "a rotation of "+handle+" is under way", "`zavhoz resource rotate "+handle+" --resume` brings it to its end, --abort takes it back")
}

// rotationOf gives the rotation of a resource; nil: there is none.
func (v *Vault) rotationOf(tx store.Tx, rid string) (*Rotation, error) {
	x, err := v.rotations.Get(tx, rid)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case x.Resource != rid:
		return nil, fault.New(fault.RecordTampered, "a rotation is not of the resource that it is kept for", "run `zavhoz doctor`; restore from a backup")
	}
	here := x // and not x itself, which would be memory taken for nothing wherever there is none
	return &here, nil
}

// refuseCrossed refuses a change of what a rotation of r reads and writes.
func (v *Vault) refuseCrossed(tx store.Tx, r Resource) error {
	x, err := v.rotationOf(tx, r.ID)
	if err == nil && x != nil {
		return underWay(r.Handle)
	}
	return err
}

// Rotation gives a resource and its rotation; nil where none is under way.
func (v *Vault) Rotation(ctx context.Context, ref string) (r Resource, x *Rotation, err error) {
	err = v.view(ctx, func(tx store.Tx) error {
		if r, err = v.byHandle(tx, ref); err != nil {
			return err
		}
		x, err = v.rotationOf(tx, r.ID)
		return err
	})
	return r, x, err
}

// Rotations lists all that are under way.
func (v *Vault) Rotations(ctx context.Context) (out []Rotation, err error) {
	err = v.view(ctx, func(tx store.Tx) error {
		out = nil
		return v.rotations.Scan(tx, "", "", func(_ string, x Rotation) (bool, error) {
			out = append(out, x)
			return true, nil
		})
	})
	return out, err
}

// OldCredential gives the version of the resource that holds the old credential of a rotation. Errors: unknown_version where a person purged it.
func (v *Vault) OldCredential(ctx context.Context, x Rotation) (old Resource, err error) {
	err = v.view(ctx, func(tx store.Tx) error {
		old, err = v.oldCredential(tx, x)
		return err
	})
	return old, err
}

func (v *Vault) oldCredential(tx store.Tx, x Rotation) (Resource, error) {
	old, err := v.resources.Get(tx, x.Resource)
	if err != nil {
		return old, found(err, noResource())
	}
	if x.Switched == 0 {
		return old, nil // only its labels, policy and handle may have changed since
	}
	old, err = v.versions.Get(tx, versionKey(x.Resource, x.Base))
	return old, found(err, fault.Newf(fault.UnknownVersion, "the version %d, which holds the old credential, is not kept", x.Base))
}

// BeginRotation checks the new credential as an edit would, seals it and puts the rotation on record. Errors: as EditResource, and resource_busy.
func (v *Vault) BeginRotation(ctx context.Context, actor Actor, ref string, n NewRotation) (r Resource, x Rotation, err error) {
	defer wipeAll(n.Secrets)
	if n.Overlap < 0 || n.Overlap > MaxOverlap {
		return r, x, fault.New(fault.InvalidArgument, "an overlap is at most a year", "")
	}
	err = v.update(ctx, func(tx store.Tx) error {
		if r, err = v.byHandle(tx, ref); err != nil {
			return err
		}
		if err := v.refuseCrossed(tx, r); err != nil {
			return err
		}
		now := v.now()
		x = Rotation{Format: 1, Resource: r.ID, Method: n.Method, Step: RotationBegun, Base: r.Version, From: map[string]uint64{}, Notes: maps.Clone(n.Notes),
			OverlapS: int64(n.Overlap / time.Second), Purge: n.Purge, BegunAt: now, BegunBy: actor.Name, At: now}
		for field, s := range r.Sealed {
			x.From[field] = s.Version
		}
		if n.Secrets != nil {
			if err := v.takeNew(r, &x, n.Secrets); err != nil {
				return err
			}
		}
		if err := v.rotations.Put(tx, r.ID, x); err != nil {
			return err
		}
		return v.audit.Append(tx, rotationEvent(actor, audit.RotationBegin, r, x))
	})
	return r, x, err
}

// takeNew checks the new credential against the kind, and that it is another than the old, and seals it.
func (v *Vault) takeNew(r Resource, x *Rotation, secrets map[string]secret.Secret) error {
	secrets, err := asEdited(r, secrets)
	if err != nil {
		return err
	}
	fresh, err := v.canonicalNew(r, secrets)
	if err != nil {
		return err
	}
	defer wipeAll(fresh)
	if err := v.refuseSame(r, fresh); err != nil {
		return err
	}
	x.Sealed = map[string]Sealed{}
	for field, s := range fresh {
		text, err := v.k.Seal(keyring.Ref{Type: "rotation", ID: r.ID, Field: field, Version: x.Base}, s)
		if err != nil {
			return err
		}
		x.Sealed[field] = Sealed{Value: text, Version: x.Base, Class: s.LengthClass()}
	}
	x.Step = RotationMade
	return nil
}

// canonicalNew gives the values in the form that the kind keeps them in: what is proven and masked is what the resource will have.
func (v *Vault) canonicalNew(r Resource, secrets map[string]secret.Secret) (map[string]secret.Secret, error) {
	next, err := v.edited(r, Edit{Secrets: secrets})
	if err != nil {
		return nil, err
	}
	out := map[string]secret.Secret{}
	for field := range secrets {
		s, ok := next.Sealed[field]
		if !ok {
			continue
		}
		if out[field], err = v.opener.Open(next.FieldRef(field), s.Value); err != nil {
			wipeAll(out)
			return nil, err
		}
	}
	return out, nil
}

// asEdited gives the fields under their own names, and refuses what is no secret field: what steers a resource is not exchanged with its credential.
func asEdited(r Resource, secrets map[string]secret.Secret) (map[string]secret.Secret, error) {
	k, err := kind.Get(r.Kind)
	if err != nil {
		return nil, err
	}
	secrets = canonical(k, secrets)
	for name := range secrets {
		if f, ok := k.Lookup(name); !ok || f.Class != kind.Secret {
			return nil, fault.New(fault.UnknownField, "a rotation takes secret fields of the resource's kind only", "see `zavhoz resource show "+r.Handle+"`")
		}
	}
	if len(secrets) == 0 {
		return nil, fault.New(fault.SecretMissing, "a rotation needs the new value", "give it with --secret NAME=-, on standard input")
	}
	return secrets, nil
}

// refuseSame refuses a value that the resource has already: a slip of a person who copied the old one.
func (v *Vault) refuseSame(r Resource, secrets map[string]secret.Secret) error {
	for field, s := range secrets {
		old, has := r.Sealed[field]
		if !has {
			continue
		}
		kept, err := v.opener.Open(r.FieldRef(field), old.Value)
		if err != nil {
			return err
		}
		same := kept.Equal(s)
		kept.Wipe()
		if same {
			return fault.New(fault.SecretInvalid, field+": this is the value that the resource has already", "give the new one").With("field", field)
		}
	}
	return nil
}

func rotationEvent(actor Actor, a audit.Action, r Resource, x Rotation) audit.Event {
	return resourceEvent(actor, a, r, map[string]string{"method": x.Method, "step": string(x.Step)})
}
