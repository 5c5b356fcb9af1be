package web_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"context"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web"
	"github.com/zavhoz/zavhoz/web/api"
)

// Every route, with what it answers: the way of one resource, one server and one agent through the API.
func TestEveryRoute(t *testing.T) {
	h := newHouse(t)
	c := h.sit(1)
	server := h.fill(c)
	for _, x := range []struct {
		method, path, body string
		status             int
		holds              string // in the reply
	}{
		{"GET", "/status", "", 200, `"version":"1.2.3"`},
		{"GET", "/resources", "", 200, `"handle":"bot"`},
		{"GET", "/resources?kind=server&limit=1", "", 200, `"handle":"vps"`},
		{"GET", "/resources?limit=1", "", 200, `"next_cursor":`},
		{"GET", "/resources?label=env", "", 200, `{"items":[]}`},
		{"GET", "/resources/bot", "", 200, `"secrets":{"token":{"length":"medium","version":1}}`},
		{"POST", "/resources", `{"kind":"generic","secrets":{"value":"` + canary + `"},"why":"test"}`, 201, `"handle":"generic_`},
		{"POST", "/resources", `{"kind":"generic","handle":"g","secrets":{"value":"` + canary + `"},"policy":{"pins":[{"name":"p","argv":["/bin/true"]}]}}`, 201, `"pins":[`},
		{"PATCH", "/resources/bot", `{"attrs":{"username":"@other_bot"},"labels":{"env":"prod"},"status":"disabled","why":"off"}`, 200, `"status":"disabled"`},
		{"PATCH", "/resources/bot", `{"status":"active","project":"other"}`, 200, `"project":"other"`},
		{"PATCH", "/resources/bot", `{"secrets":{"token":"` + botToken + `"}}`, 200, `"version":5`},
		{"PUT", "/resources/bot/policy", `{"policy":{"agents":["ci"],"deliveries":["env"]}}`, 200, `"agents":["ci"]`},
		{"GET", "/resources/bot/history", "", 200, `"changed":["policy"]`},
		{"POST", "/resources/bot/rollback", `{"version":1}`, 200, `"why":"rolled back to version 1"`},
		{"POST", "/resources/bot/rename", `{"handle":"bot2"}`, 200, `"handle":"bot2"`},
		{"GET", "/resources/vps/host-key", "", 200, `"fingerprint":"SHA256:x"`},
		{"DELETE", "/resources/bot2", "", 200, `"handle":"bot2"`},
		{"GET", "/agents", "", 200, `"name":"ci"`},
		{"POST", "/agents", `{"name":"two","projects":["*"],"kinds":["server"],"per_minute":5}`, 201, `"token":"zvh_agt_`},
		{"DELETE", "/agents/two", "", 200, `"name":"two"`},
		{"GET", "/projects", "", 200, `"slug":"default"`},
		{"POST", "/projects", `{"slug":"third","title":"Third"}`, 201, `"slug":"third"`},
		{"POST", "/workdirs", `{"path":"/srv/app","mode":"rw","agents":["ci"],"project":"third"}`, 201, `"id":"wdr_`},
		{"POST", "/workdirs", `{"path":"/srv/app/keys","mode":"ro"}`, 201, `"mode":"ro"`},
		{"POST", "/workdirs", `{"path":"/home/me","mode":"ro","force":true}`, 201, `"path":"/home/me"`},
		{"GET", "/changes", "", 200, `{"items":[`},
		{"POST", "/changes/run_aaaaaaaaaaaaaaaaaaaaaaaaaa/discard", "", 200, `{}`},
		{"POST", "/changes/run_aaaaaaaaaaaaaaaaaaaaaaaaaa/keep", "", 200, `{}`},
		{"GET", "/workdirs", "", 200, `"agents":["ci"]`},
		{"DELETE", "/workdirs/%2Fsrv%2Fapp%2Fkeys", "", 200, `"path":"/srv/app/keys"`},
		{"GET", "/servers", "", 200, `"provider_id":"8812345"`},
		{"POST", "/servers/sync", "", 200, `"confirmed":false`},
		{"POST", "/servers/sync?confirm_shrunk=true", "", 200, `"confirmed":true`},
		{"POST", "/files/secrets.yaml/accept", `{"absent":4}`, 200, `"name":"secrets.yaml"`},
		{"POST", "/servers/" + server + "/manage", `{"intent":"yes"}`, 200, `"is_managed":true`},
		{"POST", "/servers/" + server + "/adopt", `{"handle":"vps2","attrs":{"user":"deploy"},"secrets":{"password":"` + password + `"}}`, 201, `"handle":"vps2"`},
		{"GET", "/leases", "", 200, `{"items":[]}`},
		{"GET", "/runs", "", 200, `{"items":[]}`},
		{"POST", "/runs/open", `{"refs":["vps"],"command":["env"]}`, 200, planValue},
		{"POST", "/runs/run_aaaaaaaaaaaaaaaaaaaaaaaaaa/stop", "", 200, `"state":"stopped"`},
		{"POST", "/runs/run_x/end", `{"state":"exited","exit_code":3}`, 200, `{}`},
		{"GET", "/audit?limit=5", "", 200, `"action":"`},
		{"GET", "/audit?action=resource.rollback&outcome=allowed&since=2026-01-01T00:00:00Z", "", 200, `"to":"1"`},
		{"POST", "/audit/verify", "", 200, `"`},
		{"GET", "/audit/export", "", 200, `"action":"vault.init"`},
		{"PUT", "/presence", `{"passphrase":"` + passphrase + `"}`, 200, `{}`},
		{"POST", "/presence", `{"passphrase":"` + passphrase + `"}`, 200, `{}`},
		{"POST", "/daemon/stop", "", 202, `{}`},
	} {
		a := c.do(x.method, x.path, x.body)
		if a.status != x.status || !strings.Contains(a.body, x.holds) || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s %s: %d %v %s", x.method, x.path, a.status, a.header, a.body)
		}
		if kind := a.header.Get("Content-Type"); !strings.HasPrefix(kind, "application/") {
			t.Errorf("%s %s: content type %q", x.method, x.path, kind)
		}
	}
	for _, seen := range []string{"open vps env", "end run_x exited", "stop"} {
		if !h.runs.has(seen) {
			t.Errorf("the engine did not see %q", seen)
		}
	}
}

