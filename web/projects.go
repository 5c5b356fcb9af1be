package web

import (
	"context"
	"net/http"
	"slices"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web/api"
)

// Projects is what the API needs of the vault for projects and their secrets (vault.Vault).
type Projects interface {
	AddProject(ctx context.Context, actor vault.Actor, slug, title string) (vault.Project, error)
	ListProjects(context.Context) ([]vault.Project, error)
	ViewProject(ctx context.Context, actor vault.Actor, ref string) (vault.ProjectView, error)
	EditProject(ctx context.Context, actor vault.Actor, ref string, e vault.ProjectEdit) (vault.ProjectView, error)
	MergeProjectSecrets(ctx context.Context, actor vault.Actor, ref string, m vault.SecretMerge) (vault.Merged, error)
	ProjectSecretKeys(ctx context.Context, actor vault.Actor, ref string) ([]string, error)
	AwaitedSecrets(ctx context.Context, actor vault.Actor, ref string) ([]string, error)
	ProjectSecrets(ctx context.Context, actor vault.Actor, ref string) (vault.Project, []vault.ProjectSecret, error)
	RemoveProjectSecret(ctx context.Context, actor vault.Actor, ref, name string, ifVersion *uint64) (vault.ProjectView, error)
	SecretHistory(ctx context.Context, actor vault.Actor, ref, name string) ([]vault.SecretMeta, error)
	PurgeProjectSecret(ctx context.Context, actor vault.Actor, ref, name string, p vault.Purge) (vault.SecretMeta, []uint64, error)
	RollbackProjectSecret(ctx context.Context, actor vault.Actor, ref, name string, version uint64, why string) (vault.SecretMeta, error)
}

// projectRoutes are for projects and their secrets: written, and never read. To replace, remove or bring back a value that is there is an act of a person on the
// operator's socket; a token with the scope write does it over HTTP, for that is what an orchestrator has it for.
func (s *Server) projectRoutes() {
	s.handle("GET /api/v1/projects", http.StatusOK, s.listProjects)
	s.handle("POST /api/v1/projects", http.StatusCreated, s.addProject)
	s.handle("GET /api/v1/projects/{id}", http.StatusOK, s.viewProject)
	s.handle("PATCH /api/v1/projects/{id}", http.StatusOK, s.editProject)
	s.handle("POST /api/v1/projects/{id}/config/secrets", http.StatusOK, s.mergeSecrets)
	s.handle("GET /api/v1/projects/{id}/config/secrets", http.StatusOK, s.listSecrets)
	s.handle("GET /api/v1/projects/{id}/config/secrets/keys", http.StatusOK, s.secretKeys)
	s.handle("GET /api/v1/projects/{id}/config/secrets/{key}/history", http.StatusOK, s.secretHistory)
	s.guarded("POST /api/v1/projects/{id}/config/secrets/{key}/rollback", http.StatusOK, audit.SecretRollback, s.rollbackSecret)
	s.guarded("POST /api/v1/projects/{id}/config/secrets/{key}/purge", http.StatusOK, audit.SecretPurge, s.purgeSecret)
	s.guarded("DELETE /api/v1/projects/{id}/config/secrets/{key}", http.StatusOK, audit.SecretRemove, s.removeSecret)
}

func (s *Server) listProjects(r *http.Request) (any, error) {
	ps, err := s.o.Vault.ListProjects(r.Context())
	if err != nil {
		return nil, err
	}
	if c := callerOf(r); c != nil {
		ps = slices.DeleteFunc(ps, func(p vault.Project) bool { return !c.within(p.Slug) })
	}
	return paged(r, ps, func(p vault.Project) string { return p.Slug })
}

func (s *Server) addProject(r *http.Request) (any, error) {
	var in api.NewProject
	if err := read(r, &in); err != nil {
		return nil, err
	}
	return s.o.Vault.AddProject(r.Context(), operator(r), in.Slug, in.Title)
}

