package web

import (
	"context"
	"net/http"
	"slices"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web/api"
	"github.com/zavhoz/zavhoz/web/envview"
)

// Environments is what the API needs of the vault for environments (vault.Vault).
type Environments interface {
	ResolveEnvironment(ctx context.Context, actor vault.Actor, q vault.EnvironmentRequest) (vault.ResolvedEnvironment, error)
	DescribeEnvironment(ctx context.Context, r vault.Resource) ([]string, error)
	ExplainEnvironment(ctx context.Context, actor vault.Actor, ref string) (vault.ResolvedEnvironment, error)
}

func (s *Server) environmentRoutes() {
	s.handle("POST /api/v1/projects/{id}/environment", http.StatusOK, s.resolveEnvironment)
	s.handle("GET /api/v1/resources/{handle}/environment", http.StatusOK, s.explainEnvironment)
}

func (s *Server) resolveEnvironment(r *http.Request) (any, error) {
	var in api.ResolveEnvironment
	if err := read(r, &in); err != nil {
		return nil, err
	}
	q, err := envview.Request(r.PathValue("id"), in)
	if err != nil {
		return nil, err
	}
	if callerOf(r) == nil {
		if q.Confirmed, err = s.proven(r); err != nil {
			return nil, err
		}
	}
	e, err := s.o.Vault.ResolveEnvironment(r.Context(), operator(r), q)
	if fault.CodeOf(err) == fault.ResourceDisabled && callerOf(r) == nil && !q.Confirmed { // a person may, so their terminal asks them
		if err := s.present(r, audit.EnvResolve); err != nil {
			return nil, err
		}
	}
	if err != nil {
		return nil, err
	}
	return envview.View(e), nil
}

// explainEnvironment tells of an environment that is there what each variable is now.
func (s *Server) explainEnvironment(r *http.Request) (any, error) {
	e, err := s.o.Vault.ExplainEnvironment(r.Context(), operator(r), r.PathValue("handle"))
	if err != nil {
		return nil, err
	}
	return envview.View(e), nil
}

// shown is a resource as a person looks at it who is to allow something: of an environment with what every variable is made of.
func (s *Server) shown(r *http.Request, res vault.Resource, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	lines, err := s.o.Vault.DescribeEnvironment(r.Context(), res)
	res.Remarks = append(slices.Clip(res.Remarks), lines...)
	return viewed(res, err)
}
