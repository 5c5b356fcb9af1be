package contract

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Parse reads one fragment. where names it in a refusal (its path in the repository, say); it must be fit to be shown.
func Parse(where string, data []byte) (Fragment, error) {
	p := &problems{where: where}
	f := Fragment{Entries: map[string]Entry{}}
	root := document(data, p)
	if root == nil {
		return Fragment{}, p.err()
	}
	var entries *yaml.Node
	version := false
	for _, m := range mapping(root, "a contract", p) {
		switch m.name {
		case "version":
			version = true
			if m.value.Tag != "!!str" || m.value.Value != Version {
				p.add(m.value.Line, `version is "1", with quotes`)
			}
		case "owner":
			if f.Owner = text(m.value, "owner", p); !ownerName.MatchString(f.Owner) {
				p.add(m.value.Line, "owner is the part of the project that keeps this file: letters, digits and . _ / -")
			}
		case "entries":
			entries = m.value
		default:
			p.add(m.key.Line, "unknown field: a contract has version, owner and entries")
		}
	}
	switch {
	case !version:
		p.add(0, `version: "1" is missing`)
	case f.Owner == "":
		p.add(0, "owner is missing")
	case entries == nil:
		p.add(0, "entries is missing")
	}
	if entries != nil {
		f.readEntries(entries, p)
	}
	if err := p.err(); err != nil {
		return Fragment{}, err
	}
	return f, nil
}

func (f *Fragment) readEntries(n *yaml.Node, p *problems) {
	members := mapping(n, "entries", p)
	if len(members) > MaxEntries {
		p.add(n.Line, "there are more than %d entries", MaxEntries)
		return
	}
	for _, m := range members {
		if why := CheckName(m.name); why != "" {
			p.add(m.key.Line, "%s", why) // the name is not repeated: it may be anything
			continue
		}
		f.Entries[m.name] = readEntry(m.name, m.value, p)
	}
}

// given is an entry as it was written: which fields are there.
type given struct {
	Entry
	name string
	line int
	has  map[string]bool
}

// fieldsOf are the fields of each source beside those that all have.
var fieldsOf = map[Source][]string{UserSecret: nil, Generated: {"form"}, Allocation: {"service", "resource", "attribute"}, Derived: {"template"}, Literal: {"value"}}

var fieldsOfAll = []string{"source", "environments", "consumers", "required", "description", "sensitive"}

func readEntry(name string, n *yaml.Node, p *problems) Entry {
	g := given{Entry: Entry{Required: true, Consumers: []string{}, Environments: []string{}}, name: name, line: n.Line, has: map[string]bool{}}
	for _, m := range mapping(n, name, p) {
		if !g.read(m, p) {
			p.add(m.key.Line, "%s has an unknown field", name)
			continue
		}
		g.has[m.name] = true
	}
	g.check(p)
	return g.Entry
}

// read takes one field; false where there is no such.
func (g *given) read(m member, p *problems) bool {
	field, n := g.name+"."+m.name, m.value
	switch m.name {
	case "source":
		g.Source = Source(text(n, field, p))
	case "environments":
		g.Environments = list(n, field, p)
	case "consumers":
		g.Consumers = list(n, field, p)
	case "required":
		g.Required = truth(n, field, p)
	case "sensitive":
		g.Sensitive = truth(n, field, p)
	case "description":
		g.Description = strings.Join(strings.Fields(text(n, field, p)), " ")
	case "value":
		g.Value = scalar(n, p)
	case "service":
		g.Service = text(n, field, p)
	case "resource":
		g.Resource = text(n, field, p)
	case "attribute":
		g.Attribute = text(n, field, p)
	case "template":
		g.Template = text(n, field, p)
	case "form":
		g.Form = Form(text(n, field, p))
	default:
		return false
	}
	return true
}

// list reads names, sorted.
func list(n *yaml.Node, field string, p *problems) []string {
	if n.Kind != yaml.SequenceNode || len(n.Content) > maxList {
		p.add(n.Line, "%s is a list of at most %d names", field, maxList)
		return []string{}
	}
	out := make([]string, 0, len(n.Content))
	for _, c := range n.Content {
		if c.Kind != yaml.ScalarNode || c.Tag != "!!str" || !partName.MatchString(c.Value) {
			p.add(c.Line, "a name in %s has lower-case letters, digits, _ and -", field)
			continue
		}
		out = append(out, c.Value)
	}
	slices.Sort(out)
	if len(slices.Compact(slices.Clone(out))) != len(out) {
		p.add(n.Line, "%s names the same twice", field)
	}
	return out
}
