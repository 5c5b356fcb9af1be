package sopshome

import (
	"context"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
)

// AcceptLoss takes the operator's word that what a file lost is meant to be gone: absent resources of it, as they saw, and no others. They are Gone at once, their
// leases end. Errors: invalid_argument where there is no such file, or nothing of it is held back; version_conflict where the loss is another by now; those of the file.
func (h *Home) AcceptLoss(ctx context.Context, actor vault.Actor, file string, absent int) (State, error) {
	path := h.pathOf(sourceMark + file)
	if path == "" {
		return State{}, noFile()
	}
	h.mu.Lock()
	defer h.end()
	h.step(ctx)
	s := h.state(path)
	switch {
	case s.Err != nil && s.Err.Code != fault.SyncShrunk:
		return s, s.Err
	case h.src == nil, h.dirty:
		return s, notYet(s.Name)
	case s.Lost.Absent == 0:
		return s, fault.New(fault.InvalidArgument, "nothing that "+home.Quote(s.Name)+" lost is held back", "`zavhoz status` shows how the files stand")
	case s.Lost.Absent != absent:
		return s, fault.Newf(fault.VersionConflict, "%s lost %d resources by now, and not %d; nothing was changed", home.Quote(s.Name), s.Lost.Absent, absent).
			WithNext("look at it again: `zavhoz status`")
	}
	e := audit.Event{Actor: actor, Action: audit.FileAccept, Outcome: audit.Allowed, Handle: s.Name, Detail: map[string]string{"absent": itoa(absent), "known": itoa(s.Lost.Known)}}
	if err := h.Vault.Record(ctx, e); err != nil {
		return s, err
	}
	h.take(ctx, h.o.Now(), actor, source(path))
	s = h.state(path)
	if s.Err != nil {
		return s, s.Err
	}
	return s, ctx.Err()
}

// state tells how one file stands.
func (h *Home) state(path string) State {
	for _, s := range h.States() {
		if s.Path == path {
			return s
		}
	}
	return State{}
}

func noFile() error {
	return fault.New(fault.InvalidArgument, "there is no such file of secrets", "vault.files in config.yaml names them")
}

func notYet(file string) error {
	return fault.New(fault.Busy, "the file "+home.Quote(file)+" is not in force yet", "try again; `zavhoz status` says more")
}
