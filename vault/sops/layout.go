package sops

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/id"
	"github.com/zavhoz/zavhoz/vault/internal/lazyregexp"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

// LayoutFormat is the layout's format number: the sections and what their entries mean.
const LayoutFormat = 1

// sections of the layout and the kinds of their entries. Frozen.
var sections = map[string]string{
	"telegram_bots": "telegram_bot",
	"servers":       "server",
	"api_keys":      "api_key",
	"domains":       "domain",
	"github_apps":   "github_app",
	"databases":     "database",
}

const (
	generalSection  = "resources" // entries that name their kind
	projectsSection = "projects"
	clearSuffix     = "_unencrypted" // what SOPS leaves in clear by default
	defaultProject  = "default"
)

var (
	handleShape = lazyregexp.New(`^[a-z0-9][a-z0-9_.-]{0,63}$`)
	slugShape   = lazyregexp.New(`^[a-z][a-z0-9-]{0,39}$`)
	nameShape   = lazyregexp.New(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)
	notInNames  = lazyregexp.New(`[^A-Za-z0-9_]+`)
)

// Entry is one resource of a file, in the form that its kind declares. Where Problem is set, it has no values and is not to be used.
type Entry struct {
	Kind    string
	Handle  string
	Project string // slug; "default" where the file names none
	Attrs   map[string]string
	Secrets map[string]secret.Secret
	Labels  map[string]string
	File    string
	Path    []string          // of the entry in the file
	Keys    map[string]string // field → the key under which the file has it; "" for an entry that is its one value
	House   map[string]string // "project", "labels", "labels.NAME" → the key under which the file has it
	Remarks []string          // warnings and notes of the kind
	Proof   Proof             // what of it only a holder of the data key can have written
	Problem *fault.Error
}

// Proof says what of an entry a file's authentication covers. SOPS's MAC is over the values alone, one behind the other, without names: who has no key can move
// text from one value in clear to another, or to a new name; and with mac_only_encrypted write any. Only an encrypted value is bound to its name.
type Proof struct {
	Sealed map[string]bool // fields, "project", "labels.NAME": whether the value stood encrypted; those without a value of their own are missing
	Whole  bool            // no value of the file is in clear: nothing can be moved, added or taken away
	Loose  bool            // the MAC leaves out what is in clear
}

// Of tells whether a field, as it is or is missing, is what a holder of the key wrote.
func (p Proof) Of(name string) bool {
	sealed, own := p.Sealed[name]
	return sealed || !own && p.Whole
}

// ProjectSecret is one value of a project's environment.
type ProjectSecret struct {
	Project string
	Name    string
	Value   secret.Secret
	Hint    string // what it is for, in clear text
	File    string
	Path    []string
}

// Problem is something in a file that is not used, and why. Where names keys, which SOPS keeps in clear.
type Problem struct {
	File  string
	Where string
	Err   *fault.Error
}

// Set is what one or more files hold.
type Set struct {
	Entries  []Entry
	Secrets  []ProjectSecret
	Problems []Problem
}

// Wipe overwrites every value.
func (s Set) Wipe() {
	for _, e := range s.Entries {
		wipe(e.Secrets)
	}
	for _, p := range s.Secrets {
		p.Value.Wipe()
	}
}

func wipe(m map[string]secret.Secret) {
	for _, s := range m {
		s.Wipe()
	}
}

// layout reads one file's tree.
type layout struct {
	file    string
	project string // of flat formats
	whole   bool
	set     Set
}

// ReadLayout gives what a file's tree holds by the layout; the values are copies, the tree stays the caller's. A bad entry is a problem of its own and stops no
// other. project is where dotenv and INI files belong ("" for "default"). Errors: not_supported (several documents).
func ReadLayout(t wire.Tree, format, file, project string) (Set, error) {
	l := &layout{file: file, project: cmp.Or(project, defaultProject)}
	if len(t.Documents) != 1 || t.Documents[0].Kind != wire.Map {
		return Set{}, fault.New(fault.NotSupported, "a file of secrets is one document with names at the top", "keep one document a file")
	}
	l.whole = whole(t.Documents[0])
	switch doc := t.Documents[0]; format {
	case "dotenv":
		l.flat(doc, nil)
	case "ini":
		for _, i := range doc.Items {
			l.flat(i.Value, []string{i.Key})
		}
	default:
		l.document(doc)
	}
	l.set.unique()
	return l.set, nil
}

// whole tells whether no value of the tree stands in clear; an empty one adds nothing to the MAC, and takes nothing from it.
func whole(n wire.Node) bool {
	if n.Kind.Scalar() {
		return n.Sealed || n.Text.Len() == 0
	}
	return !slices.ContainsFunc(n.Items, func(i wire.Item) bool { return !whole(i.Value) })
}

