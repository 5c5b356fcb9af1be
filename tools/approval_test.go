//go:build unix

package tools_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

func everywhere(string) bool { return true }

var aprID = regexp.MustCompile(`apr_[a-z2-7]{26}`)

// decide is a person's word; it gives what they were shown.
func (h *house) decide(ref string, approve bool, why string) vault.Approval {
	h.t.Helper()
	a, err := h.Decide(ctx, operator, ref, vault.Decision{Approve: approve, Why: why, Within: everywhere})
	must(h.t, err)
	return a
}

// asks makes a call that is to wait, and gives the request's id.
func (c *client) asks(tool, args string) string {
	c.h.t.Helper()
	r := c.call(tool, args)
	ref := aprID.FindString(r.Next)
	if r.Code != fault.ApprovalRequired || ref == "" {
		c.h.t.Fatalf("%s: %s", args, r.raw)
	}
	return ref
}

// approvals is a house with a tool that asks for each run, and an API whose requests do.
func approvals(t *testing.T) (h *house, tool string) {
	h = newHouse(t)
	tool = script(t, `echo "$1 in $STAGE"; cat`)
	p := pinned(tool, "{what:text}")
	p.Approval, p.Pins[0].Stdin, p.Pins[0].Env = policy.ApprovalAlways, true, []string{"STAGE"}
	h.addBot("bot", p)
	h.api("acme", "", "", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "done ", r.Method) })
	r, err := h.Resource(ctx, "acme")
	must(t, err)
	q := r.Policy
	q.Approval = policy.ApprovalAlways
	h.setPolicy("acme", q)
	return h, tool
}

func callOf(tool, what, stage, stdin string) string {
	return `{"resources":["bot"],"command":[` + quote(tool) + `,` + quote(what) + `],"env":{"STAGE":` + quote(stage) + `},"stdin":` + quote(stdin) + `}`
}

// TestGoldenApproval plays what an agent sees of a call that a person approves, denies, or lets expire: to the letter.
func TestGoldenApproval(t *testing.T) {
	h, tool := approvals(t)
	s := &transcript{client: h.connect(h.agent(vault.NewAgent{Name: "ci"}), false), hide: map[string]string{tool: "/opt/deploy"}, seen: map[string]string{}}
	call := callOf(tool, "deploy", "prod", "x")
	s.act("run_with_resource", call)
	ref := s.asks("run_with_resource", call)
	s.act("get_status", `{}`)
	h.decide(ref, true, "")
	s.act("get_status", `{}`)
	if r := s.call("run_with_resource", call); r.str("stdout") != "deploy in prod\nx" || r.str("state") != "exited" {
		t.Errorf("%s", r.raw)
	}
	denied := s.act("run_with_resource", call)
	h.decide(aprID.FindString(denied.Next), false, "not on a Friday, and not with "+botToken)
	s.act("run_with_resource", call)
	s.act("get_status", `{}`)
	get := `{"handle":"acme","method":"POST","url":"/v1/things","body":"{}"}`
	s.act("http_request_with_resource", get)
	h.decide(s.asks("http_request_with_resource", get), true, "")
	if r := s.call("http_request_with_resource", get); r.str("body") != "done POST" {
		t.Errorf("%s", r.raw)
	}
	h.pass(vault.ApprovalLife)
	s.act("get_status", `{}`)
	golden(t, "testdata/approval.golden", s.out.String())
}

// TestAttack70_AnApprovedCallIsThatCall: by the tools, as an agent would try it: another word, variable, input, header, method, body, time or agent is not what was approved, and the approved
// call runs once.
func TestAttack70_AnApprovedCallIsThatCall(t *testing.T) {
	h, tool := approvals(t)
	ci, other := h.connect(h.agent(vault.NewAgent{Name: "ci", Attended: true}), false), h.connect(h.agent(vault.NewAgent{Name: "other"}), true)
	call := callOf(tool, "deploy", "prod", "x")
	request := func(method, url, header, body string) string {
		return `{"handle":"acme","method":"` + method + `","url":"` + url + `","headers":{"Prefer":"` + header + `"},"body":` + quote(body) + `}`
	}
	post := request("POST", "/v1/a?x=1", "p", "{}")
	ref, sent := ci.asks("run_with_resource", call), ci.asks("http_request_with_resource", post)
	h.decide(ref, true, "")
	h.decide(sent, true, "")
	for what, args := range map[string]string{
		"a word": callOf(tool, "destroy", "prod", "x"), "a blank": callOf(tool, "deploy ", "prod", "x"), "a variable": callOf(tool, "deploy", "test", "x"), "input": callOf(tool, "deploy", "prod", "y"),
		"no input": callOf(tool, "deploy", "prod", ""), "a time": strings.TrimSuffix(call, "}") + `,"timeout_s":61}`, "in the background": strings.TrimSuffix(call, "}") + `,"background":true}`,
		"words cut elsewhere": callOf(tool, "deployprod", "", "x"), "a look-alike": callOf(tool, "dep\u043boy", "prod", "x"), "a capture": strings.TrimSuffix(call, "}") + `,"capture":{"handle":"made","kind":"generic","fields":{"value":"/a"}}}`,
	} {
		if now := ci.asks("run_with_resource", args); now == ref {
			t.Errorf("%s is taken for the approved call", what)
		}
	}
	for what, args := range map[string]string{
		"a method": request("PUT", "/v1/a?x=1", "p", "{}"), "a query": request("POST", "/v1/a?x=2", "p", "{}"), "a header": request("POST", "/v1/a?x=1", "q", "{}"), "a body": request("POST", "/v1/a?x=1", "p", "[]"), "a longer body": request("POST", "/v1/a?x=1", "p", "{} "),
	} {
		if now := ci.asks("http_request_with_resource", args); now == sent {
			t.Errorf("%s is taken for the approved request", what)
		}
	}
	if other.asks("run_with_resource", call) == ref {
		t.Error("another agent's request is the same")
	}
	ci.ok("run_with_resource", call)
	ci.ok("http_request_with_resource", post)
	if ci.asks("run_with_resource", call) == ref || ci.asks("http_request_with_resource", post) == sent {
		t.Error("a word was good twice")
	}
	if a, err := h.Approval(ctx, ref, everywhere); err != nil || a.State != vault.ApprovalSpent || a.Run == "" {
		t.Errorf("%v %+v", err, a)
	}
}

