//go:build unix

package tools_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

const canBeAsked = `{"elicitation":{"form":{},"url":{}}}`

// question is what a client is asked to put to its person.
type question struct {
	Message, URL, Mode string
	raw                string
}

// callAsked calls a tool as a client whose person is asked, and does as they say; q is nil where nobody was asked.
func (c *client) callAsked(tool, args, action string, between func()) (r reply, q *question) {
	c.h.t.Helper()
	result := action // a whole answer, or what was pressed
	if !strings.HasPrefix(action, "{") {
		result = fmt.Sprintf(`{"action":%q}`, action)
	}
	params := fmt.Sprintf(`"name":%q,"arguments":%s`, tool, args)
	var m struct {
		ID     json.RawMessage
		Method string
		Params *question
		Result json.RawMessage
	}
	if c.modern {
		var in struct {
			InputRequests map[string]struct {
				Method string
				Params *question
			}
		}
		first := c.request("tools/call", params)
		must(c.h.t, json.Unmarshal(first, &in))
		for key, x := range in.InputRequests {
			between()
			x.Params.raw = string(first)
			return c.read(tool, c.request("tools/call", params+fmt.Sprintf(`,"inputResponses":{%q:%s}`, key, result))), x.Params
		}
		return c.read(tool, first), nil
	}
	c.next++
	c.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{%s}}`, c.next, params))
	line := c.line()
	must(c.h.t, json.Unmarshal([]byte(line), &m))
	if m.Method == "elicitation/create" {
		q = m.Params
		q.raw = line
		between()
		c.send(fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":%s}`, m.ID, result))
		must(c.h.t, json.Unmarshal([]byte(c.line()), &m))
	}
	return c.read(tool, m.Result), q
}

func bothEras(t *testing.T, test func(t *testing.T, modern bool)) {
	for _, modern := range []bool{false, true} {
		t.Run(fmt.Sprintf("modern=%t", modern), func(t *testing.T) { test(t, modern) })
	}
}

// TestAPageIsOffered: the link of a new request goes to the client of the person, once; what they are told holds neither the code nor a word of the agent's, and a value never passes by there.
func TestAPageIsOffered(t *testing.T) {
	bothEras(t, func(t *testing.T, modern bool) {
		h := newHouse(t)
		_, err := h.AddProject(ctx, operator, "shop", "")
		must(t, err)
		token := h.agent(vault.NewAgent{Name: "ci", Grants: vault.Grants{Projects: []string{"shop"}, Kinds: []string{"api_key", "environment"}}})
		c := h.connectAs(token, modern, canBeAsked)
		const words = "paste the key into the chat"
		args := `{"project":"shop","key":"STRIPE_SECRET","reason":"` + words + `"}`
		r, q := c.callAsked("request_secret", args, "accept", func() {})
		ref := r.str("request_id")
		if q == nil || q.Mode != "url" || q.URL != "https://vault.example/intake/"+ref || !strings.Contains(q.Message, "`STRIPE_SECRET` of the project shop") || !strings.Contains(q.Message, "zavhoz intake code "+ref) || strings.Contains(q.raw, words) {
			t.Fatalf("offered: %+v", q)
		}
		if r.str("state") != "waiting" || r.str("link") != q.URL || !strings.Contains(r.Text, "would open it") {
			t.Errorf("%s %s", r.Text, r.Data)
		}
		_, code, err := h.IntakeCode(ctx, operator, ref)
		must(t, err)
		for _, x := range []*client{c, h.connectAs(token, modern, canBeAsked)} { // again, and by another session of the agent's
			if r, q = x.callAsked("request_secret", args, "accept", func() {}); q != nil || r.str("request_id") != ref || strings.Contains(r.raw, code) {
				t.Errorf("asked again: %+v %s", q, r.raw)
			}
		}
		value := "sk_live_" + strings.Repeat("b2", 12)
		_, err = h.GiveByCode(ctx, ref, code, vault.Given{Value: secret.FromString(value)})
		must(t, err)
		if r, q = c.callAsked("request_secret", args, "accept", func() {}); q != nil || r.str("state") != "given" || strings.Contains(r.raw, value) {
			t.Errorf("given: %+v %s", q, r.raw)
		}
		h.changed()
		r, q = c.callAsked("request_secret", `{"kind":"api_key","project":"shop","handle":"openai_main","reason":"x"}`, "decline", func() {})
		if q == nil || !strings.Contains(q.Message, "by a name that it chose: the api_key `openai_main`") || r.str("state") != "waiting" || !strings.Contains(r.Text, "Do not press") {
			t.Errorf("declined: %+v %s", q, r.raw)
		}
		if i, err := h.Intake(ctx, operator, r.str("request_id")); err != nil || i.State != vault.IntakeWaiting {
			t.Errorf("a client's no ended a request: %+v %v", i, err)
		}
		nowhere := newHouse(t)
		nowhere.pages = ""
		c = nowhere.connectAs(nowhere.agent(vault.NewAgent{Name: "ci"}), modern, canBeAsked)
		if r, q = c.callAsked("request_secret", `{"project":"default","key":"OTHER","reason":"x"}`, "accept", func() {}); q != nil || r.str("state") != "waiting" {
			t.Errorf("a page, where none is served: %+v %s", q, r.raw)
		}
	})
}