// Every failure is a problem of RFC 9457: type, title, status and detail, with our code, and the next step where there is one.
func TestFailuresAreProblems(t *testing.T) {
	h := newHouse(t)
	c := h.sit(1)
	server := h.fill(c)
	for _, x := range []struct {
		method, path, body string
		code               fault.Code
	}{
		{"GET", "/nothing", "", fault.InvalidArgument},
		{"POST", "/status", "", fault.InvalidArgument},
		{"GET", "/resources/nothing", "", fault.UnknownResource},
		{"GET", "/resources/" + canary, "", fault.UnknownResource},
		{"GET", "/resources/nothing/history", "", fault.UnknownResource},
		{"GET", "/resources/bot/host-key", "", fault.InvalidArgument},
		{"GET", "/resources?limit=x", "", fault.InvalidArgument},
		{"GET", "/resources?limit=501", "", fault.InvalidArgument},
		{"GET", "/resources?limit=0", "", fault.InvalidArgument},
		{"GET", "/resources?cursor=%25%25", "", fault.InvalidArgument},
		{"POST", "/resources", newBot, fault.HandleTaken},
		{"POST", "/resources", `{"kind":"yacht"}`, fault.UnknownKind},
		{"POST", "/resources", `{"kind":"telegram_bot"}`, fault.SecretMissing},
		{"POST", "/resources", `{"kind":"telegram_bot","secrets":{"token":"` + canary + `"}}`, fault.SecretInvalid},
		{"POST", "/resources", `{"kind":"telegram_bot","secrets":{"token":"` + botToken + `"},"project":"nothing"}`, fault.UnknownProject},
		{"PATCH", "/resources/bot", `{"if_version":7}`, fault.VersionConflict},
		{"PATCH", "/resources/bot", `{"status":"on fire"}`, fault.InvalidArgument},
		{"PATCH", "/resources/bot", `{"attrs":{"nothing":"x"}}`, fault.UnknownField},
		{"PATCH", "/resources/nothing", `{}`, fault.UnknownResource},
		{"PUT", "/resources/bot/policy", `{"policy":{"deliveries":["pigeon"]}}`, fault.InvalidArgument},
		{"PUT", "/resources/bot/policy", `{"policy":{},"if_version":7}`, fault.VersionConflict},
		{"PUT", "/resources/nothing/policy", `{"policy":{}}`, fault.UnknownResource},
		{"POST", "/resources/bot/rollback", `{"version":99}`, fault.UnknownVersion},
		{"POST", "/resources/bot/rename", `{"handle":"vps"}`, fault.HandleTaken},
		{"POST", "/resources/bot/rename", `{"handle":"` + strings.ToUpper(canary) + `"}`, fault.InvalidArgument},
		{"DELETE", "/resources/nothing", "", fault.UnknownResource},
		{"POST", "/agents", `{"name":"ci"}`, fault.NameTaken},
		{"POST", "/agents", `{"name":"x","role":"king"}`, fault.InvalidArgument},
		{"DELETE", "/agents/nobody", "", fault.UnknownAgent},
		{"POST", "/projects", `{"slug":"Not A Slug"}`, fault.InvalidArgument},
		{"POST", "/workdirs", `{"path":"srv","mode":"ro"}`, fault.InvalidArgument},
		{"POST", "/workdirs", `{"path":"/","mode":"ro","force":true}`, fault.InvalidArgument},
		{"POST", "/workdirs", `{"path":"/srv/x","mode":"all"}`, fault.InvalidArgument},
		{"POST", "/workdirs", `{"path":"/srv/x"}`, fault.InvalidArgument},
		{"POST", "/workdirs", `{"path":"/home/me","mode":"ro"}`, fault.WorkdirRefused},
		{"POST", "/workdirs", `{"path":"/srv/x","mode":"ro","agents":["nobody"]}`, fault.UnknownAgent},
		{"POST", "/workdirs", `{"path":"/srv/x","mode":"ro","project":"nothing"}`, fault.UnknownProject},
		{"POST", "/workdirs", `{"path":"/srv/x","mode":"ro","id":"wdr_x"}`, fault.InvalidArgument},
		{"DELETE", "/workdirs/wdr_nothing", "", fault.UnknownWorkdir},
		{"POST", "/servers/nothing/manage", `{"intent":"yes"}`, fault.UnknownServer},
		{"POST", "/servers/" + server + "/manage", `{"intent":"perhaps"}`, fault.InvalidArgument},
		{"POST", "/servers/nothing/adopt", `{"handle":"x"}`, fault.UnknownServer},
		{"POST", "/runs/x/end", `{"state":"exited"}`, fault.UnknownRun},
		{"POST", "/runs/x/stop", "", fault.UnknownRun},
		{"POST", "/runs/run_bbbbbbbbbbbbbbbbbbbbbbbbbb/stop", "", fault.UnknownRun},
		{"GET", "/audit?limit=0", "", fault.InvalidArgument},
		{"GET", "/audit?since=yesterday", "", fault.InvalidArgument},
		{"POST", "/presence", `{"passphrase":"x"}`, fault.InvalidArgument}, // none is set
		{"PUT", "/presence", `{"passphrase":"short"}`, fault.SecretInvalid},
	} {
		a := c.refused(x.code, x.method, x.path, x.body)
		var p api.Problem
		must(t, json.Unmarshal([]byte(a.body), &p))
		if a.header.Get("Content-Type") != "application/problem+json" || p.Type != "about:blank" || p.Title != http.StatusText(a.status) || p.Status != a.status || p.Detail == "" || a.status != x.code.Of().HTTP {
			t.Errorf("%s %s: %v %s", x.method, x.path, a.header, a.body)
		}
	}
	if a := c.do("GET", "/resources/nothing", ""); a.get("next") != "call list_resources to see what there is" {
		t.Errorf("no next step: %s", a.body)
	}
}

