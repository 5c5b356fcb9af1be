package importer

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// Naming says where what is imported goes.
type Naming struct {
	Project string            // slug, of what names none; "" for the default project
	Prefix  string            // before every handle
	Map     map[string]string // name or handle of the source → handle; "" leaves it out
}

// Draft is a resource that an import proposes. Where Problem is set, it has no values.
type Draft struct {
	Kind    string
	Handle  string
	Project string
	Attrs   map[string]string
	Secrets map[string]secret.Secret
	Labels  map[string]string
	Source  string // the name in the source, "" where it looks like a secret
	Where   string
	Notes   []string
	Out     string // why it is left out, though nothing is wrong with it; "" otherwise
	Problem *fault.Error
}

// Fields names the sealed fields, in order.
func (d Draft) Fields() []string { return slices.Sorted(maps.Keys(d.Secrets)) }

// Wipe overwrites the values.
func (d Draft) Wipe() {
	for _, s := range d.Secrets {
		s.Wipe()
	}
}

// Plan makes drafts of items, which it uses up: their values live on in the drafts, or are wiped. The same items give the same handles. Errors: invalid_argument for
// a naming that is none, or that names what the source has not.
func Plan(items []Item, n Naming) ([]Draft, error) {
	for _, to := range n.Map {
		if to != "" && vault.CheckHandle(to) != nil {
			Wipe(items)
			return nil, vault.CheckHandle(to)
		}
	}
	p := planner{Naming: n, used: map[string]bool{}, taken: map[string]bool{}, last: map[string]int{}}
	drafts := make([]Draft, len(items))
	for i, item := range items {
		drafts[i] = p.draft(item)
	}
	for name := range n.Map {
		if !p.used[name] {
			for _, d := range drafts {
				d.Wipe()
			}
			return nil, broken("--map names something that the source has not", "a dry run shows the names")
		}
	}
	p.name(items, drafts)
	return drafts, nil
}

type planner struct {
	Naming
	used  map[string]bool // of Map
	taken map[string]bool // handles
	last  map[string]int  // number behind a handle that many would have: thousands may bear one title
}

// mapped gives what Map says of an item.
func (p *planner) mapped(i Item) (to string, ok bool) {
	for _, name := range []string{i.Handle, i.Name} {
		if to, ok = p.Map[name]; ok && name != "" {
			p.used[name] = true
			return to, true
		}
	}
	return "", false
}

func (p *planner) draft(i Item) Draft {
	d := Draft{Kind: i.Kind, Handle: i.Handle, Project: i.Project, Attrs: maps.Clone(i.Attrs), Labels: maps.Clone(i.Labels), Source: shown(i.Name), Where: shown(i.Where)}
	maps.DeleteFunc(d.Labels, func(_, v string) bool { return shows(v, i.Secrets) })
	if d.Source == "" {
		d.Source = shown(i.Handle)
	}
	if d.Project == "" || d.Project == vault.DefaultProject {
		d.Project = p.Project
	}
	if d.Project == "" {
		d.Project = vault.DefaultProject
	}
	if to, ok := p.mapped(i); ok && to == "" {
		i.Wipe()
		d.Out = "left out by --map"
		return d
	}
	if i.Problem != nil {
		i.Wipe()
		if d.Problem = i.Problem; i.Problem.Code == fault.NotSupported && len(i.Secrets) == 0 && i.Kind == "" {
			d.Out, d.Problem = i.Problem.Message, nil
		}
		return d
	}
	d.recognise(i)
	return d
}

// shown gives a name that people may read; "" for one that looks like a value in the wrong place.
func shown(name string) string {
	if _, looks := kind.LooksSecret(name); looks {
		return ""
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return -1
		}
		return r
	}, name[:min(len(name), 200)])
}

