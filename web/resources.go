package web

import (
	"cmp"
	"maps"
	"net/http"
	"strconv"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/web/api"
)

func (s *Server) resourceRoutes() {
	s.handle("GET /api/v1/resources", http.StatusOK, s.listResources)
	s.handle("POST /api/v1/resources", http.StatusCreated, s.addResource)
	s.handle("GET /api/v1/resources/{handle}", http.StatusOK, s.getResource)
	s.handle("PATCH /api/v1/resources/{handle}", http.StatusOK, s.editResource)
	// A removed value is no longer masked in output, and a handle that is given away can be taken by another resource: both are acts of a person.
	s.guarded("DELETE /api/v1/resources/{handle}", http.StatusOK, audit.ResourceRemove, s.removeResource)
	s.guarded("POST /api/v1/resources/{handle}/rename", http.StatusOK, audit.ResourceRename, s.renameResource)
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
		Status: string(r.Status), Version: r.Version, Uses: r.Uses, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt, UpdatedBy: r.UpdatedBy, Why: r.Why, Source: r.Source, Remarks: r.Remarks,
	}
}

func viewed(r vault.Resource, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return tagged{resourceView(r), r.Version}, nil
}

func (s *Server) listResources(r *http.Request) (any, error) {
	q := r.URL.Query()
	limit, err := strconv.Atoi(q.Get("limit"))
	if q.Has("limit") && (err != nil || limit < 1 || limit > 500) {
		return nil, fault.New(fault.InvalidArgument, "limit is between 1 and 500", "")
	}
	f := vault.Filter{Kind: q.Get("kind"), Project: q.Get("project"), Label: q.Get("label"), Cursor: q.Get("cursor"), Limit: limit}
	if c := callerOf(r); c != nil && !c.everywhere() {
		f.Projects = c.agent.Grants.Projects
	}
	rs, next, err := s.o.Vault.ListResources(r.Context(), f)
	if err != nil {
		return nil, err
	}
	views := make([]api.Resource, 0, len(rs))
	for _, x := range rs {
		views = append(views, resourceView(x))
	}
	return page(views, next, nil)
}

func (s *Server) addResource(r *http.Request) (any, error) {
	var in api.NewResource
	if err := read(r, &in); err != nil {
		return nil, err
	}
	defer wipe(in.Secrets)
	if c := callerOf(r); c != nil && !c.within(cmp.Or(in.Project, vault.DefaultProject)) {
		return nil, s.refuse(r, c, fault.New(fault.UnknownProject, "there is no such project, or the token does not reach it", ""))
	}
	n := vault.NewResource{Kind: in.Kind, Handle: in.Handle, Attrs: in.Attrs, Secrets: api.Secrets(in.Secrets), Labels: in.Labels, Project: in.Project, Why: in.Why}
	if callerOf(r) != nil { // the operator's own file, which other programs read, is not a token's to write, and no configured default makes it so
		if in.ToFile != "" && in.ToFile != "vault" {
			return nil, s.deny(r, audit.ResourceAdd, fault.New(fault.NotPermitted, "a token puts nothing into a file of the operator's", "leave to_file out; a person moves it: zavhoz resource move"))
		}
		in.ToFile = "vault"
	}
	switch in.ToFile {
	case "", "vault":
		n.Source = in.ToFile
	default:
		n.Source = "sops:" + in.ToFile
	}
	if in.Policy != nil {
		n.Policy = *in.Policy
		if err := s.presentFor(r, audit.ResourceAdd, policy.Policy{}, n.Policy); err != nil {
			return nil, err
		}
	}
	return viewed(s.o.Vault.AddResource(r.Context(), operator(r), n))
}

func (s *Server) getResource(r *http.Request) (any, error) {
	res, err := s.o.Vault.Resource(r.Context(), r.PathValue("handle"))
	return s.shown(r, res, err)
}

func (s *Server) editResource(r *http.Request) (any, error) {
	var in api.EditResource
	if err := read(r, &in); err != nil {
		return nil, err
	}
	defer wipe(in.Secrets)
	if err := matched(r, &in.IfVersion); err != nil {
		return nil, err
	}
	old, err := s.o.Vault.Resource(r.Context(), r.PathValue("handle"))
	if err != nil {
		return nil, err
	}
	if steers(old, in) {
		if err := s.present(r, audit.ResourceEdit); err != nil {
			return nil, err
		}
	}
	e := vault.Edit{Attrs: in.Attrs, Labels: in.Labels, Project: in.Project, IfVersion: cmp.Or(in.IfVersion, old.Version), Why: in.Why} // what was looked at is what is edited
	if len(in.Secrets) > 0 {
		e.Secrets = api.Secrets(in.Secrets)
	}
	if in.Status != nil {
		st := vault.Status(*in.Status)
		e.Status = &st
	}
	return viewed(s.o.Vault.EditResource(r.Context(), operator(r), old.ID, e))
}

// steers tells whether an edit may widen who or what a resource reaches. Attributes that steer say where values go; labels and the project decide
// grants; a value given anew may be a poisoned one, or an address that a kept key is then sent to.
func steers(old vault.Resource, in api.EditResource) bool {
	k, err := kind.Get(old.Kind)
	after := maps.Clone(old.Attrs)
	if after == nil {
		after = map[string]string{}
	}
	maps.Copy(after, in.Attrs)
	relabels := false
	for name, value := range in.Labels {
		relabels = relabels || value != "" && old.Labels[name] != value
	}
	return err != nil || k.Steers(old.Attrs, after) || len(in.Secrets) > 0 || relabels ||
		in.Project != nil && *in.Project != old.Project || in.Status != nil && *in.Status != string(vault.Disabled) && *in.Status != string(old.Status)
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

// setPolicy replaces a policy. Narrowing needs no proof of presence; widening does.
func (s *Server) setPolicy(r *http.Request) (any, error) {
	var in api.SetPolicy
	if err := read(r, &in); err != nil {
		return nil, err
	}
	if in.Policy == nil { // {} in its place would be the policy that restricts nothing, and a slip of a program's would write it
		return nil, withStatus{http.StatusUnprocessableEntity, fault.New(fault.InvalidArgument, "the request has no policy, which is replaced as a whole", "give the one that was read, changed: {\"policy\":{…}}; {\"policy\":{}} restricts nothing").With("field", "policy")}
	}
	if err := matched(r, &in.IfVersion); err != nil {
		return nil, err
	}
	old, err := s.o.Vault.Resource(r.Context(), r.PathValue("handle"))
	if err != nil {
		return nil, err
	}
	if err := s.presentFor(r, audit.ResourcePolicy, old.Policy, *in.Policy); err != nil {
		return nil, err
	}
	e := vault.Edit{Policy: in.Policy, IfVersion: cmp.Or(in.IfVersion, old.Version), Why: in.Why} // what was compared is what is replaced
	res, err := s.o.Vault.EditResource(r.Context(), operator(r), old.ID, e)
	return s.shown(r, res, err)
}

func (s *Server) presentFor(r *http.Request, act audit.Action, old, fresh policy.Policy) error {
	if !policy.Widens(old, fresh) {
		return nil
	}
	return s.present(r, act)
}

func (s *Server) hostKey(r *http.Request) (any, error) {
	res, err := s.o.Vault.Resource(r.Context(), r.PathValue("handle"))
	if err != nil {
		return nil, err
	}
	keys, err := s.o.HostKeys.Scan(r.Context(), res)
	return page(keys, "", err)
}
