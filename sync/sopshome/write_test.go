package sopshome_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/vault/sops/sopstest"
)

// What a person changes stands in the file, where sops reads it, and in the vault; comments, clear keys and mode stay; each write is on record before and after.
func TestAPersonsActsReachTheFile(t *testing.T) {
	p := sopstest.NewPerson(t)
	path := file(t, p, "secrets.yaml", text())
	must(t, os.Chmod(path, 0o640))
	h := newHouse(t, p, "secrets.yaml")
	r, err := h.EditResource(ctx, operator, "openai", vault.Edit{Secrets: one("key", keyB), Labels: map[string]string{"env": "test"}, IfVersion: 1, Why: "it leaked"})
	must(t, err)
	if r.Version != 2 || r.UpdatedBy != "operator" || r.Why != "it leaked" || h.has("secrets.yaml", `["api_keys"]["openai"]["key"]`) != keyB || h.has("secrets.yaml", `["api_keys"]["openai"]["labels"]["env"]`) != "test" {
		t.Errorf("edit: %+v", r)
	}
	h.Settle(ctx)
	if h.get("openai").Version != 2 {
		t.Error("the file's reading made another version of what the edit had made")
	}
	_, err = h.EditResource(ctx, operator, "smtp", vault.Edit{Labels: map[string]string{"env": "", "team": "ops"}, Secrets: one("extra", "postmaster-7")})
	must(t, err)
	_, err = h.EditResource(ctx, operator, "shop.stripe_key", vault.Edit{Secrets: one("value", "sk_live_zyxwvutsrqponmlk")})
	must(t, err)
	_, err = h.EditResource(ctx, operator, "github_main", vault.Edit{Labels: map[string]string{"team": "ops"}}) // was its one value
	must(t, err)
	for where, want := range map[string]string{
		`["resources"]["smtp"]["extra"]`: "postmaster-7", `["resources"]["smtp"]["labels"]["team"]`: "ops", `["projects"]["shop"]["secrets"]["STRIPE_KEY"]`: "sk_live_zyxwvutsrqponmlk",
		`["api_keys"]["github_main"]["key"]`: "ghp_abcdefghijklmnopqrstuvwxyz0123456789", `["api_keys"]["github_main"]["labels"]["team"]`: "ops",
	} {
		if got := h.has("secrets.yaml", where); got != want {
			t.Errorf("%s: %q", where, got)
		}
	}
	_, err = h.RollbackResource(ctx, operator, "openai", 1, "")
	must(t, err)
	if h.has("secrets.yaml", `["api_keys"]["openai"]["key"]`) != keyA || h.value("openai", "key") != keyA || len(h.get("openai").Labels) != 0 {
		t.Error("a rollback did not reach the file")
	}
	plain := p.Sops(p.Dir, "decrypt", "secrets.yaml")
	if !strings.Contains(plain, "# our keys") || !strings.Contains(plain, "# who pays") || strings.Contains(plain, "env_unencrypted") {
		t.Errorf("comments or labels: %s", plain)
	}
	if st, err := os.Stat(path); err != nil || st.Mode() != 0o640 {
		t.Errorf("mode %v", st.Mode())
	}
	records := h.recorded(audit.FileWrite)
	if len(records) != 10 || records[0] != "openai allowed  intent" || records[1] != "openai allowed  outcome" {
		t.Errorf("records: %q", records)
	}
	if h.get("openai").Version != 3 {
		t.Errorf("version %d", h.get("openai").Version)
	}
	h.restart()
	for _, x := range []string{"openai", "smtp", "github_main", "shop.stripe_key"} {
		if v := h.get(x); v.Status != vault.Active || v.Version > 3 {
			t.Errorf("%s: %+v", x, v)
		}
	}
	must(t, h.v.Verify(ctx))
}

