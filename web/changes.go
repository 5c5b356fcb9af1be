package web

import (
	"net/http"

	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web/api"
)

// changeRoutes are for what runs wrote beside folders. Keeping it asks for presence: what a model made becomes part of a person's folder.
func (s *Server) changeRoutes() {
	s.handle("GET /api/v1/changes", http.StatusOK, func(r *http.Request) (any, error) {
		held, err := s.o.Runs.Held(operator(r))
		return page(held, "", err)
	})
	s.handle("GET /api/v1/changes/{run}/diff", http.StatusOK, func(r *http.Request) (any, error) {
		present, err := s.proven(r)
		if err != nil {
			return nil, err
		}
		diff, err := s.o.Runs.Diff(r.Context(), operator(r), r.PathValue("run"), present)
		if fault.CodeOf(err) == fault.PresenceRequired {
			return nil, s.deny(r, audit.RunSettle, fault.Of(err))
		}
		return diff, err
	})
	s.guarded("POST /api/v1/changes/{run}/keep", http.StatusOK, audit.RunSettle, func(r *http.Request) (any, error) {
		var in api.KeepChanges
		if r.ContentLength != 0 {
			if err := read(r, &in); err != nil {
				return nil, err
			}
		}
		return struct{}{}, s.o.Runs.Keep(r.Context(), operator(r), r.PathValue("run"), in)
	})
	s.handle("POST /api/v1/changes/{run}/discard", http.StatusOK, func(r *http.Request) (any, error) {
		return struct{}{}, s.o.Runs.Discard(r.Context(), operator(r), r.PathValue("run"))
	})
}

// proven tells whether presence is, or is nothing that could be proven here: what is only shown with it is asked for by nobody.
func (s *Server) proven(r *http.Request) (bool, error) {
	set, err := s.o.Vault.HasPresence(r.Context())
	return err == nil && (!set || s.tickets.has(placeOf(r))), err
}
