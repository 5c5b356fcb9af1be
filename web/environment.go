package web

import (
	"context"
	"net/http"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/web/api"
)

// Environments is what the API needs of the vault for environments (vault.Vault).
type Environments interface {
	ResolveEnvironment(ctx context.Context, actor vault.Actor, q vault.EnvironmentRequest) (vault.ResolvedEnvironment, error)
}

func (s *Server) environmentRoutes() {
	s.handle("POST /api/v1/projects/{id}/environment", http.StatusOK, s.resolveEnvironment)
}

func (s *Server) resolveEnvironment(r *http.Request) (any, error) {
	var in api.ResolveEnvironment
	if err := read(r, &in); err != nil {
		return nil, err
	}
	q, err := in.Request(r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	e, err := s.o.Vault.ResolveEnvironment(r.Context(), operator(r), q)
	if err != nil {
		return nil, err
	}
	return api.EnvironmentView(e), nil
}
