package vault

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/id"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// HomeEntry is one resource as the file that is its home has it, in the form that its kind declares. Its secrets stay the caller's.
type HomeEntry struct {
	Source  string // the file: sops:NAME
	Handle  string
	Kind    string
	Project string // made where there is none of that slug
	Attrs   map[string]string
	Labels  map[string]string
	Secrets map[string]secret.Secret
	// Proven tells of a field, "project" or "labels.NAME" whether, as it is or is missing, only a holder of the file's key can have written it.
	Proven func(name string) bool
	Loose  bool // nothing that is new in the file and in clear is authenticated
	Broken bool // it is there and cannot be used: what the vault has of it stays in force
}

// HomeSet is what the files hold that could be read.
type HomeSet struct {
	Sources []string        // what is in none of these is not missed
	Believe map[string]bool // sources that may lose as much as they did
	Entries []HomeEntry
}

// Loss is how many of a source's resources in force are not in it any more.
type Loss struct{ Absent, Known int }

// HomeReport says what came of a set.
type HomeReport struct {
	Added, Changed, Gone int
	Refused              map[string]*fault.Error // by handle: what the vault has under it stays as it is
	Held                 map[string]Loss         // by source: losses too great to be believed at once; nothing of it went
}

// Differs tells whether anything was to be done.
func (r HomeReport) Differs() bool { return r.Added+r.Changed+r.Gone > 0 }

// shrinkEntries is how many resources a file may always lose at once.
const shrinkEntries = 3

func goneFault(r Resource) *fault.Error {
	return fault.New(fault.ResourceDisabled, "the resource "+r.Handle+" is not in the file that is its home any more", "ask the operator: put it back into the file, or `zavhoz resource rm "+r.Handle+"`")
}

// TakeHome puts into force what the files hold, all of it in one transaction with its records, or nothing: what is new is added without any policy of its own,
// what changed is a new version, what vanished is Gone and its leases end. Policy, history and a resource that is off stay as the operator left them. Values
// that did not change are not sealed anew.
func (v *Vault) TakeHome(ctx context.Context, actor Actor, set HomeSet) (rep HomeReport, err error) {
	look := func(tx store.Tx, dry bool) error {
		h := homecoming{v: v, tx: tx, actor: actor, set: set, dry: dry}
		err := h.run()
		rep = h.rep
		return err
	}
	if err := v.view(ctx, func(tx store.Tx) error { return look(tx, true) }); err != nil || !rep.Differs() {
		return rep, err
	}
	err = v.update(ctx, func(tx store.Tx) error { return look(tx, false) })
	return rep, err
}

// homecoming is one taking of a set, within one transaction.
type homecoming struct {
	v     *Vault
	tx    store.Tx
	actor Actor
	set   HomeSet
	dry   bool // nothing is written

	before []Resource          // of all sources, as they were
	at     map[string]Resource // of them, by handle
	moves  map[string]Resource // by the handle that they are being given
	listed map[string]bool     // handles of the set
	there  map[string]bool     // ids of what is in the set
	rep    HomeReport
}

