package web_test

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/mcp"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web"
	"github.com/zavhoz/zavhoz/web/api"
)

var allScopes = []vault.Scope{vault.ScopeRead, vault.ScopeWrite, vault.ScopeAdmin}

// agent makes an agent that may use all of a project.
func (h *house) agent(name, project string) vault.Actor {
	h.t.Helper()
	a, _, err := h.AddAgent(ctx, operator, vault.NewAgent{Name: name, Grants: vault.Grants{Projects: []string{project}, Kinds: []string{"*"}}})
	must(h.t, err)
	return vault.Actor{Type: audit.Agent, ID: a.ID, Name: name}
}

// shrunk is a sync that holds a loss back.
type shrunk struct{ syncer }

func (shrunk) Info(context.Context) (api.SyncInfo, error) {
	return api.SyncInfo{Configured: true, Failing: true, Code: string(fault.SyncShrunk)}, nil
}

// waiting is a house in which something of every kind waits for a person's word.
func waiting(t *testing.T) (h *house, environment string) {
	h = newHouse(t, func(o *web.Options) {
		o.Sync = shrunk{}
		status := o.Status
		o.Status = func(ctx context.Context) (api.Status, error) {
			st, err := status(ctx)
			st.Files = []api.SecretFile{{Name: "secrets.yaml", Lost: &api.FileLoss{Absent: 5, Known: 6}, Problems: []api.FileProblem{
				{Where: "api_keys.a", Code: string(fault.ApprovalRequired), Message: "the change of a in its file is unconfirmed"}, {Where: "api_keys.b", Code: string(fault.InvalidArgument), Message: "mended by hand"},
			}}}
			return st, err
		}
	})
	c := h.sit(1)
	h.fill(c)
	c.ok("POST", "/projects/other/config/secrets", `{"secrets":{"SENTRY_DSN":"`+canary+`"},"env_hints":{"HINTED":"of the shop"}}`)
	who := h.agent("builder", "other")
	for _, names := range [][]string{{"APP_NAME"}, {"APP_NAME", "SENTRY_DSN", "STRIPE_SECRET"}} {
		e, err := h.ResolveEnvironment(ctx, who, vault.EnvironmentRequest{Project: "other", Names: names})
		must(t, err)
		environment = e.Resource.Handle
	}
	_, err := h.Authorise(ctx, who, []string{environment})
	if fault.CodeOf(err) != fault.ApprovalRequired || !strings.Contains(fault.Of(err).Next, "zavhoz resource show "+environment) {
		t.Fatalf("an agent runs with what nobody looked at: %v", err)
	}
	return h, environment
}

func approvalsOf(t *testing.T, a answer) (ids []string, by map[string]api.Approval) {
	t.Helper()
	var page api.Page[api.Approval]
	must(t, json.Unmarshal([]byte(a.body), &page))
	by = map[string]api.Approval{}
	for _, x := range page.Items {
		ids, by[x.ID] = append(ids, x.ID), x
		if x.What == "" || !strings.HasPrefix(x.Command, "zavhoz ") || x.Decisions == nil {
			t.Errorf("%+v", x)
		}
	}
	slices.Sort(ids)
	return ids, by
}

