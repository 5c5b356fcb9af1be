package web

import (
	"net/http"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web/api"
)

func (s *Server) serverRoutes() {
	s.handle("GET /api/v1/servers", http.StatusOK, s.listServers)
	s.handle("GET /api/v1/servers/{id}", http.StatusOK, s.showServer)
	s.handle("GET /api/v1/servers/{id}/ports", http.StatusOK, s.serverPorts)
	s.handle("POST /api/v1/servers/{id}/reserve", http.StatusOK, s.reserveServer)
	s.handle("GET /api/v1/reserves", http.StatusOK, s.listReserves)
	s.handle("POST /api/v1/reserves", http.StatusOK, s.reserveServer)
	s.handle("POST /api/v1/servers/sync", http.StatusOK, s.syncNow)
	s.guarded("POST /api/v1/servers/{id}/adopt", http.StatusCreated, audit.ServerAdopt, s.adoptServer)
	s.handle("POST /api/v1/servers/{id}/manage", http.StatusOK, s.manageServer)
}

// syncNow runs a cycle. With ?confirm_shrunk=true the operator says that what the shrink guard holds back is really gone: an agent's shell would make servers vanish so.
func (s *Server) syncNow(r *http.Request) (any, error) {
	query := r.URL.Query()
	said := query.Get("confirm_shrunk")
	if query.Has("confirm_shrunk") && said != "true" && said != "false" {
		return nil, fault.New(fault.InvalidArgument, "confirm_shrunk is true or false", "")
	}
	confirm := said == "true"
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
		CPU: v.CPU, RAMMB: v.RAMMB, DiskMB: v.DiskMB, UsedRAMMB: v.UsedRAMMB, UsedDiskMB: v.UsedDiskMB, ReservedCPU: v.ReservedCPU, ReservedRAMMB: v.ReservedRAMMB,
		ReservedDiskMB: v.ReservedDisk, KeptCPU: v.KeptCPU, KeptRAMMB: v.KeptRAMMB, KeptDiskMB: v.KeptDiskMB, FreeCPU: v.FreeCPU(), FreeRAMMB: v.FreeRAMMB(), FreeDiskMB: v.FreeDiskMB(),
		OS: v.OS, LastSeen: v.LastSeen,
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

func (s *Server) showServer(r *http.Request) (any, error) {
	v, err := s.o.Vault.Server(r.Context(), r.PathValue("id"))
	return serverView(v), err
}

func (s *Server) serverPorts(r *http.Request) (any, error) {
	return s.o.Vault.Ports(r.Context(), r.PathValue("id"))
}

func (s *Server) listReserves(r *http.Request) (any, error) {
	all, err := s.o.Vault.Reserves(r.Context())
	return page(all, "", err)
}

// reserveServer changes what is kept of one server, or of all. Ports that are kept besides those before narrow what agents get; anything else may widen it.
func (s *Server) reserveServer(r *http.Request) (any, error) {
	var in api.Reserve
	if err := read(r, &in); err != nil {
		return nil, err
	}
	e := vault.ReserveEdit{RAMMB: in.RAMMB, DiskMB: in.DiskMB, CPU: in.CPU, Reset: in.Reset}
	for _, p := range []struct {
		text string
		to   *vault.PortRanges
	}{{in.Keep, &e.Keep}, {in.Free, &e.Free}} {
		if err := p.to.UnmarshalText([]byte(p.text)); err != nil {
			return nil, err
		}
	}
	if in.Ports != nil {
		e.Ports = new(vault.PortRanges)
		if err := e.Ports.UnmarshalText([]byte(*in.Ports)); err != nil {
			return nil, err
		}
	}
	if !e.Narrows() {
		if err := s.present(r, audit.ServerReserve); err != nil {
			return nil, err
		}
	}
	return s.o.Vault.EditReserve(r.Context(), operator(r), r.PathValue("id"), e)
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
