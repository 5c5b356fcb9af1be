package vault

import (
	"context"
	"errors"
	"slices"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// Labels of a captured resource.
const (
	CapturedBy   = "captured_by"   // the agent's name
	CapturedFrom = "captured_from" // handle of the resource whose reply it was
)

// MaxCaptured is how many captured resources an agent may have at once: each is masked in everybody's output.
const MaxCaptured = 64

// MayKeep tells whether Keep would take a resource of that handle from the agent now.
func (v *Vault) MayKeep(ctx context.Context, actor Actor, handle string) error {
	err := v.view(ctx, func(tx store.Tx) error {
		if err := v.mayCapture(tx, actor); err != nil {
			return err
		}
		_, err := v.handles.Get(tx, handle)
		if err == nil {
			return handleTaken(handle)
		}
		return ignoreNotFound(err)
	})
	return v.denyIf(ctx, actor, handle, err)
}

// Keep stores what an agent's run captured, as a resource that this agent alone may use. It holds the last word on how far that goes: a capture brings no
// pins, no delivery of the value itself, and no agent but the one who acts, and its rules are those that what it comes from has now.
// Errors: as AddResource, and not_permitted, resource_exhausted, version_conflict.
func (v *Vault) Keep(ctx context.Context, actor Actor, n NewResource) (Resource, error) {
	p := n.Policy
	handsOver := func(d policy.Delivery) bool { return !d.StandIn() }
	if !slices.Equal(p.Agents, []string{actor.Name}) || len(p.Pins) > 0 || slices.ContainsFunc(p.Deliveries, handsOver) || n.Labels[CapturedBy] != actor.Name {
		wipeAll(n.Secrets)
		return Resource{}, v.denyIf(ctx, actor, n.Handle, fault.New(fault.NotPermitted, "a captured resource is for the agent that captured it, and hands over nothing", ""))
	}
	r, err := v.add(ctx, actor, n, func(tx store.Tx) error { return errors.Join(v.mayCapture(tx, actor), v.unchanged(tx, n.From)) }, map[string]string{"captured": "yes"})
	return r, v.denyIf(ctx, actor, n.Handle, err)
}

// unchanged refuses a capture whose rules were read from a resource that somebody has narrowed, disabled or removed since.
func (v *Vault) unchanged(tx store.Tx, from map[string]uint64) error {
	for id, version := range from {
		r, err := v.resources.Get(tx, id)
		if err = ignoreNotFound(err); err != nil {
			return err
		}
		if r.Version != version {
			return fault.New(fault.VersionConflict, "the resource that the capture comes from was changed meanwhile", "try again")
		}
	}
	return nil
}

// mayCapture refuses who is no agent any more, and who has captured enough.
func (v *Vault) mayCapture(tx store.Tx, actor Actor) error {
	if _, err := v.agentOf(tx, actor); err != nil {
		return err
	}
	n := 0
	err := v.resources.Scan(tx, "", "", func(_ string, r Resource) (bool, error) {
		if r.Labels[CapturedBy] == actor.Name {
			n++
		}
		return n < MaxCaptured, nil
	})
	if err == nil && n >= MaxCaptured {
		err = fault.Newf(fault.ResourceExhausted, "you have captured %d resources, which is the limit", n).WithNext("ask the operator to remove some: zavhoz resource rm HANDLE")
	}
	return err
}

// denyIf records a refusal of a capture; no error stays none.
func (v *Vault) denyIf(ctx context.Context, actor Actor, handle string, err error) error {
	if err == nil || !errors.As(err, new(*fault.Error)) {
		return err
	}
	if CheckHandle(handle) != nil {
		handle = ""
	}
	return v.deny(ctx, actor, audit.ResourceAdd, "", handle, err)
}
