// Package kind is the registry of what a resource can be: one file declares one kind, and adding one touches no other file.
//
// Promise: what Validate lets through has the shape that its kind declares, is in one canonical form, and no public attribute of it holds a secret
// value. A refusal names the field and the shape that is expected, never the value or a piece of it (threat-model.md 65).
//
// Attacks stopped: a secret pasted into an attribute that a model may read; a variable name that steers a loader, a shell or an interpreter
// (threat-model.md 23); a key file that makes its reader work for hours; endpoints that make new keys (threat-model.md 40: denied in the catalogue).
//
// Pasted values: a single-line value loses its final line ends; a multi-line one gets "\n" line ends, and one at the end if it is PEM. Nothing else is
// changed: a password may end with a blank.
package kind

import (
	"cmp"
	"slices"
	"strings"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// Class says who may see a field. Names are frozen.
type Class string

// The classes of a field.
const (
	Public Class = "public" // a model may read it
	Secret Class = "secret" // sealed; never shown
	Hidden Class = "hidden" // sealed like a secret: an address, say
)

// Sealed tells whether values of the class are sealed.
func (c Class) Sealed() bool { return c == Secret || c == Hidden }

// Field is one value of a resource.
type Field struct {
	Name      string
	Help      string // what a person types here, in half a sentence
	Class     Class
	Required  bool
	Multiline bool   // may hold line ends
	Derived   bool   // made by the kind's Check; what comes in under this name is dropped
	Steers    bool   // public, and decides where a value goes: changing it is like widening the policy
	Default   string // public fields only
	MinLen    int    // bytes; 0 means 8 for a secret, 1 for others: what is shorter cannot be redacted reliably
	Aliases   []string
	// Clean puts a value into canonical form before Check; it may change v in place. May be nil.
	Clean func(v []byte) []byte
	// Check says what is wrong, in words that hold nothing of the value: "a bot token is …". May be nil.
	Check func(v []byte) error
}

// Draft is a resource on its way in: what Kind.Check may look at, correct and add to.
type Draft struct {
	Attrs    map[string]string
	Secrets  map[string]secret.Secret
	warnings []string
	notes    []string
}

// Warn adds a sentence for the person who adds the resource. It holds no value.
func (d *Draft) Warn(sentence string) { d.warnings = append(d.warnings, sentence) }

// Note adds something for that person to compare, such as a fingerprint.
func (d *Draft) Note(sentence string) { d.notes = append(d.notes, sentence) }

// Set puts a sealed value, wiping what was there.
func (d *Draft) Set(field string, v []byte) {
	d.Secrets[field].Wipe()
	d.Secrets[field] = secret.New(v)
}

// EnvVar is one variable that a resource fills.
type EnvVar struct {
	Name   string
	Field  string // the sealed field whose value (under broker: whose placeholder) it gets; "" for a plain one
	Value  string // of a plain one
	Minted string // names a short-lived credential that zavhoz makes from Field; only under broker. "" otherwise
}

// Swap says where the egress proxy may put a true value in the place of a placeholder, or add it where a request has none.
type Swap struct {
	Field  string
	Header string // canonical name; "" where it is in the path
	// Template of the header's value: "Bearer {value}". Under Basic it is user and password before they are encoded: "api:{value}"; "*" as the other half
	// stands for whatever the request has there. The first Swap of a kind has no "*": zavhoz fills it in by itself.
	Template string
	Basic    bool
	Path     string // "/bot{value}/": the value fills one path segment after this head
	Minted   string // as in EnvVar
}

// Kind is what a resource can be. Functions get the public attributes, complete as Validate returned them.
type Kind struct {
	Name    string
	Summary string // one line for people
	Fields  []Field
	// Extra gives fields that people name themselves. May be nil.
	Extra func(name string) (Field, bool)
	// Check looks across fields; it may correct attributes and set derived fields. May be nil.
	Check func(*Draft) error
	// Env gives the variables to fill. May be nil.
	Env func(attrs map[string]string) []EnvVar
	// Swaps gives the places for the true value under broker and none. May be nil.
	Swaps func(attrs map[string]string) []Swap
	// Hosts gives the hosts that it may reach where the policy names none. May be nil. See Rules.
	Hosts func(attrs map[string]string) []policy.HostRule
	// Keys is Hosts with all its denials, those that an attribute lifts included. May be nil: Hosts. See Mints.
	Keys func(attrs map[string]string) []policy.HostRule
	// Uses is one line for a model: what it can be used for.
	Uses func(attrs map[string]string) string
	// Unsupported says why no stand-in can serve this one; "" where one can. May be nil. See StandIns.
	Unsupported func(attrs map[string]string) string
	// Front names the protocol front that serves a stand-in where HTTP does not: "postgres" (run/postgres), "environment" (each variable for itself); "" none. May be nil. See FrontOf.
	Front func(attrs map[string]string) string
	// Placeholder declares the shape of a believable stand-in for a sealed field. May be nil: 32 letters and digits.
	Placeholder func(attrs map[string]string, field string) Shape
	Deliveries  []policy.Delivery // all it can
	StandIn     []policy.Delivery // the default: never hands the value over
}

var registry = map[string]Kind{}

// register is called by each kind's file. A name that is taken is a defect.
func register(k Kind) bool {
	if _, taken := registry[k.Name]; taken {
		panic("kind: registered twice")
	}
	registry[k.Name] = k
	return true
}

// Get gives the kind of that name; unknown_kind otherwise.
func Get(name string) (Kind, error) {
	if k, ok := registry[name]; ok {
		return k, nil
	}
	return Kind{}, fault.New(fault.UnknownKind, "there is no such kind of resource", "the kinds are "+strings.Join(names(), ", "))
}

// All gives every kind, by name.
func All() []Kind {
	all := make([]Kind, 0, len(registry))
	for _, k := range registry {
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b Kind) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

func names() []string {
	var out []string
	for _, k := range All() {
		out = append(out, k.Name)
	}
	return out
}

// Lookup finds a field by its name or an alias, the ones that people name themselves included.
func (k Kind) Lookup(name string) (Field, bool) {
	for _, f := range k.Fields {
		if f.Name == name || slices.Contains(f.Aliases, name) {
			return f, true
		}
	}
	if k.Extra != nil {
		return k.Extra(name)
	}
	return Field{}, false
}

// EnvVars is Env, for any kind.
func (k Kind) EnvVars(attrs map[string]string) []EnvVar {
	if k.Env == nil {
		return nil
	}
	return k.Env(attrs)
}

// StandIns gives the deliveries that this resource has by default, and why it has fewer than its kind.
func (k Kind) StandIns(attrs map[string]string) ([]policy.Delivery, string) {
	if k.Unsupported == nil {
		return k.StandIn, ""
	}
	why := k.Unsupported(attrs)
	if why == "" {
		return k.StandIn, ""
	}
	return nil, why
}

// FrontOf is Front, for any kind.
func (k Kind) FrontOf(attrs map[string]string) string {
	if k.Front == nil {
		return ""
	}
	return k.Front(attrs)
}

// Rules gives the host rules that hold for a resource: the policy's, else the kind's. What the kind denies on a host (endpoints that make keys)
// stays denied under the policy's own rules for that host, unless a rule says KeyEndpoints.
func (k Kind) Rules(attrs map[string]string, p policy.Policy) []policy.HostRule {
	var own []policy.HostRule
	if k.Hosts != nil {
		own = k.Hosts(attrs)
	}
	if len(p.Hosts) == 0 {
		return own
	}
	return policy.WithDenials(p.Hosts, own)
}

// Steers tells whether a change of attributes moves where the values go: hosts, headers, variable names. The doors treat it like a wider policy. Names
// are taken as Lookup takes them: aliases, and those that people name themselves.
func (k Kind) Steers(before, after map[string]string) bool {
	for name, was := range before {
		if f, ok := k.Lookup(name); ok && f.Steers && after[name] != was {
			return true
		}
	}
	for name, is := range after {
		if f, ok := k.Lookup(name); ok && f.Steers && before[f.Name] != is {
			return true
		}
	}
	return false
}

// EnvNameAllowed tells whether a kind, an attribute or a caller may set the variable.
func EnvNameAllowed(name string) bool { return policy.EnvNameAllowed(name) }
