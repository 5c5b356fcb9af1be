package main

import (
	"cmp"
	"context"
	"math"
	"time"

	rotating "github.com/zavhoz/zavhoz/run/rotate"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web/api"
)

// rotations give the API the exchange of credentials.
type rotations struct{ r *rotating.Rotator }

// Status tells where a rotation is.
func (d rotations) Status(ctx context.Context, ref string) (api.ResourceRotation, error) {
	s, err := d.r.Status(ctx, ref)
	return rotated(s), err
}

// Plan tells what would be done.
func (d rotations) Plan(ctx context.Context, ref string, in api.RotateResource, compare bool) (api.RotationPlan, error) {
	q, err := rotateRequest(in)
	if err != nil {
		return api.RotationPlan{}, err
	}
	p, err := d.r.Plan(ctx, ref, q, compare)
	return api.RotationPlan{Handle: ref, Method: p.Method, Summary: p.Summary, Guided: p.Guided, Fields: p.Fields, Steps: p.Steps, OverlapS: int64(p.Overlap / time.Second),
		Purge: p.Purge, Compared: p.Compared, Shared: p.Shared}, err
}

// Start begins one.
func (d rotations) Start(ctx context.Context, actor vault.Actor, ref string, in api.RotateResource) (api.ResourceRotation, error) {
	q, err := rotateRequest(in)
	if err != nil {
		return api.ResourceRotation{}, err
	}
	s, err := d.r.Start(ctx, actor, ref, q)
	return rotated(s), err
}

// Resume brings one on.
func (d rotations) Resume(ctx context.Context, actor vault.Actor, ref string) (api.ResourceRotation, error) {
	s, err := d.r.Resume(ctx, actor, ref)
	return rotated(s), err
}

// Abort takes one back.
func (d rotations) Abort(ctx context.Context, actor vault.Actor, ref string, force bool) (api.ResourceRotation, error) {
	back := d.r.Abort
	if force {
		back = d.r.Abandon
	}
	s, err := back(ctx, actor, ref)
	return rotated(s), err
}

func rotateRequest(in api.RotateResource) (rotating.Request, error) {
	q := rotating.Request{Method: in.Method, Generate: in.Generate, Alphabet: in.Alphabet, AuthorizedKeys: in.AuthorizedKeys, Purge: in.Purge}
	if len(in.Secrets) > 0 {
		q.Secrets = api.Secrets(in.Secrets)
	}
	if in.OverlapS != nil {
		if *in.OverlapS < 0 || *in.OverlapS > math.MaxInt64/int64(time.Second) {
			return q, fault.New(fault.InvalidArgument, "overlap_s is a number of seconds", "")
		}
		d := time.Duration(*in.OverlapS) * time.Second
		q.Overlap = &d
	}
	return q, nil
}

// rotated is the one place in which a rotation becomes a reply.
func rotated(s rotating.State) api.ResourceRotation {
	out := api.ResourceRotation{Resource: s.Resource, Handle: s.Handle, Version: s.Version, Step: cmp.Or(s.Ended, "none"), Working: s.Working, Remarks: s.Remarks}
	x := s.Rotation
	if x == nil {
		return out
	}
	out.Method, out.OverlapS, out.BegunBy, out.BegunAt = x.Method, x.OverlapS, x.BegunBy, &x.BegunAt
	if s.Ended != "" {
		return out
	}
	out.Purge = x.Purge
	out.Step, out.Code, out.Message, out.Next = string(x.Step), x.Code, x.Message, x.Next
	if !x.Until.IsZero() {
		out.Until = &x.Until
	}
	return out
}
