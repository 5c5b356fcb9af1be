// Package capture cuts parts out of a reply, by JSON pointer or by pattern, and makes a new resource of them: what mints a secret puts it into the vault, never
// into a reply (wall 1).
//
// Promise: what was captured appears nowhere, and neither does what it was cut from. A reply from which something is captured is not shown at all: no body,
// no output, no part of it; the caller learns the new handle, the names of its fields and how long they are, as a class. Redacting the rest instead would trust the caller's
// pattern: one that captures the first eight characters of a token would have the others shown. Where a part is missing, doubled, too short or not what a
// secret looks like, nothing is kept and nothing is shown either: the reply may hold the secret elsewhere.
//
// The caller does not choose where the new value may go. A captured resource is of kind generic, which no stand-in serves and no command gets until a
// person says so; or an api_key for exactly the host that the reply came from, with the header, the rules and the denials of the resource that asked, never
// wider. Its policy names the one agent that captured; its public attributes and labels are made here. It never replaces a resource, and what would be
// refused at the end is refused before the request is made, as far as that can be known: a key that was minted and could not be kept is lost.
//
// Attacks stopped (threat-model.md): a key-minting endpoint read by the model (40: allowed only with a capture, and its reply is never shown, whatever its
// status); a pattern that captures half of a secret; a capture into hosts of the attacker's (34), into a variable that steers a loader (23), over another's
// resource (63), of what everybody can read or of a few repeated letters, which would mask ordinary text in everybody's output; a pattern or a reply that
// takes hours or all memory (67).
//
// Limits. A caller can have captured what it wrote there itself (an echo, a note): it then owns a resource whose value it knows, at a host that it
// could reach already, and that text is masked in outputs from then on; MaxCaptured in package vault bounds how many. Strings that Go's JSON decoder made
// cannot be wiped from memory.
package capture

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// The kinds that a captured resource may have.
const (
	Generic = "generic"
	APIKey  = "api_key"
)

// Bounds of a capture.
const (
	MaxReply   = 1 << 20 // bytes that are searched; a longer reply is refused
	maxFields  = 8
	maxPurpose = 120 // characters
	leastValue = 8   // bytes: what is shorter cannot be kept out of output
	fewest     = 5   // different bytes in a value
)

// keyField is the one sealed field of an api_key.
const keyField = "key"

// Spec says what is to be captured, into which resource.
type Spec struct {
	Handle  string           // of the new resource; it must not exist
	Kind    string           // Generic (default) or, of a request, APIKey
	Fields  map[string]Field // sealed field of the new resource → where its value stands; of an APIKey exactly "key"
	Purpose string           // one line for people; optional
}

// Field is where a value stands in the reply: exactly one of the two.
type Field struct {
	JSONPointer string // RFC 6901, to a string
	Pattern     string // RE2 with exactly one capture group
}

// patternHead sets a pattern apart from a pointer.
const patternHead = "regex:"

// ParseField reads a place as tools have it: a JSON pointer, which begins with "/", or "regex:" and a pattern.
func ParseField(text string) Field {
	if p, ok := strings.CutPrefix(text, patternHead); ok {
		return Field{Pattern: p}
	}
	return Field{JSONPointer: text}
}

// Kept is what may be told of a captured resource.
type Kept struct {
	Handle string
	Kind   string
	Fields map[string]string // field → secret.LengthClass
}

// Keeper seals new resources (vault.Vault). It can open nothing.
type Keeper interface {
	// MayKeep tells, before anything is requested, what Keep would refuse of this actor and handle.
	MayKeep(ctx context.Context, actor vault.Actor, handle string) error
	// Keep seals and stores r, durable with its audit record when it returns. It wipes r.Secrets.
	Keep(ctx context.Context, actor vault.Actor, r vault.NewResource) (vault.Resource, error)
}

// Plan is a Spec that was checked, ready to be used once.
type Plan struct {
	actor  vault.Actor
	draft  vault.NewResource // complete but for its secrets
	fields []place           // by name
	public []string          // what everybody can read: never a secret
}

// place is where one field's value stands.
type place struct {
	name    string
	pointer []string       // nil: by pattern
	pattern *regexp.Regexp // one group
}

// Prepare checks the whole of a Spec for an agent's capture from src, and asks the Keeper: after it only the reply itself can make the capture fail.
func (s Spec) Prepare(ctx context.Context, k Keeper, actor vault.Actor, src Source) (*Plan, error) {
	if actor.Type != audit.Agent {
		return nil, fault.New(fault.NotPermitted, "only an agent captures", "a person adds a resource: zavhoz resource add")
	}
	if k == nil {
		return nil, fault.New(fault.NotSupported, "nothing can be captured here", "")
	}
	p := &Plan{actor: actor}
	if err := s.check(); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(s.Fields)) {
		at, err := s.Fields[name].place(name)
		if err != nil {
			return nil, err
		}
		p.fields = append(p.fields, at)
	}
	var err error
	if p.draft, err = src.draft(s, actor); err != nil {
		return nil, err
	}
	p.public = src.public(actor)
	if err := p.rehearse(); err != nil {
		return nil, err
	}
	return p, k.MayKeep(ctx, actor, s.Handle)
}

