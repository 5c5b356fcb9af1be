package web

import (
	"net/http"

	"github.com/zavhoz/zavhoz/vault/audit"
)

// changeRoutes are for what runs wrote beside folders. Keeping it asks for presence: what a model made becomes part of a person's folder.
func (s *Server) changeRoutes() {
	s.handle("GET /api/v1/changes", http.StatusOK, func(r *http.Request) (any, error) {
		held, err := s.o.Runs.Held(operator(r))
		return page(held, "", err)
	})
	s.guarded("POST /api/v1/changes/{run}/keep", http.StatusOK, audit.RunSettle, s.settle(true))
	s.handle("POST /api/v1/changes/{run}/discard", http.StatusOK, s.settle(false))
}

func (s *Server) settle(keep bool) func(r *http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		return struct{}{}, s.o.Runs.Settle(r.Context(), operator(r), r.PathValue("run"), keep)
	}
}