// TestAttack71_AFormIsNoWayIn: a client that has forms alone is not asked for a secret; one that answers with a value gave none: the request waits, and nothing of the value is anywhere.
func TestAttack71_AFormIsNoWayIn(t *testing.T) {
	bothEras(t, func(t *testing.T, modern bool) {
		h, tool := approvals(t)
		token := h.agent(vault.NewAgent{Name: "ci", Attended: true})
		ask := func(key string) string { return `{"project":"default","key":"` + key + `","reason":"x"}` }
		forms := h.connectAs(token, modern, `{"elicitation":{"form":{}}}`)
		if r, q := forms.callAsked("request_secret", ask("OTHER"), "accept", func() {}); q != nil || r.str("state") != "waiting" {
			t.Errorf("a secret asked for by a form: %+v", q)
		}
		value := "poison-" + strings.Repeat("c3", 12)
		filled := `{"action":"accept","content":{"value":"` + value + `","code":"` + value + `","STRIPE_SECRET":"` + value + `"}}`
		c := h.connectAs(token, modern, canBeAsked)
		r, q := c.callAsked("request_secret", ask("STRIPE_SECRET"), filled, func() {})
		if q == nil || r.str("state") != "waiting" || strings.Contains(q.raw, "requestedSchema") {
			t.Errorf("%s %+v", r.raw, q)
		}
		w, n := c.callAsked("run_with_resource", callOf(tool, "deploy", "prod", "x"), filled, func() {})
		if n == nil || w.Code != fault.ApprovalRequired || !strings.Contains(n.raw, `"properties":{}`) {
			t.Errorf("%s %+v", w.raw, n)
		}
		secrets := c.ok("list_project_secrets", `{"project":"default"}`)
		if strings.Contains(r.raw+w.raw+secrets.raw, value) || strings.Contains(secrets.raw, `"filled":true`) {
			t.Errorf("%s", secrets.raw)
		}
		i, err := h.Intake(ctx, operator, r.str("request_id"))
		if err != nil || i.State != vault.IntakeWaiting || strings.Contains(fmt.Sprint(i), value) {
			t.Errorf("%+v %v", i, err)
		}
	})
}

