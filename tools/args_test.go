//go:build unix

package tools_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// canary stands for a secret that a model puts into a wrong place; no refusal repeats it.
const canary = "sk-canary-77aa31"

// Every tool: arguments that its schema refuses are refused, by the same words of ours, and never repeated.
func TestAttack67_ArgumentsAreHeldToTheSchema(t *testing.T) {
	long := strings.Repeat("x", 70)
	many := func(n int, v string) string { return "[" + strings.TrimSuffix(strings.Repeat(v+",", n), ",") + "]" }
	env := map[string]string{}
	for i := range 65 {
		env[fmt.Sprint("V", i)] = "x"
	}
	h := newHouse(t)
	h.addBot("b", policy.Policy{})
	c := h.connect("", false)
	for tool, cases := range map[string][]string{
		"list_resources": {
			`{"kind":5}`, `{"kind":null}`, `{"kind":["server"]}`, `{"project":"` + long + `"}`, `{"label":{}}`, `{"cursor":7}`, `{"cursor":"` + strings.Repeat("x", 1001) + `"}`, `{"kind":"server","kind":"server"}`, `{"Kind":"server"}`,
			`{"` + canary + `":"x"}`, `{"secret":"` + canary + `"}`, `[]`, `"` + canary + `"`, `5`, `{"cursor":"` + canary + `!"}`,
		},
		"allocate_resource": {
			`{}`, `{"handle":"b"}`, `{"handle":"b","purpose":""}`, `{"handle":"b","purpose":5}`, `{"handle":"b","purpose":"two\nlines"}`, `{"handle":"` + long + `","purpose":"x"}`,
			`{"handle":"b","purpose":"x","ttl_s":0}`, `{"handle":"b","purpose":"x","ttl_s":-1}`, `{"handle":"b","purpose":"x","ttl_s":86401}`, `{"handle":"b","purpose":"x","ttl_s":1.5}`, `{"handle":"b","purpose":"x","ttl_s":1e30}`,
			`{"handle":"b","purpose":"x","ttl_s":"60"}`, `{"handle":"b","purpose":"x","max_uses":0}`, `{"handle":"b","purpose":"x","max_uses":-3}`, `{"handle":"b","purpose":"x","requirements":[]}`,
			`{"handle":"b","purpose":"x","requirements":{"ram_mb":-1}}`, `{"handle":"b","purpose":"x","requirements":{"ram_gb":1}}`, `{"handle":"b","purpose":"x","requirements":{"ports":[70000]}}`,
			`{"handle":"b","purpose":"x","requirements":{"ports":["80"]}}`, `{"handle":"b","purpose":"x","requirements":{"ports":` + many(17, "0") + `}}`, `{"handle":"b","purpose":"x","requirements":{"ports":[9000,9000]}}`,
			`{"handle":"b","purpose":"x","requirements":{"services":["web"]}}`, `{"handle":"b","purpose":"x","requirements":{"services":{"` + canary + `":0}}}`, `{"handle":"b","purpose":"x","requirements":{"services":{"web":70000}}}`,
			`{"handle":"b","purpose":"x","requirements":{"services":{"web":9000},"ports":[9000]}}`, `{"handle":"b","purpose":"x","dry_run":"yes"}`,
			`{"handle":"b","purpose":"x","requirements":{"ram_mb":1}}`, // a bot has no memory
			`{"handle":"b","purpose":"x","context":"` + strings.Repeat("x", 201) + `"}`, `{"handle":"b","purpose":"x","idempotency_key":"` + strings.Repeat("x", 129) + `"}`, `{"handle":"b","purpose":"x","token":"` + canary + `"}`,
		},
		"release_resource": {`{}`, `{"lease_id":7}`, `{"lease_id":null}`, `{"lease_id":"` + long + `"}`, `{"lease":"` + canary + `"}`},
		"list_managed_servers": {`{"min_free_ram_mb":-1}`, `{"min_free_ram_mb":"1"}`, `{"min_free_disk_mb":-1}`, `{"min_free_cpu":-1}`, `{"min_free_cpu":99999999999999999999}`, `{"status":"` + long + `"}`, `{"cursor":"` + canary + `"}`,
			`{"cursor":"LTE"}`, `{"address":"` + canary + `"}`},
		"run_with_resource": {
			`{}`, `{"resources":["b"]}`, `{"command":["x"]}`, `{"resources":[],"command":["x"]}`, `{"resources":"b","command":["x"]}`, `{"resources":["b"],"command":"ls"}`, `{"resources":["b"],"command":[]}`, `{"resources":["b"],"command":[5]}`,
			`{"resources":["b"],"command":["` + canary + `\u0000"]}`, `{"resources":["b"],"command":[""]}`, `{"resources":` + many(65, `"b"`) + `,"command":["x"]}`, `{"resources":["b"],"command":` + many(257, `"x"`) + `}`,
			`{"resources":["b"],"command":["` + strings.Repeat("x", 32769) + `"]}`, `{"resources":["` + long + `"],"command":["x"]}`, `{"resources":["b"],"command":["x"],"timeout_s":0}`, `{"resources":["b"],"command":["x"],"timeout_s":3601}`,
			`{"resources":["b"],"command":["x"],"timeout_s":86401,"background":true}`, `{"resources":["b"],"command":["x"],"background":"yes"}`, `{"resources":["b"],"command":["x"],"env":{"A":5}}`, `{"resources":["b"],"command":["x"],"env":["A=b"]}`,
			`{"resources":["b"],"command":["x"],"env":` + quote(env) + `}`, `{"resources":["b"],"command":["x"],"cwd":"` + strings.Repeat("x", 4097) + `"}`, `{"resources":["b"],"command":["x"],"stdin":5}`, `{"resources":["b"],"command":["x"],"shell":true}`,
			`{"resources":["b"],"command":["x"],"stdin":"` + strings.Repeat("x", 1<<20+1) + `"}`,
		},
		"http_request_with_resource": {
			`{}`, `{"handle":"b"}`, `{"handle":"b","method":"GET"}`, `{"handle":"b","method":"get","url":"/"}`, `{"handle":"b","method":"TRACE","url":"/"}`, `{"handle":"b","method":"GET","url":""}`, `{"handle":"b","method":"GET","url":5}`, `{"handle":"` + long + `","method":"GET","url":"/"}`,
			`{"handle":"b","method":"GET","url":"/` + strings.Repeat("x", 8192) + `"}`, `{"handle":"b","method":"GET","url":"/` + canary + ` "}`, `{"handle":"b","method":"GET","url":"/","headers":["A"]}`, `{"handle":"b","method":"GET","url":"/","headers":{"Accept":5}}`, `{"handle":"b","method":"GET","url":"/","headers":` + quote(env) + `}`,
			`{"handle":"b","method":"GET","url":"/","headers":{"Authorization":"` + canary + `"}}`, `{"handle":"b","method":"GET","url":"/","headers":{"` + canary + `":"x"}}`, `{"handle":"b","method":"GET","url":"/","body":"x"}`, `{"handle":"b","method":"POST","url":"/","body":{"a":1}}`, `{"handle":"b","method":"POST","url":"/","json":{"a":1}}`,
			`{"handle":"b","method":"GET","url":"/","timeout_s":0}`, `{"handle":"b","method":"GET","url":"/","timeout_s":601}`, `{"handle":"b","method":"GET","url":"//` + canary + `/x"}`, `{"handle":"b","method":"GET","url":"` + canary + `"}`,
			`{"handle":"b","method":"GET","url":"/","capture":{}}`, `{"handle":"b","method":"GET","url":"/","capture":{"handle":"n"}}`, `{"handle":"b","method":"GET","url":"/","capture":{"handle":"n","fields":{}}}`, `{"handle":"b","method":"GET","url":"/","capture":{"handle":"n","fields":{"value":5}}}`,
			`{"handle":"b","method":"GET","url":"/","capture":{"handle":"n","fields":{"value":"` + canary + `"}}}`, `{"handle":"b","method":"GET","url":"/","capture":{"handle":"n","fields":{"value":"/x"},"hosts":"` + canary + `.example"}}`, `{"handle":"b","method":"GET","url":"/","capture":{"handle":"n","kind":"server","fields":{"host":"/x"}}}`,
			`{"handle":"b","method":"GET","url":"/","capture":{"handle":"n","fields":{"value":"/x"},"purpose":"` + canary + `-0123456789abcdef"}}`, `{"handle":"b","method":"GET","url":"/","capture":{"handle":"n","fields":{"path":"/x"}}}`,
		},
		"get_run":    {`{}`, `{"run_id":"x","offset":-1}`, `{"run_id":"x","offset":"0"}`, `{"run_id":5}`, `{"run_id":"` + long + `"}`},
		"stop_run":   {`{}`, `{"run_id":5}`, `{"run_id":"x","force":true}`},
		"get_status": {`{"verbose":true}`, `[]`, `{"` + canary + `":1}`},
	} {
		for _, args := range cases {
			r := c.refused(fault.InvalidArgument, tool, args)
			if strings.Contains(r.raw, canary) || r.Text == "" {
				t.Errorf("%s %.80s: %s", tool, args, r.raw)
			}
		}
	}
	c.refused(fault.InvalidArgument, "run_with_resource", `{"resources":["b"],"command":`+strings.Repeat("[", 30)+strings.Repeat("]", 30)+`}`)
}