// New resources go where they are told to; what is renamed keeps its policy; what is removed is gone from both.
func TestAddRenameRemove(t *testing.T) {
	p := sopstest.NewPerson(t)
	file(t, p, "secrets.yaml", text())
	h := newHouse(t, p, "secrets.yaml", "more.env")
	limits := policy.Policy{MaxUses: 7}
	r, err := h.AddResource(ctx, operator, vault.NewResource{Kind: "api_key", Handle: "openai_two", Attrs: map[string]string{"service": "openai"}, Secrets: one("key", keyB), Policy: limits, Source: "sops:secrets.yaml"})
	must(t, err)
	if r.Source != "sops:secrets.yaml" || r.Policy.MaxUses != 7 || h.has("secrets.yaml", `["api_keys"]["openai_two"]["key"]`) != keyB {
		t.Errorf("%+v", r)
	}
	_, err = h.AddResource(ctx, operator, vault.NewResource{Kind: "generic", Handle: "own", Secrets: one("value", "stays-in-the-vault")})
	must(t, err)
	_, err = h.AddResource(ctx, operator, vault.NewResource{Kind: "generic", Handle: "flat", Secrets: one("value", "a-value"), Source: "sops:more.env"})
	if err == nil {
		t.Error("a flat file took a resource")
	}
	_, err = h.AddResource(ctx, operator, vault.NewResource{Kind: "generic", Handle: "x", Secrets: one("value", "a-value"), Source: "sops:nowhere.yaml"})
	wantCode(t, err, fault.InvalidArgument)
	_, err = h.AddResource(ctx, operator, vault.NewResource{Kind: "generic", Handle: "own", Secrets: one("value", "a-value"), Source: "sops:secrets.yaml"})
	wantCode(t, err, fault.HandleTaken)
	_, err = h.RenameResource(ctx, operator, "openai_two", "main_key")
	must(t, err)
	if x := h.get("main_key"); x.Policy.MaxUses != 7 || x.ID != r.ID || x.MovesTo != "" || h.has("secrets.yaml", `["api_keys"]["main_key"]["service"]`) != "openai" {
		t.Errorf("%+v", x)
	}
	_, err = h.RenameResource(ctx, operator, "shop.stripe_key", "shop.other")
	wantCode(t, err, fault.NotSupported)
	_, err = h.RemoveResource(ctx, operator, "main_key")
	must(t, err)
	_, err = h.RemoveResource(ctx, operator, "own")
	must(t, err)
	h.restart()
	for _, ref := range []string{"main_key", "openai_two", "own"} {
		_, err := h.v.Resource(ctx, ref)
		wantCode(t, err, fault.UnknownResource)
	}
	if plain := p.Sops(p.Dir, "decrypt", "secrets.yaml"); strings.Contains(plain, "main_key") || strings.Contains(plain, "own:") {
		t.Error(plain)
	}
}

// A file that cannot be written changes nothing anywhere; one that changed meanwhile is read again, and a stale edit is a conflict.
func TestAFailedWriteChangesNothing(t *testing.T) {
	p := sopstest.NewPerson(t)
	path := file(t, p, "secrets.yaml", text())
	h := newHouse(t, p, "secrets.yaml")
	must(t, os.Link(path, filepath.Join(p.Dir, "second.yaml"))) // a second name would keep the old content: refused
	_, err := h.EditResource(ctx, operator, "openai", vault.Edit{Secrets: one("key", keyB)})
	wantCode(t, err, fault.NotSupported)
	_, err = h.RenameResource(ctx, operator, "openai", "other")
	wantCode(t, err, fault.NotSupported)
	_, err = h.RemoveResource(ctx, operator, "openai")
	wantCode(t, err, fault.NotSupported)
	_, err = h.RollbackResource(ctx, operator, "openai", 9, "")
	wantCode(t, err, fault.UnknownVersion)
	_, err = h.EditResource(ctx, operator, "openai", vault.Edit{Secrets: one("key", "not a key of openai")})
	wantCode(t, err, fault.SecretInvalid)
	if r := h.get("openai"); r.Version != 1 || r.MovesTo != "" || h.value("openai", "key") != keyA || h.has("secrets.yaml", `["api_keys"]["openai"]["key"]`) != keyA {
		t.Errorf("%+v", r)
	}
	if records := h.recorded(audit.FileWrite); len(records) != 6 || records[1] != "openai failed not_supported outcome" {
		t.Errorf("%q", records)
	}
	must(t, os.Remove(filepath.Join(p.Dir, "second.yaml")))
	p.Sops(p.Dir, "set", "secrets.yaml", `["api_keys"]["openai"]["key"]`, `"`+keyB+`"`)
	_, err = h.EditResource(ctx, operator, "openai", vault.Edit{Attrs: map[string]string{"env": "OTHER_KEY"}, IfVersion: 1})
	wantCode(t, err, fault.VersionConflict)
	if h.value("openai", "key") != keyB {
		t.Error("the change by sops was not read")
	}
}

// A stop between the file's write and the vault's is mended at the next reading: the file wins, and a rename keeps policy and history.
func TestAStopBetweenTheTwoWrites(t *testing.T) {
	p := sopstest.NewPerson(t)
	file(t, p, "secrets.yaml", text())
	h := newHouse(t, p, "secrets.yaml")
	limits := policy.Policy{MaxUses: 7}
	_, err := h.EditResource(ctx, operator, "smtp", vault.Edit{Policy: &limits})
	must(t, err)
	before := h.get("smtp")
	must(t, h.v.BeginMove(ctx, "smtp", "mail")) // what RenameResource had done when the power went
	p.Sops(p.Dir, "set", "secrets.yaml", `["resources"]["mail"]`, `{"kind":"generic","project":"shop","value":"some-smtp-password"}`)
	p.Sops(p.Dir, "unset", "secrets.yaml", `["resources"]["smtp"]`)
	h.restart()
	if r := h.get("mail"); r.ID != before.ID || r.Policy.MaxUses != 7 || r.MovesTo != "" || r.Sealed["value"] != before.Sealed["value"] {
		t.Errorf("%+v", r)
	}
	_, err = h.v.Resource(ctx, "smtp")
	wantCode(t, err, fault.UnknownResource)

	h.st.full.Store(false)
	must(t, h.v.BeginMove(ctx, "openai", "other")) // and before the file was written
	h.restart()
	if r := h.get("openai"); r.Status != vault.Active || r.MovesTo != "" {
		t.Errorf("%+v", r)
	}
	must(t, h.v.Verify(ctx))
}
