package variable

import (
	"cmp"
	"maps"
	"slices"

	"github.com/zavhoz/zavhoz/vault/contract"
)

// State says how far the resolution of one variable is. Names are frozen.
type State string

// The states.
const (
	Stored   State = "stored"   // the project has the secret
	Pending  State = "generate" // to be made and kept before anything uses it
	Made     State = "computed" // its value can be put together
	Written  State = "literal"  // the contract's own value
	Supplied State = "supplied" // a value that came with the request, or from the project's overrides
	Missing  State = "missing"  // a person has to give it
	Absent   State = "absent"   // not there, and not required
	Failed   State = "failed"   // its value cannot be put together; see Problem
)

// Problem says why a variable failed. Names are frozen.
type Problem string

// The problems.
const (
	NoAllocation Problem = "allocation_missing"
	NoRule       Problem = "no_rule"     // derived without a template, and no rule knows the name
	NoFact       Problem = "no_fact"     // an image without a registry, say
	NoValue      Problem = "not_there"   // it is made of a variable that has no value
	Circular     Problem = "circular"    // it is made of itself
	TooLong      Problem = "too_long"    // its text alone is longer than a variable can be
	Ambiguous    Problem = "ambiguous"   // several allocations of one service
	NotAllowed   Problem = "not_allowed" // a value that came with the request, or an override, for what neither sets
)

// Definition is what is to be resolved: a contract, or for projects without one a list of names.
type Definition struct {
	Contract    *contract.Contract // all environments; nil: Names
	Environment string             // of the contract; "": production
	Names       []string
	Supplied    map[string]string // literals that the request says otherwise: nothing secret
}

// Facts are what is known of the project. No secret is among them.
type Facts struct {
	ID, Slug   string
	Modules    []string
	Ports      map[string][]int             // by service
	Attributes map[string]map[string]string // public attributes of the project's resources, by handle
	Images     string                       // "HOST/OWNER/REPO"; "": unknown
	Stored     map[string]bool              // names of the project's secrets
	Agent      bool                         // an agent asks: nothing is generated but what is the project's own by its name too
	Hints      map[string]string            // what they are, in words; where nothing else describes a variable
	Overrides  map[string]Override          // by name: what the project's config says in the place of literals
}

// Override is a value of a project's config.env_overrides.
type Override struct {
	Text string
	Odd  bool // it is no text, number or truth value
}

// Part is a piece of a value: text, or a secret of the project's, written in some way (contract.As…).
type Part struct {
	Text   string
	Secret string
	As     string
}

// Resolved is one variable.
type Resolved struct {
	Name        string
	Class       Class
	Source      contract.Source // "" without a contract
	Rule        string          // of the classifier, or "contract"
	Why         string
	State       State
	Problem     Problem
	Cause       string // the fact or variable that Problem speaks of
	Description string
	Required    bool
	Sensitive   bool          // it holds a secret, or a part of one
	Hidden      bool          // not of the environment: kept because others are made of it
	Form        contract.Form // of Pending
	Service     string        // of the catalogue
	Parts       []Part        // how the value is put together; of Pending and Stored the secret itself
	text        int           // bytes of text among Parts
}

// Value gives the text of a variable without secrets.
func (r Resolved) Value() string {
	s := ""
	for _, p := range r.Parts {
		s += p.Text
	}
	return s
}

// Ready tells whether the variable has a value now.
func (r Resolved) Ready() bool {
	return r.State == Stored || r.State == Made || r.State == Written || r.State == Supplied
}

// Plan resolves every variable of the definition, in order of names. It makes nothing and keeps nothing: what is to be generated is said.
func Plan(d Definition, f Facts) []Resolved {
	p := planner{def: d, facts: f, done: map[string]*Resolved{}, open: map[string]bool{}, written: map[string]string{}}
	for _, name := range p.names() {
		p.resolve(name)
	}
	p.undeclared()
	out := make([]Resolved, 0, len(p.done))
	for _, r := range p.done {
		r.Parts = joined(r.Parts)
		out = append(out, *r)
	}
	slices.SortFunc(out, func(a, b Resolved) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// planner is one resolution under way.
type planner struct {
	def     Definition
	entries map[string]contract.Entry // of the environment
	facts   Facts
	done    map[string]*Resolved
	open    map[string]bool // being resolved
	text    int             // bytes of text that all values together are made of
	written map[string]string
}

func (p *planner) names() []string {
	if p.def.Contract == nil {
		names := slices.Sorted(slices.Values(p.def.Names))
		return slices.Compact(names)
	}
	p.entries = p.def.Contract.For(cmp.Or(p.def.Environment, contract.Production)).Entries
	return slices.Sorted(maps.Keys(p.entries))
}

// has tells whether the environment itself names the variable.
func (p *planner) has(name string) bool {
	if p.def.Contract != nil {
		_, ok := p.entries[name]
		return ok
	}
	return slices.Contains(p.def.Names, name)
}

// resolve gives what is known of a variable; nil while it is being resolved itself.
func (p *planner) resolve(name string) *Resolved {
	if r, ok := p.done[name]; ok {
		return r
	}
	if p.open[name] {
		return nil
	}
	p.open[name] = true
	defer delete(p.open, name)
	r := &Resolved{Name: name, Required: true, Hidden: !p.has(name)}
	if e, ok := p.entries[name]; ok {
		p.byContract(r, e)
	} else {
		p.byName(r)
	}
	if r.Description == "" {
		r.Description = p.facts.Hints[name]
	}
	p.done[name] = r
	return r
}