// TestEverythingThatWaitsIsListed: one list, wherever it is decided; over HTTP what a token may do of it.
func TestEverythingThatWaitsIsListed(t *testing.T) {
	h, environment := waiting(t)
	want := []string{
		"changes:run_held", "environment:" + environment, "file_change:secrets.yaml:api_keys.a", "file_loss:secrets.yaml", "host_key:vps",
		"secret:other:HINTED", "secret:other:STRIPE_SECRET", "servers_gone:sync",
	}
	ids, by := approvalsOf(t, h.sit(1).ok("GET", "/approvals", ""))
	if !slices.Equal(ids, want) {
		t.Errorf("%q, want %q", ids, want)
	}
	if x := by["secret:other:HINTED"]; x.What != "of the shop" || x.Command != "zavhoz project secret set other HINTED=-" || x.Request != "POST /api/v1/projects/other/config/secrets" || len(x.Decisions) != 0 {
		t.Errorf("%+v", x)
	}
	if x := by["environment:"+environment]; x.Project != "other" || x.Handle != environment || !slices.Equal(x.Decisions, []string{"approve", "deny"}) {
		t.Errorf("%+v", x)
	}
	s := h.street(mcp.Limits{})
	w := s.bearer(vault.NewAgent{Name: "all", Scopes: allScopes})
	ids, by = approvalsOf(t, w.ok("GET", "/approvals", ""))
	if !slices.Equal(ids, want) || !slices.Equal(by["environment:"+environment].Decisions, []string{"deny"}) || len(by["servers_gone:sync"].Decisions) != 0 {
		t.Errorf("%q %+v", ids, by)
	}
	if first := w.ok("GET", "/approvals?limit=3", ""); first.get("next_cursor") == nil {
		t.Error(first.body)
	} else if ids, _ = approvalsOf(t, w.ok("GET", "/approvals?limit=100&cursor="+first.get("next_cursor").(string), "")); !slices.Equal(ids, want[3:]) {
		t.Errorf("the second page: %q", ids)
	}
	for project, want := range map[string][]string{"other": {"environment:" + environment, "secret:other:HINTED", "secret:other:STRIPE_SECRET"}, "default": {"host_key:vps"}} {
		bound := s.bearer(vault.NewAgent{Name: "bound-" + project, Grants: vault.Grants{Projects: []string{project}}, Scopes: allScopes})
		if ids, _ := approvalsOf(t, bound.ok("GET", "/approvals", "")); !slices.Equal(ids, want) {
			t.Errorf("bound to %s: %q", project, ids)
		}
	}
}

// TestAttack70_NobodyApprovesOverHTTP: a token denies, with the scope for it and within its projects, and approves nothing; what takes more than a word names the command.
func TestAttack70_NobodyApprovesOverHTTP(t *testing.T) {
	h, environment := waiting(t)
	s := h.street(mcp.Limits{})
	w := s.bearer(vault.NewAgent{Name: "all", Scopes: allScopes})
	at := func(id string) string { return "/approvals/" + url.PathEscape(id) }
	for _, id := range []string{"environment:" + environment, "changes:run_held", "servers_gone:sync", "host_key:vps", "nothing"} {
		w.refused(fault.PresenceRequired, 403, "POST", at(id), `{"decision":"approve"}`)
	}
	for _, id := range []string{"host_key:vps", "secret:other:HINTED", "servers_gone:sync", "file_loss:secrets.yaml"} {
		if a := w.refused(fault.ApprovalRequired, 403, "POST", at(id), `{"decision":"deny"}`); !strings.Contains(a.body, "run: zavhoz ") {
			t.Error(a.body)
		}
	}
	w.refused(fault.UnknownApproval, 404, "POST", "/approvals/nothing", `{"decision":"deny"}`)
	for _, body := range []string{`{}`, `{"decision":"maybe"}`, `{"decision":"deny","force":true}`} {
		w.refused(fault.InvalidArgument, 400, "POST", at("changes:run_held"), body)
	}
	s.bearer(vault.NewAgent{Name: "writes"}).refused(fault.NotPermitted, 403, "POST", at("environment:"+environment), `{"decision":"deny"}`)
	elsewhere := s.bearer(vault.NewAgent{Name: "elsewhere", Grants: vault.Grants{Projects: []string{"default"}}, Scopes: allScopes})
	for _, id := range []string{"environment:" + environment, "changes:run_held"} {
		elsewhere.refused(fault.UnknownApproval, 404, "POST", at(id), `{"decision":"deny"}`)
	}
	w.ok("POST", at("changes:run_held"), `{"decision":"deny"}`)
	if !h.runs.has("discard run_held") || h.runs.has("keep ") {
		t.Error("what was denied was not thrown away")
	}
	if a := w.ok("POST", at("environment:"+environment), `{"decision":"deny","why":"not today"}`); a.body != `{"id":"environment:`+environment+`","decision":"deny"}`+"\n" {
		t.Error(a.body)
	}
	if r, err := h.Resource(ctx, environment); err != nil || r.Status != vault.Disabled || r.Policy.Approval != "first" || r.Why != "not today" {
		t.Errorf("%v %+v", err, r)
	}
	w.refused(fault.UnknownApproval, 404, "POST", at("environment:"+environment), `{"decision":"deny"}`)
}

