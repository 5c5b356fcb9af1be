package run

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/zavhoz/zavhoz/run/sandbox"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// place is where a run under way writes beside folders.
type place struct {
	held  *Held
	known []sandbox.Change // what earlier runs had changed, of which it goes on
	ways  []way
	dir   string
}

// place makes room for what a run writes beside folders: where an earlier run of the same agent beside the same folders has ended, and nobody has decided on what it
// wrote, in that very place. nil: the run writes beside none.
func (e *Engine) place(ctx context.Context, l *live, p *plan) (*place, error) {
	if !p.overlays() {
		return nil, nil
	}
	record := l.recorded()
	at := &place{ways: p.ways(record.Actor)}
	s := &e.shelf
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := e.shelfFolder(); err != nil {
		return nil, fault.New(fault.Internal, "the folder of held changes cannot be used", "zavhoz doctor checks the installation").Because(err)
	}
	before, apart := e.onward(at, p)
	if before == nil {
		if err := s.room(); err != nil {
			return nil, err
		}
	}
	at.held = &Held{
		RunID: record.ID, Agent: record.Actor.Name, Command: record.Command, Until: e.o.Clock().Add(holdFor), Lasting: e.o.Shelf != "",
		actor: record.Actor.Type, who: record.Actor.ID, name: record.ID,
	}
	if before != nil {
		if err := e.goOn(ctx, at, before, record.Actor); err != nil {
			return nil, err
		}
	} else if err := os.Mkdir(s.path(at.held), 0o700); err != nil {
		return nil, fault.New(fault.Internal, "a place for what the run writes cannot be made", "zavhoz doctor checks the installation").Because(err)
	}
	if err := e.seal(at.held, stateOpen); err != nil {
		if before != nil {
			e.keepOn(before)
		}
		return nil, fault.New(fault.Internal, "a place for what the run writes cannot be made", "zavhoz doctor checks the installation").Because(err)
	}
	at.dir = s.path(at.held)
	s.enter(at)
	l.mu.Lock()
	if l.apart = apart; before != nil {
		l.from = before.RunID
	}
	l.mu.Unlock()
	if before != nil {
		e.wentOn(before.RunID, record.ID)
	}
	return at, nil
}

// ways are the agent's folders that the run writes beside.
func (p *plan) ways(a vault.Actor) (out []way) {
	for _, w := range p.workdirs {
		if w.Mode == sandbox.Overlay {
			out = append(out, way{string(a.Type) + " " + a.ID, w.Path})
		}
	}
	return out
}

// onward finds the newest held changes that the run may go on from, or the run under way that has one of the folders. It runs under mu.
func (e *Engine) onward(at *place, p *plan) (before *Held, apart string) {
	s := &e.shelf
	for _, w := range at.ways {
		if h := s.ways[w]; h != nil {
			return nil, h.RunID
		}
	}
	for _, h := range s.held {
		if before != nil && h.Until.Before(before.Until) {
			continue
		}
		fits := !slices.ContainsFunc(h.layers, func(l sandbox.Layer) bool {
			return !slices.Contains(at.ways, way{string(h.actor) + " " + h.who, l.Workdir}) || !e.o.Sandbox.Same(l)
		})
		if fits {
			before = h
		}
	}
	return before, ""
}

// goOn hands what is held over. It runs under mu.
func (e *Engine) goOn(ctx context.Context, at *place, before *Held, actor vault.Actor) error {
	if err := e.noteShelf(ctx, actor, before.RunID, audit.Allowed, "", map[string]string{"changes": "went_on", "in": at.held.RunID}); err != nil {
		return err
	}
	e.shelf.pick(before)
	h := at.held
	h.name, h.layers, h.Before = before.name, before.layers, append(slices.Clone(before.Before), before.RunID)
	h.take(before.Changes)
	at.known = before.Changes
	return nil
}