// foul is a vault that breaks, with a value in its mouth.
type foul struct {
	web.Vault
	err error
}

func (f foul) Resource(context.Context, string) (vault.Resource, error) {
	if f.err == nil {
		panic(errors.New("panicked with " + canary))
	}
	return vault.Resource{}, f.err
}

// TestAttack65_OfAFailureOnlyOurWords: a panic, a foreign error and a call that went away show and log nothing of what they held.
func TestAttack65_OfAFailureOnlyOurWords(t *testing.T) {
	for _, err := range []error{nil, errors.New("broken with " + canary), fault.New(fault.Canceled, "gone", "").Because(errors.New(canary))} {
		h := newHouse(t, func(o *web.Options) { o.Vault = foul{o.Vault, err} })
		c := h.sit(1)
		c.ok("POST", "/resources", newBot)
		a := c.do("GET", "/resources/bot", "")
		var p api.Problem
		must(t, json.Unmarshal([]byte(a.body), &p))
		if p.Status != a.status || p.Title == "" || a.header.Get("Content-Type") != "application/problem+json" || a.status < 499 {
			t.Errorf("%v: %d %s", err, a.status, a.body)
		}
		c.ok("GET", "/resources", "") // it still serves
		if a.status == 500 && !strings.Contains(h.log.String(), "GET /api/v1/resources/{handle}") {
			t.Errorf("not logged: %s", h.log)
		}
	}
}

func TestHealth(t *testing.T) {
	for _, x := range []struct {
		err    error
		status int
		says   string
	}{{nil, 200, "ready"}, {fault.New(fault.VaultLocked, "locked", ""), 503, "locked"}, {errors.New(canary), 503, "unavailable"}} {
		handler := web.Health(func(context.Context) error { return x.err })
		for path, want := range map[string]string{"/healthz": "ok", "/readyz": x.says} {
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
			status := x.status
			if path == "/healthz" {
				status = 200
			}
			if w.Code != status || w.Body.String() != `{"status":"`+want+"\"}\n" {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
		}
	}
}

// An export that a person takes away is on record, and verifies.
func TestExportIsRecorded(t *testing.T) {
	h := newHouse(t)
	c := h.sit(1)
	h.fill(c)
	must(t, h.Note(ctx, audit.Event{Actor: operator, Action: audit.StatusRead, Outcome: audit.Allowed}))
	c.ok("GET", "/audit/export", "")
	must(t, h.Vault.Close(ctx))
	if a := c.ok("GET", "/audit?action=audit.export", ""); !strings.Contains(a.body, `"action":"audit.export"`) {
		t.Error(a.body)
	}
	if a := c.ok("POST", "/audit/verify", ""); a.get("records") == 0.0 {
		t.Error(a.body)
	}
}
