package web

import (
	"net/http"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/web/api"
)

func (s *Server) runRoutes() {
	s.handle("GET /api/v1/runs", http.StatusOK, s.listRuns)
	s.raw("POST /api/v1/runs/open", s.openRun)
	s.raw("POST /api/v1/runs/attend", s.attendRun)
	s.handle("POST /api/v1/runs/{id}/end", http.StatusOK, s.endRun)
}

func (s *Server) listRuns(r *http.Request) (any, error) {
	rs, err := s.o.Vault.Runs(r.Context(), operator(r))
	if err != nil {
		return nil, err
	}
	return paged(r, rs, func(x vault.Run) string { return x.ID })
}

// openRun gives a person's own run its plan, values included: the one reply that holds any, written by run and not from here. It reveals, so it asks for presence.
func (s *Server) openRun(w http.ResponseWriter, r *http.Request) {
	var in api.OpenRun
	if err := read(r, &in); err != nil {
		s.fail(w, r, err)
		return
	}
	if err := s.present(r, audit.RunStart); err != nil {
		s.fail(w, r, err)
		return
	}
	plan, err := s.o.Runs.OpenPlan(r.Context(), operator(r), in.Refs, in.Command)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = plan.WriteTo(w) // the peer may have gone; the run's record says it began
}

func (s *Server) endRun(r *http.Request) (any, error) {
	var in api.EndRun
	if err := read(r, &in); err != nil {
		return nil, err
	}
	return struct{}{}, s.o.Runs.EndOpen(r.Context(), operator(r), r.PathValue("id"), in)
}