func (h *homecoming) run() error {
	h.at, h.moves, h.listed, h.there = map[string]Resource{}, map[string]Resource{}, map[string]bool{}, map[string]bool{}
	h.rep = HomeReport{Refused: map[string]*fault.Error{}, Held: map[string]Loss{}}
	err := h.v.resources.Scan(h.tx, "", "", func(_ string, r Resource) (bool, error) {
		if r.Source != "" {
			h.before, h.at[r.Handle] = append(h.before, r), r
			if r.MovesTo != "" {
				h.moves[r.MovesTo] = r
			}
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	for _, e := range h.set.Entries {
		h.listed[e.Handle] = true
	}
	for _, e := range h.set.Entries {
		err := h.take(e)
		if f := new(fault.Error); errors.As(err, &f) && (f.Code == fault.HandleTaken || f.Code == fault.InvalidArgument || f.Code == fault.ResourceBusy || f.Code == fault.ApprovalRequired) {
			h.rep.Refused[e.Handle], err = f, nil
		}
		if err != nil {
			return err
		}
	}
	for _, s := range h.set.Sources {
		if err := h.losses(s); err != nil {
			return err
		}
	}
	return nil
}

// take puts one entry into force.
func (h *homecoming) take(e HomeEntry) error {
	r, known := h.at[e.Handle]
	if from, moving := h.moves[e.Handle]; !known && moving && from.Source == e.Source && !h.listed[from.Handle] {
		r, known = from, true // the file was written, and then the power went
	}
	if !known {
		if e.Broken {
			return nil
		}
		return h.add(e)
	}
	h.there[r.ID] = true
	switch {
	case e.Broken:
		return nil
	case r.Source != e.Source && !slices.Contains(h.set.Sources, r.Source):
		return fault.New(fault.HandleTaken, "the handle "+e.Handle+" belongs to "+r.Source+", which cannot be read now", "mend that file, or rename the entry")
	case r.Kind != e.Kind:
		return fault.New(fault.InvalidArgument, "the kind of "+e.Handle+" has changed, which no resource's does", "give the entry another name, or `zavhoz resource rm "+e.Handle+"` and then put it into the file again")
	}
	if err := checkLabels(e.Labels); err != nil {
		return err
	}
	return h.change(r, e)
}

func (h *homecoming) add(e HomeEntry) error {
	switch _, err := h.v.handles.Get(h.tx, e.Handle); {
	case err == nil:
		return fault.New(fault.HandleTaken, "the handle "+e.Handle+" belongs to a resource of the vault's own", "rename the entry, or the resource")
	case !errors.Is(err, store.ErrNotFound):
		return err
	}
	if err := errors.Join(CheckHandle(e.Handle), checkLabels(e.Labels)); err != nil {
		return err
	}
	if e.Loose && len(e.Secrets) > 0 {
		return fault.New(fault.ApprovalRequired, "the entry "+e.Handle+" is new, and its file's authentication leaves out what is in clear (mac_only_encrypted): anybody could have written it",
			"encrypt all of the file, or take mac_only_encrypted out of it; or take the entry out and add it with `zavhoz resource add --to-file`")
	}
	h.rep.Added++
	if h.dry {
		return nil
	}
	now := h.v.now()
	r := Resource{
		Format: 1, ID: id.New(id.Resource), Handle: e.Handle, Kind: e.Kind, Attrs: e.Attrs, Labels: e.Labels, Project: e.Project,
		Status: Active, Version: 1, CreatedAt: now, UpdatedAt: now, UpdatedBy: h.actor.Name, Source: e.Source,
	}
	var err error
	if r.Sealed, err = h.v.seal(r.ID, 1, e.Secrets); err != nil {
		return err
	}
	if err := errors.Join(h.project(e.Project), h.v.claimHandle(h.tx, r.Handle, r.ID), h.v.resources.Put(h.tx, r.ID, r)); err != nil {
		return err
	}
	return h.v.audit.Append(h.tx, resourceEvent(h.actor, audit.ResourceAdd, r, map[string]string{"source": e.Source}))
}

// change makes the next version of a resource, where the entry differs from the present one.
func (h *homecoming) change(r Resource, e HomeEntry) error {
	next := r
	next.Handle, next.MovesTo, next.Source, next.Project, next.Attrs, next.Labels = e.Handle, "", e.Source, e.Project, e.Attrs, e.Labels
	if r.Status == Gone {
		next.Status = Active
	}
	fresh, err := h.fresh(r, e)
	if err != nil {
		return err
	}
	same := len(fresh) == 0 && len(r.Sealed) == len(e.Secrets) && r.Handle == next.Handle && r.MovesTo == "" && r.Source == next.Source && r.Project == next.Project &&
		r.Status == next.Status && maps.Equal(r.Attrs, next.Attrs) && maps.Equal(r.Labels, next.Labels)
	if same {
		return nil
	}
	if err := unproven(r, e, fresh); err != nil {
		return err
	}
	if err := h.v.refuseCrossed(h.tx, r); err != nil {
		return err
	}
	h.rep.Changed++
	if h.dry {
		return nil
	}
	if next.Sealed, err = h.v.seal(r.ID, r.Version+1, fresh); err != nil {
		return err
	}
	for field, s := range r.Sealed {
		if _, again := next.Sealed[field]; !again && wasGiven(e.Secrets, field) {
			next.Sealed[field] = s
		}
	}
	if next.Handle != r.Handle {
		err = errors.Join(h.v.claimHandle(h.tx, next.Handle, r.ID), h.v.handles.Delete(h.tx, r.Handle))
	}
	if err = errors.Join(err, h.project(e.Project), h.v.keep(h.tx, h.actor, r, &next, "")); err != nil {
		return err
	}
	detail := map[string]string{"changed": joinNames(changed(r, next)), "source": e.Source}
	return h.v.audit.Append(h.tx, resourceEvent(h.actor, audit.ResourceEdit, next, detail))
}

// fresh gives the values of an entry that are not those of the resource.
func (h *homecoming) fresh(r Resource, e HomeEntry) (map[string]secret.Secret, error) {
	fresh := map[string]secret.Secret{}
	for field, s := range e.Secrets {
		kept, had := r.Sealed[field]
		if had {
			was, err := h.v.opener.Open(r.FieldRef(field), kept.Value)
			if err != nil {
				return nil, err
			}
			had = was.Equal(s)
			was.Wipe()
		}
		if !had {
			fresh[field] = s
		}
	}
	return fresh, nil
}

// losses lets go what is not in a source any more, unless it is so much that a slip is likelier.
func (h *homecoming) losses(source string) error {
	var absent []Resource
	loss, left := Loss{}, 0
	for _, r := range h.before {
		if r.Source != source || r.Status != Active {
			continue
		}
		loss.Known++
		if !h.there[r.ID] {
			absent = append(absent, r)
		}
	}
	for _, e := range h.set.Entries {
		if e.Source == source {
			left++
		}
	}
	loss.Absent = len(absent)
	if implausible := loss.Absent > 0 && left == 0 || loss.Absent > shrinkEntries && 2*loss.Absent > loss.Known; implausible && !h.set.Believe[source] {
		h.rep.Held[source] = loss
		return nil
	}
	for _, r := range absent {
		h.rep.Gone++
		if h.dry {
			continue
		}
		next := r
		next.Status, next.MovesTo = Gone, ""
		if err := errors.Join(h.v.keep(h.tx, h.actor, r, &next, ""), h.v.endLeasesOf(h.tx, r.ID, "resource_removed")); err != nil {
			return err
		}
		detail := map[string]string{"changed": "status", "source": source, "status": string(Gone)}
		if err := h.v.audit.Append(h.tx, resourceEvent(h.actor, audit.ResourceEdit, next, detail)); err != nil {
			return err
		}
	}
	return nil
}

// project makes the project that a file names: the file is where the operator says what there is.
func (h *homecoming) project(slug string) error {
	err := h.v.projectExists(h.tx, slug)
	if fault.CodeOf(err) != fault.UnknownProject || !slugShape.MatchString(slug) {
		return err
	}
	p := Project{Format: 1, ID: id.New(id.Project), Slug: slug, CreatedAt: h.v.now()}
	return h.v.makeProject(h.tx, h.actor, p)
}