func (l *layout) problem(err error, path ...string) {
	l.set.Problems = append(l.set.Problems, Problem{l.file, strings.Join(path, "."), fault.Of(err)})
}

func (l *layout) document(doc wire.Node) {
	for _, i := range doc.Items {
		if i.Value.Kind.IsComment() || i.Value.Kind == wire.Null {
			continue
		}
		kindName, known := sections[i.Key]
		if !known && i.Key != generalSection && i.Key != projectsSection {
			l.problem(fault.New(fault.UnknownField, "the layout has no such section", "its sections are "+strings.Join(sectionNames(), ", ")), i.Key)
			continue
		}
		if i.Value.Kind != wire.Map {
			l.problem(fault.New(fault.InvalidArgument, "a section holds names, and what belongs to each", ""), i.Key)
			continue
		}
		for _, e := range i.Value.Items {
			switch {
			case e.Value.Kind.IsComment() || e.Value.Kind == wire.Null:
			case i.Key == projectsSection:
				l.ofProject(e.Key, e.Value)
			default:
				l.entry(kindName, []string{i.Key, e.Key}, e.Value)
			}
		}
	}
}

func sectionNames() []string {
	return append(slices.Sorted(maps.Keys(sections)), generalSection, projectsSection)
}

// text gives a scalar as programs expect it: SOPS authenticates "True", an environment has "true".
func text(n wire.Node) string {
	s := string(n.Text.Reveal())
	if n.Kind == wire.Bool {
		return strings.ToLower(s)
	}
	return s
}

func value(n wire.Node) secret.Secret {
	if n.Kind == wire.Bool {
		return secret.FromString(text(n))
	}
	return n.Text.Clone()
}

// entry reads one resource. Every field goes where its kind puts it: what is public into Attrs, what is sealed into Secrets.
func (l *layout) entry(kindName string, path []string, n wire.Node) {
	e := Entry{Kind: kindName, Handle: path[1], Project: defaultProject, Attrs: map[string]string{}, Secrets: map[string]secret.Secret{}, Keys: map[string]string{}, House: map[string]string{}, File: l.file, Path: path,
		Proof: Proof{Sealed: map[string]bool{}, Whole: l.whole}}
	if err := l.fill(&e, n); err != nil {
		wipe(e.Secrets)
		e.Secrets, e.Attrs, e.Labels, e.Problem = nil, nil, nil, fault.Of(err)
		l.problem(err, path...)
	}
	l.set.Entries = append(l.set.Entries, e)
}

func (l *layout) fill(e *Entry, n wire.Node) error {
	if !handleShape.MatchString(e.Handle) || id.Is(e.Handle, id.Lease) || id.Is(e.Handle, id.Resource) {
		return fault.New(fault.InvalidArgument, "a handle has 1–64 lower-case letters, digits, `_`, `-` or `.`, and begins with a letter or digit", "rename the entry")
	}
	name := e.Kind
	if name == "" {
		k, ok := n.Get("kind")
		if !ok || k.Kind != wire.String {
			return fault.New(fault.UnknownKind, "an entry of resources says its kind", "add `kind: generic`, or another kind")
		}
		name = text(k)
	}
	k, err := kind.Get(name)
	if err != nil {
		return err
	}
	e.Kind = k.Name // what is no kind is not repeated: it stood where a value may stand
	raw := Entry{Kind: e.Kind, Handle: e.Handle, Attrs: map[string]string{}, Secrets: map[string]secret.Secret{}}
	defer wipe(raw.Secrets)
	if n.Kind.Scalar() {
		err = single(k, &raw, e, n)
	} else {
		err = fields(k, &raw, e, n)
	}
	if err != nil {
		return err
	}
	complement(k, &raw)
	ok, err := k.Validate(raw.Attrs, raw.Secrets)
	if err != nil {
		return err
	}
	e.Attrs, e.Secrets, e.Remarks = ok.Attrs, ok.Secrets, append(ok.Warnings, ok.Notes...)
	return nil
}

// single takes an entry that is a scalar for the kind's one required secret: `api_keys: {openai: sk-…}`.
func single(k kind.Kind, raw, e *Entry, n wire.Node) error {
	for _, f := range k.Fields {
		if f.Class == kind.Secret && f.Required {
			raw.Secrets[f.Name], e.Keys[f.Name], e.Proof.Sealed[f.Name] = value(n), "", n.Sealed
			return nil
		}
	}
	return notScalar(k.Name)
}

func notScalar(what string) error {
	return fault.New(fault.InvalidArgument, "an entry of kind "+what+" holds names of fields, and a value for each", "")
}

