package web

import (
	"net/http"
	"strconv"
	"time"

	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
)

func (s *Server) auditRoutes() {
	s.handle("GET /api/v1/audit", http.StatusOK, s.listAudit)
	s.handle("POST /api/v1/audit/verify", http.StatusOK, func(r *http.Request) (any, error) { return s.o.Audit.Verify(r.Context()) })
	s.raw("GET /api/v1/audit/export", s.exportAudit)
}

func (s *Server) listAudit(r *http.Request) (any, error) {
	q := r.URL.Query()
	f := audit.Filter{Action: audit.Action(q.Get("action")), Actor: q.Get("actor"), Handle: q.Get("handle"), Outcome: audit.Outcome(q.Get("outcome")), Cursor: q.Get("cursor")}
	if q.Has("limit") {
		n, err := strconv.Atoi(q.Get("limit"))
		if err != nil || n < 1 || n > 1000 {
			return nil, fault.New(fault.InvalidArgument, "limit is between 1 and 1000", "")
		}
		f.Limit = n
	}
	if q.Has("since") {
		t, err := time.Parse(time.RFC3339, q.Get("since"))
		if err != nil {
			return nil, fault.New(fault.InvalidArgument, "since is a time like 2026-01-02T15:04:05Z", "")
		}
		f.Since = t
	}
	rs, next, err := s.o.Audit.List(r.Context(), f)
	return page(rs, next, err)
}

// exportAudit streams the export. A failure midway shows as an export without its last checkpoint, which verification refuses.
func (s *Server) exportAudit(w http.ResponseWriter, r *http.Request) {
	if err := s.o.Vault.Note(r.Context(), audit.Event{Actor: operator(r), Action: audit.AuditExport, Outcome: audit.Allowed}); err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	if _, err := s.o.Audit.Export(r.Context(), w); err != nil {
		s.o.Log.Error("audit export failed", "code", string(fault.CodeOf(err)), "cause", fault.Cause(err))
	}
}
