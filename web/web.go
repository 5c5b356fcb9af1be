// Package web is the operator's side over HTTP: the API that the command line speaks over the operator's socket, and health for whoever watches.
//
// Promise: it may seal and never open: its imports exclude vault/open, and no reply type has room for a value. Acts that reveal, approve
// or widen ask for proof of presence where one is set (docs/design.md §9). Every failure is a problem (RFC 9457) with a code of ours.
//
// Attacks stopped: the agent's own shell doing what only the operator may (threat-model.md 70): the operator's socket checks the peer's uid,
// and the acts of wall 4 ask for a proof of presence, by one table of all routes (acts.go); bodies that exhaust the daemon (67): limits and strict decoding; errors that echo (65).
package web

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/web/api"
)

// Vault is what the API needs of the vault (vault.Vault).
type Vault interface {
	AddResource(context.Context, vault.Actor, vault.NewResource) (vault.Resource, error)
	EditResource(context.Context, vault.Actor, string, vault.Edit) (vault.Resource, error)
	RenameResource(ctx context.Context, actor vault.Actor, ref, handle string) (vault.Resource, error)
	RemoveResource(context.Context, vault.Actor, string) (vault.Resource, error)
	RollbackResource(ctx context.Context, actor vault.Actor, ref string, version uint64, why string) (vault.Resource, error)
	Resource(context.Context, string) (vault.Resource, error)
	ListResources(context.Context, vault.Filter) ([]vault.Resource, string, error)
	History(context.Context, string) ([]vault.Version, error)
	AddAgent(context.Context, vault.Actor, vault.NewAgent) (vault.Agent, string, error)
	RemoveAgent(context.Context, vault.Actor, string) (vault.Agent, error)
	ListAgents(context.Context) ([]vault.Agent, error)
	Authenticate(ctx context.Context, token string) (vault.Agent, error)
	AddWorkdir(context.Context, vault.Actor, vault.NewWorkdir) (vault.Workdir, error)
	RemoveWorkdir(ctx context.Context, actor vault.Actor, ref string) (vault.Workdir, error)
	Workdirs(context.Context) ([]vault.Workdir, error)
	Servers(context.Context, vault.Actor) ([]vault.ServerView, error)
	Server(ctx context.Context, ref string) (vault.ServerView, error)
	Ports(ctx context.Context, ref string) (vault.ServerPorts, error)
	Reserves(context.Context) ([]vault.NamedReserve, error)
	EditReserve(ctx context.Context, actor vault.Actor, ref string, e vault.ReserveEdit) (vault.Reserve, error)
	ManageServer(ctx context.Context, actor vault.Actor, ref, intent string) (vault.Server, error)
	AdoptServer(ctx context.Context, actor vault.Actor, ref string, n vault.NewResource) (vault.Resource, error)
	Leases(context.Context, vault.Actor) ([]vault.Lease, error)
	Release(ctx context.Context, actor vault.Actor, leaseID string) (vault.Lease, error)
	Runs(context.Context, vault.Actor) ([]vault.Run, error)
	HasPresence(context.Context) (bool, error)
	CheckPresence(context.Context, vault.Actor, secret.Secret) error
	SetPresence(ctx context.Context, actor vault.Actor, fresh secret.Secret) error
	Presence(context.Context) (keyring.Presence, error)
	SetPresenceKey(ctx context.Context, actor vault.Actor, by, recipient, identity string, p keyring.Plugins) error
	DenyPresence(context.Context, vault.Actor) error
	Note(context.Context, audit.Event) error
	Projects
	Environments
	Approvals
	Intakes
	Calls
	Purger
	Importer
}

// Runs is a person's own runs (run.Engine). The plan of an open one writes itself: this package never holds what is in it.
type Runs interface {
	// Attend runs a confined one to its end, on the connection that upgrade gives once it is allowed and on record. An error before that is the answer.
	Attend(ctx context.Context, actor vault.Actor, in api.AttendRun, upgrade func() (net.Conn, error)) error
	OpenPlan(ctx context.Context, actor vault.Actor, refs, command []string) (io.WriterTo, error)
	EndOpen(ctx context.Context, actor vault.Actor, runID string, end api.EndRun) error
	// Held lists what runs wrote beside folders, Diff shows one run's; Keep and Discard say what becomes of it.
	Held(actor vault.Actor) ([]api.HeldChanges, error)
	Diff(ctx context.Context, actor vault.Actor, runID string, present bool) (api.ChangesDiff, error)
	Keep(ctx context.Context, actor vault.Actor, runID string, in api.KeepChanges) error
	Discard(ctx context.Context, actor vault.Actor, runID string) error
}

// Syncer is the provider's sync: its state, and a cycle now.
type Syncer interface {
	Info(context.Context) (api.SyncInfo, error)
	Now(ctx context.Context, confirmShrunk bool) (any, error)
}

// HostKeys looks at a server's host key for the operator's consent, without showing the address.
type HostKeys interface {
	Scan(ctx context.Context, r vault.Resource) ([]api.HostKey, error)
}

