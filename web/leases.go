package web

import (
	"net/http"
	"slices"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/id"
)

// leaseRoutes are for the leases of all agents. To end one takes away, and needs no proof of presence: what must end must be easy to end.
func (s *Server) leaseRoutes() {
	s.handle("GET /api/v1/leases", http.StatusOK, s.listLeases)
	s.handle("DELETE /api/v1/leases/{lease}", http.StatusOK, s.revokeLease)
}

// leases are those that live, within the caller's reach: for its projects, or of their resources.
func (s *Server) leases(r *http.Request) ([]vault.Lease, error) {
	ls, err := s.o.Vault.Leases(r.Context(), operator(r))
	c := callerOf(r)
	if err != nil || c == nil || c.everywhere() {
		return ls, err
	}
	own := map[string]bool{} // resources
	for _, l := range ls {
		if _, known := own[l.Resource]; known || c.within(l.Project) {
			continue
		}
		res, err := s.o.Vault.Resource(r.Context(), l.Resource)
		if err != nil && fault.CodeOf(err) != fault.UnknownResource {
			return nil, err
		}
		own[l.Resource] = err == nil && c.within(res.Project)
	}
	return slices.DeleteFunc(ls, func(l vault.Lease) bool { return !c.within(l.Project) && !own[l.Resource] }), nil
}

func (s *Server) listLeases(r *http.Request) (any, error) {
	ls, err := s.leases(r)
	if err != nil {
		return nil, err
	}
	return paged(r, ls, func(l vault.Lease) string { return l.ID })
}

// revokeLease ends anybody's lease; runs that use it end with it, and what it reserved is free. One that has ended already stays as it ended.
func (s *Server) revokeLease(r *http.Request) (any, error) {
	none := fault.New(fault.UnknownLease, "there is no such lease", "GET /api/v1/leases lists those that live")
	lease := r.PathValue("lease")
	if !id.Is(lease, id.Lease) {
		return nil, none
	}
	if c := callerOf(r); c != nil && !c.everywhere() { // another project's is answered as none at all
		ls, err := s.leases(r)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(ls, func(l vault.Lease) bool { return l.ID == lease }) {
			return nil, s.refuse(r, c, none)
		}
	}
	l, err := s.o.Vault.Release(r.Context(), operator(r), lease)
	if fault.CodeOf(err) == fault.UnknownLease {
		return nil, none
	}
	return l, err
}
