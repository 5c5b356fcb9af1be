// Package sopshome makes SOPS files the home of resources: what the files hold is what the vault has, and a change of either reaches the other.
//
// Promise: the vault stays the one path for leases, policy, records and masking; this package only keeps it in step. A changed file is taken into force whole, in
// one transaction with its records, within a second. One that is broken, forged, emptied or out of reach changes nothing: what was taken last stays in force,
// and which file, why and since when shows in States. An act of a person on a resource of a file is written to the file first, and nowhere if that fails; what
// a stop in between leaves, the next reading mends: the file wins, where it is encrypted. Policy and status are the vault's own, and no file touches them. What
// another program wrote over without having seen it (sops takes no lock) is written again.
//
// Attacks stopped: a write on top of a file that somebody else changed meanwhile (66); a file emptied by a slip or by malice, that would end every lease
// (94); a value that somebody without the key redirects in the clear part of a file, which SOPS authenticates loosely: such a change is held (94); a resource of
// the vault's own replaced by a file's; values in memory while the vault is locked: Forget wipes them.
//
// What it does not do: who may write a file and holds a recipient's data key decides what its resources are, labels and projects included, by which agents are
// granted. An entry that is renamed in the file by hand is a new resource, without the policy of the old one.
package sopshome

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/sops"
)

const (
	believeAfter = 10 * time.Minute // a great loss that stays is believed
	retryAfter   = 5 * time.Second  // the vault would not take a set: its disk may be full
	looks        = 3                // at the files before the vault takes them: they may change while they are opened
	pendingFor   = 24 * time.Hour   // how far back a write that was cut off is looked for
	sourceMark   = "sops:"
)

// Options are what New takes.
type Options struct {
	Vault *vault.Vault
	Files []sops.FileSpec // none: there is no home but the vault. Their base names differ: by them people name a file.
	AddTo string          // base name of the file that new resources go to; "": the vault alone
	Codec *sops.Codec
	// Identities gives what may unwrap data keys.
	Identities func(context.Context) ([]age.Identity, error)
	Opener     vault.Opener
	Locked     func() bool // whether the vault is; nil: it never is
	Log        *slog.Logger
	Poll       time.Duration    // how often files are looked at, notices of the system aside; 0 for as often as is needed (sops.Watch)
	Now        func() time.Time // nil for time.Now
	// At is called at each point of a write: those of sops.SourceOptions, and intent, outcome and vault once the record, its outcome and the vault's own part
	// are durable. Its error stops the file's write there. For tests; may be nil.
	At func(point string) error
}

// Home is a vault some of whose resources live in files. It is the vault itself for all that it does not say otherwise.
type Home struct {
	*vault.Vault
	o Options

	mu    sync.Mutex // held while files and vault are brought in step, and while a person's act is written
	src   *sops.Source
	dirty bool      // the set in force is not the vault's yet
	retry time.Time // not before
	ended bool      // what became of writes that a stop cut off is on record

	held   map[string]time.Time // by source: since when a loss is not believed
	unsure map[string]bool      // by handle: the file says of it what the vault has not taken

	wake    chan struct{}
	telling sync.Mutex
	states  []State
	told    map[string]told // by name: what is on record
}

// told is what the record says of a file.
type told struct {
	code     fault.Code
	loadedAt time.Time
	problems int
}

