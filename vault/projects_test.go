package vault_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// token adds an operator's token, and gives who comes with it.
func (h *house) token(n vault.NewAgent) vault.Actor {
	h.t.Helper()
	n.Role = vault.RoleOperator
	a, token, err := h.AddAgent(ctx, operator, n)
	must(h.t, err)
	if !strings.HasPrefix(token, "zvh_op_") {
		h.t.Errorf("the token begins with %.8s", token)
	}
	return vault.Actor{Type: audit.Operator, ID: a.ID, Name: a.Name, Door: "http"}
}

// TestAttack63_WhoMayActOnAProject: the operator's socket may do all, a token what its scopes and projects say, an agent reads names, and whoever may not is told the
// same as of a project that is not there.
func TestAttack63_WhoMayActOnAProject(t *testing.T) {
	h := newHouse(t)
	h.project("bot")
	h.project("shop")
	h.merge("bot", given("A", "value-1"))
	all, reads, bound := h.token(vault.NewAgent{Name: "all"}), h.token(vault.NewAgent{Name: "reads", Scopes: []vault.Scope{vault.ScopeRead}}), h.token(vault.NewAgent{Name: "bound", Grants: vault.Grants{Projects: []string{"shop"}}})
	writes := h.token(vault.NewAgent{Name: "writes", Scopes: []vault.Scope{vault.ScopeWrite}})
	agent, _ := h.addAgent(vault.NewAgent{Name: "agent", Grants: vault.Grants{Projects: []string{"bot"}}})
	gone := h.token(vault.NewAgent{Name: "gone"})
	_, err := h.RemoveAgent(ctx, operator, "gone")
	must(t, err)
	posing := agent // an agent at the operator's door
	posing.Type = audit.Operator
	for _, x := range []struct {
		who         vault.Actor
		read, write fault.Code
	}{
		{operator, "", ""},
		{all, "", ""},
		{reads, "", fault.NotPermitted},
		{writes, fault.NotPermitted, ""},
		{bound, fault.UnknownProject, fault.UnknownProject},
		{agent, "", fault.NotPermitted},
		{h.local(), fault.UnknownProject, fault.UnknownProject},
		{gone, fault.Unauthenticated, fault.Unauthenticated},
		{posing, fault.NotPermitted, fault.NotPermitted},
	} {
		_, err := h.ProjectSecretKeys(ctx, x.who, "bot")
		if fault.CodeOf(err) != x.read {
			t.Errorf("%s reads: %v, want %q", x.who.Name, err, x.read)
		}
		_, err = h.MergeProjectSecrets(ctx, x.who, "bot", given("B_"+strings.ToUpper(x.who.Name), "value-2"))
		if fault.CodeOf(err) != x.write {
			t.Errorf("%s writes: %v, want %q", x.who.Name, err, x.write)
		}
		_, err = h.RemoveProjectSecret(ctx, x.who, "bot", "NONE", nil)
		if c := fault.CodeOf(err); c != x.write && !(x.write == "" && c == fault.UnknownSecret) {
			t.Errorf("%s removes: %v, want %q", x.who.Name, err, x.write)
		}
		_, err = h.EditProject(ctx, x.who, "bot", vault.ProjectEdit{})
		if fault.CodeOf(err) != x.write {
			t.Errorf("%s edits: %v, want %q", x.who.Name, err, x.write)
		}
	}
	if got := h.secretsOf("bot"); len(got) != 4 {
		t.Errorf("%v", got)
	}
	_, err = h.AddProject(ctx, bound, "fresh", "")
	wantCode(t, err, fault.NotPermitted)
	_, err = h.AddProject(ctx, reads, "fresh", "")
	wantCode(t, err, fault.NotPermitted)
	_, err = h.AddProject(ctx, all, "fresh", "")
	must(t, err)
	must(t, h.Noted(ctx))
	log, st := h.Audit()
	must(t, st.View(ctx, func(tx store.Tx) error {
		for _, who := range []string{"reads", "bound", "agent"} {
			rs, _, err := log.List(tx, audit.Filter{Action: audit.SecretMerge, Actor: who, Outcome: audit.Denied})
			if err != nil || len(rs) == 0 {
				t.Errorf("that %s may not merge is not on record: %v", who, err)
			}
		}
		return nil
	}))
}