// bad is a refused Spec; why holds nothing of it.
func bad(why, next string) *fault.Error {
	return fault.New(fault.InvalidArgument, "the capture is not valid: "+why, next)
}

func (s *Spec) check() error {
	if s.Kind == "" {
		s.Kind = Generic
	}
	if err := vault.CheckHandle(s.Handle); err != nil {
		return err
	}
	switch {
	case s.Kind != Generic && s.Kind != APIKey:
		return bad("its kind is generic or api_key", "leave kind out for generic")
	case len(s.Fields) == 0 || len(s.Fields) > maxFields:
		return bad("it has 1 to 8 fields", `for example "fields":{"value":"/token"}`)
	case s.Kind == APIKey && (len(s.Fields) != 1 || s.Fields[keyField] == Field{}):
		return bad("an api_key has the one field key", `write "fields":{"key":"/token"}`)
	case utf8.RuneCountInString(s.Purpose) > maxPurpose || strings.ContainsFunc(s.Purpose, func(r rune) bool { return !unicode.IsPrint(r) }):
		return bad("its purpose is one line of at most 120 characters", "")
	}
	if what, yes := kind.LooksSecret(s.Purpose); yes {
		return bad("its purpose holds what looks like "+what, "say what the resource is for, without any value")
	}
	return nil
}

// rehearse validates the resource with values that nobody would mistake for the true ones: names that a kind refuses are refused now.
func (p *Plan) rehearse() error {
	k, err := kind.Get(p.draft.Kind)
	if err != nil {
		return err
	}
	values := map[string]secret.Secret{}
	for _, f := range p.fields {
		values[f.name] = secret.FromString("rehearsal-of-" + f.name + "-0123456789")
	}
	ok, err := k.Validate(p.draft.Attrs, values)
	for _, v := range values {
		v.Wipe()
	}
	for _, v := range ok.Secrets {
		v.Wipe()
	}
	return err
}

// Exclude names more of what is no secret: the placeholders that stand in the reply where it held the credential that asked.
func (p *Plan) Exclude(texts ...string) { p.public = append(p.public, texts...) }

// Keep cuts the fields out of the reply and stores them. Where the handle was taken meanwhile, a generated one is used, and where the
// resource that asked was changed meanwhile, an api_key becomes a generic one: what was minted is not lost. known is told
// of every value, with its public label, before it is stored, and of every word of the reply that a value is a piece of: from then on nothing that is shown may
// hold one.
func (p *Plan) Keep(ctx context.Context, k Keeper, reply []byte, runID string, known func(label string, v secret.Secret)) (Kept, vault.Resource, error) {
	values, err := p.cut(reply)
	if err != nil {
		return Kept{}, vault.Resource{}, err
	}
	defer func() {
		for _, v := range values {
			v.Wipe()
		}
	}()
	kept := Kept{Kind: p.draft.Kind, Fields: map[string]string{}}
	for name, v := range values {
		label := p.draft.Handle + "." + name
		known(label, v)
		for _, whole := range around(reply, v.Reveal()) {
			known(label, whole)
			whole.Wipe()
		}
		kept.Fields[name] = v.LengthClass()
	}
	n := p.draft
	n.Why = strings.TrimSuffix("captured in "+runID+": "+n.Why, ": ")
	r, err := k.Keep(ctx, p.actor, withSecrets(n, values))
	if fault.CodeOf(err) == fault.VersionConflict { // what it would take its rules from has others now: a person says where it may go
		n = plain(n)
		r, err = k.Keep(ctx, p.actor, withSecrets(n, values))
	}
	if fault.CodeOf(err) == fault.HandleTaken {
		n.Handle = ""
		r, err = k.Keep(ctx, p.actor, withSecrets(n, values))
	}
	kept.Handle, kept.Kind = r.Handle, n.Kind
	return kept, r, err
}

// plain is the resource as a generic one, which nobody uses until a person says how.
func plain(n vault.NewResource) vault.NewResource {
	n.Kind, n.Attrs, n.From = Generic, map[string]string{}, nil
	p := n.Policy
	n.Policy = policy.Policy{Agents: p.Agents, Approval: p.Approval, MinLevel: p.MinLevel, Expires: p.Expires}
	return n
}

// withSecrets gives n copies of the values: the Keeper wipes what it gets.
func withSecrets(n vault.NewResource, values map[string]secret.Secret) vault.NewResource {
	n.Attrs, n.Secrets = maps.Clone(n.Attrs), map[string]secret.Secret{}
	for name, v := range values {
		n.Secrets[name] = v.Clone()
	}
	return n
}
