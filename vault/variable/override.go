package variable

import (
	"maps"
	"slices"
)

// overriding is the rule's name where a project's config decided.
const overriding = "env_overrides"

// said gives a literal the value that somebody said in its place: the request, before the project's config.env_overrides.
func (p *planner) said(r *Resolved) bool {
	if text, ok := p.def.Supplied[r.Name]; ok {
		r.State, r.Parts = Supplied, []Part{{Text: text}}
		return true
	}
	o, ok := p.facts.Overrides[r.Name]
	if !ok {
		return false
	}
	r.Rule, r.Why = overriding, "the project's config.env_overrides says so"
	if o.Odd {
		r.Why = "its value in the project's config.env_overrides is no text, number or truth value"
		r.fail(NotAllowed, r.Name)
		return true
	}
	r.State, r.Parts = Supplied, []Part{{Text: o.Text}}
	return true
}

// forbids fails what is no literal, where somebody said a value in its place all the same: a value of a request's or a config's is in clear, and steers where secrets go.
func (p *planner) forbids(r *Resolved) bool {
	_, supplied := p.def.Supplied[r.Name]
	_, overridden := p.facts.Overrides[r.Name]
	if !supplied && !overridden {
		return false
	}
	if !supplied {
		r.Rule, r.Why = overriding, "the project's config.env_overrides names it, and overrides literals alone"
	}
	r.fail(NotAllowed, r.Name)
	return true
}

// undeclared fails overrides of what the contract does not know in any environment: whoever wrote one believes that it holds. For a list of names, which is a part of
// what a project has, they mean nothing.
func (p *planner) undeclared() {
	if p.def.Contract == nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(p.facts.Overrides)) {
		if _, declared := p.def.Contract.Entries[name]; declared {
			continue
		}
		r := &Resolved{Name: name, Class: Literal, Rule: overriding, Why: "the project's config.env_overrides names it, and the contract does not", Required: true, Hidden: true}
		r.fail(NotAllowed, name)
		p.done[name] = r
	}
}
