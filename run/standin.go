package run

import (
	"crypto/rand"
	"io"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// StandIn is how a resource is used by a command that never holds it: where the egress proxy may put the true value, which hosts it may reach, or which
// front speaks for it.
type StandIn struct {
	Swaps []kind.Swap
	Hosts []policy.HostRule
	Front string // "postgres": a front of that protocol authenticates in the command's place; "" for none
	Why   string // why there is no stand-in; "" where there is one
	Shape func(field string) kind.Shape
}

// StandIn asks the kind what can stand for the resource.
func (DefaultRules) StandIn(r vault.Resource) StandIn {
	k, err := kind.Get(r.Kind)
	if err != nil {
		return StandIn{Why: "its kind is not known here"}
	}
	s := StandIn{Hosts: k.Rules(r.Attrs, r.Policy), Shape: func(field string) kind.Shape { return k.ShapeOf(r.Attrs, field) }}
	if _, s.Why = k.StandIns(r.Attrs); s.Why != "" {
		return s
	}
	if k.Swaps != nil {
		s.Swaps = k.Swaps(r.Attrs)
	}
	if k.Front != nil {
		s.Front = k.Front(r.Attrs)
	}
	return s
}

// placeholders are the stand-ins of one resource in one run, by sealed field: drawn anew for each run, so that what one run was given means nothing in
// another (threat-model.md 34).
type placeholders struct {
	of      map[string]string
	shape   func(field string) kind.Shape
	length  func(field string) (int, error) // of the true value, in bytes
	entropy io.Reader                       // nil: crypto/rand
}

// get draws the field's placeholder, once. It has the length of the true value where the shape leaves that open: Content-Length and ranges stay right.
func (p *placeholders) get(field string) (string, error) {
	if text, ok := p.of[field]; ok {
		return text, nil
	}
	n, err := p.length(field)
	if err != nil {
		return "", err
	}
	random := p.entropy
	if random == nil {
		random = rand.Reader
	}
	text, err := p.shape(field).Make(random, n)
	if err != nil {
		return "", err
	}
	if p.of == nil {
		p.of = map[string]string{}
	}
	p.of[field] = text
	return text, nil
}

// standIns draws what stands for a resource's fields.
func (e *Engine) standIns(r vault.Resource, s StandIn) *placeholders {
	return &placeholders{shape: s.Shape, length: func(field string) (int, error) {
		v, err := e.unseal(r, field)
		if err != nil {
			return 0, err
		}
		defer v.Wipe()
		if v.IsZero() {
			return 0, fault.Newf(fault.SecretMissing, "%s has no %s", r.Handle, field).WithNext("a person gives it: zavhoz resource edit %s --secret %s=-", r.Handle, field)
		}
		return v.Len(), nil
	}}
}