// recognise finds the kind, and checks that the resource is a valid one.
func (d *Draft) recognise(i Item) {
	name := variableOf(i.Name)
	if i.repeats() {
		name, d.Source = "", ""
		d.Notes = append(d.Notes, "its title shows a value, so that neither a handle nor a variable is made of it: --map gives it a handle")
		if shows(i.Where, i.Secrets) {
			d.Where = ""
		}
	}
	if i.Kind != "" {
		d.Secrets = i.Secrets
		d.check()
		return
	}
	value := i.Secrets["value"]
	if len(i.Secrets) <= 1 && i.blank() {
		i.Wipe()
		d.Out = "it is empty"
		return
	}
	if g := kind.Recognise(name, value); g.Kind != "generic" && len(i.Secrets) == 1 && value.Len() > 0 {
		d.Kind, d.Attrs, d.Secrets = g.Kind, g.Attrs, map[string]secret.Secret{g.Field: value}
		if d.check(); d.Problem == nil {
			d.renamed(name)
			return
		}
		d.Notes = append(d.Notes, "it looks like "+g.Kind+", and is none: "+d.Problem.Message)
	} else if g.Note != "" {
		d.Notes = append(d.Notes, g.Note)
	}
	d.generic(name, i.Secrets)
}

// blank tells whether there is nothing to keep: a note, or what a server has no place for, may be one field and no value.
func (i Item) blank() bool {
	for _, s := range i.Secrets {
		if len(bytes.TrimSpace(peek(s))) > 0 {
			return false
		}
	}
	return true
}

// repeats tells whether the title shows a value: somebody pasted it there, and models read what titles are made of. The name of a variable in capitals was chosen for
// a program, and does so only where it has the value letter by letter: POSTGRES_PASSWORD stays, though it is "postgres".
func (i Item) repeats() bool {
	_, looks := kind.LooksSecret(i.Name)
	return looks || i.pasted == asIs || slices.ContainsFunc(i.titles(), func(t string) bool { return has(t, i.Secrets) || !chosen(t) && shows(t, i.Secrets) })
}

// titles are what names are made of: below the top of a tree, each key on the way is one.
func (i Item) titles() []string { return append(slices.Clip(i.path), i.Name) }

// renamed says where commands find a value that its kind gives them under another name than the source's.
func (d *Draft) renamed(name string) {
	k, err := kind.Get(d.Kind)
	if err != nil || name == "" {
		return
	}
	var under []string
	for _, v := range k.EnvVars(d.Attrs) {
		if v.Name == name {
			return
		}
		if v.Field != "" {
			under = append(under, v.Name)
		}
	}
	if len(under) > 0 {
		d.Notes = append(d.Notes, "commands find it as "+strings.Join(under, ", ")+", not as "+name)
	}
}

// generic keeps what is nothing known under the variable's name; further fields get it as the head of theirs.
func (d *Draft) generic(name string, secrets map[string]secret.Secret) {
	d.Kind, d.Attrs, d.Secrets, d.Problem = "generic", map[string]string{}, secrets, nil
	if _, valued := secrets["value"]; valued && kind.EnvNameAllowed(name) {
		d.Attrs["env"] = name
	}
	head := cmp.Or(name, "SECRET") // USERNAME itself is no variable of a secret's
	for field := range secrets {
		if own := head + "_" + strings.ToUpper(field); field != "value" && kind.EnvNameAllowed(own) {
			d.Attrs["env_"+field] = own
		}
	}
	d.check()
}

// variableOf makes a variable's name of a title: "GitHub (work)" is GITHUB_WORK. One that is a name already stays.
func variableOf(title string) string {
	if variable.MatchString(title) && !strings.ContainsAny(title, ".-") {
		return title
	}
	h := handleOf(title)
	if h == nameless {
		return ""
	}
	return strings.ToUpper(strings.TrimLeft(notInNames.ReplaceAllString(h, "_"), "0123456789_"))
}