// A list of names that a model may have mistaken for another's: nothing is found, and nothing is told apart.
func TestUnknownThings(t *testing.T) {
	h := newHouse(t)
	h.addBot("b", policy.Policy{Agents: []string{"ci"}})
	c := h.connect("", false)
	for _, ref := range []string{"b", "nothing", canary, "../b", "B", "res_aaaaaaaaaaaaaaaaaaaaaaaaaa", ""} {
		r := c.refused(fault.UnknownResource, "run_with_resource", `{"resources":[`+quote(ref)+`],"command":["x"]}`, "list_resources")
		if strings.Contains(r.raw, canary) {
			t.Errorf("repeated: %s", r.raw)
		}
	}
	for _, ref := range []string{"x", canary, "lse_aaaaaaaaaaaaaaaaaaaaaaaaaa"} {
		c.refused(fault.UnknownLease, "release_resource", `{"lease_id":`+quote(ref)+`}`)
	}
	for _, tool := range []string{"get_run", "stop_run"} {
		for _, ref := range []string{"x", canary, "run_aaaaaaaaaaaaaaaaaaaaaaaaaa"} {
			c.refused(fault.UnknownRun, tool, `{"run_id":`+quote(ref)+`}`, "run_with_resource")
		}
	}
}

// Who was removed is nobody from then on.
func TestRemovedAgents(t *testing.T) {
	h := newHouse(t)
	c := h.connect(h.agent(vault.NewAgent{Name: "gone"}), false)
	c.ok("list_resources", `{}`)
	_, err := h.RemoveAgent(ctx, operator, "gone")
	must(t, err)
	for _, tool := range []string{"list_resources", "list_managed_servers"} {
		if r := c.call(tool, `{}`); r.Code != fault.Unauthenticated {
			t.Errorf("%s: %s", tool, r.raw)
		}
	}
}

var enum = regexp.MustCompile(`"enum":\[[^\]]*\],`)

// FuzzArguments: whatever comes, a tool answers by its schema or refuses by a fault, and never panics. What the schema refuses is refused.
func FuzzArguments(f *testing.F) {
	for _, s := range []string{`{}`, `{"kind":"server"}`, `{"handle":"b","purpose":"x","requirements":{"ports":[0]}}`, `{"resources":["b"],"command":["pin:x"]}`, `{"run_id":"x","offset":1}`, `null`, `[1]`, `{"a":{"b":[{}]}}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, args string) {
		h := shared(t)
		for name, x := range h.tools {
			res, err := x.Handle(ctx, h.localCall(json.RawMessage(args)))
			if err != nil {
				if fault.CodeOf(err) == fault.Internal {
					t.Fatalf("%s %q: %v", name, args, err)
				}
				continue
			}
			raw, err := json.Marshal(res.Structured)
			must(t, err)
			validate(t, x.Output, raw)
			if strings.TrimSpace(args) != "" && strings.TrimSpace(args) != "null" {
				validate(t, json.RawMessage(enum.ReplaceAllString(string(x.Input), "")), json.RawMessage(args)) // "" stands for no kind: models fill in every field
			}
		}
	})
}