func projectView(p vault.ProjectView, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	out := api.ProjectView{
		ID: p.ID, Slug: p.Slug, Title: p.Title, FormerID: p.Former, CreatedAt: p.CreatedAt, Version: p.Version, Keys: p.Keys,
		EnvHints: orEmpty(p.EnvHints), Config: orEmpty(p.Config),
	}
	return tagged{out, p.Version}, nil
}

func orEmpty[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return m
}

func (s *Server) viewProject(r *http.Request) (any, error) {
	return projectView(s.o.Vault.ViewProject(r.Context(), operator(r), r.PathValue("id")))
}

func (s *Server) editProject(r *http.Request) (any, error) {
	var in api.EditProject
	if err := read(r, &in); err != nil {
		return nil, err
	}
	e := vault.ProjectEdit{Title: in.Title, Config: in.Config, IfVersion: in.IfVersion}
	if err := ifMatch(r, &e.IfVersion); err != nil {
		return nil, err
	}
	if len(in.Config) > 0 { // it steers what a project is run with
		if err := s.present(r, audit.ProjectEdit); err != nil {
			return nil, err
		}
	}
	return projectView(s.o.Vault.EditProject(r.Context(), operator(r), r.PathValue("id"), e))
}

// mergeSecrets puts values into a project. What replaces a value that is there may be a poisoned one, and a new POSTGRES_HOST leads a password that is there to another
// machine: on the operator's socket that asks for presence, and where it is not proven only what a person is asked for is taken.
func (s *Server) mergeSecrets(r *http.Request) (any, error) {
	var in api.MergeSecrets
	defer func() { wipe(in.Secrets) }()
	if err := read(r, &in); err != nil {
		return nil, err
	}
	m := vault.SecretMerge{Secrets: make(map[string]vault.SecretChange, len(in.Secrets)), Hints: in.EnvHints, IfAbsent: in.IfAbsent, Purge: in.Purge, Why: in.Why}
	if err := ifMatch(r, &m.IfConfig); err != nil {
		return nil, err
	}
	for name, v := range in.Secrets {
		c := vault.SecretChange{Value: v.Secret, Type: vault.SecretType(in.Types[name])}
		if n, ok := in.Versions[name]; ok && n == nil {
			return nil, fault.New(fault.InvalidArgument, "a version is a number; 0: only where there is no such secret", "leave the name out for whatever there is")
		} else if ok {
			c.IfVersion = n
		}
		m.Secrets[name] = c
	}
	for _, names := range [][]string{keysOf(in.Types), keysOf(in.Versions)} {
		for _, name := range names {
			if _, given := in.Secrets[name]; !given {
				return nil, fault.New(fault.InvalidArgument, "types and versions speak of secrets that the request does not give", "")
			}
		}
	}
	if err := s.mayReplace(r, &m); err != nil {
		return nil, err
	}
	out, err := s.o.Vault.MergeProjectSecrets(r.Context(), operator(r), r.PathValue("id"), m)
	if err != nil {
		return nil, err
	}
	reply := api.Merged{Keys: out.Keys, Version: out.Version, Existed: out.Existed, Late: out.Late}
	for _, name := range keysOf(out.Known) {
		if out.Known[name].Check == vault.CheckUnverified {
			reply.Unverified = append(reply.Unverified, name)
		}
	}
	return tagged{reply, out.Version}, nil
}

