package web

import (
	"net/http"
	"strconv"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/web/api"
)

func (s *Server) resourceRoutes() {
	s.handle("GET /api/v1/resources", http.StatusOK, s.listResources)
	s.handle("POST /api/v1/resources", http.StatusCreated, s.addResource)
	s.handle("GET /api/v1/resources/{handle}", http.StatusOK, s.getResource)
	s.handle("PATCH /api/v1/resources/{handle}", http.StatusOK, s.editResource)
	s.handle("DELETE /api/v1/resources/{handle}", http.StatusOK, s.removeResource)
	s.handle("POST /api/v1/resources/{handle}/rename", http.StatusOK, s.renameResource)
	s.handle("GET /api/v1/resources/{handle}/history", http.StatusOK, s.resourceHistory)
	s.handle("POST /api/v1/resources/{handle}/rollback", http.StatusOK, s.rollbackResource)
	s.handle("PUT /api/v1/resources/{handle}/policy", http.StatusOK, s.setPolicy)
	s.handle("GET /api/v1/resources/{handle}/host-key", http.StatusOK, s.hostKey)
}

// resourceView is the one place in which a resource becomes a reply.
func resourceView(r vault.Resource) api.Resource {
	fields := make(map[string]api.SealedField, len(r.Sealed))
	for name, f := range r.Sealed {
		fields[name] = api.SealedField{Length: f.Class, Version: f.Version}
	}
	return api.Resource{
		ID: r.ID, Handle: r.Handle, Kind: r.Kind, Attrs: r.Attrs, Secrets: fields, Labels: r.Labels, Project: r.Project, Policy: r.Policy,
		Status: string(r.Status), Version: r.Version, Uses: r.Uses, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt, UpdatedBy: r.UpdatedBy, Why: r.Why, Remarks: r.Remarks,
	}
}

func viewed(r vault.Resource, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return resourceView(r), nil
}

func (s *Server) listResources(r *http.Request) (any, error) {
	q := r.URL.Query()
	limit, err := strconv.Atoi(q.Get("limit"))
	if q.Get("limit") != "" && (err != nil || limit < 1 || limit > 500) {
		return nil, fault.New(fault.InvalidArgument, "limit is between 1 and 500", "")
	}
	f := vault.Filter{Kind: q.Get("kind"), Project: q.Get("project"), Label: q.Get("label"), Cursor: q.Get("cursor"), Limit: limit}
	rs, next, err := s.o.Vault.ListResources(r.Context(), f)
	if err != nil {
		return nil, err
	}
	page := api.Page[api.Resource]{Items: make([]api.Resource, 0, len(rs)), Next: next}
	for _, x := range rs {
		page.Items = append(page.Items, resourceView(x))
	}
	return page, nil
}

func (s *Server) addResource(r *http.Request) (any, error) {
	var in api.NewResource
	if err := read(r, &in); err != nil {
		return nil, err
	}
	n := vault.NewResource{Kind: in.Kind, Handle: in.Handle, Attrs: in.Attrs, Secrets: api.Secrets(in.Secrets), Labels: in.Labels, Project: in.Project, Why: in.Why}
	if in.Policy != nil {
		n.Policy = *in.Policy
		if err := s.presentFor(r, policy.Policy{}, n.Policy); err != nil {
			return nil, err
		}
	}
	return viewed(s.o.Vault.AddResource(r.Context(), operator(r), n))
}

func (s *Server) getResource(r *http.Request) (any, error) {
	return viewed(s.o.Vault.Resource(r.Context(), r.PathValue("handle")))
}

func (s *Server) editResource(r *http.Request) (any, error) {
	var in api.EditResource
	if err := read(r, &in); err != nil {
		return nil, err
	}
	e := vault.Edit{Attrs: in.Attrs, Labels: in.Labels, Project: in.Project, IfVersion: in.IfVersion, Why: in.Why}
	if len(in.Secrets) > 0 {
		e.Secrets = api.Secrets(in.Secrets)
	}
	if in.Status != nil {
		st := vault.Status(*in.Status)
		e.Status = &st
	}
	if reaches(in) {
		if err := s.present(r); err != nil {
			return nil, err
		}
	}
	return viewed(s.o.Vault.EditResource(r.Context(), operator(r), r.PathValue("handle"), e))
}

// reaches tells whether an edit may widen who or what a resource reaches: attributes decide hosts, labels and projects decide grants, a host
// beside a kept key sends that key elsewhere.
func reaches(in api.EditResource) bool {
	return len(in.Attrs) > 0 || len(in.Labels) > 0 || in.Project != nil || len(in.Secrets) > 0 || in.Status != nil && *in.Status == string(vault.Active)
}

func (s *Server) removeResource(r *http.Request) (any, error) {
	return viewed(s.o.Vault.RemoveResource(r.Context(), operator(r), r.PathValue("handle")))
}

func (s *Server) renameResource(r *http.Request) (any, error) {
	var in api.Rename
	if err := read(r, &in); err != nil {
		return nil, err
	}
	return viewed(s.o.Vault.RenameResource(r.Context(), operator(r), r.PathValue("handle"), in.Handle))
}

func (s *Server) resourceHistory(r *http.Request) (any, error) {
	rows, err := s.o.Vault.History(r.Context(), r.PathValue("handle"))
	return api.Page[vault.Version]{Items: rows}, err
}

func (s *Server) rollbackResource(r *http.Request) (any, error) {
	var in api.Rollback
	if err := read(r, &in); err != nil {
		return nil, err
	}
	if err := s.present(r); err != nil {
		return nil, err
	}
	return viewed(s.o.Vault.RollbackResource(r.Context(), operator(r), r.PathValue("handle"), in.Version, in.Why))
}

// setPolicy replaces a policy. Narrowing needs no proof of presence; widening does.
func (s *Server) setPolicy(r *http.Request) (any, error) {
	var in api.SetPolicy
	if err := read(r, &in); err != nil {
		return nil, err
	}
	old, err := s.o.Vault.Resource(r.Context(), r.PathValue("handle"))
	if err != nil {
		return nil, err
	}
	if err := s.presentFor(r, old.Policy, in.Policy); err != nil {
		return nil, err
	}
	version := in.IfVersion
	if version == 0 {
		version = old.Version // what was compared is what is replaced
	}
	return viewed(s.o.Vault.EditResource(r.Context(), operator(r), old.ID, vault.Edit{Policy: &in.Policy, IfVersion: version, Why: in.Why}))
}

func (s *Server) presentFor(r *http.Request, old, fresh policy.Policy) error {
	if !policy.Widens(old, fresh) {
		return nil
	}
	return s.present(r)
}

func (s *Server) hostKey(r *http.Request) (any, error) {
	res, err := s.o.Vault.Resource(r.Context(), r.PathValue("handle"))
	if err != nil {
		return nil, err
	}
	keys, err := s.o.HostKeys.Scan(r.Context(), res)
	return api.Page[api.HostKey]{Items: keys}, err
}