// check holds the draft against its kind. A problem leaves the values for another try; Plan's name wipes them.
func (d *Draft) check() {
	k, err := kind.Get(d.Kind)
	if err == nil {
		var ok kind.Normalised
		if ok, err = k.Validate(d.Attrs, d.Secrets); err == nil {
			for _, s := range ok.Secrets {
				s.Wipe()
			}
			d.Notes = append(d.Notes, ok.Warnings...)
			for name := range d.Secrets {
				if f, _ := k.Lookup(name); f.Derived {
					d.Secrets[name].Wipe()
					delete(d.Secrets, name)
				}
			}
		}
	}
	if err != nil {
		d.Problem = fault.Of(err)
	}
}

// name gives handles: those that the source or the person names first, so that no other takes them.
func (p *planner) name(items []Item, drafts []Draft) {
	for i := range drafts {
		d := &drafts[i]
		to, mapped := p.mapped(items[i])
		if d.Out != "" || d.Problem != nil {
			d.Wipe()
			continue
		}
		if !mapped && d.Handle == "" {
			continue
		}
		if mapped {
			d.Handle = to
		} else {
			d.Handle = p.Prefix + d.Handle
		}
		d.claim(p.taken)
	}
	for i := range drafts {
		d := &drafts[i]
		if d.Handle != "" || d.Out != "" || d.Problem != nil {
			continue
		}
		base := handleOf(items[i].Name)
		if items[i].pasted > 0 || slices.ContainsFunc(items[i].titles(), func(t string) bool { return shows(t, d.Secrets) }) {
			base = nameless
		}
		if d.Project != vault.DefaultProject { // the same name in two projects is two resources
			base = d.Project + "_" + base
		}
		base = p.Prefix + base
		base = strings.TrimRight(base[:min(len(base), maxHandle)], "_-.")
		d.Handle = base
		for n := max(2, p.last[base]+1); p.taken[d.Handle]; n++ {
			d.Handle = base[:min(len(base), maxHandle-2)] + "_" + strconv.Itoa(n)
			p.last[base] = n
		}
		d.claim(p.taken)
	}
}

// claim takes the draft's handle.
func (d *Draft) claim(taken map[string]bool) {
	if f := vault.CheckHandle(d.Handle); f != nil {
		d.Problem = fault.Of(f)
	} else if taken[d.Handle] {
		d.Problem = fault.New(fault.HandleTaken, "the handle "+d.Handle+" is there twice", "give one of the two another: --map NAME=HANDLE")
	}
	if d.Problem != nil {
		d.Wipe()
		return
	}
	taken[d.Handle] = true
}

// has tells whether a text has one of the values in it, letter by letter.
func has(text string, secrets map[string]secret.Secret) bool {
	for _, s := range secrets {
		if v := peek(s); len(v) >= kind.MinRedacted && bytes.Contains([]byte(text), v) {
			return true
		}
	}
	return false
}

// inVariables writes what handles have and variables have not.
var inVariables = strings.NewReplacer("-", "_", ".", "_")

// asVariable spells a text as a variable would be called by it.
func asVariable(text string) string { return inVariables.Replace(spelled(text)) }

// shows tells whether a text has a value in it, also as a handle or a variable would spell both.
func shows(text string, secrets map[string]secret.Secret) bool {
	var values []string
	for _, s := range secrets {
		values = append(values, spellings(string(peek(s)))...)
	}
	return tells(text, values)
}

// spellings gives each value as it is, and as a handle or a variable would spell it; what is shorter than what is ever masked, not.
func spellings(values ...string) (out []string) {
	for _, v := range values {
		for _, s := range []string{v, asVariable(v)} {
			if len(s) >= kind.MinRedacted {
				out = append(out, s)
			}
		}
	}
	return out
}

// tells tells whether a text, or its spelling, has one of the spellings in it.
func tells(text string, values []string) bool {
	title := asVariable(text)
	return slices.ContainsFunc(values, func(v string) bool { return strings.Contains(text, v) || strings.Contains(title, v) })
}

// peek looks at a value without keeping it.
func peek(s secret.Secret) []byte { return s.Reveal() }
