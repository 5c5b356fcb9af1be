package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/mcp"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web"
	"github.com/zavhoz/zavhoz/web/api"
)

// nobody is the identity of an MCP door that has no agents: the tests come to the API beside it.
type nobody struct{}

func (nobody) Authenticate(context.Context, string) (mcp.Agent, error) {
	return mcp.Agent{}, fault.New(fault.Unauthenticated, "nobody", "")
}

func (nobody) Local(context.Context) (mcp.Agent, error) { return nobody{}.Authenticate(ctx, "") }

// street is the API on a real TCP listener, behind the real guard.
type street struct {
	*house
	url  string
	used int
	mu   sync.Mutex
}

func (h *house) street(l mcp.Limits) *street {
	h.t.Helper()
	door, err := mcp.New(mcp.Options{Identity: nobody{}, Limits: l, Clock: h.clock})
	must(h.t, err)
	s := &street{house: h}
	mux := http.NewServeMux()
	counted := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.mu.Lock()
			s.used++
			s.mu.Unlock()
			next.ServeHTTP(w, r)
		})
	}
	mux.Handle("/api/v1/", h.web.HTTP(door, counted))
	mux.Handle("/intake/", h.web.Pages(door, counted))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(h.t, err)
	s.url = "http://" + listener.Addr().String()
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ConnContext: door.ConnContext}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(door.Bound(listener)) }()
	h.t.Cleanup(func() {
		must(h.t, srv.Close())
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			h.t.Error(err)
		}
	})
	return s
}

// bearer is a client with a token.
func (s *street) bearer(n vault.NewAgent) *walker {
	s.t.Helper()
	n.Role = vault.RoleOperator
	_, token, err := s.AddAgent(ctx, operator, n)
	must(s.t, err)
	return s.with("Bearer " + token)
}

