package web

import (
	"context"
	"crypto/rand"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/zavhoz/zavhoz/mcp"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/id"
)

// Door is the HTTP door that the API shares with MCP (mcp.Server): one guard, one crowd of connections, one count of calls.
type Door interface {
	// Admit checks how a request came: clear text, host, origin.
	Admit(*http.Request) *fault.Error
	// Seat makes the request's connection that of who showed a token.
	Seat(r *http.Request, who string) *fault.Error
	// Enter counts a call against its limits; leave ends it.
	Enter(mcp.Agent) (leave func(), f *fault.Error)
}

// Bounds of one request over HTTP.
const (
	bodyTime  = 10 * time.Second
	replyTime = 30 * time.Second // of a refusal
	workTime  = 5 * time.Minute  // of what a known caller may have: a cycle of sync, the export of the audit log
)

// caller is who comes over HTTP with an operator's token.
type caller struct {
	agent vault.Agent
	actor vault.Actor
}

type callerKey struct{}

// callerOf gives who came with a token; nil for who came by the operator's socket.
func callerOf(r *http.Request) *caller {
	c, _ := r.Context().Value(callerKey{}).(*caller)
	return c
}

// operator is who acts: the token's owner, or whoever is at the operator's socket.
func operator(r *http.Request) vault.Actor {
	if c := callerOf(r); c != nil {
		return c.actor
	}
	return vault.OperatorActor()
}

// within tells whether a token reaches a project.
func (c *caller) within(project string) bool {
	return c.everywhere() || slices.Contains(c.agent.Grants.Projects, project)
}

func (c *caller) everywhere() bool { return slices.Contains(c.agent.Grants.Projects, "*") }

// HTTP serves the API to bearers of operators' tokens, behind the guard of a door. What is done with presence is not done here: a token says which program comes, and
// not that a person does.
//
// counted wraps what is done for who may do it, and counts as use of the vault; a look at its health does not.
//
// The order matters, as at MCP's door: who may speak at all, then who speaks, then whether they may, and only then a byte of the body.
func (s *Server) HTTP(d Door, counted func(http.Handler) http.Handler) http.Handler {
	used := counted(s)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		defer func() { _ = rc.SetWriteDeadline(time.Time{}) }() // it belongs to the connection, and would cut the next reply
		_ = rc.SetWriteDeadline(time.Now().Add(replyTime))
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Request-Id", requestID(r))
		if f := d.Admit(r); f != nil {
			s.fail(w, r, f)
			return
		}
		c, err := s.bearer(r)
		if err != nil {
			w.Header().Set("Connection", "close") // each guess costs a connection
			s.fail(w, r, err)
			return
		}
		if f := d.Seat(r, c.agent.ID); f != nil {
			w.Header().Set("Connection", "close")
			s.fail(w, r, f)
			return
		}
		leave, f := d.Enter(mcp.Agent{ID: c.agent.ID, Name: c.agent.Name, PerMinute: c.agent.Rate.PerMinute, Concurrent: c.agent.Rate.Concurrent})
		if f != nil {
			s.fail(w, r, f)
			return
		}
		defer leave()
		r = r.WithContext(context.WithValue(r.Context(), callerKey{}, c))
		if err := s.admit(w, r, c); err != nil {
			s.fail(w, r, err)
			return
		}
		_ = rc.SetReadDeadline(time.Now().Add(bodyTime))
		_ = rc.SetWriteDeadline(time.Now().Add(workTime))
		if _, pattern := s.mux.Handler(r); pattern == "GET /api/v1/health" {
			s.ServeHTTP(w, r)
		} else {
			used.ServeHTTP(w, r)
		}
		_ = rc.SetReadDeadline(time.Time{})
	})
}

// requestID is the caller's own, where it is one that a log can hold: 8 to 64 letters, digits, `.`, `_` and `-`.
func requestID(r *http.Request) string {
	own := r.Header.Values("X-Request-Id")
	odd := func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("._-", c)
	}
	if len(own) == 1 && len(own[0]) >= 8 && len(own[0]) <= 64 && !strings.ContainsFunc(own[0], odd) {
		return own[0]
	}
	return rand.Text()[:16]
}

var errNoToken = fault.New(fault.Unauthenticated, "the API needs an operator's token", "send Authorization: Bearer zvh_op_…; a person makes one with `zavhoz agent add NAME --role operator`")

