package run

import (
	"context"
	"slices"
	"strconv"
	"sync"
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

	box   *sandbox.Box
	timer *time.Timer
}

// Bounds of what is held.
const (
	holdFor = 24 * time.Hour
	maxHeld = 16 // runs; the oldest goes first

	maxListed = 100_000 // changes of one run: what a person cannot be shown whole is not held
)

// shelf keeps what is held. Its lock is its own: applying changes takes as long as copying files, and no run waits for that.
type shelf struct {
	mu     sync.Mutex
	held   map[string]*Held
	closed bool
	gone   sync.WaitGroup // boxes that are being removed
}

// hold takes the box over if the run left changes in it, and tells of them in its result. It says whether it did.
func (e *Engine) hold(l *live, p *plan, box *sandbox.Box) bool {
	if !p.overlays() {
		return false
	}
	changes, err := box.Changes()
	if err != nil {
		e.o.Log.Error("what a run wrote could not be listed, and is thrown away", "run", l.record.ID, "cause", fault.Cause(err))
		return false
	}
	if len(changes) == 0 {
		return false
	}
	if len(changes) > maxListed {
		e.o.Log.Error("a run wrote too many files beside a folder, and they are thrown away", "run", l.record.ID, "changes", len(changes))
		return false
	}
	record, told := l.recorded(), l.tellable(changes)
	h := &Held{RunID: record.ID, Agent: record.Actor.Name, Command: record.Command, Changes: changes, Until: e.o.Clock().Add(holdFor), box: box}
	if !e.shelve(h) {
		return false
	}
	l.mu.Lock()
	l.changes = told
	l.mu.Unlock()
	return true
}

func (e *Engine) shelve(h *Held) bool {
	s := &e.shelf
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		s.gone.Go(func() { e.throw(h) })
		return true
	}
	if s.held == nil {
		s.held = map[string]*Held{}
	}
	if len(s.held) >= maxHeld {
		e.discard(s.oldest())
	}
	s.held[h.RunID] = h
	h.timer = time.AfterFunc(holdFor, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.held[h.RunID] == h {
			e.discard(h)
		}
	})
	return true
}

// clearShelf throws everything away, for good.
func (e *Engine) clearShelf() {
	s := &e.shelf
	s.mu.Lock()
	s.closed = true
	for _, h := range s.held {
		e.discard(h)
	}
	s.mu.Unlock()
	s.gone.Wait()
}

// maxTold is of how many changes a run's result tells the names; of the rest it tells that they are there.
const maxTold = 100

// tellable is what may be told of changes to who made them: the names of files are a command's words, and pass what its output passes. A file in a folder can hold
// a secret that the command was never given, and its name be made of it (threat-model.md 76). A person is shown the names as they are.
func (l *live) tellable(changes []sandbox.Change) []sandbox.Change {
	out := slices.Clone(changes)
	for i := range out {
		if i < maxTold {
			out[i].Path = l.mask.told(l.ctx, out[i].Path)
		} else {
			out[i].Path = ""
		}
	}
	return out
}

// oldest runs under mu.
func (s *shelf) oldest() (first *Held) {
	for _, h := range s.held {
		if first == nil || h.Until.Before(first.Until) {
			first = h
		}
	}
	return first
}

// discard runs under the shelf's mu; the folders are removed behind it.
func (e *Engine) discard(h *Held) {
	delete(e.shelf.held, h.RunID)
	h.timer.Stop()
	e.shelf.gone.Go(func() { e.throw(h) })
}

// throw removes what was held.
func (e *Engine) throw(h *Held) {
	if err := h.box.Close(); err != nil {
		e.o.Log.Error("what was left of a run could not be removed", "run", h.RunID, "cause", fault.Cause(err))
	}
}

// Holding lists what waits for a person's word, oldest first. Only for an operator.
func (e *Engine) Holding(actor vault.Actor) ([]Held, error) {
	if actor.Type != audit.Operator {
		return nil, noOperator()
	}
	e.shelf.mu.Lock()
	defer e.shelf.mu.Unlock()
	out := make([]Held, 0, len(e.shelf.held))
	for _, h := range e.shelf.held {
		out = append(out, Held{RunID: h.RunID, Agent: h.Agent, Command: h.Command, Changes: h.Changes, Until: h.Until})
	}
	slices.SortFunc(out, func(a, b Held) int { return a.Until.Compare(b.Until) })
	return out, nil
}

// Settle applies what a run wrote to the real folders, or throws it away. Where it cannot be applied whole it is still held. Only for an operator; presence is
// the door's business. Errors: unknown_run.
func (e *Engine) Settle(ctx context.Context, actor vault.Actor, runID string, keep bool) error {
	if actor.Type != audit.Operator {
		return noOperator()
	}
	word := "discard"
	if keep {
		word = "keep"
	}
	h := e.take(runID)
	if h == nil {
		return fault.New(fault.UnknownRun, "no changes of such a run are held", "`zavhoz runs changes` lists them")
	}
	tell := func(out audit.Outcome, code string) error {
		if e.o.Note == nil {
			return nil
		}
		return e.o.Note(ctx, audit.Event{Actor: actor, Action: audit.RunSettle, Outcome: out, Subject: runID, Code: code, Detail: map[string]string{"changes": word, "count": strconv.Itoa(len(h.Changes))}})
	}
	if err := tell(audit.Allowed, ""); err != nil { // what cannot be recorded does not happen
		e.shelve(h)
		return err
	}
	if keep {
		if err := h.box.Keep(); err != nil {
			_ = tell(audit.Failed, string(fault.WorkdirRefused)) // some of it may have been applied
			e.shelve(h)
			return fault.New(fault.WorkdirRefused, "the changes could not all be applied; some may have been", "look at `zavhoz runs changes` and at the folder; then keep or discard them").Because(err)
		}
	}
	e.throw(h)
	return nil
}

// take takes what is held off the shelf, for one to decide on.
func (e *Engine) take(runID string) *Held {
	e.shelf.mu.Lock()
	defer e.shelf.mu.Unlock()
	h := e.shelf.held[runID]
	if h != nil {
		delete(e.shelf.held, runID)
		h.timer.Stop()
	}
	return h
}

func noOperator() error {
	return fault.New(fault.NotPermitted, "only a person decides what becomes of changes", "ask the operator: `zavhoz runs changes`")
}
