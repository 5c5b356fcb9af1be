package web

import (
	"context"
	"net/http"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/web/api"
)

// Intakes is what the API and the pages need of the vault for requests that a person give a secret (vault.Vault).
type Intakes interface {
	RequestSecret(ctx context.Context, actor vault.Actor, q vault.SecretRequest) (vault.Intake, error)
	Intakes(ctx context.Context, actor vault.Actor, within func(slug string) bool) ([]vault.Intake, error)
	Intake(ctx context.Context, actor vault.Actor, ref string) (vault.Intake, error)
	IntakeCode(ctx context.Context, actor vault.Actor, ref string) (vault.Intake, string, error)
	GiveIntake(ctx context.Context, actor vault.Actor, ref string, g vault.Given) (vault.Intake, error)
	DenyIntake(ctx context.Context, actor vault.Actor, ref, why string) (vault.Intake, error)
	OpenIntake(ctx context.Context, ref, code string) (vault.Intake, error)
	GiveByCode(ctx context.Context, ref, code string, g vault.Given) (vault.Intake, error)
}

// intakeRoutes are for requests that a person give a secret. To answer one, and to make the code with which somebody else does, are acts of a person: a model that gave
// its own value would lead whatever uses it.
func (s *Server) intakeRoutes() {
	s.handle("GET /api/v1/intakes", http.StatusOK, s.listIntakes)
	s.handle("POST /api/v1/intakes", http.StatusCreated, s.newIntake)
	s.handle("GET /api/v1/intakes/{intake}", http.StatusOK, s.getIntake)
	s.handle("POST /api/v1/intakes/{intake}/deny", http.StatusOK, s.denyIntake)
	s.guarded("POST /api/v1/intakes/{intake}/give", http.StatusOK, audit.IntakeGive, s.giveIntake)
	s.guarded("POST /api/v1/intakes/{intake}/code", http.StatusOK, audit.IntakeCode, s.intakeCode)
}

func (s *Server) intakeView(i vault.Intake) api.Intake {
	return api.Intake{
		ID: i.ID, Project: i.Project, Key: i.Key, Kind: i.Kind, Handle: i.Handle, Reason: i.Reason, By: i.By, State: string(i.State), CreatedAt: i.CreatedAt, ExpiresAt: i.ExpiresAt,
		EndedAt: i.EndedAt, EndedBy: i.EndedBy, Why: i.Why, Gave: i.Gave, Link: s.link(i.ID), Command: api.IntakeCommand(i.ID),
	}
}

func (s *Server) link(ref string) string {
	if s.o.PageURL == nil {
		return ""
	}
	return api.IntakeLink(s.o.PageURL(), ref)
}

func (s *Server) shownIntake(i vault.Intake, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return s.intakeView(i), nil
}

func (s *Server) listIntakes(r *http.Request) (any, error) {
	c := callerOf(r)
	all, err := s.o.Vault.Intakes(r.Context(), operator(r), func(slug string) bool { return c == nil || c.within(slug) })
	if err != nil {
		return nil, err
	}
	views := make([]api.Intake, 0, len(all))
	for _, i := range all {
		views = append(views, s.intakeView(i))
	}
	return paged(r, views, func(i api.Intake) string { return i.ID })
}

func (s *Server) newIntake(r *http.Request) (any, error) {
	var in api.NewIntake
	if err := read(r, &in); err != nil {
		return nil, err
	}
	i, err := s.o.Vault.RequestSecret(r.Context(), operator(r), vault.SecretRequest{Project: in.Project, Key: in.Key, Kind: in.Kind, Handle: in.Handle, Reason: in.Reason})
	return s.shownIntake(i, err)
}

func (s *Server) getIntake(r *http.Request) (any, error) {
	return s.shownIntake(s.o.Vault.Intake(r.Context(), operator(r), r.PathValue("intake")))
}

func (s *Server) denyIntake(r *http.Request) (any, error) {
	var in api.DenyIntake
	if err := read(r, &in); err != nil {
		return nil, err
	}
	return s.shownIntake(s.o.Vault.DenyIntake(r.Context(), operator(r), r.PathValue("intake"), in.Why))
}

func (s *Server) giveIntake(r *http.Request) (any, error) {
	var in api.GiveIntake
	defer func() {
		in.Value.Wipe()
		wipe(in.Secrets)
	}()
	if err := read(r, &in); err != nil {
		return nil, err
	}
	g := vault.Given{Value: in.Value.Secret, Handle: in.Handle, Attrs: in.Attrs, Secrets: api.Secrets(in.Secrets), Labels: in.Labels, Why: in.Why}
	return s.shownIntake(s.o.Vault.GiveIntake(r.Context(), operator(r), r.PathValue("intake"), g))
}

func (s *Server) intakeCode(r *http.Request) (any, error) {
	i, code, err := s.o.Vault.IntakeCode(r.Context(), operator(r), r.PathValue("intake"))
	if err != nil {
		return nil, err
	}
	return api.IntakeCode{ID: i.ID, Code: code, Link: s.link(i.ID), ExpiresAt: i.ExpiresAt}, nil
}
