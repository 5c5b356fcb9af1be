package main

import (
	"context"

	"github.com/zavhoz/zavhoz/sync/bridge"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/web/api"
)

// adoptions is the bridge as the operator's door speaks of it.
type adoptions struct{ *bridge.Bridge }

// Adopt asks the bridge, and tells what it did.
func (x adoptions) Adopt(ctx context.Context, actor vault.Actor, in api.AdoptProjects) (api.Adoption, error) {
	got, err := x.Bridge.Adopt(ctx, actor, bridge.Request{Database: in.Database.Secret, Key: in.Key.Secret, Table: in.Table, DryRun: in.DryRun})
	out := api.Adoption{DryRun: got.DryRun, Column: got.Column, Projects: make([]api.AdoptedProject, 0, len(got.Projects))}
	for _, p := range got.Projects {
		out.Projects = append(out.Projects, api.AdoptedProject(p))
	}
	return out, err
}

// State tells whether an adoption is under way.
func (x adoptions) State(ctx context.Context) (api.AdoptionState, error) {
	s, err := x.Bridge.State(ctx)
	return api.AdoptionState(s), err
}