// TestAttack70_AClientApprovesNothing: whatever a client says to what it is told of a waiting call, the call waits until a person's word came by the operator's door; then it runs, once, in the same call.
// Told are attended agents alone, once, and without a word of the agent's.
func TestAttack70_AClientApprovesNothing(t *testing.T) {
	bothEras(t, func(t *testing.T, modern bool) {
		h, tool := approvals(t)
		c := h.connectAs(h.agent(vault.NewAgent{Name: "ci", Attended: true}), modern, canBeAsked)
		nothing := func() {}
		for _, action := range []string{"accept", "decline", "cancel", "approve"} {
			args := callOf(tool, "deploy "+action, "prod", "secretive words")
			r, q := c.callAsked("run_with_resource", args, action, nothing)
			if q == nil {
				t.Fatalf("nobody is told: %s", r.raw)
			}
			ref := aprID.FindString(q.Message)
			if ref == "" || q.URL != "" || !strings.Contains(q.Message, "zavhoz approve "+ref) || !strings.Contains(q.Message, "Nothing that you do here approves it") || strings.Contains(q.raw, "deploy") || strings.Contains(q.raw, "secretive") {
				t.Fatalf("told: %+v", q)
			}
			if r.Code != fault.ApprovalRequired {
				t.Errorf("after %s: %s", action, r.raw)
			}
			if a, err := h.Approval(ctx, ref, everywhere); err != nil || a.State != vault.ApprovalWaiting {
				t.Errorf("after %s: %+v %v", action, a.State, err)
			}
			if r, q = c.callAsked("run_with_resource", args, action, nothing); q != nil || r.Code != fault.ApprovalRequired {
				t.Errorf("told twice: %+v %s", q, r.raw)
			}
		}
		word := func(approve bool) func() {
			return func() {
				all, err := h.Approvals(ctx, operator, everywhere)
				must(t, err)
				for _, a := range all {
					if a.State == vault.ApprovalWaiting && !strings.HasPrefix(strings.Join(a.Call.Argv, " "), tool+" deploy ") {
						h.decide(a.ID, approve, "not today")
					}
				}
			}
		}
		if r, q := c.callAsked("run_with_resource", callOf(tool, "look", "prod", "x"), "accept", word(true)); q == nil || r.str("stdout") != "look in prod\nx" {
			t.Errorf("approved meanwhile: %s", r.raw)
		}
		if r, q := c.callAsked("run_with_resource", callOf(tool, "drop", "prod", "x"), "accept", word(false)); q == nil || r.Code != fault.ApprovalDenied || !strings.Contains(r.Text, "not today") {
			t.Errorf("denied meanwhile: %s", r.raw)
		}
		if r, q := c.callAsked("http_request_with_resource", `{"handle":"acme","method":"POST","url":"/v1/things","body":"{}"}`, "accept", word(true)); q == nil || r.str("body") != "done POST" {
			t.Errorf("a request, approved meanwhile: %s", r.raw)
		}
		alone := h.connectAs(h.agent(vault.NewAgent{Name: "alone"}), modern, canBeAsked)
		if r, q := alone.callAsked("run_with_resource", callOf(tool, "look", "prod", "x"), "accept", word(true)); q != nil || r.Code != fault.ApprovalRequired {
			t.Errorf("nobody sits at it: %+v %s", q, r.raw)
		}
	})
}

// TestAttack70_AClosedNoticeRunsNothing: who approved a call, and then closes the client's notice of it, has nothing run by that; the word stays, for the same call made again.
func TestAttack70_AClosedNoticeRunsNothing(t *testing.T) {
	bothEras(t, func(t *testing.T, modern bool) {
		h, tool := approvals(t)
		c := h.connectAs(h.agent(vault.NewAgent{Name: "ci", Attended: true}), modern, canBeAsked)
		for _, action := range []string{"decline", "cancel"} {
			args, ref := callOf(tool, "look "+action, "prod", "x"), ""
			r, q := c.callAsked("run_with_resource", args, action, func() {
				all, err := h.Approvals(ctx, operator, everywhere)
				must(t, err)
				for _, a := range all {
					if a.State == vault.ApprovalWaiting {
						ref = a.ID
						h.decide(a.ID, true, "")
					}
				}
			})
			if q == nil || ref == "" || r.Code != fault.ApprovalRequired {
				t.Fatalf("%s: %+v %s", action, q, r.raw)
			}
			if a, err := h.Approval(ctx, ref, everywhere); err != nil || a.State != vault.ApprovalApproved {
				t.Errorf("%s: %v %v", action, a.State, err)
			}
			c.ok("run_with_resource", args)
		}
	})
}

// An agent's name for what it asks for is shown as one, and not whole where it is a sentence.
func TestANameIsShownAsAName(t *testing.T) {
	h, _ := approvals(t)
	c := h.connectAs(h.agent(vault.NewAgent{Name: "ci", Attended: true}), false, canBeAsked)
	for args, want := range map[string]string{
		`{"project":"default","key":"STRIPE__THE_PAGE_IS_DOWN__PASTE_THE_KEY_INTO_THE_CHAT","reason":"x"}`: "it chose: `STRIPE__THE_PAGE_IS_DOWN__PASTE_THE_KEY_…` of",
		`{"kind":"api_key","handle":"www.example.com","reason":"x"}`:                                       "it chose: the api_key `www.example.com`.",
	} {
		if _, q := c.callAsked("request_secret", args, "accept", func() {}); q == nil || !strings.Contains(q.Message, want) {
			t.Errorf("%+v", q)
		}
	}
}
