package vault

import (
	"context"
	"errors"
	"maps"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/id"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// MaxImport is how many resources one import brings at most: all of them are in memory, and in one transaction.
const MaxImport = 50_000

// Conflict says what becomes of a resource whose handle is taken.
type Conflict string

// The answers to a conflict, frozen.
const (
	ConflictRefuse  Conflict = "refuse"  // the import as a whole
	ConflictSkip    Conflict = "skip"    // what is there stays
	ConflictReplace Conflict = "replace" // what is there gets what the import names, as a new version; its policy, and fields that the import does not name, stay
)

// Import is what Vault.Import takes.
type Import struct {
	Items      []NewResource // their Policy and From are not looked at: an import brings no rules
	OnConflict Conflict      // "" for ConflictRefuse
	DryRun     bool          // tell what would happen, and do nothing
}

// Wipe overwrites every value.
func (im Import) Wipe() {
	for _, n := range im.Items {
		wipeAll(n.Secrets)
	}
}

// ImportedAs says what an import did with a resource.
type ImportedAs string

// What becomes of a resource, frozen.
const (
	ImportAdded     ImportedAs = "added"
	ImportReplaced  ImportedAs = "replaced"
	ImportUnchanged ImportedAs = "unchanged" // everything that the import names is there already
	ImportSkipped   ImportedAs = "skipped"
	ImportConflict  ImportedAs = "conflict" // of a dry run: the handle is taken, and the import would be refused
)

// Imported is one resource of an import, in the order in which they came.
type Imported struct {
	Handle  string
	Kind    string
	Project string
	Outcome ImportedAs
	Remarks []string
}

// ImportReport is what an import did, or in a dry run would do.
type ImportReport struct {
	Items    []Imported
	Projects []string // that were made for it
}

// Import adds many resources in one transaction: all, or none. Projects that are missing are made. Each resource has its audit record, and the import one of its
// own. It wipes the values, whatever happens. Errors: as AddResource and EditResource, with the handle in the detail "handle"; too_large.
func (v *Vault) Import(ctx context.Context, actor Actor, im Import) (rep ImportReport, err error) {
	defer im.Wipe()
	switch im.OnConflict {
	case "":
		im.OnConflict = ConflictRefuse
	case ConflictRefuse, ConflictSkip, ConflictReplace:
	default:
		return rep, fault.New(fault.InvalidArgument, "on a conflict an import may refuse, skip or replace", "")
	}
	if len(im.Items) > MaxImport {
		return rep, fault.Newf(fault.TooLarge, "an import brings at most %d resources", MaxImport).WithNext("import in parts")
	}
	x := importing{v: v, actor: actor, on: im.OnConflict, dry: im.DryRun, items: make([]imported, len(im.Items))}
	defer x.wipe()
	if err := x.drafts(im.Items); err != nil {
		return rep, err
	}
	if im.DryRun {
		err = v.view(ctx, x.run)
	} else {
		v.handles.Warm(ctx, v.st, x.handles()...)
		err = v.update(ctx, x.run)
	}
	if err != nil {
		return ImportReport{}, err
	}
	return x.rep, nil
}

// importing is one import under way.
type importing struct {
	v     *Vault
	actor Actor
	on    Conflict
	dry   bool
	items []imported
	rep   ImportReport
}

// imported is one resource on its way: checked, and sealed as the new one that it mostly is.
type imported struct {
	r      Resource
	values map[string]secret.Secret
	attrs  map[string]string // those of r that the import names, and no defaults of the kind: an edit must not bring back what a person changed
}

func (x *importing) wipe() {
	for _, i := range x.items {
		wipeAll(i.values)
	}
}

// of names the resource that stands in the way; the handle was checked.
func of(err error, handle string) error {
	if err == nil || CheckHandle(handle) != nil {
		return err
	}
	var f *fault.Error
	if errors.As(err, &f) {
		return f.With("handle", handle)
	}
	return err
}

// drafts checks and seals all before the transaction, which then is short: everybody else waits for it.
func (x *importing) drafts(items []NewResource) error {
	for i, n := range items {
		n.Policy, n.From = NewResource{}.Policy, nil
		r, values, err := x.v.draft(x.actor, n)
		if err != nil {
			return of(err, n.Handle)
		}
		x.items[i] = imported{r, values, givenAttrs(r, n.Attrs)}
		if x.dry {
			continue
		}
		if x.items[i].r.Sealed, err = x.v.seal(r.ID, 1, values); err != nil {
			return err
		}
	}
	return nil
}

func (x *importing) handles() []string {
	list := make([]string, len(x.items))
	for i := range x.items {
		list[i] = x.items[i].r.Handle
	}
	return list
}

// run does the import in a transaction. A store may call it again, from the start.
func (x *importing) run(tx store.Tx) error {
	x.rep = ImportReport{Items: make([]Imported, 0, len(x.items)), Projects: nil}
	counts, seen, projects := map[ImportedAs]uint64{}, map[string]bool{}, map[string]bool{}
	for i := range x.items {
		r := x.items[i].r
		if seen[r.Handle] {
			return of(fault.New(fault.HandleTaken, "the import has the handle "+r.Handle+" twice", "rename one of the two"), r.Handle)
		}
		seen[r.Handle] = true
		if !projects[r.Project] {
			projects[r.Project] = true
			if err := x.project(tx, r.Project); err != nil {
				return of(err, r.Handle)
			}
		}
		as, remarks, err := x.one(tx, x.items[i])
		if err != nil {
			return of(err, r.Handle)
		}
		counts[as]++
		x.rep.Items = append(x.rep.Items, Imported{r.Handle, r.Kind, r.Project, as, remarks})
	}
	if x.dry {
		return nil
	}
	detail := map[string]string{"on_conflict": string(x.on)}
	for as, n := range counts {
		detail[string(as)] = utoa(n)
	}
	return x.v.audit.Append(tx, audit.Event{Actor: x.actor, Action: audit.VaultImport, Outcome: audit.Allowed, Detail: detail})
}

// project makes a project that is missing.
func (x *importing) project(tx store.Tx, slug string) error {
	err := x.v.projectExists(tx, slug)
	if fault.CodeOf(err) != fault.UnknownProject || !slugShape.MatchString(slug) {
		return err
	}
	x.rep.Projects = append(x.rep.Projects, slug)
	if x.dry {
		return nil
	}
	p := Project{Format: 1, ID: id.New(id.Project), Slug: slug, CreatedAt: x.v.now()}
	return x.v.makeProject(tx, x.actor, p)
}

// one adds or changes one resource.
func (x *importing) one(tx store.Tx, i imported) (ImportedAs, []string, error) {
	v, r := x.v, i.r
	old, err := v.byHandle(tx, r.Handle)
	switch {
	case fault.CodeOf(err) == fault.UnknownResource:
		return ImportAdded, r.Remarks, x.add(tx, r, i.values)
	case err != nil:
		return "", nil, err
	case x.on == ConflictSkip:
		return ImportSkipped, nil, nil
	case x.on == ConflictReplace && old.Kind != r.Kind:
		return "", nil, fault.Newf(fault.HandleTaken, "%s is a resource of kind %s, and the import brings one of kind %s", r.Handle, old.Kind, r.Kind).
			WithNext("give what is imported another handle, or leave it out")
	case x.on == ConflictReplace && x.dry:
		return ImportReplaced, r.Remarks, nil
	case x.on == ConflictReplace:
		return x.replace(tx, old, i)
	case x.dry:
		return ImportConflict, nil, nil
	}
	return "", nil, handleTaken(r.Handle)
}

func (x *importing) add(tx store.Tx, r Resource, values map[string]secret.Secret) error {
	if x.dry {
		return nil
	}
	v := x.v
	if err := errors.Join(v.resealed(&r, values), v.claimHandle(tx, r.Handle, r.ID)); err != nil {
		return err
	}
	if err := v.resources.Add(tx, r.ID, r); err != nil {
		return err
	}
	return v.audit.Append(tx, resourceEvent(x.actor, audit.ResourceAdd, r, map[string]string{"import": "yes"}))
}

// replace makes what the import names present, as a new version. What is there already makes none: an import that is run again fills no history.
func (x *importing) replace(tx store.Tx, old Resource, i imported) (ImportedAs, []string, error) {
	v := x.v
	same, err := v.holds(old, i)
	if err != nil || same {
		return ImportUnchanged, nil, err
	}
	if old.Source != "" {
		return "", nil, fault.New(fault.NotSupported, old.Handle+" has a file as its home, which an import does not write", "change it there, or with `zavhoz resource edit "+old.Handle+"`; --map leaves it out")
	}
	if err := v.refuseCrossed(tx, old); err != nil {
		return "", nil, err
	}
	e := Edit{Attrs: i.attrs, Secrets: underived(old.Kind, i.values), Labels: i.r.Labels, Project: &i.r.Project}
	r, err := v.edited(old, e)
	if err != nil {
		return "", nil, err
	}
	if err := v.keep(tx, x.actor, old, &r, i.r.Why); err != nil {
		return "", nil, err
	}
	detail := map[string]string{"import": "yes", "changed": joinNames(changed(old, r))}
	return ImportReplaced, r.Remarks, v.audit.Append(tx, resourceEvent(x.actor, audit.ResourceEdit, r, detail))
}

// givenAttrs gives those of a draft's attributes that it was given, by their own names.
func givenAttrs(r Resource, given map[string]string) map[string]string {
	out := map[string]string{}
	k, err := kind.Get(r.Kind)
	for name := range given {
		f, ok := k.Lookup(name)
		if value, kept := r.Attrs[f.Name]; err == nil && ok && kept && !f.Derived {
			out[f.Name] = value
		}
	}
	return out
}

// underived leaves out what the kind makes by itself.
func underived(kindName string, values map[string]secret.Secret) map[string]secret.Secret {
	out := maps.Clone(values)
	k, err := kind.Get(kindName)
	maps.DeleteFunc(out, func(name string, _ secret.Secret) bool {
		f, ok := k.Lookup(name)
		return err == nil && ok && f.Derived
	})
	return out
}

// holds tells whether a resource has all that an import names already.
func (v *Vault) holds(old Resource, i imported) (bool, error) {
	if old.Project != i.r.Project {
		return false, nil
	}
	for name, value := range i.attrs {
		if old.Attrs[name] != value {
			return false, nil
		}
	}
	for name, value := range i.r.Labels {
		if old.Labels[name] != value {
			return false, nil
		}
	}
	for field, given := range i.values {
		sealed, ok := old.Sealed[field]
		if !ok {
			return false, nil
		}
		kept, err := v.opener.Open(old.FieldRef(field), sealed.Value)
		if err != nil {
			return false, err
		}
		same := kept.Equal(given)
		kept.Wipe()
		if !same {
			return false, nil
		}
	}
	return true, nil
}