// New makes a Home. Nothing is read before Run or Settle.
func New(o Options) *Home {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Locked == nil {
		o.Locked = func() bool { return false }
	}
	if o.At == nil {
		o.At = func(string) error { return nil }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	h := &Home{Vault: o.Vault, o: o, wake: make(chan struct{}, 1), held: map[string]time.Time{}, told: map[string]told{}}
	for _, f := range o.Files {
		h.states = append(h.states, State{Name: filepath.Base(f.Path), Path: f.Path})
	}
	return h
}

// Name is what a file of that path is called.
func name(path string) string { return filepath.Base(path) }

func source(path string) string { return sourceMark + name(path) }

// pathOf gives the path of the configured file that a resource lives in; "" where it lives in the vault alone, or in a file that is not configured any more.
func (h *Home) pathOf(source string) string {
	base, ok := strings.CutPrefix(source, sourceMark)
	i := slices.IndexFunc(h.o.Files, func(f sops.FileSpec) bool { return name(f.Path) == base })
	if !ok || i < 0 {
		return ""
	}
	return h.o.Files[i].Path
}

// Run keeps files and vault in step until ctx ends. Its caller waits for it.
func (h *Home) Run(ctx context.Context) {
	if len(h.o.Files) == 0 {
		<-ctx.Done()
		return
	}
	defer h.Forget()
	paths := make([]string, 0, len(h.o.Files))
	for _, f := range h.o.Files {
		paths = append(paths, f.Path)
	}
	sops.Watch(ctx, paths, h.o.Poll, h.wake, func() { h.Settle(ctx) })
}

// Wake looks at the files soon: the vault was unlocked.
func (h *Home) Wake() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// Settle looks at the files once, and takes into force what changed.
func (h *Home) Settle(ctx context.Context) {
	if len(h.o.Files) == 0 {
		return
	}
	h.mu.Lock()
	defer h.end()
	h.step(ctx)
}

// end lets go of mu. What was opened goes with a vault that was locked meanwhile.
func (h *Home) end() {
	if h.o.Locked() {
		h.drop()
	}
	h.mu.Unlock()
}

// Forget wipes what was opened. Whoever is at work does so at their end: the vault is locked by then.
func (h *Home) Forget() {
	if h.mu.TryLock() {
		h.drop()
		h.mu.Unlock()
	}
}

func (h *Home) drop() {
	if h.src != nil {
		h.src.Close()
		h.src = nil
	}
	h.told = map[string]told{}
	h.telling.Lock()
	defer h.telling.Unlock()
	for i := range h.states {
		h.states[i].LoadedAt, h.states[i].Entries, h.states[i].Problems = time.Time{}, 0, nil
		h.states[i].Err, h.states[i].Since = vaultLocked(), h.o.Now()
	}
}

func vaultLocked() *fault.Error {
	return fault.New(fault.VaultLocked, "the vault is locked: the file is not read", "a person unlocks it: `zavhoz unlock`")
}

// step brings the vault in step with the files. mu is held.
func (h *Home) step(ctx context.Context) {
	if h.o.Locked() || !h.refresh(ctx) {
		return
	}
	h.conclude(ctx)
	now := h.o.Now()
	if due := h.due(now); (h.dirty || due) && !now.Before(h.retry) {
		h.take(ctx, now, vault.SystemActor("sops"), "")
	}
}

// refresh reads what changed, and does again what of our writes another program undid. It gives false where nothing could be read: the stop of the daemon is no error.
func (h *Home) refresh(ctx context.Context) bool {
	if h.src == nil {
		src, err := sops.NewSource(ctx, sops.SourceOptions{Files: h.o.Files, Codec: h.o.Codec, Identities: h.o.Identities, Now: h.o.Now, At: h.o.At})
		if err != nil {
			if src != nil {
				src.Close()
			}
			if ctx.Err() == nil {
				h.o.Log.Error("files of secrets", "cause", fault.Cause(err))
			}
			return false
		}
		h.src, h.dirty = src, true
	}
	for range looks {
		if !h.src.Refresh(ctx) {
			break
		}
		h.dirty = true
		h.redo(ctx)
	}
	return ctx.Err() == nil
}

// due tells whether a loss has stayed for long enough.
func (h *Home) due(now time.Time) bool {
	for _, since := range h.held {
		if now.Sub(since) >= believeAfter {
			return true
		}
	}
	return false
}

// take gives the vault the set in force. Of the file that lost names, the loss is believed.
func (h *Home) take(ctx context.Context, now time.Time, actor vault.Actor, lost string) {
	var rep vault.HomeReport
	var refused []refusal
	err := h.src.View(func(set sops.Set) (err error) {
		in, bad, wipe := h.homeSet(set, now)
		defer wipe()
		refused = bad
		if lost != "" {
			in.Believe[lost] = true
		}
		rep, err = h.Vault.TakeHome(ctx, actor, in)
		return err
	})
	if h.o.Locked() || ctx.Err() != nil {
		return
	}
	if h.dirty = err != nil; err != nil {
		h.retry = now.Add(retryAfter)
		h.o.Log.Error("files of secrets could not be taken into force", "code", string(fault.CodeOf(err)), "cause", fault.Cause(err))
	}
	h.unsure = map[string]bool{}
	for handle := range rep.Refused {
		h.unsure[handle] = true
	}
	held := map[string]time.Time{}
	for s := range rep.Held {
		held[s] = now
		if since, was := h.held[s]; was {
			held[s] = since
		}
	}
	h.held = held
	h.tell(ctx, rep, refused, err, now)
}

// record puts on record what became of a file, once for each news.
func (h *Home) record(ctx context.Context, s State) {
	code := fault.Code("")
	if s.Err != nil {
		code = s.Err.Code
	}
	now := told{code, s.LoadedAt, len(s.Problems)}
	if was, before := h.told[s.Name]; before && was == now {
		return
	}
	h.told[s.Name] = now
	e := audit.Event{Actor: vault.SystemActor("sops"), Action: audit.FileRead, Outcome: audit.Allowed, Handle: s.Name, Detail: map[string]string{"entries": itoa(s.Entries)}}
	if s.Err != nil {
		e.Outcome, e.Code = audit.Failed, string(code)
		h.o.Log.Error("a file of secrets is not in force; what was read before stays", "file", s.Name, "code", e.Code, "cause", fault.Cause(s.Err))
	} else if len(s.Problems) > 0 {
		e.Detail["problems"] = itoa(len(s.Problems))
	}
	if err := h.Vault.Record(ctx, e); err != nil {
		delete(h.told, s.Name)
		if ctx.Err() != nil {
			return // the next start tells it
		}
		h.o.Log.Error("what became of a file of secrets could not be recorded", "file", s.Name, "cause", fault.Cause(err))
	}
}