// bearer finds who a request comes from. A guess of the right shape is on record (vault.Authenticate), folded with those like it.
func (s *Server) bearer(r *http.Request) (*caller, error) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return nil, errNoToken
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	token = strings.TrimSpace(token)
	if k, err := id.CheckToken(token); !strings.EqualFold(scheme, "Bearer") || err != nil || k != id.OperatorToken {
		return nil, errNoToken
	}
	a, err := s.o.Vault.Authenticate(r.Context(), token)
	switch {
	case err != nil:
		return nil, err
	case a.Role != vault.RoleOperator:
		return nil, errNoToken
	}
	return &caller{agent: a, actor: vault.Actor{Type: audit.Operator, ID: a.ID, Name: a.Name, Door: "http"}}, nil
}

// admit holds a request against what its route and its token allow.
func (s *Server) admit(w http.ResponseWriter, r *http.Request, c *caller) error {
	_, pattern := s.mux.Handler(r)
	if pattern == "" || pattern == "/" {
		return s.nowhere(w, r)
	}
	over := overHTTP[pattern]
	switch {
	case over.scope == "":
		return s.refuse(r, c, fault.New(fault.NotPermitted, "this is done on the operator's own socket, never over HTTP", "run the command of zavhoz on its machine"))
	case !c.agent.Allows(over.scope):
		return s.refuse(r, c, fault.New(fault.NotPermitted, "the token has not the scope "+string(over.scope), "a person makes one that has it: `zavhoz agent add NAME --role operator --scope "+string(over.scope)+"`"))
	case over.reach == ofVault && !c.everywhere():
		return s.refuse(r, c, fault.New(fault.NotPermitted, "the token is bound to projects, and this is of the whole vault", "use one that is not"))
	}
	for name, values := range r.URL.Query() {
		if !slices.Contains(over.query, name) || len(values) > 1 {
			return fault.New(fault.InvalidArgument, "the request has a query parameter that this path has not, or has it twice", "see the API's description")
		}
	}
	if r.Method != http.MethodGet && r.ContentLength != 0 && !mcp.JSONBody(r) {
		return withStatus{http.StatusUnsupportedMediaType, fault.New(fault.InvalidArgument, "the body must be application/json", "")}
	}
	if over.reach == ofResource {
		return s.reaches(r, c)
	}
	return nil
}

// refuse records what a token tried.
func (s *Server) refuse(r *http.Request, c *caller, f *fault.Error) error {
	e := audit.Event{Actor: c.actor, Action: audit.APIRequest, Outcome: audit.Denied, Code: string(f.Code)}
	if err := s.o.Vault.Note(r.Context(), e); err != nil {
		return err
	}
	return f
}

// reaches holds a token that is bound to projects against the resource that a path names: outside of them there is none.
func (s *Server) reaches(r *http.Request, c *caller) error {
	_, pattern := s.mux.Handler(r)
	if c.everywhere() || !strings.Contains(pattern, "{handle}") {
		return nil
	}
	ref, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/api/v1/resources/"), "/")
	res, err := s.o.Vault.Resource(r.Context(), ref)
	if err == nil && !c.within(res.Project) || fault.CodeOf(err) == fault.UnknownResource {
		return s.refuse(r, c, fault.New(fault.UnknownResource, "there is no such resource, or the token does not reach it", ""))
	}
	return err
}

// withStatus is an error whose status is not its code's.
type withStatus struct {
	code int
	error
}

// Unwrap gives the fault.
func (s withStatus) Unwrap() error { return s.error }

// nowhere answers for paths and methods that are not served.
func (s *Server) nowhere(w http.ResponseWriter, r *http.Request) error {
	var allow []string
	at := "" // the path itself, and none that has a hole in its place
	for _, m := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
		other := r.Clone(r.Context())
		other.Method = m
		_, pattern := s.mux.Handler(other)
		_, path, _ := strings.Cut(pattern, " ")
		switch holes := strings.Count(path, "{"); {
		case overHTTP[pattern].scope == "" || at != "" && holes > strings.Count(at, "{"):
		case at != "" && path == at:
			allow = append(allow, m)
		default:
			at, allow = path, []string{m}
		}
	}
	if len(allow) == 0 {
		return withStatus{http.StatusNotFound, fault.New(fault.NotSupported, "there is no such path in the API", "GET /api/v1/openapi.json describes those that there are")}
	}
	w.Header().Set("Allow", strings.Join(allow, ", "))
	return withStatus{http.StatusMethodNotAllowed, fault.New(fault.NotSupported, "this path does not have this method", "see the reply's Allow header")}
}

func retryAfter(w http.ResponseWriter, f *fault.Error) {
	if wait, ok := f.Details["retry_after_s"].(int); ok {
		w.Header().Set("Retry-After", strconv.Itoa(wait))
	}
}