func (s *street) with(authorization string) *walker {
	w := &walker{s: s, header: http.Header{"Content-Type": {"application/json"}}, http: &http.Client{Transport: &http.Transport{}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	if authorization != "" {
		w.header.Set("Authorization", authorization)
	}
	s.t.Cleanup(w.http.CloseIdleConnections)
	return w
}

type walker struct {
	s      *street
	header http.Header
	http   *http.Client
}

func (w *walker) do(method, path, body string, header ...string) answer {
	w.s.t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, w.s.url+"/api/v1"+path, strings.NewReader(body))
	must(w.s.t, err)
	req.Header = w.header.Clone()
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := w.http.Do(req)
	must(w.s.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(w.s.t, err)
	hunt(w.s.t, method+" "+path, string(b)+fmt.Sprint(resp.Header))
	if resp.StatusCode == http.StatusUnauthorized && !resp.Close {
		w.s.t.Errorf("%s %s: the connection stays open after a guess", method, path)
	}
	if resp.Header.Get("X-Request-Id") == "" || resp.Header.Get("Cache-Control") != "no-store" || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
		w.s.t.Errorf("%s %s: headers %v", method, path, resp.Header)
	}
	return answer{resp.StatusCode, resp.Header, string(b)}
}

func (w *walker) ok(method, path, body string, header ...string) answer {
	w.s.t.Helper()
	a := w.do(method, path, body, header...)
	if a.status >= 300 {
		w.s.t.Fatalf("%s %s: %d %s", method, path, a.status, a.body)
	}
	return a
}

func (w *walker) refused(code fault.Code, status int, method, path, body string, header ...string) answer {
	w.s.t.Helper()
	a := w.do(method, path, body, header...)
	var p api.Problem
	if err := json.Unmarshal([]byte(a.body), &p); err != nil || p.Code != string(code) || p.Status != status || a.status != status || p.Request != a.header.Get("X-Request-Id") || a.header.Get("Content-Type") != "application/problem+json" {
		w.s.t.Errorf("%s %s %.100s: %d %s %s, want %d %s", method, path, body, a.status, a.header.Get("Content-Type"), a.body, status, code)
	}
	return a
}

// TestSecretsOverHTTP is what an orchestrator does: it makes a project, puts secrets into it, and reads names.
func TestSecretsOverHTTP(t *testing.T) {
	s := newHouse(t).street(mcp.Limits{})
	w := s.bearer(vault.NewAgent{Name: "orchestrator"})
	made := w.ok("POST", "/projects", `{"slug":"bot","title":"The bot"}`)
	at := "/projects/" + made.get("id").(string)
	a := w.ok("POST", at+"/config/secrets", `{"secrets":{"TELEGRAM_BOT_TOKEN":"`+botToken+`","DB_PASSWORD":"`+password+`"},"env_hints":{"DB_PASSWORD":"of the database"}}`)
	if a.body != `{"keys":["DB_PASSWORD","TELEGRAM_BOT_TOKEN"],"version":1,"unverified":["TELEGRAM_BOT_TOKEN"]}`+"\n" || a.header.Get("ETag") != `"v1"` {
		t.Errorf("%s %v", a.body, a.header)
	}
	if a = w.ok("POST", "/projects/bot/config/secrets", `{"secrets":{"EXTRA":"`+canary+`"}}`); a.body != `{"keys":["DB_PASSWORD","EXTRA","TELEGRAM_BOT_TOKEN"],"version":2}`+"\n" {
		t.Errorf("by slug: %s", a.body)
	}
	if a = w.ok("GET", at+"/config/secrets/keys", ""); a.body != `{"keys":["DB_PASSWORD","EXTRA","TELEGRAM_BOT_TOKEN"]}`+"\n" {
		t.Errorf("keys: %s", a.body)
	}
	if a = w.ok("POST", "/intakes", `{"project":"bot","key":"EXTRA","reason":"it is there"}`); a.get("state") != "given" || a.get("id") != "" || a.get("command") != "" {
		t.Errorf("nobody is asked for what is there: %s", a.body)
	}
	w.ok("POST", at+"/config/secrets", `{"secrets":{"EXTRA":"replaced"},"types":{"EXTRA":"infra"},"versions":{"EXTRA":2}}`)
	w.refused(fault.VersionConflict, 412, "POST", at+"/config/secrets", `{"secrets":{"EXTRA":"x"},"versions":{"EXTRA":2}}`)
	w.refused(fault.NameTaken, 409, "POST", at+"/config/secrets", `{"secrets":{"EXTRA":"x"},"versions":{"EXTRA":0}}`)
	if a = w.ok("POST", at+"/config/secrets", `{"secrets":{"EXTRA":"x"},"if_absent":true}`); fmt.Sprint(a.get("existed")) != "[EXTRA]" {
		t.Errorf("if absent: %s", a.body)
	}
	for body, want := range map[string]struct {
		code   fault.Code
		status int
	}{
		`{"secrets":{}}`:                                       {fault.SecretMissing, 422},
		`{}`:                                                   {fault.SecretMissing, 422},
		`{"secrets":{"A":""}}`:                                 {fault.SecretInvalid, 422},
		`{"secrets":{"A-B":"x"}}`:                              {fault.InvalidArgument, 400},
		`{"secrets":{"A":1}}`:                                  {fault.InvalidArgument, 400},
		`{"secrets":{"A":"x"},"b":1}`:                          {fault.InvalidArgument, 400},
		`{"secrets":{"A":"x","A":"y"}}`:                        {fault.InvalidArgument, 400},
		`{"secrets":{"A":"x"},"secrets":{"A":"x"}}`:            {fault.InvalidArgument, 400},
		`{"secrets":{"A":"x"},"versions":{"B":1}}`:             {fault.InvalidArgument, 400},
		`{"secrets":{"A":"x"},"versions":{"A":null}}`:          {fault.InvalidArgument, 400},
		`{"secrets":{"A":"x"},"types":{"A":"mine"}}`:           {fault.InvalidArgument, 400},
		`{"secrets":{"TELEGRAM_BOT_TOKEN":"no token at all"}}`: {fault.SecretInvalid, 422},
		`{"secrets":{"A":"x"}} trailing`:                       {fault.InvalidArgument, 400},
		`[]`:                                                   {fault.InvalidArgument, 400},
		``:                                                     {fault.InvalidArgument, 400},
	} {
		w.refused(want.code, want.status, "POST", at+"/config/secrets", body)
	}
	w.refused(fault.UnknownProject, 404, "POST", "/projects/none/config/secrets", `{"secrets":{"A":"x"}}`)
	w.refused(fault.TooLarge, 413, "POST", at+"/config/secrets", `{"secrets":{"A":"`+strings.Repeat("x", 4<<20)+`"}}`)
	w.refused(fault.UnknownSecret, 404, "DELETE", at+"/config/secrets/NONE", "")
	w.ok("DELETE", at+"/config/secrets/TELEGRAM_BOT_TOKEN", "")
	rows := w.ok("GET", at+"/config/secrets/EXTRA/history", "")
	if !strings.Contains(rows.body, `"version":3,"type":"infra"`) || !strings.Contains(rows.body, `"version":2,"type":"user"`) || !strings.Contains(rows.body, `"updated_by":"orchestrator"`) {
		t.Errorf("history: %s", rows.body)
	}
	w.ok("POST", at+"/config/secrets/EXTRA/rollback", `{"version":2}`)
	list := w.ok("GET", at+"/config/secrets", "")
	if !strings.Contains(list.body, `{"name":"DB_PASSWORD","filled":true,"hint":"of the database","version":1,"type":"user","length":"medium"`) {
		t.Errorf("list: %s", list.body)
	}
	log, st := s.Audit()
	rs, _, err := auditor{log, st}.List(ctx, audit.Filter{Action: audit.SecretMerge, Actor: "orchestrator", Outcome: audit.Allowed})
	must(t, err)
	if len(rs) != 3 || rs[0].Actor.Door != "http" || rs[0].Actor.Type != audit.Operator || !strings.HasPrefix(rs[0].Actor.ID, "agt_") {
		t.Errorf("on record: %+v", rs)
	}
}

// TestETags: a change that was decided on another state is refused.
func TestETags(t *testing.T) {
	s := newHouse(t).street(mcp.Limits{})
	w := s.bearer(vault.NewAgent{Name: "o"})
	w.ok("POST", "/projects", `{"slug":"bot"}`)
	first := w.ok("GET", "/projects/bot", "").header.Get("ETag")
	if first != `"v0"` {
		t.Errorf("a new project's tag is %s", first)
	}
	w.ok("PATCH", "/projects/bot", `{"config":{"modules":["backend"]}}`, "If-Match", first)
	w.refused(fault.InvalidArgument, 400, "PATCH", "/projects/bot", `{"title":"T"}`, "If-Match", "v1")
	w.refused(fault.InvalidArgument, 400, "PATCH", "/projects/bot", `{"title":"T"}`, "If-Match", "")
	for _, tag := range []string{first, `"v7"`, `W/"v1"`, `"v1", "v2"`, `"v01"`, `"x"`} {
		w.refused(fault.VersionConflict, 412, "PATCH", "/projects/bot", `{"title":"T"}`, "If-Match", tag)
		w.refused(fault.VersionConflict, 412, "POST", "/projects/bot/config/secrets", `{"secrets":{"A":"x"}}`, "If-Match", tag)
	}
	w.refused(fault.InvalidArgument, 400, "PATCH", "/projects/bot", `{"title":"T","if_version":2}`, "If-Match", `"v1"`)
	w.ok("PATCH", "/projects/bot", `{"title":"T"}`, "If-Match", "*")
	w.ok("POST", "/projects/bot/config/secrets", `{"secrets":{"A":"x"}}`, "If-Match", `"v2"`)
	w.refused(fault.VersionConflict, 412, "DELETE", "/projects/bot/config/secrets/A", "", "If-Match", `"v1"`)
	w.ok("DELETE", "/projects/bot/config/secrets/A", "", "If-Match", `"v3"`)

	tag := w.ok("POST", "/resources", newBot).header.Get("ETag")
	w.ok("PATCH", "/resources/bot", `{"why":"x"}`, "If-Match", tag)
	w.refused(fault.VersionConflict, 412, "PATCH", "/resources/bot", `{"why":"y"}`, "If-Match", tag)
	w.refused(fault.VersionConflict, 412, "PUT", "/resources/bot/policy", `{"policy":{}}`, "If-Match", tag)
}

// TestAttack70_TokensAreNoPersons: whatever asks for presence is refused over HTTP, set or not; what is a person's is not served; and each refusal of a scope is on record.
func TestAttack70_TokensAreNoPersons(t *testing.T) {
	h, server := guardedHouse(t)
	s := h.street(mcp.Limits{})
	all := s.bearer(vault.NewAgent{Name: "all", Scopes: []vault.Scope{vault.ScopeRead, vault.ScopeWrite, vault.ScopeAdmin}})
	none := map[vault.Scope]*walker{
		vault.ScopeRead:  s.bearer(vault.NewAgent{Name: "no-read", Scopes: []vault.Scope{vault.ScopeWrite, vault.ScopeAdmin}}),
		vault.ScopeWrite: s.bearer(vault.NewAgent{Name: "no-write", Scopes: []vault.Scope{vault.ScopeRead, vault.ScopeAdmin}}),
		vault.ScopeAdmin: s.bearer(vault.NewAgent{Name: "no-admin"}),
	}
	fill := strings.NewReplacer("{handle}", "bot", "{id}", server, "{slot}", "spare", "{run}", "run_held", "{workdir}", "w", "{name}", "local", "{key}", "A", "{file}", "f")
	for pattern, a := range web.Table() {
		verb, path, _ := strings.Cut(pattern, " ")
		path = strings.TrimPrefix(fill.Replace(path), "/api/v1")
		scope, acts, decided := web.OverHTTP(pattern)
		switch {
		case !decided:
			t.Errorf("%s: nobody decided what a token may do (web/reach.go)", pattern)
		case scope == "":
			all.refused(fault.NotPermitted, 403, verb, path, "this is not even JSON")
		default:
			none[scope].refused(fault.NotPermitted, 403, verb, path, "this is not even JSON")
			if a.Rule == web.Always && !acts {
				t.Errorf("%s: always asks for presence, and is served over HTTP", pattern)
			}
		}
	}
	for _, x := range widening {
		verb, path := x.method, strings.Replace(x.path, "SERVER", server, 1)
		route := verb + " /api/v1" + path
		for pattern := range web.Table() {
			if scope, acts, _ := web.OverHTTP(pattern); scope != "" && !acts && matches(pattern, strings.SplitN(route, "?", 2)[0]) {
				all.refused(fault.PresenceRequired, 403, verb, path, x.body)
			}
		}
	}
	must(t, h.Noted(ctx))
	log, st := h.Audit()
	rs, _, err := auditor{log, st}.List(ctx, audit.Filter{Action: audit.APIRequest, Actor: "no-admin", Outcome: audit.Denied})
	must(t, err)
	if len(rs) == 0 || rs[0].Code != string(fault.NotPermitted) {
		t.Errorf("refusals on record: %+v", rs)
	}
}

// TestAttack53_WhoIsLetInOverHTTP: no token, an agent's, a removed one, one of another shape, two of them: all the same answer; a page's Origin and a strange Host never
// get so far.
func TestAttack53_WhoIsLetInOverHTTP(t *testing.T) {
	s := newHouse(t).street(mcp.Limits{})
	_, agent, err := s.AddAgent(ctx, operator, vault.NewAgent{Name: "agent"})
	must(t, err)
	_, gone, err := s.AddAgent(ctx, operator, vault.NewAgent{Name: "gone", Role: vault.RoleOperator})
	must(t, err)
	_, err = s.RemoveAgent(ctx, operator, "gone")
	must(t, err)
	for _, authorization := range []string{"", "Bearer", "Bearer ", "Bearer " + agent, "Bearer " + gone, "Basic " + gone, gone, "Bearer " + gone[:len(gone)-1] + "x", "Bearer " + strings.Repeat("a", 8000)} {
		a := s.with(authorization).refused(fault.Unauthenticated, 401, "GET", "/projects", "")
		if a.header.Get("WWW-Authenticate") == "" || strings.Contains(a.body, gone) {
			t.Errorf("%.20q: %v", authorization, a.header)
		}
	}
	w := s.bearer(vault.NewAgent{Name: "o"})
	w.refused(fault.NotPermitted, 403, "GET", "/projects", "", "Origin", "https://evil.example")
	w.refused(fault.NotPermitted, 403, "GET", "/projects", "", "Sec-Fetch-Site", "cross-site")
	w.refused(fault.InvalidArgument, 415, "POST", "/projects", `{"slug":"bot"}`, "Content-Type", "text/plain")
	w.refused(fault.NotSupported, 404, "GET", "/none", "")
	for path, want := range map[string]string{"/projects": "GET, POST", "/agents": "GET", "/projects/bot/config/secrets/keys": "GET", "/servers/sync": "POST", "/resources/bot": "GET, PATCH"} {
		if a := w.refused(fault.NotSupported, 405, "OPTIONS", path, ""); a.header.Get("Allow") != want {
			t.Errorf("%s allows %s, want %s", path, a.header.Get("Allow"), want)
		}
	}
	for _, odd := range []string{"/projects?limt=3", "/projects?limit=3&limit=4", "/projects?cursor=&cursor="} {
		w.refused(fault.InvalidArgument, 400, "GET", odd, "")
	}
	for _, odd := range []string{"", "null", "yes", "True"} {
		w.refused(fault.InvalidArgument, 400, "POST", "/servers/sync?confirm_shrunk="+odd, "")
	}
	if a := w.ok("GET", "/health", "", "X-Request-Id", "my-request-0001"); a.header.Get("X-Request-Id") != "my-request-0001" {
		t.Errorf("%v", a.header)
	}
	if a := w.ok("GET", "/health", "", "X-Request-Id", "bad id\tx"); a.header.Get("X-Request-Id") == "bad id\tx" {
		t.Errorf("%v", a.header)
	}
	must(t, s.Noted(ctx))
	s.pass(2 * time.Minute)
	log, st := s.Audit()
	rs, _, err := auditor{log, st}.List(ctx, audit.Filter{Action: audit.AgentLogin, Outcome: audit.Denied})
	must(t, err)
	if len(rs) == 0 || rs[0].Actor.Name != "unknown" {
		t.Errorf("guesses on record: %+v", rs)
	}
}

// TestAttack67_TokensAreCounted: calls beyond a token's rate are turned away, and told for how long.
func TestAttack67_TokensAreCounted(t *testing.T) {
	s := newHouse(t).street(mcp.Limits{})
	w := s.bearer(vault.NewAgent{Name: "slow", Rate: vault.Rate{PerMinute: 3}})
	for range 3 {
		w.ok("GET", "/health", "")
	}
	if s.used != 0 {
		t.Error("a look at the health counts as use of the vault")
	}
	if a := w.refused(fault.RateLimited, 429, "GET", "/projects", ""); a.header.Get("Retry-After") == "" {
		t.Errorf("%v", a.header)
	}
	s.pass(time.Minute)
	w.ok("GET", "/projects", "")
	if s.used != 1 {
		t.Errorf("used %d times", s.used)
	}
}

// TestTokensBoundToProjects: outside of its projects there is nothing for a token.
func TestTokensBoundToProjects(t *testing.T) {
	h := newHouse(t)
	h.fill(h.sit(1))
	s := h.street(mcp.Limits{})
	w := s.bearer(vault.NewAgent{Name: "bound", Grants: vault.Grants{Projects: []string{"other"}}, Scopes: []vault.Scope{vault.ScopeRead, vault.ScopeWrite, vault.ScopeAdmin}})
	if a := w.ok("GET", "/projects", ""); strings.Contains(a.body, "default") || !strings.Contains(a.body, `"other"`) {
		t.Errorf("%s", a.body)
	}
	if a := w.ok("GET", "/resources", ""); a.body != `{"items":[]}`+"\n" {
		t.Errorf("%s", a.body)
	}
	w.ok("POST", "/resources", strings.Replace(strings.Replace(newBot, `"bot"`, `"bot2"`, 1), `{"kind"`, `{"project":"other","kind"`, 1))
	w.ok("GET", "/resources/bot2", "")
	for _, ref := range []string{"bot", "none"} {
		w.refused(fault.UnknownResource, 404, "GET", "/resources/"+ref, "")
		w.refused(fault.UnknownResource, 404, "PATCH", "/resources/"+ref, `{"why":"x"}`)
		w.refused(fault.UnknownResource, 404, "GET", "/resources/"+ref+"/history", "")
	}
	w.refused(fault.PresenceRequired, 403, "PATCH", "/resources/bot2", `{"secrets":{"token":"`+botToken+`"}}`) // though nothing proves it in this vault
	w.refused(fault.UnknownProject, 404, "POST", "/resources", newBot)
	w.refused(fault.UnknownProject, 404, "GET", "/projects/default", "")
	w.refused(fault.UnknownProject, 404, "POST", "/projects/default/config/secrets", `{"secrets":{"A":"x"}}`)
	w.refused(fault.NotPermitted, 403, "POST", "/projects", `{"slug":"fresh"}`)
	for _, path := range []string{"/runs", "/agents", "/servers", "/audit", "/status"} {
		w.refused(fault.NotPermitted, 403, "GET", path, "")
	}
}

func TestPagesOverHTTP(t *testing.T) {
	s := newHouse(t).street(mcp.Limits{})
	w := s.bearer(vault.NewAgent{Name: "o"})
	var want, got []string
	for i := range 7 {
		slug := fmt.Sprint("p", i)
		w.ok("POST", "/projects", `{"slug":"`+slug+`"}`)
		want = append(want, slug)
	}
	for cursor := ""; ; {
		var page api.Page[vault.Project]
		must(t, json.Unmarshal([]byte(w.ok("GET", "/projects?limit=3&cursor="+cursor, "").body), &page))
		for _, p := range page.Items {
			got = append(got, p.Slug)
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if !slices.Equal(got, append([]string{"default"}, want...)) {
		t.Errorf("%v", got)
	}
	for _, q := range []string{"limit=0", "limit=501", "limit=x", "limit=", "cursor=%00", "cursor=!"} {
		w.refused(fault.InvalidArgument, 400, "GET", "/projects?"+q, "")
	}
}

// TestParallelMergesOverHTTP: nothing that was acknowledged is lost.
func TestParallelMergesOverHTTP(t *testing.T) {
	s := newHouse(t).street(mcp.Limits{})
	w := s.bearer(vault.NewAgent{Name: "o"})
	w.ok("POST", "/projects", `{"slug":"bot"}`)
	var wg sync.WaitGroup
	const n = 60
	for i := range n {
		wg.Go(func() { w.ok("POST", "/projects/bot/config/secrets", fmt.Sprintf(`{"secrets":{"KEY_%d":"value"}}`, i)) })
	}
	wg.Wait()
	var keys api.SecretKeys
	must(t, json.Unmarshal([]byte(w.ok("GET", "/projects/bot/config/secrets/keys", "").body), &keys))
	if len(keys.Keys) != n {
		t.Errorf("%d of %d", len(keys.Keys), n)
	}
}
