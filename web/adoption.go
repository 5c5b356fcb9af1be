package web

import (
	"context"
	"net/http"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/web/api"
)

// Adoptions take the projects of the earlier system (sync/bridge, by way of the program: this package must not reach what opens).
type Adoptions interface {
	Adopt(ctx context.Context, actor vault.Actor, in api.AdoptProjects) (api.Adoption, error)
	Finish(ctx context.Context, actor vault.Actor, force bool) error
	State(context.Context) (api.AdoptionState, error)
}

// adoptionRoutes: to take another system's secrets, and to hand it ours, is an act of a person.
func (s *Server) adoptionRoutes() {
	s.handle("GET /api/v1/adoption", http.StatusOK, func(r *http.Request) (any, error) {
		x, err := s.adoptions()
		if err != nil {
			return nil, err
		}
		return x.State(r.Context())
	})
	s.guarded("POST /api/v1/adoption", http.StatusOK, audit.ProjectAdopt, s.adoptProjects)
	s.guarded("DELETE /api/v1/adoption", http.StatusOK, audit.ProjectAdopt, func(r *http.Request) (any, error) {
		x, err := s.adoptions()
		if err != nil {
			return nil, err
		}
		return struct{}{}, x.Finish(r.Context(), operator(r), r.URL.Query().Get("force") == "true")
	})
}

func (s *Server) adoptions() (Adoptions, error) {
	return have(s.o.Adoptions, "this daemon adopts no projects")
}

func (s *Server) adoptProjects(r *http.Request) (any, error) {
	x, err := s.adoptions()
	if err != nil {
		return nil, err
	}
	var in api.AdoptProjects
	defer func() { in.Wipe() }()
	if err := read(r, &in); err != nil {
		return nil, err
	}
	return x.Adopt(r.Context(), operator(r), in)
}
