package run

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// shelf keeps what is held: in memory what is listed, on the disk the layers and, in Options.Shelf, the lists, sealed. Its lock is its own: applying changes takes as
// long as copying files, and no run waits for that.
type shelf struct {
	mu     sync.Mutex
	dir    string           // "": none yet
	held   map[string]*Held // by run
	open   map[string]*Held // of runs under way
	ways   map[way]*Held    // which of them has an agent's folder
	closed bool
	sealed [32]byte // shows whether the vault's key is still the one that lists are sealed with
}

// way is one agent and one folder that it writes beside.
type way struct{ actor, folder string }

// loaded tells whether the shelf of the daemon before was read.
func (s *shelf) loaded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dir != ""
}

// path is where a run's layers are.
func (s *shelf) path(h *Held) string { return filepath.Join(s.dir, h.name) }

// shelfFolder gives the shelf's folder. Without Options.Shelf it goes with the engine. It runs under mu.
func (e *Engine) shelfFolder() error {
	s := &e.shelf
	if s.dir != "" {
		return nil
	}
	dir, err := e.o.Shelf, error(nil)
	if dir == "" {
		dir, err = os.MkdirTemp(e.o.TempDir, "zavhoz-shelf-")
	} else if err = os.Mkdir(dir, 0o700); errors.Is(err, os.ErrExist) {
		err = ownFolder(dir)
	}
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err == nil {
		s.dir = dir
	}
	return err
}

// ownFolder refuses a folder that is a link, or that others may enter: what lies there decides what a person is shown.
func ownFolder(dir string) error {
	st, err := os.Lstat(dir)
	if err == nil && (!st.IsDir() || st.Mode().Perm()&0o077 != 0 || !ours(st)) {
		err = fault.New(fault.KeyFileExposed, "the folder of held changes is no folder of this user's alone", "look at who made it; then: chmod 700 "+filepath.Base(dir))
	}
	return err
}

// shelve puts what is held in its place, written down first.
func (e *Engine) shelve(h *Held) error {
	s := &e.shelf
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := e.seal(h, stateHeld); err != nil {
		return err
	}
	e.keepOn(h)
	return nil
}

// putBack is shelve without writing: nothing was changed.
func (e *Engine) putBack(h *Held) {
	e.shelf.mu.Lock()
	defer e.shelf.mu.Unlock()
	e.keepOn(h)
}

// keepOn runs under mu.
func (e *Engine) keepOn(h *Held) {
	s := &e.shelf
	if s.held == nil {
		s.held = map[string]*Held{}
	}
	s.held[h.RunID] = h
	if s.closed {
		return // it is found again, or goes with the folder
	}
	h.timer = time.AfterFunc(h.Until.Sub(e.o.Clock()), func() {
		s.mu.Lock()
		there := s.held[h.RunID] == h
		if there {
			delete(s.held, h.RunID)
		}
		s.mu.Unlock()
		if there {
			e.expire(h)
		}
	})
}

// expire throws away what nobody decided on for a month. Where that cannot be recorded it stays until the next start.
func (e *Engine) expire(h *Held) {
	if e.noteSettled(context.Background(), vault.Actor{Type: audit.System}, h, audit.Allowed, "expired", "") == nil {
		e.throw(h)
		e.settled(h.RunID)
	}
}

// take takes what is held off the shelf, for one to decide on.
func (e *Engine) take(runID string) *Held {
	e.shelf.mu.Lock()
	defer e.shelf.mu.Unlock()
	return e.shelf.pick(e.shelf.held[runID])
}

// pick runs under mu.
func (s *shelf) pick(h *Held) *Held {
	if h != nil {
		delete(s.held, h.RunID)
		if h.timer != nil {
			h.timer.Stop()
		}
	}
	return h
}

// throw removes what was held, the list first: what is left of it after a kill is of no run.
func (e *Engine) throw(h *Held) {
	dir := e.shelf.path(h)
	_ = os.Remove(filepath.Join(dir, manifestName))
	removeAll(dir)
	if _, err := os.Lstat(dir); err == nil {
		e.o.Log.Error("what was left of a run could not be removed", "run", h.RunID)
	}
}

// clearShelf ends the shelf's work. What does not last is thrown away, for good.
func (e *Engine) clearShelf() {
	e.reseal()
	s := &e.shelf
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, h := range s.held {
		if h.timer != nil {
			h.timer.Stop()
		}
		if e.o.Shelf == "" {
			delete(s.held, h.RunID)
		}
	}
	if e.o.Shelf == "" && s.dir != "" {
		removeAll(s.dir)
		s.dir = ""
	}
}

// reseal writes the lists anew where the vault's key has changed: the former one will open nothing any more.
func (e *Engine) reseal() {
	if e.o.MAC == nil || e.o.Shelf == "" {
		return
	}
	now := e.o.MAC("shelf key")
	s := &e.shelf
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sealed == now {
		return
	}
	for h, state := range s.all() {
		if err := e.seal(h, state); err != nil {
			e.o.Log.Error("the list of held changes could not be written", "run", h.RunID, "cause", fault.Cause(err))
			return
		}
	}
	s.sealed = now
}

// all gives what is held and what runs have, and in which state. It runs under mu.
func (s *shelf) all() map[*Held]string {
	out := map[*Held]string{}
	for _, h := range s.held {
		out[h] = stateHeld
	}
	for _, h := range s.open {
		out[h] = stateOpen
	}
	return out
}
