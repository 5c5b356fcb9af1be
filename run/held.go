package run

import (
	"errors"
	"slices"
	"time"

	"github.com/zavhoz/zavhoz/run/sandbox"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// Held is what a run wrote beside the folders of a person's, until that person keeps it or throws it away. A command that a model chose writes into an
// overlay; whether that becomes part of the real folder is not the model's to say (threat-model.md 7).
type Held struct {
	RunID   string
	Agent   string
	Command []string
	Changes []sandbox.Change
	Until   time.Time // then it is thrown away
	Before  []string  // earlier runs whose changes this one went on from, the first first: they are among Changes
	Lasting bool      // it outlives the daemon

	actor  audit.ActorType
	who    string // the actor's id
	name   string // of its folder on the shelf: the id of the first run
	layers []sandbox.Layer
	bytes  int64
	timer  *time.Timer
	hits   int64 // masked values that diffs showed to nobody who had proven to be present
}

// Bounds of what is held. What is over them refuses new runs beside folders: nothing that a person has not seen is dropped for it.
const (
	holdFor  = 30 * 24 * time.Hour
	maxHeld  = 64       // runs
	maxBytes = 16 << 30 // of all files that are held

	maxListed = 100_000 // changes of one run: what a person cannot be shown whole is not held
)

// told is a copy for a person: without what only the shelf needs.
func (h *Held) told() Held {
	return Held{RunID: h.RunID, Agent: h.Agent, Command: h.Command, Changes: h.Changes, Until: h.Until, Before: h.Before, Lasting: h.Lasting}
}

// hold puts what the run left beside folders on the shelf, and tells of it in its result. nil: there is nothing.
func (e *Engine) hold(l *live, at *place) *Held {
	if at == nil {
		return nil
	}
	defer e.shelf.leave(at)
	h := at.held
	changes, err := e.o.Sandbox.Layers(e.shelf.path(h), h.layers).List(at.known)
	if err == nil && len(changes) > maxListed {
		err = fault.New(fault.TooLarge, "the run changed more files than a person could be shown", "")
	}
	if err != nil { // what is known of earlier runs is held, if there is such
		e.o.Log.Error("what a run wrote could not be listed", "run", h.RunID, "cause", fault.Cause(err))
		_ = e.noteSettled(l.ctx, vault.Actor{Type: audit.System}, h, audit.Failed, "lost", fault.CodeOf(err))
		changes = at.known
	}
	if len(changes) == 0 {
		e.throw(h)
		return nil
	}
	h.take(changes)
	if err := e.shelve(h); err != nil { // it is held, and its layers are found again after a kill
		e.o.Log.Error("the list of held changes could not be written", "run", h.RunID, "cause", fault.Cause(err))
		e.putBack(h)
	}
	told := l.tellable(changes)
	l.mu.Lock()
	l.changes = told
	l.mu.Unlock()
	return h
}

// take sets what is held.
func (h *Held) take(changes []sandbox.Change) {
	h.Changes, h.bytes = changes, 0
	for _, c := range changes {
		h.bytes += c.Bytes
	}
}

// maxTold is of how many changes a run's result tells the names; of the rest it tells that they are there.
const maxTold = 100

// tellable is what may be told of changes to who made them: the names of files are a command's words, and pass what its output passes. A file in a folder can hold
// a secret that the command was never given, and its name be made of it (threat-model.md 76). A person is shown the names as they are.
func (l *live) tellable(changes []sandbox.Change) []sandbox.Change {
	out := make([]sandbox.Change, len(changes))
	for i, c := range changes {
		out[i] = sandbox.Change{Workdir: c.Workdir, Kind: c.Kind, Dir: c.Dir, Bytes: c.Bytes}
		if i < maxTold {
			out[i].Path = l.mask.told(l.ctx, c.Path)
		}
	}
	return out
}

// Holding lists what waits for a person's word, oldest first. Only for an operator.
func (e *Engine) Holding(actor vault.Actor) ([]Held, error) {
	if actor.Type != audit.Operator {
		return nil, noOperator()
	}
	done, err := e.busied()
	if err != nil {
		return nil, err
	}
	defer done()
	e.reseal()
	e.shelf.mu.Lock()
	defer e.shelf.mu.Unlock()
	out := make([]Held, 0, len(e.shelf.held))
	for _, h := range e.shelf.held {
		out = append(out, h.told())
	}
	slices.SortFunc(out, func(a, b Held) int { return a.Until.Compare(b.Until) })
	return out, nil
}

func noOperator() error {
	return fault.New(fault.NotPermitted, "only a person decides what becomes of changes", "ask the operator: `zavhoz runs changes`")
}

// ErrPassedOn says that a later run went on from what a run wrote, which is held as its own.
var ErrPassedOn = errors.New("run: a later run went on from the changes")

// notHeld says that nothing of the run is held, and where it went.
func (e *Engine) notHeld(runID string) error {
	e.shelf.mu.Lock()
	defer e.shelf.mu.Unlock()
	for _, h := range e.shelf.held {
		if slices.Contains(h.Before, runID) {
			return fault.Newf(fault.UnknownRun, "a later run went on from the changes of that run: they are held as changes of %s", h.RunID).WithNext("`zavhoz runs changes %s` shows them", h.RunID).Because(ErrPassedOn)
		}
	}
	for _, h := range e.shelf.open {
		if h.RunID == runID || slices.Contains(h.Before, runID) {
			return fault.Newf(fault.Busy, "the changes of that run are in the hands of %s, which is under way", h.RunID).WithNext("wait for its end, or stop it: `zavhoz runs stop %s`", h.RunID)
		}
	}
	return fault.New(fault.UnknownRun, "no changes of such a run are held", "`zavhoz runs changes` lists them")
}
