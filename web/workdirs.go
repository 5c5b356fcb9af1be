package web

import (
	"net/http"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web/api"
)

func (s *Server) workdirRoutes() {
	s.handle("GET /api/v1/workdirs", http.StatusOK, s.listWorkdirs)
	s.guarded("POST /api/v1/workdirs", http.StatusCreated, audit.WorkdirAdd, s.addWorkdir)
	s.handle("DELETE /api/v1/workdirs/{workdir}", http.StatusOK, s.removeWorkdir)
}

func (s *Server) listWorkdirs(r *http.Request) (any, error) {
	ws, err := s.o.Vault.Workdirs(r.Context())
	return page(ws, "", err)
}

func (s *Server) addWorkdir(r *http.Request) (any, error) {
	var in api.NewWorkdir
	if err := read(r, &in); err != nil {
		return nil, err
	}
	if err := vault.CheckWorkdirPath(in.Path); err != nil {
		return nil, err
	}
	if s.o.Folder == nil {
		return nil, fault.New(fault.NotSupported, "this daemon opens no folders to runs", "")
	}
	if err := s.o.Folder(in.Path, in.Force); err != nil {
		return nil, err
	}
	return s.o.Vault.AddWorkdir(r.Context(), operator(r), vault.NewWorkdir{Path: in.Path, Mode: vault.WorkdirMode(in.Mode), Agents: in.Agents, Project: in.Project})
}

// removeWorkdir narrows, and needs no proof of presence; but what lies within another working directory takes that one's mode again: a read-only folder in a
// writable one becomes writable.
func (s *Server) removeWorkdir(r *http.Request) (any, error) {
	ref := r.PathValue("workdir")
	ws, err := s.o.Vault.Workdirs(r.Context())
	if err != nil {
		return nil, err
	}
	for _, w := range ws {
		if (w.ID == ref || w.Path == ref) && nested(ws, w) {
			if err := s.present(r, audit.WorkdirRemove); err != nil {
				return nil, err
			}
		}
	}
	return s.o.Vault.RemoveWorkdir(r.Context(), operator(r), ref)
}

func nested(ws []vault.Workdir, inner vault.Workdir) bool {
	for _, w := range ws {
		if w.ID != inner.ID && w.Holds(inner.Path) {
			return true
		}
	}
	return false
}
