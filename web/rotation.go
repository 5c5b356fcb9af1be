package web

import (
	"context"
	"net/http"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/web/api"
)

// Rotations exchange resources' credentials (run/rotate, by way of the program: this package must not reach what opens).
type Rotations interface {
	Status(ctx context.Context, ref string) (api.ResourceRotation, error)
	// Plan and Start wipe what they are given.
	// compare: it is told what else holds the old value.
	Plan(ctx context.Context, ref string, in api.RotateResource, compare bool) (api.RotationPlan, error)
	Start(ctx context.Context, actor vault.Actor, ref string, in api.RotateResource) (api.ResourceRotation, error)
	Resume(ctx context.Context, actor vault.Actor, ref string) (api.ResourceRotation, error)
	// Abort takes it back; with force without looking at anything outside of the vault.
	Abort(ctx context.Context, actor vault.Actor, ref string, force bool) (api.ResourceRotation, error)
}

// rotationRoutes: to exchange a credential is an act of a person, as to give a value anew is. It takes the old one from whoever else has it, a new value may be a
// poisoned one, and its end forgets a value, which is then no longer masked. To ask what would be done, or how far it is, is not.
func (s *Server) rotationRoutes() {
	s.handle("GET /api/v1/resources/{handle}/rotation", http.StatusOK, s.rotationStatus)
	s.handle("POST /api/v1/resources/{handle}/rotation/plan", http.StatusOK, s.planRotation)
	s.guarded("POST /api/v1/resources/{handle}/rotation", http.StatusOK, audit.RotationBegin, s.startRotation)
	s.guarded("POST /api/v1/resources/{handle}/rotation/resume", http.StatusOK, audit.RotationRetire, s.resumeRotation)
	s.guarded("POST /api/v1/resources/{handle}/rotation/abort", http.StatusOK, audit.RotationAbort, s.abortRotation)
}

func (s *Server) rotations() (Rotations, error) {
	return have(s.o.Rotations, "this daemon exchanges no credentials")
}

func (s *Server) rotationStatus(r *http.Request) (any, error) {
	x, err := s.rotations()
	if err != nil {
		return nil, err
	}
	return x.Status(r.Context(), r.PathValue("handle"))
}

func (s *Server) planRotation(r *http.Request) (any, error) {
	x, err := s.rotations()
	if err != nil {
		return nil, err
	}
	var in api.RotateResource
	if err := read(r, &in); err != nil {
		return nil, err
	}
	defer wipe(in.Secrets)
	present, err := s.proven(r)
	if err != nil {
		return nil, err
	}
	return x.Plan(r.Context(), r.PathValue("handle"), in, present)
}

// startRotation goes on where the caller goes away: what was begun is better brought to its end than left.
func (s *Server) startRotation(r *http.Request) (any, error) {
	x, err := s.rotations()
	if err != nil {
		return nil, err
	}
	var in api.RotateResource
	if err := read(r, &in); err != nil {
		return nil, err
	}
	defer wipe(in.Secrets)
	return x.Start(context.WithoutCancel(r.Context()), operator(r), r.PathValue("handle"), in)
}

func (s *Server) resumeRotation(r *http.Request) (any, error) {
	x, err := s.rotations()
	if err != nil {
		return nil, err
	}
	return x.Resume(context.WithoutCancel(r.Context()), operator(r), r.PathValue("handle"))
}

func (s *Server) abortRotation(r *http.Request) (any, error) {
	x, err := s.rotations()
	if err != nil {
		return nil, err
	}
	return x.Abort(context.WithoutCancel(r.Context()), operator(r), r.PathValue("handle"), r.URL.Query().Get("force") == "true")
}