// room refuses where too much waits for a person. It runs under mu.
func (s *shelf) room() error {
	var bytes int64
	for h := range s.all() {
		bytes += h.bytes
	}
	if len(s.held)+len(s.open) < maxHeld && bytes < maxBytes {
		return nil
	}
	return fault.Newf(fault.WorkdirRefused, "changes of %d runs wait for the operator, which is as much as is held: no further run writes beside a folder", len(s.held)).
		WithNext("ask the operator to keep or discard some (zavhoz runs changes), or leave cwd out: the run has a private folder")
}

// enter and leave say which runs have which folders. enter runs under mu.
func (s *shelf) enter(at *place) {
	if s.open == nil {
		s.open, s.ways = map[string]*Held{}, map[way]*Held{}
	}
	s.open[at.held.RunID] = at.held
	for _, w := range at.ways {
		if s.ways[w] == nil {
			s.ways[w] = at.held
		}
	}
}

func (s *shelf) leave(at *place) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, at.held.RunID)
	for _, w := range at.ways {
		if s.ways[w] == at.held {
			delete(s.ways, w)
		}
	}
}

// wentOn takes the changes out of what the earlier run's result tells: the later one tells of them.
func (e *Engine) wentOn(before, in string) {
	if l := e.find(before); l != nil {
		l.mu.Lock()
		l.changes, l.in = nil, in
		l.mu.Unlock()
	}
}

// box says what the run's box is to be.
func (at *place) box(id, level string) sandbox.BoxOptions {
	o := sandbox.BoxOptions{RunID: id, Level: policy.Level(level)}
	if at != nil {
		o.Layers, o.Had = at.dir, at.held.layers
	}
	return o
}

// saw takes note of the layers that the run has, before anything is written in them: a kill must not lose where they are.
func (at *place) saw(e *Engine, box *sandbox.Box) {
	if at == nil {
		return
	}
	refs := box.Layers().Refs()
	for _, had := range at.held.layers {
		if !slices.ContainsFunc(refs, func(l sandbox.Layer) bool { return l.Name == had.Name }) {
			refs = append(refs, had)
		}
	}
	e.shelf.mu.Lock()
	defer e.shelf.mu.Unlock()
	at.held.layers = refs
	if err := e.seal(at.held, stateOpen); err != nil {
		e.o.Log.Error("where a run writes could not be written down", "run", at.held.RunID, "cause", fault.Cause(err))
	}
}

// loadShelf finds again what was held when the daemon before this one ended. Of a run that was cut off by a kill what it wrote until then is listed now.
func (e *Engine) loadShelf() {
	s := &e.shelf
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.o.Shelf == "" || e.o.MAC == nil || e.o.Sandbox == nil {
		return
	}
	if err := e.shelfFolder(); err != nil {
		e.o.Log.Error("the folder of held changes cannot be used", "cause", fault.Cause(err))
		return
	}
	s.sealed = e.o.MAC("shelf key")
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return
	}
	defer root.Close()
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return
	}
	for _, d := range entries {
		h, state, err := e.readManifest(root, d.Name())
		switch {
		case errors.Is(err, fs.ErrNotExist): // killed before anything was in it, or while it was thrown away
			removeAll(filepath.Join(s.dir, d.Name()))
		case err != nil:
			e.o.Log.Error("held changes are not those that were written down, and are left alone", "name", filepath.Join(s.dir, d.Name()), "cause", fault.Cause(err))
		case state == stateOpen:
			e.recover(h)
		default:
			e.keepOn(h)
		}
	}
}

// recover lists what a run wrote that a kill cut off. It runs under mu.
func (e *Engine) recover(h *Held) {
	changes, err := e.o.Sandbox.Layers(e.shelf.path(h), h.layers).List(h.Changes)
	if err == nil && len(changes) == 0 {
		e.throw(h)
		return
	}
	if err == nil {
		h.take(changes)
		err = e.seal(h, stateHeld)
	}
	if err != nil {
		e.o.Log.Error("what a run wrote before it was cut off cannot be listed, and is left alone", "run", h.RunID, "cause", cmp.Or(fault.Cause(err), "?"))
		return
	}
	e.keepOn(h)
}