func fields(k kind.Kind, raw, e *Entry, n wire.Node) error {
	if n.Kind != wire.Map {
		return notScalar(k.Name)
	}
	for _, i := range n.Items {
		if i.Value.Kind.IsComment() || i.Value.Kind == wire.Null {
			continue
		}
		if done, err := house(e, i); done || err != nil {
			if err != nil {
				return err
			}
			continue
		}
		f, ok := k.Lookup(i.Key)
		if bare, cut := strings.CutSuffix(i.Key, clearSuffix); cut {
			if g, known := k.Lookup(bare); known {
				f, ok = g, true
			}
		}
		if !ok {
			_, err := k.Validate(map[string]string{i.Key: ""}, nil) // says which fields there are, and not this name
			return err
		}
		if !i.Value.Kind.Scalar() {
			return fault.Newf(fault.InvalidArgument, "%s is one value, not names or a list", f.Name).With("field", f.Name)
		}
		if _, twice := e.Keys[f.Name]; twice {
			return fault.Newf(fault.InvalidArgument, "%s is given twice, once by another name", f.Name).With("field", f.Name)
		}
		e.Keys[f.Name], e.Proof.Sealed[f.Name] = i.Key, i.Value.Sealed
		if f.Class.Sealed() {
			raw.Secrets[f.Name] = value(i.Value)
		} else {
			raw.Attrs[f.Name] = text(i.Value)
		}
	}
	return nil
}

// house reads what every entry may have beside its kind's fields.
func house(e *Entry, i wire.Item) (done bool, err error) {
	switch strings.TrimSuffix(i.Key, clearSuffix) {
	case "kind":
		return e.Path[0] == generalSection, nil
	case "project":
		e.House["project"], e.Proof.Sealed["project"] = i.Key, i.Value.Sealed
		if e.Project = text(i.Value); !i.Value.Kind.Scalar() || !slugShape.MatchString(e.Project) {
			e.Project = defaultProject
			return true, fault.New(fault.InvalidArgument, "project is a project's slug", "")
		}
		return true, nil
	case "labels":
		if i.Value.Kind != wire.Map {
			return true, fault.New(fault.InvalidArgument, "labels are names, and a text for each", "")
		}
		e.Labels, e.House["labels"] = map[string]string{}, i.Key
		for _, l := range i.Value.Items {
			if !l.Value.Kind.Scalar() {
				continue
			}
			label := text(l.Value)
			if what, yes := kind.LooksSecret(label); yes {
				return true, fault.New(fault.SecretInvalid, "a label is not valid: it looks like "+what+", and a model may read it", "keep it as a field of the entry")
			}
			name := strings.TrimSuffix(l.Key, clearSuffix)
			e.Labels[name], e.House["labels."+name] = label, l.Key
			e.Proof.Sealed["labels."+name] = l.Value.Sealed
		}
		return true, nil
	}
	return false, nil
}

// complement fills in what the older layout said by the entry's name: the service of an API key, the zone of a domain.
func complement(k kind.Kind, e *Entry) {
	switch k.Name {
	case "api_key":
		if e.Attrs["service"] != "" || e.Attrs["hosts"] != "" {
			return
		}
		head, _, _ := strings.Cut(e.Handle, "_")
		for _, s := range []string{e.Handle, strings.ReplaceAll(e.Handle, "-", "_"), head} {
			if _, err := kind.LookupService(s); err == nil {
				e.Attrs["service"] = s
				return
			}
		}
	case "domain":
		if e.Attrs["zone"] == "" && strings.Contains(e.Handle, ".") {
			e.Attrs["zone"] = e.Handle
		}
	}
}

// unique refuses a handle, or a project's name, that is there before in the same file, and wipes its values.
func (s *Set) unique() { s.without(true) }

// unshare does the same across files: the files' own sets keep their values.
func (s *Set) unshare() { s.without(false) }

func (s *Set) without(wiping bool) {
	handles := map[string]bool{}
	for i := range s.Entries {
		e := &s.Entries[i]
		if handles[e.Handle] && e.Problem == nil {
			if wiping {
				wipe(e.Secrets)
			}
			e.Attrs, e.Secrets = nil, nil
			e.Problem = fault.New(fault.HandleTaken, "the handle "+e.Handle+" is there twice", "rename one of the two")
			s.Problems = append(s.Problems, Problem{e.File, strings.Join(e.Path, "."), e.Problem})
		}
		handles[e.Handle] = true
	}
	kept := make([]ProjectSecret, 0, len(s.Secrets))
	names := map[[2]string]bool{}
	for _, p := range s.Secrets {
		name := [2]string{p.Project, p.Name}
		if !names[name] {
			names[name] = true
			kept = append(kept, p)
			continue
		}
		if wiping {
			p.Value.Wipe()
		}
		s.Problems = append(s.Problems, Problem{p.File, strings.Join(p.Path, "."), fault.New(fault.NameTaken, "the project has a secret of this name already", "rename one of the two")})
	}
	s.Secrets = kept
}
