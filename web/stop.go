package web

import (
	"net/http"

	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/id"
	"github.com/zavhoz/zavhoz/web/api"
)

func (s *Server) stopRoutes() {
	s.handle("POST /api/v1/runs/{id}/stop", http.StatusOK, s.stopRun)
}

// stopRun ends anybody's run. It takes away, and needs no proof of presence: what must end must be easy to end.
func (s *Server) stopRun(r *http.Request) (any, error) {
	runID := r.PathValue("id")
	if !id.Is(runID, id.Run) {
		return nil, fault.New(fault.UnknownRun, "that is no run's id", "`zavhoz runs list` shows those under way")
	}
	if s.o.StopRun == nil {
		return nil, fault.New(fault.NotSupported, "this daemon stops no runs", "")
	}
	state, err := s.o.StopRun(r.Context(), operator(r), runID)
	if err != nil {
		return nil, err
	}
	e := audit.Event{Actor: operator(r), Action: audit.RunStop, Outcome: audit.Allowed, Subject: runID, Detail: map[string]string{"state": string(state)}}
	return api.StoppedRun{RunID: runID, State: string(state)}, s.o.Vault.Note(r.Context(), e)
}
