package sopshome

import (
	"cmp"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/vault/sops"
	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

// patch is what an act changes of an entry; an empty attribute or secret goes.
type patch struct {
	attrs   map[string]string
	secrets map[string]secret.Secret
	labels  map[string]string // all of them, as they will be
	relabel bool              // whether labels counts
	project string            // "" where it stays
}

// general is the section of entries that name their kind.
const general = "resources"

// sectionOf gives the section for entries of a kind. Those of the older layout have theirs.
func sectionOf(kindName string) string {
	switch kindName {
	case "telegram_bot", "server", "api_key", "domain", "github_app", "database":
		return kindName + "s"
	}
	return general
}

func str(v string) wire.Node { return wire.Node{Kind: wire.String, Text: secret.FromString(v)} }

func val(s secret.Secret) wire.Node {
	return wire.Node{Kind: wire.String, Text: s.Clone(), Sealed: true}
}

// attr is the value of a field that was given as an attribute: a hidden one is sealed all the same.
func attr(k kind.Kind, field, v string) wire.Node {
	n := str(v)
	f, ok := k.Lookup(field)
	n.Sealed = !ok || f.Class.Sealed()
	return n
}

// ofEnvironment tells whether the entry is a project's secret: a name and its value, and nothing beside.
func ofEnvironment(e sops.Entry) bool {
	k, single := e.Keys[valueField]
	return e.Kind == "generic" && single && k == "" && e.Handle != e.Path[len(e.Path)-1]
}

// changes gives what the patch changes in the file: where the file has a field, there it is set, so that order and comments stay.
func (p patch) changes(e sops.Entry) ([]wire.Change, error) {
	p, err := p.canonical(e.Kind)
	if err != nil {
		return nil, err
	}
	if err := p.plainNames(e); err != nil {
		return nil, err
	}
	scalar := slices.Contains(slices.Collect(maps.Values(e.Keys)), "")
	if scalar {
		for f, s := range p.secrets {
			if key, has := e.Keys[f]; has && key == "" && s.Len() > 0 && len(p.secrets) == 1 && len(p.attrs) == 0 && !p.relabel && p.project == "" {
				return []wire.Change{{Path: e.Path, Value: val(s)}}, nil
			}
		}
		if ofEnvironment(e) {
			return nil, fault.New(fault.NotSupported, "the resource "+e.Handle+" is a project's secret: its file has a name and a value for it, and nothing beside", "change its value; or move it to `resources` in the file")
		}
		return []wire.Change{{Path: e.Path, Value: p.whole(e)}}, nil
	}
	for f := range e.Keys {
		if _, sealed := e.Secrets[f]; !sealed && e.Attrs[f] == "" { // the kind keeps it in another form: beside that, a change of a part would contradict it
			return []wire.Change{{Path: e.Path, Value: p.whole(e)}}, nil
		}
	}
	return p.inPlace(e), nil
}

// plainNames refuses new names below which SOPS would leave everything in clear.
func (p patch) plainNames(e sops.Entry) error {
	for _, f := range append(slices.Collect(maps.Keys(p.attrs)), slices.Collect(maps.Keys(p.secrets))...) {
		if e.Keys[f] == "" {
			if err := sops.PlainKey(f); err != nil {
				return err
			}
		}
	}
	for l := range p.labels {
		if p.relabel && e.House["labels."+l] == "" {
			if err := sops.PlainKey(l); err != nil {
				return err
			}
		}
	}
	return nil
}

// canonical puts fields under their own names, and drops what the kind makes by itself.
func (p patch) canonical(kindName string) (patch, error) {
	k, err := kind.Get(kindName)
	if err != nil {
		return p, err
	}
	attrs, secrets := map[string]string{}, map[string]secret.Secret{}
	for f, v := range p.attrs {
		if g, ok := k.Lookup(f); ok && !g.Derived {
			attrs[g.Name] = v
		}
	}
	for f, v := range p.secrets {
		if g, ok := k.Lookup(f); ok && !g.Derived {
			secrets[g.Name] = v
		}
	}
	p.attrs, p.secrets = attrs, secrets
	return p, nil
}

func (p patch) inPlace(e sops.Entry) (out []wire.Change) {
	k, _ := kind.Get(e.Kind)
	at := func(keys ...string) []string { return append(slices.Clone(e.Path), keys...) }
	put := func(field string, n wire.Node, goes bool) {
		key, has := e.Keys[field]
		switch {
		case !goes:
			out = append(out, wire.Change{Path: at(cmp.Or(key, field)), Value: n})
		case has:
			out = append(out, wire.Change{Path: at(key), Unset: true})
		}
	}
	for _, f := range slices.Sorted(maps.Keys(p.attrs)) {
		if p.attrs[f] == "" {
			put(f, wire.Node{}, true)
		} else {
			put(f, attr(k, f, p.attrs[f]), false)
		}
	}
	for _, f := range slices.Sorted(maps.Keys(p.secrets)) {
		if p.secrets[f].Len() == 0 {
			put(f, wire.Node{}, true)
		} else {
			put(f, val(p.secrets[f]), false)
		}
	}
	if p.project != "" {
		out = append(out, wire.Change{Path: at(cmp.Or(e.House["project"], "project")), Value: str(p.project)})
	}
	if !p.relabel {
		return out
	}
	section := cmp.Or(e.House["labels"], "labels")
	for _, l := range slices.Sorted(maps.Keys(p.labels)) {
		if e.Labels[l] != p.labels[l] {
			out = append(out, wire.Change{Path: at(section, cmp.Or(e.House["labels."+l], l)), Value: str(p.labels[l])})
		}
	}
	for _, l := range slices.Sorted(maps.Keys(e.Labels)) {
		if _, stays := p.labels[l]; !stays {
			out = append(out, wire.Change{Path: at(section, e.House["labels."+l]), Unset: true})
		}
	}
	return out
}

// whole gives the entry as names and values, in the form that its kind keeps it in, with the patch applied.
func (p patch) whole(e sops.Entry) wire.Node {
	attrs, secrets := maps.Clone(e.Attrs), maps.Clone(e.Secrets)
	if attrs == nil {
		attrs = map[string]string{}
	}
	maps.Copy(attrs, p.attrs)
	maps.Copy(secrets, p.secrets)
	labels, project := e.Labels, cmp.Or(p.project, e.Project)
	if p.relabel {
		labels = p.labels
	}
	n := wire.Node{Kind: wire.Map}
	add := func(key string, v wire.Node) { n.Items = append(n.Items, wire.Item{Key: key, Value: v}) }
	if e.Path[0] == general {
		add("kind", str(e.Kind))
	}
	if project != vault.DefaultProject {
		add(cmp.Or(e.House["project"], "project"), str(project))
	}
	k, _ := kind.Get(e.Kind)
	for _, f := range slices.Sorted(maps.Keys(attrs)) {
		if g, ok := k.Lookup(f); ok && !g.Derived && attrs[f] != "" {
			add(cmp.Or(e.Keys[f], f), attr(k, f, attrs[f]))
		}
	}
	for _, f := range slices.Sorted(maps.Keys(secrets)) {
		if secrets[f].Len() > 0 {
			add(cmp.Or(e.Keys[f], f), val(secrets[f]))
		}
	}
	if len(labels) > 0 {
		l := wire.Node{Kind: wire.Map}
		for _, name := range slices.Sorted(maps.Keys(labels)) {
			l.Items = append(l.Items, wire.Item{Key: cmp.Or(e.House["labels."+name], name), Value: str(labels[name])})
		}
		add(cmp.Or(e.House["labels"], "labels"), l)
	}
	return n
}

// moved gives the changes that put an entry under another handle: at the end of its section, with what its old name said written out.
func moved(e sops.Entry, handle string) ([]wire.Change, error) {
	if ofEnvironment(e) {
		return nil, fault.New(fault.NotSupported, "the resource "+e.Handle+" is a project's secret: its handle is made of the project and the variable", "rename it in the file")
	}
	if err := sops.PlainKey(handle); err != nil {
		return nil, err
	}
	to := append(slices.Clone(e.Path[:len(e.Path)-1]), handle)
	return []wire.Change{{Path: to, Value: patch{}.whole(e)}, {Path: e.Path, Unset: true}}, nil
}

// added gives the change that puts a new resource into a file.
func added(r vault.Resource, values map[string]secret.Secret, path string) ([]wire.Change, error) {
	switch ext := strings.ToLower(filepath.Ext(path)); ext {
	case ".yaml", ".yml", ".json":
	default:
		return nil, fault.New(fault.NotSupported, "a file of that format holds one project's secrets, and no other resources", "name a YAML or JSON file with --to-file")
	}
	e := sops.Entry{Kind: r.Kind, Handle: r.Handle, Project: r.Project, Attrs: r.Attrs, Labels: r.Labels, Secrets: values, Path: []string{sectionOf(r.Kind), r.Handle}}
	for _, names := range [][]string{{r.Handle}, slices.Collect(maps.Keys(r.Attrs)), slices.Collect(maps.Keys(values)), slices.Collect(maps.Keys(r.Labels))} {
		for _, n := range names {
			if err := sops.PlainKey(n); err != nil {
				return nil, err
			}
		}
	}
	return []wire.Change{{Path: e.Path, Value: patch{}.whole(e)}}, nil
}