// TestAPersonApproves: with presence, and only then.
func TestAPersonApproves(t *testing.T) {
	h, environment := waiting(t)
	h.setPassphrase(h.sit(1))
	person, shell := h.sit(1), h.sit(2)
	id := "/approvals/environment:" + environment
	shell.refused(fault.PresenceRequired, "POST", id, `{"decision":"approve"}`)
	person.ok("POST", "/presence", right)
	person.ok("POST", id, `{"decision":"approve"}`)
	person.ok("POST", "/approvals/changes:run_held", `{"decision":"approve"}`)
	person.ok("POST", "/approvals/servers_gone:sync", `{"decision":"approve"}`)
	if !h.runs.has("keep run_held") {
		t.Error("what was approved was not kept")
	}
	if r, err := h.Resource(ctx, environment); err != nil || r.Status != vault.Active || r.Policy.Approval != "" {
		t.Errorf("%v %+v", err, r.Policy)
	}
	if ids, _ := approvalsOf(t, shell.ok("GET", "/approvals", "")); slices.Contains(ids, "environment:"+environment) {
		t.Errorf("%q", ids)
	}
}

// TestAPolicyIsNeverForgotten: a body without a policy takes none away.
func TestAPolicyIsNeverForgotten(t *testing.T) {
	h := newHouse(t)
	c := h.sit(1)
	h.fill(c)
	c.ok("PUT", "/resources/bot/policy", `{"policy":{"max_uses":7}}`)
	w := h.street(mcp.Limits{}).bearer(vault.NewAgent{Name: "o"})
	for _, body := range []string{`{}`, `{"policy":null}`, `{"why":"x"}`} {
		if a := w.refused(fault.InvalidArgument, 422, "PUT", "/resources/bot/policy", body); !strings.Contains(a.body, "has no policy") {
			t.Error(a.body)
		}
		if a := c.do("PUT", "/resources/bot/policy", body); a.status != 422 {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	if r, err := h.Resource(ctx, "bot"); err != nil || r.Policy.MaxUses != 7 {
		t.Errorf("%v %+v", err, r.Policy)
	}
}

// TestLeasesOfAll: an operator sees leases within reach, and ends them.
func TestLeasesOfAll(t *testing.T) {
	h := newHouse(t)
	c := h.sit(1)
	h.fill(c)
	lend := func(agent, project, handle string) vault.Lease {
		t.Helper()
		got, err := h.Allocate(ctx, h.agent(agent, project), vault.AllocateRequest{Handle: handle, Purpose: "a test"})
		must(t, err)
		return got.Lease
	}
	c.ok("POST", "/resources", strings.Replace(strings.Replace(newBot, `"bot"`, `"bot2"`, 1), `{"kind"`, `{"project":"other","kind"`, 1))
	one, two := lend("one", "default", "bot"), lend("two", "other", "bot2")
	s := h.street(mcp.Limits{})
	bound := s.bearer(vault.NewAgent{Name: "bound", Grants: vault.Grants{Projects: []string{"other"}}, Scopes: allScopes})
	if a := bound.ok("GET", "/leases", ""); strings.Contains(a.body, one.ID) || !strings.Contains(a.body, two.ID) {
		t.Error(a.body)
	}
	bound.refused(fault.UnknownLease, 404, "DELETE", "/leases/"+one.ID, "")
	away, err := h.Allocate(ctx, h.agent("three", "*"), vault.AllocateRequest{Handle: "bot", Purpose: "a test", For: "other"})
	must(t, err)
	home := s.bearer(vault.NewAgent{Name: "home", Grants: vault.Grants{Projects: []string{"default"}}, Scopes: allScopes})
	for _, who := range []*walker{bound, home} { // whom it serves, and whose the resource is
		if a := who.ok("GET", "/leases", ""); !strings.Contains(a.body, away.Lease.ID) {
			t.Error(a.body)
		}
	}
	home.ok("DELETE", "/leases/"+away.Lease.ID, "")
	s.bearer(vault.NewAgent{Name: "writes"}).refused(fault.NotPermitted, 403, "DELETE", "/leases/"+two.ID, "")
	ended := bound.ok("DELETE", "/leases/"+two.ID, "")
	if ended.get("released_why") != "revoked" {
		t.Error(ended.body)
	}
	all := s.bearer(vault.NewAgent{Name: "all", Scopes: allScopes})
	for _, none := range []string{"lse_aaaaaaaaaaaaaaaaaaaaaaaaaa", "x"} {
		all.refused(fault.UnknownLease, 404, "DELETE", "/leases/"+none, "")
	}
	if a := all.ok("DELETE", "/leases/"+two.ID, ""); a.get("released_why") != "revoked" || a.get("released_at") != ended.get("released_at") { // it stays as it ended
		t.Error(a.body)
	}
	c.ok("DELETE", "/leases/"+one.ID, "")
	if a := all.ok("GET", "/leases", ""); a.body != `{"items":[]}`+"\n" {
		t.Error(a.body)
	}
	_, err = h.Authorise(ctx, vault.Actor{Type: audit.Agent, ID: two.Agent, Name: "two"}, []string{two.ID})
	if f := fault.Of(err); f.Code != fault.LeaseReleased || !strings.Contains(f.Message, "the operator ended") {
		t.Error(err)
	}
}

// TestForgettingASecret: earlier values go, by the rule of resources, and the present one stays.
func TestForgettingASecret(t *testing.T) {
	h := newHouse(t)
	h.fill(h.sit(1))
	w := h.street(mcp.Limits{}).bearer(vault.NewAgent{Name: "o"})
	at := "/projects/other/config/secrets"
	for _, v := range []string{"two", "three", "four"} {
		w.ok("POST", at, `{"secrets":{"DATABASE_URL":"`+v+`"}}`)
	}
	for _, body := range []string{`{}`, `{"all":true,"before":2}`, `{"older_than_s":-1}`} {
		w.refused(fault.InvalidArgument, 400, "POST", at+"/DATABASE_URL/purge", body)
	}
	w.refused(fault.UnknownSecret, 404, "POST", at+"/NONE/purge", `{"all":true}`)
	if a := w.ok("POST", at+"/DATABASE_URL/purge", `{"before":3}`); a.body != `{"name":"DATABASE_URL","versions":[1,2]}`+"\n" {
		t.Error(a.body)
	}
	if a := w.ok("POST", at+"/DATABASE_URL/purge", `{"all":true}`); a.body != `{"name":"DATABASE_URL","versions":[3]}`+"\n" {
		t.Error(a.body)
	}
	w.ok("POST", at, `{"secrets":{"DATABASE_URL":"five"}}`)
	w.ok("POST", at, `{"secrets":{"DATABASE_URL":"six"},"purge":true}`)
	var rows api.Page[api.SecretVersion]
	must(t, json.Unmarshal([]byte(w.ok("GET", at+"/DATABASE_URL/history", "").body), &rows))
	if len(rows.Items) != 1 || rows.Items[0].Version != 6 {
		t.Errorf("%+v", rows)
	}
	guarded, _ := guardedHouse(t)
	shell := guarded.sit(2)
	shell.refused(fault.PresenceRequired, "POST", at+"/DATABASE_URL/purge", `{"all":true}`)
	shell.refused(fault.PresenceRequired, "POST", at, `{"secrets":{"DATABASE_URL":"x"},"if_absent":true,"purge":true}`)
}

// TestAnEnvironmentIsExplained: of a handle, what each variable is now.
func TestAnEnvironmentIsExplained(t *testing.T) {
	h, environment := waiting(t)
	s := h.street(mcp.Limits{})
	w := s.bearer(vault.NewAgent{Name: "reads", Scopes: []vault.Scope{vault.ScopeRead}})
	a := w.ok("GET", "/resources/"+environment+"/environment", "")
	for _, want := range []string{`"outcome":"waiting_for_user_secret"`, `"handle":"` + environment + `"`, `"approval":"first"`, `"allow":"zavhoz resource policy ` + environment + ` --approval none"`, `"name":"APP_NAME"`, `"value":"other"`, `"rule":"vendor"`} {
		if !strings.Contains(a.body, want) {
			t.Errorf("no %s in %s", want, a.body)
		}
	}
	w.refused(fault.InvalidArgument, 400, "GET", "/resources/bot/environment", "")
	bound := s.bearer(vault.NewAgent{Name: "bound", Grants: vault.Grants{Projects: []string{"default"}}})
	bound.refused(fault.UnknownResource, 404, "GET", "/resources/"+environment+"/environment", "")
}
