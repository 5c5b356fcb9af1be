package main

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/zavhoz/zavhoz/run"
	"github.com/zavhoz/zavhoz/run/sandbox"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web/api"
)

// Held lists what runs wrote beside folders.
func (o openRuns) Held(actor vault.Actor) ([]api.HeldChanges, error) {
	held, err := o.e.Holding(actor)
	out := make([]api.HeldChanges, len(held))
	for i, h := range held {
		out[i] = api.HeldChanges{
			RunID: h.RunID, Agent: h.Agent, Command: h.Command, Until: h.Until.UTC(), Before: append([]string{}, h.Before...), Lasting: h.Lasting, Changes: make([]api.HeldChange, len(h.Changes)),
		}
		for j, c := range h.Changes {
			out[i].Changes[j] = heldChange(c)
		}
	}
	return out, err
}

// Diff shows what one run wrote, line by line.
func (o openRuns) Diff(ctx context.Context, actor vault.Actor, runID string, present bool) (api.ChangesDiff, error) {
	diffs, err := o.e.Diff(ctx, actor, runID, present)
	out := api.ChangesDiff{RunID: runID, Files: make([]api.FileDiff, len(diffs))}
	for i, d := range diffs {
		out.Files[i] = api.FileDiff{HeldChange: heldChange(d.Change), Diff: d.Text, Why: d.Why, Happening: string(d.What)}
	}
	return out, o.where(ctx, actor, runID, err)
}

// Keep makes what a run wrote the person's own.
func (o openRuns) Keep(ctx context.Context, actor vault.Actor, runID string, in api.KeepChanges) error {
	return o.where(ctx, actor, runID, o.e.Settle(ctx, actor, runID, run.Settling{Keep: true, Force: in.Force, Paths: in.Paths}))
}

// Discard throws it away.
func (o openRuns) Discard(ctx context.Context, actor vault.Actor, runID string) error {
	return o.where(ctx, actor, runID, o.e.Settle(ctx, actor, runID, run.Settling{}))
}

// where says of a run whose changes are not held here which daemon's it was: what it wrote lies on that one's machine, in its home, and goes on lying there when the daemon is gone.
func (o openRuns) where(ctx context.Context, actor vault.Actor, runID string, err error) error {
	if fault.CodeOf(err) != fault.UnknownRun || errors.Is(err, run.ErrPassedOn) { // that one is held here
		return err
	}
	self := o.v.Self()
	if self.ID == "" {
		return err
	}
	r, gerr := o.v.GetRun(ctx, actor, runID)
	if gerr != nil || r.Owner == self.ID {
		return err
	}
	all, gerr := o.v.Replicas(ctx)
	if gerr != nil {
		return err
	}
	if f := heldElsewhere(r, self, all); f != nil {
		return f.Because(err)
	}
	return err
}

// heldElsewhere says where what a run of another daemon's wrote lies; nil: nobody knows. Whether it is still held, only that daemon does.
func heldElsewhere(r vault.Run, self vault.Replica, all []vault.Replica) *fault.Error {
	at := slices.IndexFunc(all, func(x vault.Replica) bool { return x.ID == r.Owner })
	switch {
	case at >= 0:
		return fault.New(fault.UnknownRun, "no changes of that run are held here: it is of the daemon on "+all[at].Host+", process "+strconv.Itoa(all[at].PID),
			"on that machine, with that daemon's home: `zavhoz runs changes "+r.ID+"`").With("host", all[at].Host).With("daemon", r.Owner)
	case r.Host == "":
		return nil
	case r.Host != self.Host:
		return fault.New(fault.UnknownRun, "no changes of that run are held here: it was of a daemon on "+r.Host, "what it wrote lies there until it is kept or thrown away; on that machine: `zavhoz runs changes "+r.ID+"`").With("host", r.Host)
	}
	return fault.New(fault.UnknownRun, "no changes of that run are held in this home; an earlier daemon of this machine had it",
		"they were kept or thrown away, or that one had another home: `zavhoz --home FOLDER runs changes "+r.ID+"`").With("host", r.Host)
}

func heldChange(c sandbox.Change) api.HeldChange {
	out := api.HeldChange{
		Path: filepath.Join(c.Workdir, c.Path), Kind: string(c.Kind), Type: typeOf(c.Mode | onlyIf(c.Kind == sandbox.Removed, c.Was)), Bytes: c.Bytes, Mode: modeText(c.Mode, c.Kind != sandbox.Removed),
		WasMode: modeText(c.Was, c.Had()), Target: c.Target, Outside: c.Outside, SHA256: c.Sum, Marks: append([]string{}, marks(c)...),
	}
	if c.Had() && c.Was.IsRegular() {
		out.WasBytes = c.Below.Size
	}
	if !utf8.ValidString(out.Path) {
		out.PathBytes = []byte(out.Path)
	}
	return out
}

func onlyIf(is bool, m fs.FileMode) fs.FileMode {
	if is {
		return m
	}
	return 0
}

func modeText(m fs.FileMode, there bool) string {
	if !there {
		return ""
	}
	return m.String()
}

func typeOf(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "folder"
	case m&fs.ModeSymlink != 0:
		return "link"
	}
	return "file"
}

// marks says what a person should not overlook of a change.
func marks(c sandbox.Change) (out []string) {
	if c.Kind == sandbox.Removed {
		if c.Dir {
			out = append(out, "a folder, with all in it")
		}
		return out
	}
	if c.Target != "" {
		out = append(out, "a link to "+c.Target)
	}
	if c.Outside {
		out = append(out, "THE LINK LEADS OUT OF THE FOLDER")
	}
	was := c.Had()
	if was && c.Was.Type() != c.Mode.Type() {
		out = append(out, "was a "+typeOf(c.Was))
	}
	if c.Mode&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
		out = append(out, "SET-USER-ID OR SET-GROUP-ID, which keeping takes away")
	}
	if c.Mode.IsRegular() && c.Mode.Perm()&0o111 != 0 && !(was && c.Was.IsRegular() && c.Was.Perm()&0o111 != 0) {
		out = append(out, "executable")
	}
	if was && c.Was.Type() == c.Mode.Type() && c.Target == "" && c.Was.Perm() != c.Mode.Perm() {
		out = append(out, "rights "+c.Was.Perm().String()+" → "+c.Mode.Perm().String())
	}
	return out
}
