package web

import (
	"net/http"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/web/api"
)

func (s *Server) serverRoutes() {
	s.handle("GET /api/v1/servers", http.StatusOK, s.listServers)
	s.handle("POST /api/v1/servers/sync", http.StatusOK, s.syncNow)
	s.guarded("POST /api/v1/servers/{id}/adopt", http.StatusCreated, audit.ServerAdopt, s.adoptServer)
	s.handle("POST /api/v1/servers/{id}/manage", http.StatusOK, s.manageServer)
}

// syncNow runs a cycle. With ?confirm_shrunk=true the operator says that what the shrink guard holds back is really gone: an agent's shell would make servers vanish so.
func (s *Server) syncNow(r *http.Request) (any, error) {
	confirm := r.URL.Query().Get("confirm_shrunk") == "true"
	if confirm {
		if err := s.present(r, audit.ServerSync); err != nil {
			return nil, err
		}
	}
	return s.o.Sync.Now(r.Context(), confirm)
}

func serverView(v vault.ServerView) api.Server {
	out := api.Server{
		ID: v.ID, Handle: v.Handle, Provider: v.Provider, ProviderID: v.ProviderID, Status: v.Status, IsManaged: v.IsManaged, Ghost: v.Ghost, Intent: v.Intent,
		CPU: v.CPU, RAMMB: v.RAMMB, DiskMB: v.DiskMB, FreeRAMMB: v.FreeRAMMB(), FreeDiskMB: v.FreeDiskMB(), OS: v.OS, LastSeen: v.LastSeen,
	}
	if v.Age >= 0 {
		age := int64(v.Age.Seconds())
		out.AgeS = &age
	}
	return out
}

func (s *Server) listServers(r *http.Request) (any, error) {
	vs, err := s.o.Vault.Servers(r.Context(), operator(r))
	if err != nil {
		return nil, err
	}
	info, err := s.o.Sync.Info(r.Context())
	reply := api.Servers{Items: make([]api.Server, 0, len(vs)), Sync: info}
	for _, v := range vs {
		reply.Items = append(reply.Items, serverView(v))
	}
	return reply, err
}

func (s *Server) adoptServer(r *http.Request) (any, error) {
	var in api.Adopt
	if err := read(r, &in); err != nil {
		return nil, err
	}
	defer wipe(in.Secrets)
	n := vault.NewResource{Handle: in.Handle, Attrs: in.Attrs, Secrets: api.Secrets(in.Secrets), Labels: in.Labels, Project: in.Project}
	return viewed(s.o.Vault.AdoptServer(r.Context(), operator(r), r.PathValue("id"), n))
}

// manageServer records the intent. Managing widens what agents see, and so may following the configuration; "no" narrows.
func (s *Server) manageServer(r *http.Request) (any, error) {
	var in api.Manage
	if err := read(r, &in); err != nil {
		return nil, err
	}
	if in.Intent != "no" {
		if err := s.present(r, audit.ServerManage); err != nil {
			return nil, err
		}
	}
	srv, err := s.o.Vault.ManageServer(r.Context(), operator(r), r.PathValue("id"), in.Intent)
	return serverView(vault.ServerView{Server: srv, Age: -1}), err
}
