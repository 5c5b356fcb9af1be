package web

import (
	"context"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web/api"
)

// Purger removes earlier versions for good (vault.Vault).
type Purger interface {
	PurgeVersions(ctx context.Context, actor vault.Actor, ref string, p vault.Purge) (vault.Resource, []uint64, error)
}

// versionRoutes are for what stays of a resource's past. Going back may widen what is reached, and a value that is forgotten is no longer masked: both are acts of
// a person.
func (s *Server) versionRoutes() {
	s.handle("GET /api/v1/resources/{handle}/history", http.StatusOK, s.resourceHistory)
	s.guarded("POST /api/v1/resources/{handle}/rollback", http.StatusOK, audit.ResourceRollback, s.rollbackResource)
	s.guarded("POST /api/v1/resources/{handle}/purge", http.StatusOK, audit.ResourcePurge, s.purgeVersions)
}

func (s *Server) resourceHistory(r *http.Request) (any, error) {
	rows, err := s.o.Vault.History(r.Context(), r.PathValue("handle"))
	return page(rows, "", err)
}

func (s *Server) rollbackResource(r *http.Request) (any, error) {
	var in api.Rollback
	if err := read(r, &in); err != nil {
		return nil, err
	}
	return viewed(s.o.Vault.RollbackResource(r.Context(), operator(r), r.PathValue("handle"), in.Version, in.Why))
}

// readPurge reads which versions go.
func readPurge(r *http.Request) (p vault.Purge, err error) {
	var in api.Purge
	if err := read(r, &in); err != nil {
		return p, err
	}
	if in.OlderThanS < 0 || in.OlderThanS > math.MaxInt64/int64(time.Second) {
		return p, fault.New(fault.InvalidArgument, "older_than_s is a number of seconds", "")
	}
	if in.Before > mostExact {
		return p, fault.New(fault.InvalidArgument, "before is a number of a version", "")
	}
	return vault.Purge{All: in.All, Before: in.Before, OlderThan: time.Duration(in.OlderThanS) * time.Second}, nil
}

func (s *Server) purgeVersions(r *http.Request) (any, error) {
	p, err := readPurge(r)
	if err != nil {
		return nil, err
	}
	res, gone, err := s.o.Vault.PurgeVersions(r.Context(), operator(r), r.PathValue("handle"), p)
	if err != nil {
		return nil, err
	}
	if gone == nil {
		gone = []uint64{}
	}
	return api.Purged{Resource: resourceView(res), Versions: gone}, nil
}

func utoa(n int) string { return strconv.Itoa(n) }
