package main

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/zavhoz/zavhoz/mcp"
	"github.com/zavhoz/zavhoz/run"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/errand"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// What the daemons of a vault ask of each other. Names are theirs on the wire: a daemon of another version knows them.
const (
	askRunOutput = "run.output"
	askRunStop   = "run.stop"
	askSync      = "sync.now"
	askMessage   = "mcp.message"
)

// Times of errands.
const (
	lookWait = 5 * time.Second  // for what a run has printed
	stopWait = 30 * time.Second // for a run to end
	syncWait = 5 * time.Minute  // for a cycle
)

// aboutRun is what is asked of a run's daemon.
type aboutRun struct {
	Actor  vault.Actor `json:"actor"` // who asks: the run's daemon checks again
	Run    string      `json:"run"`
	Offset int64       `json:"offset,omitempty"`
}

// elsewhere reaches the runs of the other daemons of the vault.
type elsewhere struct{ d *daemon }

var _ run.Elsewhere = elsewhere{}

// Get asks for output.
func (e elsewhere) Get(ctx context.Context, actor vault.Actor, record vault.Run, offset int64) (r run.Result, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookWait)
	defer cancel()
	return r, e.ask(ctx, askRunOutput, record, aboutRun{actor, record.ID, offset}, &r)
}

// Stop asks for a run's end.
func (e elsewhere) Stop(ctx context.Context, actor vault.Actor, record vault.Run) (r run.Result, err error) {
	ctx, cancel := context.WithTimeout(ctx, stopWait)
	defer cancel()
	return r, e.ask(ctx, askRunStop, record, aboutRun{actor, record.ID, 0}, &r)
}

func (e elsewhere) ask(ctx context.Context, what string, record vault.Run, in aboutRun, out *run.Result) error {
	if err := e.lives(ctx, record.Owner); err != nil {
		return err
	}
	return e.d.desk.Ask(ctx, record.Owner, what, in, out)
}

// lives tells whether a daemon may answer at all: nobody waits for one that is gone.
func (e elsewhere) lives(ctx context.Context, owner string) error {
	all, err := e.d.vault.Replicas(ctx)
	if err != nil {
		return err
	}
	for _, r := range all {
		if r.ID == owner {
			return nil
		}
	}
	return errGone
}

var errGone = fault.New(fault.DaemonUnavailable, "the daemon that has it is gone", "a run of it is marked as lost in a moment: look again then; a session is opened anew")

// others gives the way to the runs of other daemons; nil where there are none.
func (d *daemon) others() run.Elsewhere {
	if !d.shares() {
		return nil
	}
	return elsewhere{d}
}

// openDesk makes the way to the other daemons of the vault.
func (d *daemon) openDesk(opener vault.Opener) {
	if !d.shares() {
		return
	}
	d.desk = errand.New(errand.Options{Store: d.store, Book: d.vault.Book(), Keyring: d.ring, Opener: opener, Self: d.vault.Self().ID, Leads: d.leads.is.Load, Trust: d.vault.Distrusted, Log: d.log})
	about := func(do func(context.Context, aboutRun) (run.Result, error)) errand.Handler {
		return func(ctx context.Context, body json.RawMessage) (any, error) {
			var in aboutRun
			if err := json.Unmarshal(body, &in); err != nil {
				return nil, err
			}
			return do(ctx, in)
		}
	}
	d.desk.Handle(askRunOutput, about(func(ctx context.Context, in aboutRun) (run.Result, error) {
		return d.engine.Get(ctx, in.Actor, in.Run, in.Offset)
	}))
	d.desk.Handle(askRunStop, about(func(ctx context.Context, in aboutRun) (run.Result, error) {
		return d.engine.Stop(ctx, in.Actor, in.Run)
	}))
	d.desk.Handle(askSync, func(ctx context.Context, body json.RawMessage) (any, error) {
		var confirm bool
		if err := json.Unmarshal(body, &confirm); err != nil {
			return nil, err
		}
		return d.sync.Now(ctx, confirm)
	})
	d.desk.Handle(askMessage, func(_ context.Context, body json.RawMessage) (any, error) {
		var m mcp.Handed
		if err := json.Unmarshal(body, &m); err != nil {
			return nil, err
		}
		return nil, d.mcp.Take(m)
	})
	d.sync.ask = func(ctx context.Context, confirm bool) (rep any, err error) {
		if d.leads.is.Load() {
			return nil, nil
		}
		ctx, cancel := context.WithTimeout(ctx, syncWait)
		defer cancel()
		var raw json.RawMessage
		return raw, d.desk.Ask(ctx, errand.Leader, askSync, confirm, &raw)
	}
}

// servers is what the MCP doors of the vault's daemons share.
type servers struct{ d *daemon }

var _ mcp.Replicas = servers{}

// Self is this daemon.
func (s servers) Self() string { return s.d.vault.Self().ID }

// Mark authenticates the id of a session.
func (s servers) Mark(text string) [32]byte { return s.d.ring.MAC("mcp session", []byte(text)) }

// Others gives the daemons that are listed, but for this one.
func (s servers) Others(ctx context.Context) (ids []string, err error) {
	all, err := s.d.vault.Replicas(ctx)
	for _, r := range all {
		if r.ID != s.Self() {
			ids = append(ids, r.ID)
		}
	}
	return ids, err
}

// Hand gives a message to the daemon that it is for.
func (s servers) Hand(ctx context.Context, to string, m mcp.Handed) error {
	all, err := s.Others(ctx)
	switch {
	case err != nil:
		return err
	case !slices.Contains(all, to):
		return errGone.Because(mcp.ErrSilent)
	}
	err = s.d.desk.Ask(ctx, to, askMessage, m, nil)
	if errors.Is(err, errand.ErrSilent) {
		return fault.Of(err).Because(errors.Join(mcp.ErrSilent, err))
	}
	return err
}

// doorsBeside gives the other daemons' MCP doors; nil where there are none.
func (d *daemon) doorsBeside() mcp.Replicas {
	if !d.shares() {
		return nil
	}
	return servers{d}
}