// Auditor lists, verifies and exports the audit log.
type Auditor interface {
	List(ctx context.Context, f audit.Filter) ([]audit.Record, string, error)
	Verify(ctx context.Context) (audit.Report, error)
	Export(ctx context.Context, w io.Writer) (audit.Report, error)
}

// Options wire a Server.
type Options struct {
	Vault     Vault
	Runs      Runs
	Sync      Syncer
	HostKeys  HostKeys
	Audit     Auditor
	Keys      Keys // nil: they cannot be changed here
	Backup    Backups
	Rotations Rotations       // nil: it exchanges no credentials
	Files     SecretFiles     // nil: no file is a home of resources
	Adoptions Adoptions       // nil: no projects are adopted
	Export    Exporter        // nil: nothing is exported
	VaultID   string          // names the vault's key in the system's keyring
	Plugins   keyring.Plugins // nil: no plugin's key proves presence
	Lock      Lock            // nil: the vault is not locked and unlocked here
	// Folder tells whether a path is a folder of this machine that may be opened to runs; force lets through what is dangerous and still possible. nil: none may.
	Folder func(path string, force bool) error
	// StopRun ends a run of anybody's, waits for it and gives its state. nil: none can be ended from here.
	StopRun func(ctx context.Context, actor vault.Actor, runID string) (vault.RunState, error)
	// PageURL is where this daemon's pages are served, without a slash at the end; nil or "": nowhere.
	PageURL func() string
	Status  func(context.Context) (api.Status, error)
	Stop    func()           // ends the daemon; nil: what started it stops it
	Log     *slog.Logger     // nil: nothing is logged
	Clock   func() time.Time // nil: time.Now
}

// Server answers the operator.
type Server struct {
	o         Options
	tickets   *tickets
	asked     challenges
	mux       *http.ServeMux
	served    map[string]bool
	backing   sync.Mutex // held while a backup is taken: each keeps a moment of the store alive
	importing sync.Mutex // held during an import: each has all of its values in memory
}

// New makes a Server.
func New(o Options) *Server {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{o: o, tickets: newTickets(o.Clock), asked: challenges{now: o.Clock, at: map[place]challenge{}}, mux: http.NewServeMux(), served: map[string]bool{}}
	for _, part := range []func(){s.resourceRoutes, s.versionRoutes, s.rotationRoutes, s.fileRoutes, s.backupRoutes, s.transferRoutes, s.agentRoutes, s.projectRoutes, s.adoptionRoutes, s.environmentRoutes, s.workdirRoutes, s.serverRoutes, s.leaseRoutes, s.approvalRoutes, s.intakeRoutes, s.runRoutes, s.changeRoutes, s.stopRoutes, s.auditRoutes, s.keyRoutes, s.lockRoutes, s.daemonRoutes} {
		part()
	}
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, fault.New(fault.InvalidArgument, "there is no such path or method in the API", "see `zavhoz --help`"))
	})
	return s
}

// ServeHTTP answers on the operator's socket. The caller has checked the peer's uid and put its process into the context (WithPeer).
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		switch p := recover(); {
		case p == nil:
		case p == http.ErrAbortHandler:
			panic(p)
		default: // of a panic only the type is logged: its text may hold a value
			s.o.Log.Error("panic", "method", r.Method, "route", r.Pattern, "type", fmt.Sprintf("%T", p))
			s.fail(w, r, errPanic{})
		}
	}()
	r.Body = http.MaxBytesReader(w, r.Body, limitOf(r))
	w.Header().Set("Cache-Control", "no-store")
	s.mux.ServeHTTP(w, r)
}

// errPanic stands for a panic whose text nobody may see.
type errPanic struct{}

func (errPanic) Error() string { return "panic" }

// handle wraps a function that gives a reply or an error.
func (s *Server) handle(pattern string, status int, fn func(r *http.Request) (any, error)) {
	s.judge(pattern, false)
	s.reply(pattern, status, fn)
}

// raw is handle for what writes its reply itself.
func (s *Server) raw(pattern string, fn http.HandlerFunc) {
	s.judge(pattern, false)
	s.mux.HandleFunc(pattern, fn)
}

func (s *Server) reply(pattern string, status int, fn func(r *http.Request) (any, error)) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		reply, err := fn(r)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		if t, ok := reply.(tagged); ok {
			w.Header().Set("ETag", etag(t.version))
			reply = t.body
		}
		writeJSON(w, status, reply)
	})
}

// guarded is handle for the acts of wall 4: they ask for presence where it is set, before anything is read.
func (s *Server) guarded(pattern string, status int, act audit.Action, fn func(r *http.Request) (any, error)) {
	s.judge(pattern, true)
	s.reply(pattern, status, func(r *http.Request) (any, error) {
		if err := s.present(r, act); err != nil {
			return nil, err
		}
		return fn(r)
	})
}

// page is a list as a reply: never null.
func page[T any](items []T, next string, err error) (any, error) {
	if items == nil {
		items = []T{}
	}
	return api.Page[T]{Items: items, Next: next}, err
}
