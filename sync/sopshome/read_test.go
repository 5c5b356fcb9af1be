package sopshome_test

import (
	"fmt"
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

const secretsText = `# our keys
api_keys:
    openai: # the main one
        key: ` + keyA + `
        # who pays
        owner_note_unencrypted: x
    github_main: ghp_abcdefghijklmnopqrstuvwxyz0123456789
resources:
    smtp:
        kind: generic
        project: shop
        labels:
            env_unencrypted: prod
        value: some-smtp-password
projects:
    shop:
        secrets:
            STRIPE_KEY: sk_live_abcdefghijklmnop
`

func text() string { return strings.Replace(secretsText, "        owner_note_unencrypted: x\n", "", 1) }

// What a file holds is what the vault has; a change by the real sops is a new version, what did not change is not sealed anew, policy stays.
func TestAFileIsAHome(t *testing.T) {
	p := sopstest.NewPerson(t)
	file(t, p, "secrets.yaml", text())
	h := newHouse(t, p, "secrets.yaml")
	for _, want := range []struct{ handle, kind, project, field, value string }{
		{"openai", "api_key", "default", "key", keyA}, {"smtp", "generic", "shop", "value", "some-smtp-password"},
		{"shop.stripe_key", "generic", "shop", "value", "sk_live_abcdefghijklmnop"},
	} {
		if r := h.get(want.handle); r.Kind != want.kind || r.Project != want.project || r.Source != "sops:secrets.yaml" || h.value(want.handle, want.field) != want.value {
			t.Errorf("%s: %+v", want.handle, r)
		}
	}
	if r := h.get("shop.stripe_key"); r.Attrs["env"] != "STRIPE_KEY" || h.get("smtp").Labels["env"] != "prod" {
		t.Errorf("%+v", r)
	}
	limits := policy.Policy{MaxUses: 3}
	_, err := h.EditResource(ctx, operator, "openai", vault.Edit{Policy: &limits})
	must(t, err)
	smtp := h.get("smtp")
	h.live()
	p.Sops(p.Dir, "set", "secrets.yaml", `["api_keys"]["openai"]["key"]`, `"`+keyB+`"`)
	h.until("the change", func() bool { return h.value("openai", "key") == keyB })
	if r := h.get("openai"); r.Policy.MaxUses != 3 || r.Version != 3 || r.UpdatedBy != "sops" {
		t.Errorf("%+v", r)
	}
	if now := h.get("smtp"); now.Version != smtp.Version || now.Sealed["value"] != smtp.Sealed["value"] {
		t.Error("an entry that did not change was sealed anew")
	}
	p.Sops(p.Dir, "unset", "secrets.yaml", `["resources"]["smtp"]`)
	h.until("the loss", func() bool { return h.get("smtp").Status == vault.Gone })
	active := vault.Active
	_, err = h.EditResource(ctx, operator, "smtp", vault.Edit{Status: &active})
	wantCode(t, err, fault.ResourceDisabled)
	if _, err := h.v.Authorise(ctx, operator, []string{"smtp"}); fault.CodeOf(err) != fault.ResourceDisabled {
		t.Errorf("what is gone is usable: %v", err)
	}
	p.Sops(p.Dir, "set", "secrets.yaml", `["resources"]["smtp"]`, `{"kind":"generic","value":"another-password"}`)
	h.until("its return", func() bool { return h.get("smtp").Status == vault.Active })
	if r := h.get("smtp"); r.ID != smtp.ID || r.Project != "default" || h.value("smtp", "value") != "another-password" {
		t.Errorf("%+v", r)
	}
	must(t, h.v.Verify(ctx))
}

// Leases end with what they are of; a resource that the operator switched off stays off when it comes back.
func TestLeasesEndAndOffStaysOff(t *testing.T) {
	p := sopstest.NewPerson(t)
	file(t, p, "secrets.yaml", text())
	h := newHouse(t, p, "secrets.yaml")
	agents, err := h.v.ListAgents(ctx)
	must(t, err)
	claude := vault.Actor{Type: audit.Agent, ID: agents[0].ID, Name: agents[0].Name, Door: "stdio"}
	lease, err := h.v.Allocate(ctx, claude, vault.AllocateRequest{Handle: "openai", Purpose: "test it"})
	must(t, err)
	off := vault.Disabled
	_, err = h.EditResource(ctx, operator, "github_main", vault.Edit{Status: &off})
	must(t, err)
	p.Sops(p.Dir, "unset", "secrets.yaml", `["api_keys"]`)
	h.Settle(ctx)
	leases, err := h.v.Leases(ctx, claude)
	must(t, err)
	if len(leases) != 0 {
		t.Errorf("the lease %v lives on", lease)
	}
	file(t, p, "secrets.yaml", text())
	h.Settle(ctx)
	if h.get("openai").Status != vault.Active || h.get("github_main").Status != vault.Disabled {
		t.Errorf("%s %s", h.get("openai").Status, h.get("github_main").Status)
	}
}

// A broken, forged, lost or foreign file leaves what was in force, after a restart too, and says so once on record.
func TestABrokenFileChangesNothing(t *testing.T) {
	p := sopstest.NewPerson(t)
	path := file(t, p, "secrets.yaml", text())
	h := newHouse(t, p, "secrets.yaml")
	good, err := os.ReadFile(path)
	must(t, err)
	stranger := sopstest.NewPerson(t)
	foreign, err := os.ReadFile(file(t, stranger, "secrets.yaml", "api_keys:\n    openai: "+keyB+"\n"))
	must(t, err)
	for _, broken := range []struct {
		content []byte
		code    fault.Code
	}{
		{[]byte(strings.Replace(string(good), "openai:", "openbi:", 1)), fault.RecordTampered}, {good[:len(good)/2], fault.InvalidArgument}, {foreign, fault.WrongIdentity},
	} {
		must(t, os.WriteFile(path, broken.content, 0o600))
		h.Settle(ctx)
		if got := h.err("secrets.yaml"); got != broken.code {
			t.Fatalf("state %s, want %s", got, broken.code)
		}
		h.Settle(ctx)
		h.restart()
		if h.value("openai", "key") != keyA || h.get("openai").Status != vault.Active || h.err("secrets.yaml") != broken.code {
			t.Errorf("%s: what was in force is not", broken.code)
		}
		_, err := h.EditResource(ctx, operator, "openai", vault.Edit{Secrets: one("key", keyB)})
		wantCode(t, err, broken.code)
	}
	must(t, os.Remove(path))
	h.Settle(ctx)
	if h.value("openai", "key") != keyA || h.err("secrets.yaml") == "" {
		t.Error("a file that is not there ended its resources")
	}
	must(t, os.WriteFile(path, good, 0o600))
	h.Settle(ctx)
	if got := h.err("secrets.yaml"); got != "" {
		t.Errorf("mended: %s", got)
	}
	records := strings.Join(h.recorded(audit.FileRead), ", ")
	if !strings.HasPrefix(records, "secrets.yaml allowed, secrets.yaml failed record_tampered") || !strings.HasSuffix(records, "secrets.yaml allowed") {
		t.Errorf("records: %s", records)
	}
}

// A file that lost everything, or most of it, is not believed at once; a loss that stays is.
func TestAnEmptiedFileIsNotBelieved(t *testing.T) {
	p := sopstest.NewPerson(t)
	file(t, p, "secrets.yaml", text())
	h := newHouse(t, p, "secrets.yaml")
	file(t, p, "secrets.yaml", "projects: {}\n")
	h.Settle(ctx)
	if h.get("openai").Status != vault.Active || h.err("secrets.yaml") != fault.SyncShrunk {
		t.Fatalf("%s %s", h.get("openai").Status, h.err("secrets.yaml"))
	}
	if _, err := h.RemoveResource(ctx, operator, "github_main"); err != nil { // a person's word counts at once
		t.Fatal(err)
	}
	h.clock.Add(601)
	h.Settle(ctx)
	if h.get("openai").Status != vault.Gone || h.err("secrets.yaml") != "" {
		t.Errorf("%s %s", h.get("openai").Status, h.err("secrets.yaml"))
	}
}

// A handle of the vault's own, another kind and a bad entry stop no other entry, and what was in force under them stays.
func TestAConflictStopsNoOther(t *testing.T) {
	p := sopstest.NewPerson(t)
	h := newHouse(t, p, "secrets.yaml", "more.env")
	_, err := h.AddResource(ctx, operator, vault.NewResource{Kind: "generic", Handle: "smtp", Secrets: one("value", "the-vaults-own")})
	must(t, err)
	file(t, p, "secrets.yaml", text())
	file(t, p, "more.env", "API_TOKEN=token-of-the-shop\nSTRIPE_KEY=sk_live_of_another_file\n")
	h.Settle(ctx)
	if h.value("smtp", "value") != "the-vaults-own" || h.value("shop.api_token", "value") != "token-of-the-shop" || h.value("shop.stripe_key", "value") != "sk_live_abcdefghijklmnop" {
		t.Error("a conflict went wrong")
	}
	if s := h.States(); len(s[0].Problems) != 1 || s[0].Problems[0].Err.Code != fault.HandleTaken || s[0].Problems[0].Where != "resources.smtp" {
		t.Errorf("%+v", s[0])
	}
	file(t, p, "secrets.yaml", "resources:\n    openai:\n        kind: generic\n        value: now-a-generic\n    other: {kind: generic, value: another-value}\n    github_main: {kind: no_kind}\n")
	h.Settle(ctx)
	if h.value("openai", "key") != keyA || h.value("other", "value") != "another-value" || h.get("github_main").Status != vault.Active {
		t.Error("another kind was taken, or stopped another entry")
	}
}

// A locked vault reads nothing and keeps nothing open; unlocked it catches up. A missing helper is a state.
func TestALockedVaultReadsNothing(t *testing.T) {
	p := sopstest.NewPerson(t)
	file(t, p, "secrets.yaml", text())
	h := newHouse(t, p, "secrets.yaml")
	h.locked.Store(true)
	h.Forget()
	p.Sops(p.Dir, "set", "secrets.yaml", `["api_keys"]["openai"]["key"]`, `"`+keyB+`"`)
	h.Settle(ctx)
	if h.err("secrets.yaml") != fault.VaultLocked || h.value("openai", "key") != keyA {
		t.Errorf("%s", h.err("secrets.yaml"))
	}
	h.locked.Store(false)
	h.Settle(ctx)
	if h.err("secrets.yaml") != "" || h.value("openai", "key") != keyB {
		t.Errorf("%s", h.err("secrets.yaml"))
	}
	h.o.Codec = noHelper(p)
	h.restart()
	if h.err("secrets.yaml") != fault.NotSupported || h.value("openai", "key") != keyB {
		t.Errorf("%s", h.err("secrets.yaml"))
	}
}

// Another data key, other recipients and 1,000 entries are no matter; a full disk is tried again.
func TestRotatedAndMany(t *testing.T) {
	p := sopstest.NewPerson(t)
	var many strings.Builder
	many.WriteString("resources:\n")
	for i := range 1000 {
		fmt.Fprintf(&many, "    entry_%d:\n        kind: generic\n        value: value-number-%d\n", i, i)
	}
	file(t, p, "secrets.yaml", many.String())
	h := newHouse(t, p, "secrets.yaml")
	if h.value("entry_999", "value") != "value-number-999" || h.States()[0].Entries != 1000 {
		t.Fatalf("%+v", h.States()[0])
	}
	p.Sops(p.Dir, "rotate", "--in-place", "secrets.yaml")
	other := sopstest.NewPerson(t)
	p.Sops(p.Dir, "rotate", "--in-place", "--add-age", other.Recipient(), "secrets.yaml")
	h.Settle(ctx)
	if h.err("secrets.yaml") != "" || h.get("entry_1").Version != 1 {
		t.Errorf("%s, version %d", h.err("secrets.yaml"), h.get("entry_1").Version)
	}
	h.st.full.Store(true)
	p.Sops(p.Dir, "set", "secrets.yaml", `["resources"]["entry_1"]["value"]`, `"another-value"`)
	h.Settle(ctx)
	if h.err("secrets.yaml") == "" || h.value("entry_1", "value") != "value-number-1" {
		t.Error("a set that the vault could not take is said to be in force")
	}
	h.st.full.Store(false)
	h.clock.Add(6)
	h.Settle(ctx)
	if h.err("secrets.yaml") != "" || h.value("entry_1", "value") != "another-value" {
		t.Errorf("%s", h.err("secrets.yaml"))
	}
	b, err := os.ReadFile(filepath.Join(p.Dir, "secrets.yaml"))
	must(t, err)
	if strings.Contains(string(b), "another-value") {
		t.Error("plaintext in the file")
	}
}