func keysOf[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// mayReplace asks for presence where a merge does more than give what is awaited (vault.AwaitedSecrets), or changes a hint of anything else: by a hint a person is asked. What
// is new now must be so still when it is written.
func (s *Server) mayReplace(r *http.Request, m *vault.SecretMerge) error {
	if callerOf(r) != nil || len(m.Secrets) == 0 {
		return nil
	}
	if proven, err := s.proven(r); proven || err != nil {
		return err
	}
	if m.Purge { // it forgets
		return s.present(r, audit.SecretMerge)
	}
	keys, err := s.o.Vault.ProjectSecretKeys(r.Context(), operator(r), r.PathValue("id"))
	if err != nil {
		return err
	}
	awaited, err := s.o.Vault.AwaitedSecrets(r.Context(), operator(r), r.PathValue("id"))
	if err != nil {
		return err
	}
	for name := range m.Secrets {
		stays := m.IfAbsent && slices.Contains(keys, name)
		if !stays && !slices.Contains(awaited, name) {
			return s.present(r, audit.SecretMerge)
		}
	}
	for name := range m.Hints {
		if _, given := m.Secrets[name]; !given || !slices.Contains(awaited, name) {
			return s.present(r, audit.SecretMerge)
		}
	}
	for name, c := range m.Secrets {
		if none := uint64(0); c.IfVersion == nil && !m.IfAbsent {
			c.IfVersion = &none
			m.Secrets[name] = c
		}
	}
	return nil
}

func (s *Server) listSecrets(r *http.Request) (any, error) {
	_, all, err := s.o.Vault.ProjectSecrets(r.Context(), operator(r), r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	views := make([]api.ProjectSecret, 0, len(all))
	for _, x := range all {
		v := api.ProjectSecret{Name: x.Name, Filled: x.Filled, Hint: x.Hint}
		if x.Filled {
			v.SecretVersion = secretVersion(x.SecretMeta)
		}
		views = append(views, v)
	}
	return paged(r, views, func(v api.ProjectSecret) string { return v.Name })
}

func secretVersion(m vault.SecretMeta) api.SecretVersion {
	return api.SecretVersion{
		Version: m.Version, Type: string(m.Type), Length: m.Class, Check: m.Check, CreatedAt: m.CreatedAt, UpdatedAt: m.UpdatedAt, UpdatedBy: m.UpdatedBy, Why: m.Why,
	}
}

func (s *Server) secretKeys(r *http.Request) (any, error) {
	keys, err := s.o.Vault.ProjectSecretKeys(r.Context(), operator(r), r.PathValue("id"))
	return api.SecretKeys{Keys: keys}, err
}

func (s *Server) secretHistory(r *http.Request) (any, error) {
	rows, err := s.o.Vault.SecretHistory(r.Context(), operator(r), r.PathValue("id"), r.PathValue("key"))
	out := make([]api.SecretVersion, 0, len(rows))
	for _, m := range rows {
		out = append(out, secretVersion(m))
	}
	return page(out, "", err)
}

func (s *Server) rollbackSecret(r *http.Request) (any, error) {
	var in api.RollbackSecret
	if err := read(r, &in); err != nil {
		return nil, err
	}
	m, err := s.o.Vault.RollbackProjectSecret(r.Context(), operator(r), r.PathValue("id"), r.PathValue("key"), in.Version, in.Why)
	return secretVersion(m), err
}

// purgeSecret forgets earlier values for good: they are no longer masked where they may still stand.
func (s *Server) purgeSecret(r *http.Request) (any, error) {
	p, err := readPurge(r)
	if err != nil {
		return nil, err
	}
	_, gone, err := s.o.Vault.PurgeProjectSecret(r.Context(), operator(r), r.PathValue("id"), r.PathValue("key"), p)
	if err != nil {
		return nil, err
	}
	if gone == nil {
		gone = []uint64{}
	}
	return api.PurgedSecret{Name: r.PathValue("key"), Versions: gone}, nil
}

// removeSecret takes If-Match for the version of the secret itself.
func (s *Server) removeSecret(r *http.Request) (any, error) {
	var version *uint64
	if err := ifMatch(r, &version); err != nil {
		return nil, err
	}
	p, err := s.o.Vault.RemoveProjectSecret(r.Context(), operator(r), r.PathValue("id"), r.PathValue("key"), version)
	if err != nil {
		return nil, err
	}
	return tagged{api.SecretKeys{Keys: p.Keys}, p.Version}, nil
}
