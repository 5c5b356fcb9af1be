//go:build unix

package tools_test

import (
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// An agent asks for what is missing, shows a person what they type, and learns that it is there: never what it is, and no code that opens the page.
func TestAnAgentRequestsASecret(t *testing.T) {
	h := newHouse(t)
	_, err := h.AddProject(ctx, operator, "shop", "")
	must(t, err)
	c := h.connect(h.agent(vault.NewAgent{Name: "ci", Grants: vault.Grants{Projects: []string{"shop"}, Kinds: []string{"api_key", "environment"}}}), false)
	args := `{"project":"shop","key":"STRIPE_SECRET","reason":"to charge cards"}`
	r := c.ok("request_secret", args)
	ref := r.str("request_id")
	if r.str("state") != "waiting" || r.str("person_types") != "zavhoz intake give "+ref || r.str("link") != "https://vault.example/intake/"+ref || !strings.Contains(r.Text, "Never ask for the secret") {
		t.Errorf("%s %s", r.Text, r.Data)
	}
	_, code, err := h.IntakeCode(ctx, operator, ref)
	must(t, err)
	if again := c.ok("request_secret", args); again.str("request_id") != ref || strings.Contains(string(again.Data)+again.Text, code) {
		t.Errorf("%s", again.Data)
	}
	value := "sk_live_" + strings.Repeat("b2", 12)
	_, err = h.GiveByCode(ctx, ref, code, vault.Given{Value: secret.FromString(value)})
	must(t, err)
	if r = c.ok("request_secret", args); r.str("state") != "given" || r.str("gave") != "STRIPE_SECRET" || r.str("person_types")+r.str("link") != "" || strings.Contains(string(r.Data)+r.Text, value) {
		t.Errorf("%s %s", r.Text, r.Data)
	}
	h.changed()
	key := `{"kind":"api_key","project":"shop","handle":"openai_main","reason":"to ask the model"}`
	r = c.ok("request_secret", key)
	_, err = h.DenyIntake(ctx, operator, r.str("request_id"), "use the test key, not "+value) // a person's slip
	must(t, err)
	if r = c.ok("request_secret", key); r.str("state") != "denied" || !strings.HasPrefix(r.str("why"), "use the test key, not [redacted") || strings.Contains(string(r.Data)+r.Text, value) || !strings.Contains(r.Text, "Do not ask again") {
		t.Errorf("%s %s", r.Text, r.Data)
	}
	for code, args := range map[fault.Code]string{
		fault.UnknownProject:  `{"project":"default","key":"A","reason":"x"}`,
		fault.NotPermitted:    `{"kind":"server","project":"shop","handle":"vps","reason":"x"}`,
		fault.UnknownKind:     `{"kind":"key","project":"shop","handle":"x","reason":"x"}`,
		fault.InvalidArgument: `{"project":"shop","key":"A","reason":""}`,
	} {
		c.refused(code, "request_secret", args)
	}
}
