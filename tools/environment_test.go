//go:build unix

package tools_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

const shopContract = `version: \"1\"\nowner: backend\nentries:\n  STRIPE_SECRET: {source: user_secret, description: The key of the shop, environments: [production], consumers: [backend]}\n  JWT_SECRET: {source: generated_secret, environments: [production]}\n  MODE: {source: literal, environments: [production], value: fast}\n`

// An agent resolves its project's environment, is told what a person has to give and how, and comes to a handle; it meets no value on the way.
func TestAnAgentResolvesAnEnvironment(t *testing.T) {
	h := newHouse(t)
	_, err := h.AddProject(ctx, operator, "shop", "")
	must(t, err)
	_, err = h.AddProject(ctx, operator, "other", "")
	must(t, err)
	c := h.connect(h.agent(vault.NewAgent{Name: "ci", Grants: vault.Grants{Projects: []string{"shop"}, Kinds: []string{"*"}}}), false)
	args := `{"project":"shop","contracts":[{"path":"services/backend/env.contract.yaml","text":"` + shopContract + `"}]}`
	r := c.ok("resolve_environment", args)
	data := string(r.Data)
	if r.str("outcome") != "waiting_for_user_secret" || !strings.Contains(data, `"missing":[{"name":"STRIPE_SECRET","description":"The key of the shop","person_types":"zavhoz project secret set shop STRIPE_SECRET=-"}]`) ||
		!strings.Contains(data, `"generated":["JWT_SECRET"]`) || !strings.Contains(data, `{"name":"MODE","class":"literal","state":"literal","rule":"contract","problem":"","cause":""}`) {
		t.Errorf("%s", data)
	}
	if strings.Contains(data, "backend") { // who reads it is not told: the person is asked for what it is
		t.Errorf("consumers are told: %s", data)
	}
	handle := r.str("handle")
	if list := c.ok("list_resources", `{"kind":"environment"}`); !strings.Contains(string(list.Data), `"handle":"`+handle+`"`) || !strings.Contains(string(list.Data), `"environment":["JWT_SECRET","MODE","STRIPE_SECRET"]`) {
		t.Errorf("%s", list.Data)
	}
	value := "sk_live_" + strings.Repeat("a1", 12)
	_, err = h.MergeProjectSecrets(ctx, operator, "shop", vault.SecretMerge{Secrets: map[string]vault.SecretChange{"STRIPE_SECRET": {Value: secret.FromString(value)}}})
	must(t, err)
	if r = c.ok("resolve_environment", args); r.str("outcome") != "resolved" || r.str("handle") != handle || strings.Contains(string(r.Data), value) {
		t.Errorf("%s", r.Data)
	}
	if r = c.ok("list_project_secrets", `{"project":"shop"}`); !strings.Contains(string(r.Data), `{"name":"JWT_SECRET","type":"infra","filled":true,"length":"medium","age_s":0,"hint":""}`) || strings.Contains(string(r.Data), value) {
		t.Errorf("%s", r.Data)
	}
	for _, x := range []struct {
		code       fault.Code
		tool, args string
		next       string
	}{
		{fault.UnknownProject, "resolve_environment", `{"project":"other","names":["A"]}`, "project"},
		{fault.UnknownProject, "list_project_secrets", `{"project":"other"}`, "project"},
		{fault.InvalidArgument, "resolve_environment", `{"project":"shop"}`, ""},
		{fault.InvalidArgument, "resolve_environment", `{"project":"shop","names":["LD_PRELOAD"]}`, ""},
		{fault.InvalidArgument, "resolve_environment", `{"project":"shop","contracts":[{"text":"a: &a [*a]"}]}`, "env.contract.yaml"},
		{fault.InvalidArgument, "resolve_environment", strings.Replace(args, `"project":"shop"`, `"project":"shop","values":{"JWT":"x"}`, 1), ""},
		{fault.SecretInvalid, "resolve_environment", strings.Replace(args, `"project":"shop"`, `"project":"shop","values":{"MODE":"`+botToken+`"}`, 1), "zavhoz project secret set"},
	} {
		if x.next == "" {
			c.refused(x.code, x.tool, x.args)
		} else {
			c.refused(x.code, x.tool, x.args, x.next)
		}
	}
}

// A server of one project serves others: a lease says for which it is, and that project's environment gets the ports. Nobody takes ports for a project that they may not see.
func TestPortsForAnotherProject(t *testing.T) {
	h := newHouse(t)
	for _, slug := range []string{"shop", "other"} {
		_, err := h.AddProject(ctx, operator, slug, "")
		must(t, err)
	}
	h.addServer("s") // of the project default
	c := h.connect(h.agent(vault.NewAgent{Name: "ci", Grants: vault.Grants{Projects: []string{"default", "shop"}, Kinds: []string{"*"}}}), false)
	outcome := func(project string) string {
		return c.ok("resolve_environment", `{"project":"`+project+`","dry_run":true,"names":["BACKEND_PORT"]}`).str("outcome")
	}
	ask := func(more string) string {
		return `{"handle":"s","purpose":"x","requirements":{"services":{"backend":0}}` + more + `}`
	}
	c.refused(fault.UnknownProject, "allocate_resource", ask(`,"for_project":"other"`))
	c.refused(fault.UnknownProject, "allocate_resource", ask(`,"for_project":"no-such"`))
	c.refused(fault.UnknownProject, "allocate_resource", ask(`,"for_project":"prj_aaaaaaaaaaaaaaaaaaaaaaaaaa"`))
	c.ok("allocate_resource", ask(`,"for_project":"shop","dry_run":true`))
	if got := outcome("shop"); got != "allocation_missing" {
		t.Errorf("before: %s", got)
	}
	r := c.ok("allocate_resource", ask(`,"for_project":"shop","idempotency_key":"k"`))
	if r.str("project") != "shop" || outcome("shop") != "resolved" || outcome("default") != "allocation_missing" {
		t.Errorf("%s: shop %s, default %s", r.Data, outcome("shop"), outcome("default"))
	}
	c.refused(fault.IdempotencyMismatch, "allocate_resource", ask(`,"idempotency_key":"k"`))
	c.ok("release_resource", `{"lease_id":"`+r.str("lease_id")+`"}`)
	if r = c.ok("allocate_resource", ask("")); r.str("project") != "default" || outcome("shop") != "allocation_missing" || outcome("default") != "resolved" {
		t.Errorf("%s: shop %s, default %s", r.Data, outcome("shop"), outcome("default"))
	}
}

// A reply stays small, and what needs something done is told before what does not.
func TestALargeEnvironmentIsCut(t *testing.T) {
	c := newHouse(t).connect("", false)
	var names []string
	for i := range 255 {
		names = append(names, fmt.Sprintf(`"%sSECRET_%d"`, strings.Repeat("JWT_", 25), i))
	}
	r := c.ok("resolve_environment", `{"project":"default","dry_run":true,"names":["ZZ_STRIPE_SECRET",`+strings.Join(names, ",")+`]}`)
	if n := len(r.Data); n > 44<<10 || !strings.Contains(string(r.Data), `"missing":[{"name":"ZZ_STRIPE_SECRET"`) || strings.Contains(string(r.Data), `"variables_left_out":0`) {
		t.Errorf("%d bytes", n)
	}
}
