package sops

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

// IsLayout tells whether a document has the layout's sections, and nothing else.
func IsLayout(doc wire.Node) bool {
	n := 0
	for _, i := range doc.Items {
		if i.Value.Kind.IsComment() || i.Value.Kind == wire.Null {
			continue
		}
		if _, known := sections[i.Key]; !known && i.Key != generalSection && i.Key != projectsSection || i.Value.Kind != wire.Map {
			return false
		}
		n++
	}
	return doc.Kind == wire.Map && n > 0
}

// BuildLayout gives the tree that ReadLayout reads as these entries: what a kind derives by itself is left out. The tree shares the entries' secrets; what else is in
// it is new. Errors: not_supported for a name that the file would keep in clear or read as something else.
func BuildLayout(entries []Entry) (wire.Tree, error) {
	doc := wire.Node{Kind: wire.Map}
	at := map[string]int{}
	for _, e := range entries {
		section := generalSection
		for name, of := range sections {
			if of == e.Kind {
				section = name
			}
		}
		n, err := e.node(section == generalSection)
		if err != nil {
			return wire.Tree{}, err
		}
		i, there := at[section]
		if !there {
			i = len(doc.Items)
			at[section] = i
			doc.Items = append(doc.Items, wire.Item{Key: section, Value: wire.Node{Kind: wire.Map}})
		}
		doc.Items[i].Value.Items = append(doc.Items[i].Value.Items, wire.Item{Key: e.Handle, Value: n})
	}
	slices.SortFunc(doc.Items, func(a, b wire.Item) int { return cmp.Compare(a.Key, b.Key) })
	return wire.Tree{Documents: []wire.Node{doc}}, nil
}

// BuildFlat gives the tree of a dotenv file, or an INI file's one section, of names and values. It shares the values. Errors: as BuildLayout; name_taken.
func BuildFlat(format string, secrets []ProjectSecret) (wire.Tree, error) {
	flat, seen := wire.Node{Kind: wire.Map}, map[string]bool{}
	for _, s := range secrets {
		if err := plainKey(s.Name); err != nil {
			return wire.Tree{}, err
		}
		if !nameShape.MatchString(s.Name) || seen[s.Name] || strings.HasPrefix(s.Name, "sops_") {
			return wire.Tree{}, fault.New(fault.NameTaken, "two values would get one variable, or one that SOPS keeps for itself", "export them into different files, or as sops-yaml").With("name", s.Name)
		}
		seen[s.Name] = true
		flat.Items = append(flat.Items, wire.Item{Key: s.Name, Value: wire.Node{Kind: wire.String, Text: s.Value, Sealed: true}})
	}
	if format == "ini" {
		flat = wire.Node{Kind: wire.Map, Items: []wire.Item{{Key: "DEFAULT", Value: flat}}}
	}
	return wire.Tree{Documents: []wire.Node{flat}}, nil
}

// PlainKey refuses a name below which SOPS leaves everything in clear: not_supported.
func PlainKey(name string) error { return plainKey(name) }

func plainKey(name string) error {
	if strings.HasSuffix(name, clearSuffix) {
		return fault.New(fault.NotSupported, "SOPS keeps in clear what has a name that ends with "+clearSuffix, "rename it first").With("name", name)
	}
	return nil
}

func (e Entry) node(general bool) (wire.Node, error) {
	k, err := kind.Get(e.Kind)
	if err != nil {
		return wire.Node{}, err
	}
	n := wire.Node{Kind: wire.Map}
	put := func(name string, value secret.Secret) {
		_, sealed := e.Secrets[name]
		n.Items = append(n.Items, wire.Item{Key: name, Value: wire.Node{Kind: wire.String, Text: value, Sealed: sealed}})
	}
	if general {
		put("kind", secret.FromString(e.Kind))
	}
	if e.Project != "" && e.Project != defaultProject {
		put("project", secret.FromString(e.Project))
	}
	for _, name := range append(slices.Sorted(maps.Keys(e.Attrs)), slices.Sorted(maps.Keys(e.Secrets))...) {
		f, _ := k.Lookup(name)
		if f.Derived {
			continue
		}
		if name == "kind" || name == "project" || name == "labels" {
			return n, fault.New(fault.NotSupported, "the layout of SOPS files keeps the name "+name+" for itself", "give the field another name").With("handle", e.Handle)
		}
		if err := plainKey(name); err != nil {
			return n, err
		}
		if s, sealed := e.Secrets[name]; sealed {
			put(name, s)
		} else {
			put(name, secret.FromString(e.Attrs[name]))
		}
	}
	if len(e.Labels) > 0 {
		labels := wire.Node{Kind: wire.Map}
		for _, name := range slices.Sorted(maps.Keys(e.Labels)) {
			if err := plainKey(name); err != nil {
				return n, err
			}
			labels.Items = append(labels.Items, wire.Item{Key: name, Value: wire.Node{Kind: wire.String, Text: secret.FromString(e.Labels[name])}})
		}
		n.Items = append(n.Items, wire.Item{Key: "labels", Value: labels})
	}
	return n, plainKey(e.Handle)
}
