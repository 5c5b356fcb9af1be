package kind

import (
	"maps"
	"slices"
	"strings"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// Limits of a resource.
const (
	MaxField  = 64 << 10 // bytes of a sealed value
	MaxAttr   = 4 << 10  // bytes of a single-line public one; a multi-line one may have MaxField/4
	MaxFields = 64
	// MinRedacted is the length, in bytes, from which the redactor masks a value reliably: no agent's run holds a shorter one.
	MinRedacted = 8
	minSecret   = MinRedacted
)

// Normalised is a valid resource. Its secrets are copies with a life of their own: wipe them.
type Normalised struct {
	Attrs    map[string]string
	Secrets  map[string]secret.Secret
	Warnings []string // for the person who adds it: likely mistakes
	Notes    []string // for that person to compare: fingerprints
}

// Validate checks and normalises a whole resource: public attributes and sealed values by field name or alias. It neither keeps nor wipes what it
// is given. An empty sealed value counts as absent.
// Errors: unknown_field, invalid_argument (public), secret_invalid, secret_missing (detail "fields": what is missing), not_supported, unknown_service.
func (k Kind) Validate(attrs map[string]string, secrets map[string]secret.Secret) (Normalised, error) {
	d := &Draft{Attrs: map[string]string{}, Secrets: map[string]secret.Secret{}}
	if err := k.validate(d, attrs, secrets); err != nil {
		for _, s := range d.Secrets {
			s.Wipe()
		}
		return Normalised{}, err
	}
	return Normalised{Attrs: d.Attrs, Secrets: d.Secrets, Warnings: d.warnings, Notes: d.notes}, nil
}

func (k Kind) validate(d *Draft, attrs map[string]string, secrets map[string]secret.Secret) error {
	if len(attrs)+len(secrets) > MaxFields {
		return fault.Newf(fault.TooLarge, "a resource has at most %d fields", MaxFields)
	}
	for _, name := range slices.Sorted(maps.Keys(attrs)) {
		if err := k.takeAttr(d, name, attrs[name]); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(secrets)) {
		if err := k.takeSecret(d, name, secrets[name]); err != nil {
			return err
		}
	}
	k.fillDefaults(d)
	if k.Check != nil {
		if err := k.Check(d); err != nil {
			return err
		}
	}
	if err := k.complete(d); err != nil {
		return err
	}
	return misplaced(d)
}

func (k Kind) takeAttr(d *Draft, name, value string) error {
	f, err := k.field(name)
	if err != nil || f.Derived {
		return err
	}
	if f.Class.Sealed() {
		return fault.Newf(fault.SecretInvalid, "%s is %s: it never comes as a public attribute", f.Name, f.Class).
			WithNext("give it with `--secret %s=-` on stdin or `--secret %s=@FILE`", f.Name, f.Name).With("field", f.Name)
	}
	if _, twice := d.Attrs[f.Name]; twice {
		return f.bad("it is given twice, once by another name")
	}
	v, err := f.accept([]byte(value))
	if err != nil || len(v) == 0 {
		return err
	}
	d.Attrs[f.Name] = string(v)
	return nil
}

func (k Kind) takeSecret(d *Draft, name string, value secret.Secret) error {
	f, err := k.field(name)
	if err != nil || f.Derived || value.IsZero() {
		return err
	}
	if !f.Class.Sealed() {
		return fault.Newf(fault.UnknownField, "%s is public, and no secret", f.Name).WithNext("give it with `--set %s=VALUE`", f.Name).With("field", f.Name)
	}
	if _, twice := d.Secrets[f.Name]; twice {
		return f.bad("it is given twice, once by another name")
	}
	if value.Len() > MaxField {
		return f.bad("it is longer than 64 KiB")
	}
	own := append(make([]byte, 0, value.Len()+1), value.Reveal()...) // +1: a line end may be added without a second copy
	v, err := f.accept(own)
	if err != nil {
		clear(own[:cap(own)])
		return err
	}
	if same := len(v) > 0 && &v[0] == &own[0]; !same {
		clear(own[:cap(own)]) // Clean made a copy
	}
	d.Secrets[f.Name] = secret.New(v)
	return nil
}

// field finds what name means; unknown_field lists the fields there are.
func (k Kind) field(name string) (Field, error) {
	if f, ok := k.Lookup(name); ok {
		return f, nil
	}
	var public, sealed []string
	for _, f := range k.Fields {
		switch {
		case f.Derived:
		case f.Class.Sealed():
			sealed = append(sealed, f.Name)
		default:
			public = append(public, f.Name)
		}
	}
	// The name itself is not repeated: what was typed in its place may be a value.
	return Field{}, fault.Newf(fault.UnknownField, "%s has no such field", k.Name).
		WithNext("public fields (--set): %s; sealed fields (--secret): %s", orNone(public), orNone(sealed))
}

func orNone(s []string) string {
	if len(s) == 0 {
		return "none"
	}
	return strings.Join(s, ", ")
}

func (k Kind) fillDefaults(d *Draft) {
	for _, f := range k.Fields {
		if _, have := d.Attrs[f.Name]; !have && f.Class == Public && f.Default != "" {
			d.Attrs[f.Name] = f.Default
		}
	}
}

// complete refuses what lacks a required field.
func (k Kind) complete(d *Draft) error {
	var public, sealed []string
	for _, f := range k.Fields {
		if !f.Required {
			continue
		}
		if _, have := d.Attrs[f.Name]; !have && !f.Class.Sealed() {
			public = append(public, f.Name)
		}
		if _, have := d.Secrets[f.Name]; !have && f.Class.Sealed() {
			sealed = append(sealed, f.Name)
		}
	}
	if len(public) > 0 {
		return fault.Newf(fault.InvalidArgument, "%s needs %s", k.Name, strings.Join(public, ", ")).
			WithNext("give it with `--set %s=VALUE`", public[0]).With("fields", public)
	}
	if len(sealed) > 0 {
		return missing(k.Name, sealed...)
	}
	return nil
}

// missing is secret_missing for fields of a kind.
func missing(kind string, fields ...string) *fault.Error {
	return fault.Newf(fault.SecretMissing, "%s needs %s", kind, strings.Join(fields, ", ")).
		WithNext("give it with `--secret %s=-` on stdin or `--secret %s=@FILE`", fields[0], fields[0]).With("fields", fields)
}
