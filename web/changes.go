package web

import (
	"net/http"

	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/web/api"
)

// changeRoutes are for what runs wrote beside folders. Keeping it asks for presence: what a model made becomes part of a person's folder.
func (s *Server) changeRoutes() {
	s.handle("GET /api/v1/changes", http.StatusOK, func(r *http.Request) (any, error) {
		held, err := s.o.Runs.Held(operator(r))
		return page(held, "", err)
	})
	s.handle("GET /api/v1/changes/{run}/diff", http.StatusOK, func(r *http.Request) (any, error) {
		return s.o.Runs.Diff(r.Context(), operator(r), r.PathValue("run"))
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
