package run

import (
	"bytes"
	"context"
	"maps"
	"slices"

	"github.com/zavhoz/zavhoz/run/deliver"
	"github.com/zavhoz/zavhoz/run/redact"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// OpenPlan records a person's own run (`zavhoz run HANDLE… --open -- CMD`) and gives what their terminal needs to start it: the values, and what to keep
// out of the output. Only for an operator; presence is the door's business. The caller wipes the plan.
func (e *Engine) OpenPlan(ctx context.Context, actor vault.Actor, refs, command []string) (*deliver.Plan, error) {
	if actor.Type != audit.Operator {
		return nil, fault.New(fault.NotPermitted, "only a person may run a command of their own with true values", "a person types: zavhoz run HANDLE --open -- COMMAND")
	}
	r := Request{Actor: actor, Refs: refs, Command: command}
	if err := r.check(e.o.MaxTimeout); err != nil {
		return nil, err
	}
	uses, err := e.o.Authority.Authorise(ctx, actor, refs)
	if err != nil {
		return nil, err
	}
	p := &plan{uses: uses, delivered: map[string]string{}, isolation: string(policy.LevelOpen)}
	for _, u := range uses {
		p.delivered[u.Resource.Handle] = string(policy.Env)
	}
	d, err := e.personal(actor, uses)
	if err != nil {
		return nil, err
	}
	record, again, err := e.o.Authority.StartRun(ctx, actor, p.record(r, d.hide(command)), uses)
	if err != nil {
		d.plan.Wipe()
		return nil, err
	}
	if slices.EqualFunc(uses, again, func(a, b vault.Use) bool {
		return a.Resource.ID == b.Resource.ID && a.Resource.Version == b.Resource.Version
	}) {
		e.mu.Lock()
		e.open[record.ID] = record
		e.mu.Unlock()
		d.plan.RunID = record.ID
		return d.plan, nil
	}
	d.plan.Wipe()
	record.State, record.EndedAt = vault.RunFailed, e.o.Clock()
	record.Code = string(fault.VersionConflict)
	_ = e.o.Authority.EndRun(ctx, record)
	return nil, fault.New(fault.VersionConflict, "a resource was changed at this moment", "try again")
}

// draft is a personal plan in the making.
type draft struct{ plan *deliver.Plan }

// personal opens what a person's own run gets, as it was when the run was allowed: OpenPlan sees whether that is what the record of the run says too.
func (e *Engine) personal(actor vault.Actor, uses []vault.Use) (d draft, err error) {
	d.plan = &deliver.Plan{}
	defer func() {
		if err != nil {
			d.plan.Wipe()
		}
	}()
	for _, u := range uses {
		var items []deliver.Item
		if u.Resource.Kind == kind.Environment { // its fields are the project's
			var made vault.EnvironmentValues
			if made, err = e.environmentOf(actor, u.Resource); err != nil {
				return d, err
			}
			items, err = e.environmentItems(u.Resource, made, func(name string, value secret.Secret) error {
				d.mask(u.Resource.Handle+"."+name, value)
				return nil
			})
		} else {
			items, err = e.items(u.Resource, false)
		}
		if d.plan.Items = append(d.plan.Items, items...); err != nil {
			return d, err
		}
		for _, field := range slices.Sorted(maps.Keys(u.Resource.Sealed)) {
			s, err := e.field(u.Resource, field)
			if err != nil {
				return d, err
			}
			d.mask(u.Resource.Handle+"."+field, s)
			s.Wipe()
		}
	}
	return d, nil
}

// mask keeps a value out of the output.
func (d draft) mask(label string, s secret.Secret) {
	addWithParts(func(label string, v secret.Secret) {
		d.plan.Redact = append(d.plan.Redact, deliver.Labelled{Label: label, Value: v.Clone()})
	}, label, s)
}

// hide keeps out of the record what a person typed of these very values: building a matcher would cost more than their command.
func (d draft) hide(command []string) []string {
	out := clipCommand(command)
	for i, a := range command[:len(out)] {
		for _, l := range d.plan.Redact {
			if l.Value.Len() >= redact.FloorLen && bytes.Contains([]byte(a), l.Value.Reveal()) {
				out[i] = "[redacted:" + l.Label + "]"
			}
		}
	}
	return out
}

// Ending is how a person's own run ended, as their terminal tells.
type Ending struct {
	RunID      string
	ExitCode   int
	Redactions int
	OutBytes   int64
	Failed     bool // it never started
}

// Report records the end of a run that OpenPlan began.
func (e *Engine) Report(ctx context.Context, actor vault.Actor, end Ending) error {
	if actor.Type != audit.Operator {
		return fault.New(fault.NotPermitted, "only a person reports on their own runs", "")
	}
	e.mu.Lock()
	record, ok := e.open[end.RunID]
	delete(e.open, end.RunID)
	e.mu.Unlock()
	if !ok {
		return fault.New(fault.UnknownRun, "there is no such open run under way", "")
	}
	record.State, record.ExitCode, record.EndedAt = vault.RunExited, end.ExitCode, e.o.Clock()
	record.Redactions, record.OutBytes = max(0, end.Redactions), max(0, end.OutBytes)
	if end.Failed {
		record.State = vault.RunFailed
	}
	return e.reported(ctx, record)
}

// Bounds of a recorded command.
const (
	recordElements = 64
	recordElement  = 200 // bytes
)

// maskCommand gives argv as it may be recorded: redacted, made harmless, then cut.
func (e *Engine) maskCommand(ctx context.Context, command []string) ([]string, error) {
	if e.masks == nil {
		return clipCommand(command), nil
	}
	s, err := e.masks.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer e.masks.release(s)
	out := make([]string, len(command))
	for i, a := range command {
		text, _ := s.m.Mask([]byte(a))
		out[i] = string(text)
	}
	return clipCommand(out), nil
}

func clipCommand(command []string) []string {
	out := make([]string, min(len(command), recordElements))
	for i := range out {
		text := redact.Clean([]byte(command[i]))
		out[i] = string(text[:min(len(text), recordElement)])
	}
	return out
}