func TestScopesOfTokens(t *testing.T) {
	h := newHouse(t)
	for _, x := range []struct {
		n    vault.NewAgent
		code fault.Code
		want int
	}{
		{vault.NewAgent{Name: "a", Role: vault.RoleOperator}, "", 2},
		{vault.NewAgent{Name: "b", Role: vault.RoleOperator, Scopes: []vault.Scope{vault.ScopeAdmin, vault.ScopeAdmin}}, "", 1},
		{vault.NewAgent{Name: "c", Role: vault.RoleOperator, Scopes: []vault.Scope{"root"}}, fault.InvalidArgument, 0},
		{vault.NewAgent{Name: "d", Scopes: []vault.Scope{vault.ScopeRead}}, fault.InvalidArgument, 0},
		{vault.NewAgent{Name: "e"}, "", 0},
	} {
		a, _, err := h.AddAgent(ctx, operator, x.n)
		if fault.CodeOf(err) != x.code || len(a.Scopes) != x.want {
			t.Errorf("%s: %v, %v", x.n.Name, err, a.Scopes)
		}
	}
}

func TestProjectsByIDAndConfig(t *testing.T) {
	h := newHouse(t)
	made := h.project("bot")
	for _, ref := range []string{"bot", made.ID} {
		p, err := h.ViewProject(ctx, operator, ref)
		must(t, err)
		if p.ID != made.ID || p.Slug != "bot" || len(p.Keys) != 0 || p.Version != 0 {
			t.Errorf("%s: %+v", ref, p)
		}
	}
	set := func(key, raw string) vault.ProjectEdit {
		return vault.ProjectEdit{Config: map[string]json.RawMessage{key: json.RawMessage(raw)}}
	}
	title, lines := "The bot", "a\nb"
	for _, x := range []struct {
		e    vault.ProjectEdit
		code fault.Code
	}{
		{set("modules", `["backend", "tg_bot"]`), ""},
		{set("estimated_ram_mb", `512`), ""},
		{set("env_hints", `{"OPENAI_API_KEY":"of the account"}`), ""},
		{vault.ProjectEdit{Title: &title, IfVersion: at(3)}, ""},
		{vault.ProjectEdit{Title: &title, IfVersion: at(3)}, fault.VersionConflict},
		{vault.ProjectEdit{Title: &lines}, fault.InvalidArgument},
		{set("secrets", `{}`), fault.SecretInvalid},
		{set("secrets", `null`), fault.SecretInvalid},
		{set("tree", `{"deep":[{"er":"`+botToken+`"}]}`), fault.SecretInvalid},
		{set("tree", `{"url":"postgres://me:secretpassword@db/x"}`), fault.SecretInvalid},
		{set("tree", `{"a":`), fault.InvalidArgument},
		{set("a b", `1`), fault.InvalidArgument},
		{set("env_hints", `[]`), fault.InvalidArgument},
		{set("env_hints", `{"A B":"x"}`), fault.InvalidArgument},
		{set("env_hints", `{"A":"`+botToken+`"}`), fault.SecretInvalid},
		{set("tree", `"`+strings.Repeat("long ", vault.MaxProjectOther/5)+`"`), fault.TooLarge},
		{set("estimated_ram_mb", `null`), ""},
	} {
		_, err := h.EditProject(ctx, operator, "bot", x.e)
		if fault.CodeOf(err) != x.code {
			t.Errorf("%.60v: %v, want %q", x.e, err, x.code)
		}
	}
	h.merge("bot", given("A", "value-1"))
	p, err := h.ViewProject(ctx, operator, "bot")
	must(t, err)
	if p.Title != title || len(p.Config) != 1 || string(p.Config["modules"]) != `["backend","tg_bot"]` || p.EnvHints["OPENAI_API_KEY"] != "of the account" || p.Version != 6 {
		t.Errorf("%+v", p)
	}
	must(t, h.Verify(ctx))
}
