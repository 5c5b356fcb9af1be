package web_test

import (
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/mcp"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// TestAttack70_OnlyWhatIsAwaited: where nobody proved to be there, a secret that a person is asked for is taken, once, and nothing that leads another secret anywhere, or
// asks a person for something.
func TestAttack70_OnlyWhatIsAwaited(t *testing.T) {
	h, _ := guardedHouse(t)
	person := h.sit(1)
	person.ok("POST", "/presence", right)
	person.ok("POST", "/projects/other/config/secrets", `{"secrets":{"FIRST":"x"},"env_hints":{"ACME_SECRET":"of the shop","NEXT_SECRET":"too","POSTGRES_HOST":"where it is"}}`)
	shell := h.sit(2)
	shell.ok("POST", "/projects/other/config/secrets", `{"secrets":{"ACME_SECRET":"given"},"env_hints":{"ACME_SECRET":"of the shop, new"}}`)
	shell.ok("POST", "/projects/other/config/secrets", `{"secrets":{"ACME_SECRET":"again"},"if_absent":true}`)
	for _, body := range []string{
		`{"secrets":{"ACME_SECRET":"again"}}`,
		`{"secrets":{"POSTGRES_HOST":"evil.example"}}`,
		`{"secrets":{"UNASKED":"x"},"if_absent":true}`,
		`{"secrets":{"NEXT_SECRET":"x"},"env_hints":{"DATABASE_URL":"send it to evil.example"}}`,
	} {
		shell.refused(fault.PresenceRequired, "POST", "/projects/other/config/secrets", body)
	}
}

// An environment that a person took away comes back where they are there, and they see what it is made of.
func TestAPersonMakesAnEnvironmentAgain(t *testing.T) {
	h, _ := guardedHouse(t)
	person, shell := h.sit(1), h.sit(2)
	person.ok("POST", "/presence", right)
	handle, _ := shell.ok("POST", "/projects/other/environment", `{"names":["APP_NAME"]}`).get("handle").(string)
	if got := person.ok("GET", "/resources/"+handle, ""); !strings.Contains(got.body, `APP_NAME = \"other\"`) {
		t.Error(got.body)
	}
	person.ok("DELETE", "/resources/"+handle, "")
	for _, names := range []string{`"APP_NAME"`, `"APP_NAME","DEBUG"`} {
		shell.refused(fault.PresenceRequired, "POST", "/projects/other/environment", `{"names":[`+names+`]}`)
	}
	person.ok("POST", "/projects/other/environment", `{"names":["APP_NAME"]}`)
	shell.ok("POST", "/projects/other/environment", `{"names":["APP_NAME","DEBUG"]}`)
}

// TestAttack63_ATokenWritesNoFileOfTheOperators: over HTTP a resource goes into the vault, whatever is configured.
func TestAttack63_ATokenWritesNoFileOfTheOperators(t *testing.T) {
	h := newHouse(t)
	s := h.street(mcp.Limits{})
	w := s.bearer(vault.NewAgent{Name: "orchestrator"})
	w.refused(fault.NotPermitted, 403, "POST", "/resources", `{"kind":"generic","handle":"a","secrets":{"value":"`+canary+`"},"to_file":"secrets.yaml"}`)
	w.ok("POST", "/resources", `{"kind":"generic","handle":"b","secrets":{"value":"`+canary+`"}}`)
	if r, err := h.Resource(ctx, "b"); err != nil || r.Source != "vault" && r.Source != "" {
		t.Errorf("%v %q", err, r.Source)
	}
}