// TestAttack70_WhatAPersonSeesIsWhatItIs: nothing of a call hides, reorders, moves the cursor or looks like another letter, a long word is cut in sight, and no secret of the vault is in it; the
// agent is told nothing of that, so that it learns of no guess whether it was right.
func TestAttack70_WhatAPersonSeesIsWhatItIs(t *testing.T) {
	h, tool := approvals(t)
	ci := h.connect(h.agent(vault.NewAgent{Name: "ci"}), false)
	shown := func(args string) string {
		a, err := h.Approval(ctx, ci.asks("run_with_resource", args), everywhere)
		must(t, err)
		b, err := json.Marshal(a.Call)
		must(t, err)
		var again vault.ApprovalCall
		must(t, json.Unmarshal(b, &again))
		for _, text := range append(again.Argv, again.Cwd, again.Stdin.Text, again.Env["STAGE"]) {
			for _, r := range text {
				if (r < ' ' || r > '~') && r != '⟨' && r != '⟩' {
					t.Errorf("%q is shown as it is in %q", r, text)
				}
			}
		}
		return strings.Join(append(again.Argv[1:], again.Env["STAGE"], again.Stdin.Text), "|")
	}
	if got := shown(callOf(tool, "d\u0435ploy \\u0435", "a\u2028b\u202e\x1b[2K\u200b", "x\r\ny\u009b\u00e9")); got != `d\u0435ploy \\u0435|a\u2028b\u202e\x1b[2K\u200b|x\r\ny\u009b\u00e9` {
		t.Errorf("shown: %s", got)
	}
	long := strings.Repeat("a", 3000)
	if got := shown(callOf(tool, "x", long+"; rm -rf /;"+long, "x")); len(got) > 2000 || !strings.Contains(got, " bytes are not shown; sha256 of all as shown: ") || !strings.Contains(got, "⟨") {
		t.Errorf("shown: %s", got)
	}
	right, wrong := callOf(tool, "x "+botToken, botToken, botToken), callOf(tool, "x "+strings.Repeat("1", len(botToken)), "1", "1")
	if got := shown(right); strings.Contains(got, botToken[10:20]) || strings.Count(got, "[redacted:bot.token]") != 3 {
		t.Errorf("shown: %s", got)
	}
	hit, miss := ci.call("run_with_resource", right), ci.call("run_with_resource", wrong)
	if a, b := aprID.ReplaceAllString(hit.raw, "apr"), aprID.ReplaceAllString(miss.raw, "apr"); a != b {
		t.Errorf("a right guess is told apart:\n%s\n%s", a, b)
	}
	if r := ci.ok("get_status", `{}`); strings.Contains(r.raw, "redacted") {
		t.Errorf("%s", r.raw)
	}
}

// TestApprovalsOfOthersAreNotTold: a status has the caller's own alone, and an agent has no tool that decides.
func TestApprovalsOfOthersAreNotTold(t *testing.T) {
	h, tool := approvals(t)
	ci, other := h.connect(h.agent(vault.NewAgent{Name: "ci"}), false), h.connect(h.agent(vault.NewAgent{Name: "other"}), false)
	ref := ci.asks("run_with_resource", callOf(tool, "deploy", "prod", "x"))
	if r := other.ok("get_status", `{}`); strings.Contains(r.raw, ref) || len(r.list("approvals")) != 0 {
		t.Errorf("%s", r.raw)
	}
	for name := range h.tools {
		if strings.Contains(name, "approv") || strings.Contains(name, "deny") || strings.Contains(string(h.tools[name].Input), "approv") {
			t.Errorf("a tool %s", name)
		}
	}
	h.pass(time.Minute)
	if r := ci.ok("get_status", `{}`); len(r.list("approvals")) != 1 || !strings.Contains(r.raw, ref) {
		t.Errorf("%s", r.raw)
	}
}
