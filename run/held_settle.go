package run

import (
	"context"
	"path"
	"strconv"
	"strings"

	"github.com/zavhoz/zavhoz/run/sandbox"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// Settling is a person's word on what a run wrote.
type Settling struct {
	Keep  bool     // else it is thrown away
	Force bool     // keep also over what happened in the folder meanwhile
	Paths []string // keep these alone, absolute, with all below them; the rest stays held. none: all
}

// Settle applies what a run wrote to the real folders, or throws it away. Where it cannot be applied whole it is still held. Only for an operator; presence is
// the door's business. Errors: unknown_run, busy, version_conflict (with what happened to which paths; nothing was kept), record_tampered, workdir_refused.
func (e *Engine) Settle(ctx context.Context, actor vault.Actor, runID string, s Settling) error {
	if actor.Type != audit.Operator {
		return noOperator()
	}
	done, err := e.busied()
	if err != nil {
		return err
	}
	defer done()
	h := e.take(runID)
	if h == nil {
		return e.notHeld(runID)
	}
	rest, err := e.settleHeld(ctx, actor, h, s)
	switch {
	case err != nil:
		e.putBack(h)
		return err
	case len(rest) > 0:
		h.take(rest)
		return e.shelve(h)
	}
	e.throw(h)
	e.settled(h.RunID)
	return nil
}

// settleHeld does what was said, and gives what is left.
func (e *Engine) settleHeld(ctx context.Context, actor vault.Actor, h *Held, s Settling) (rest []sandbox.Change, err error) {
	if !s.Keep {
		return nil, e.noteSettled(ctx, actor, h, audit.Allowed, "discard", "") // what cannot be recorded does not happen
	}
	which, rest := h.Changes, []sandbox.Change(nil)
	if len(s.Paths) > 0 {
		if which, rest, err = chosen(h.Changes, s.Paths); err != nil {
			return nil, err
		}
	}
	word := "keep"
	if s.Force {
		word = "keep_forced"
	}
	layers := e.o.Sandbox.Layers(e.shelf.path(h), h.layers)
	if !s.Force {
		at, err := layers.Conflicts(which)
		if err == nil && len(at) > 0 {
			err = conflict(h, at)
		}
		if err != nil {
			_ = e.noteSettled(ctx, actor, h, audit.Denied, word, fault.CodeOf(err))
			return nil, err
		}
	}
	if err := e.noteSettled(ctx, actor, h, audit.Allowed, word, ""); err != nil {
		return nil, err
	}
	at, err := layers.Keep(h.RunID, which, s.Force)
	switch {
	case err == nil && len(at) > 0:
		err = conflict(h, at)
	case err != nil && fault.CodeOf(err) == fault.WorkdirRefused:
		err = fault.New(fault.WorkdirRefused, "the changes could not all be applied; some may have been", "look at `zavhoz runs changes` and at the folder; then keep or discard them").Because(err)
	}
	if err != nil {
		_ = e.noteSettled(ctx, actor, h, audit.Failed, word, fault.CodeOf(err)) // some of it may have been applied
	}
	return rest, err
}

// maxConflicts is how many paths a refusal names.
const maxConflicts = 100

// conflict says what happened to which paths.
func conflict(h *Held, at []sandbox.Conflict) error {
	list := make([]map[string]string, 0, min(len(at), maxConflicts))
	for _, c := range at[:min(len(at), maxConflicts)] {
		list = append(list, map[string]string{"path": strings.ToValidUTF8(path.Join(c.Workdir, c.Path), "\uFFFD"), "what": string(c.What)})
	}
	return fault.Newf(fault.VersionConflict, "%d of %d paths changed in the folder itself since the run saw them; nothing was kept", len(at), len(h.Changes)).
		WithNext("look: zavhoz runs changes %s --diff; keep them over that: zavhoz runs keep %s --force; or leave those out by naming others", h.RunID, h.RunID).
		With("conflicts", list).With("conflict_count", len(at))
}

// chosen splits changes by paths that a person named. A folder that a chosen one is in, and that is new, goes with it.
func chosen(changes []sandbox.Change, paths []string) (which, rest []sandbox.Change, err error) {
	want := map[string]bool{}
	for _, p := range paths {
		found := false
		for _, c := range changes {
			full := path.Join(c.Workdir, c.Path)
			if full == p || strings.HasPrefix(full, path.Clean(p)+"/") {
				found, want[full] = true, true
				for up := path.Dir(full); len(up) > len(c.Workdir); up = path.Dir(up) {
					want[up] = true
				}
			}
		}
		if !found {
			return nil, nil, fault.New(fault.InvalidArgument, "the run changed nothing at "+strconv.Quote(p), "zavhoz runs changes shows the paths; give them as they are there")
		}
	}
	for _, c := range changes {
		if want[path.Join(c.Workdir, c.Path)] {
			which = append(which, c)
		} else {
			rest = append(rest, c)
		}
	}
	return which, rest, nil
}

// noteSettled records what became of changes.
func (e *Engine) noteSettled(ctx context.Context, actor vault.Actor, h *Held, out audit.Outcome, word string, code fault.Code) error {
	return e.noteShelf(ctx, actor, h.RunID, out, code, map[string]string{"changes": word, "count": strconv.Itoa(len(h.Changes))})
}

func (e *Engine) noteShelf(ctx context.Context, actor vault.Actor, runID string, out audit.Outcome, code fault.Code, detail map[string]string) error {
	if e.o.Note == nil {
		return nil
	}
	return e.o.Note(context.WithoutCancel(ctx), audit.Event{Actor: actor, Action: audit.RunSettle, Outcome: out, Subject: runID, Code: string(code), Detail: detail})
}

// settled takes what a run's result tells of changes that are held no more.
func (e *Engine) settled(runID string) {
	if l := e.find(runID); l != nil {
		l.mu.Lock()
		l.changes = nil
		l.mu.Unlock()
	}
}
