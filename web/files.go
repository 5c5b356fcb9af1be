package web

import (
	"context"
	"net/http"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web/api"
)

// SecretFiles are the files that are homes of resources (sync/sopshome, by way of the program: this package must not reach what opens).
type SecretFiles interface {
	// Accept takes the operator's word that what a file lost is meant to be gone: as many as they saw.
	Accept(ctx context.Context, actor vault.Actor, name string, in api.AcceptLoss) (api.SecretFile, error)
}

// fileRoutes: who says that a loss is meant ends leases at once, and an agent's shell that emptied a file would say so.
func (s *Server) fileRoutes() {
	s.guarded("POST /api/v1/files/{file}/accept", http.StatusOK, audit.FileAccept, s.acceptLoss)
}

func (s *Server) acceptLoss(r *http.Request) (any, error) {
	if s.o.Files == nil {
		return nil, fault.New(fault.NotSupported, "no file is a home of resources here", "")
	}
	var in api.AcceptLoss
	if err := read(r, &in); err != nil {
		return nil, err
	}
	return s.o.Files.Accept(r.Context(), operator(r), r.PathValue("file"), in)
}
