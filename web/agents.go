package web

import (
	"net/http"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/web/api"
)

func (s *Server) agentRoutes() {
	s.handle("GET /api/v1/agents", http.StatusOK, s.listAgents)
	s.guarded("POST /api/v1/agents", http.StatusCreated, audit.AgentAdd, s.addAgent)
	s.handle("DELETE /api/v1/agents/{name}", http.StatusOK, s.removeAgent)
}

func agentView(a vault.Agent) api.Agent {
	return api.Agent{
		ID: a.ID, Name: a.Name, Role: string(a.Role), Projects: a.Grants.Projects, Kinds: a.Grants.Kinds, Labels: a.Grants.Labels, Scopes: scopes(a.Scopes),
		Attended: a.Attended, CreatedAt: a.CreatedAt,
	}
}

func scopes(in []vault.Scope) (out []string) {
	for _, x := range in {
		out = append(out, string(x))
	}
	return out
}

func (s *Server) listAgents(r *http.Request) (any, error) {
	as, err := s.o.Vault.ListAgents(r.Context())
	views := make([]api.Agent, 0, len(as))
	for _, a := range as {
		views = append(views, agentView(a))
	}
	if err != nil {
		return nil, err
	}
	return paged(r, views, func(a api.Agent) string { return a.Name })
}

func (s *Server) addAgent(r *http.Request) (any, error) {
	var in api.NewAgent
	if err := read(r, &in); err != nil {
		return nil, err
	}
	wanted := make([]vault.Scope, 0, len(in.Scopes))
	for _, x := range in.Scopes {
		wanted = append(wanted, vault.Scope(x))
	}
	a, token, err := s.o.Vault.AddAgent(r.Context(), operator(r), vault.NewAgent{
		Scopes: wanted,
		Name:   in.Name, Role: vault.Role(in.Role), Attended: in.Attended, Rate: vault.Rate{PerMinute: in.PerMinute},
		Grants: vault.Grants{Projects: in.Projects, Kinds: in.Kinds, Labels: in.Labels},
	})
	if err != nil {
		return nil, err
	}
	view := agentView(a)
	view.Token = token
	return view, nil
}

func (s *Server) removeAgent(r *http.Request) (any, error) {
	a, err := s.o.Vault.RemoveAgent(r.Context(), operator(r), r.PathValue("name"))
	return agentView(a), err
}
