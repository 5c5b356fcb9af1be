package sopshome_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/sops/sopstest"
)

const corpText = `api_keys:
    corp:
        env: CORP_KEY
        hosts: api.mycorp.com
        key: some-long-corp-key-7
`

// partly encrypts text with the real sops, and leaves values in clear.
func partly(t testing.TB, p *sopstest.Person, text string, flags ...string) string {
	t.Helper()
	path := filepath.Join(p.Dir, "secrets.yaml")
	must(t, os.WriteFile(path, []byte(text), 0o600))
	p.Sops(p.Dir, append(append([]string{"encrypt", "--in-place"}, flags...), "secrets.yaml")...)
	return path
}

// keyless changes the file as somebody does who has no key, and makes sure that sops still takes it for authentic.
func keyless(t testing.TB, p *sopstest.Person, path string, pairs ...string) {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	changed := strings.NewReplacer(pairs...).Replace(string(b))
	if changed == string(b) {
		t.Fatal("nothing was changed")
	}
	must(t, os.WriteFile(path, []byte(changed), 0o600))
	p.Sops(p.Dir, "decrypt", filepath.Base(path))
}

func (h *house) problem(where string) fault.Code {
	for _, s := range h.States() {
		for _, x := range s.Problems {
			if x.Where == where {
				return x.Err.Code
			}
		}
	}
	return ""
}

// SOPS's MAC has no names in it: what stands in clear is moved to another host without the key. It is held until a person says the same; what is encrypted counts at once.
func TestAttack94_ARedirectedValueIsHeld(t *testing.T) {
	for what, pairs := range map[string][]string{
		"text moved":    {"hosts: api.mycorp.com\n", "hosts: api.mycorp.co\n        labels:\n            x: m\n"},
		"text in names": {"hosts: api.mycorp.com\n", "project: api\n        labels:\n            x: .\n        hosts: mycorp.com\n"},
	} {
		t.Run(what, func(t *testing.T) {
			p := sopstest.NewPerson(t)
			path := partly(t, p, corpText, "--age", p.Recipient(), "--encrypted-regex", "^key$")
			h := newHouse(t, p, "secrets.yaml")
			before := h.get("corp")
			keyless(t, p, path, pairs...)
			h.Settle(ctx)
			if now := h.get("corp"); now.Version != before.Version || now.Attrs["hosts"] != before.Attrs["hosts"] || now.Project != before.Project || len(now.Labels) != 0 {
				t.Fatalf("taken: %+v", now)
			}
			if h.problem("api_keys.corp") != fault.ApprovalRequired {
				t.Fatalf("nothing is said of it: %+v", h.States())
			}
			_, err := h.RenameResource(ctx, operator, "corp", "other") // writes the entry anew
			wantCode(t, err, fault.ApprovalRequired)
			p.Sops(p.Dir, "set", "secrets.yaml", `["api_keys"]["corp"]["key"]`, `"some-other-corp-key-8"`)
			h.Settle(ctx)
			if h.value("corp", "key") != "some-long-corp-key-7" {
				t.Error("a new value goes to where it was redirected")
			}
		})
	}
}

// Where the MAC leaves out what is in clear, not even a new entry is believed; what is added from here is.
func TestAttack94_NothingNewIsBelievedWithoutAMAC(t *testing.T) {
	p := sopstest.NewPerson(t)
	must(t, os.WriteFile(filepath.Join(p.Dir, ".sops.yaml"), []byte("creation_rules: [{age: "+p.Recipient()+", encrypted_regex: ^key$, mac_only_encrypted: true}]\n"), 0o600))
	path := partly(t, p, corpText)
	h := newHouse(t, p, "secrets.yaml")
	if _, err := h.v.Resource(ctx, "corp"); fault.CodeOf(err) != fault.UnknownResource || h.problem("api_keys.corp") != fault.ApprovalRequired {
		t.Fatalf("%v %+v", err, h.States())
	}
	added := vault.NewResource{Kind: "api_key", Handle: "two", Attrs: map[string]string{"hosts": "api.mycorp.com", "env": "TWO_KEY"}, Secrets: one("key", "some-other-corp-key-8"), Source: "sops:secrets.yaml"}
	_, err := h.AddResource(ctx, operator, added)
	must(t, err)
	b, err := os.ReadFile(path)
	must(t, err)
	at := strings.LastIndex(string(b), "api.mycorp.com")
	must(t, os.WriteFile(path, []byte(string(b[:at])+"evil.mycorp.com"+string(b[at+len("api.mycorp.com"):])), 0o600))
	h.Settle(ctx)
	if strings.Contains(h.get("two").Attrs["hosts"], "evil") || h.problem("api_keys.two") != fault.ApprovalRequired {
		t.Errorf("redirected: %+v", h.States())
	}
}

// A person who says the same has it in force.
func TestAHeldChangeIsConfirmed(t *testing.T) {
	p := sopstest.NewPerson(t)
	partly(t, p, corpText, "--age", p.Recipient(), "--encrypted-regex", "^key$")
	h := newHouse(t, p, "secrets.yaml")
	p.Sops(p.Dir, "set", "secrets.yaml", `["api_keys"]["corp"]["hosts"]`, `"api2.mycorp.com"`)
	h.Settle(ctx)
	if h.problem("api_keys.corp") != fault.ApprovalRequired || strings.Contains(h.get("corp").Attrs["hosts"], "api2") {
		t.Fatalf("%+v", h.States())
	}
	_, err := h.EditResource(ctx, operator, "corp", vault.Edit{Attrs: map[string]string{"hosts": "api2.mycorp.com"}})
	must(t, err)
	if h.problem("api_keys.corp") != "" || !strings.Contains(h.get("corp").Attrs["hosts"], "api2") {
		t.Errorf("%+v", h.States())
	}
	p.Sops(p.Dir, "set", "secrets.yaml", `["api_keys"]["corp"]["key"]`, `"some-other-corp-key-8"`)
	h.Settle(ctx)
	if h.value("corp", "key") != "some-other-corp-key-8" {
		t.Error("an encrypted value is not taken")
	}
}

// Whoever has no key can change what the file says of its encryption: what is written next is encrypted all the same, or not written.
func TestAttack66_RulesThatWereChangedLeaveNothingInClear(t *testing.T) {
	p := sopstest.NewPerson(t)
	path := file(t, p, "secrets.yaml", "api_keys:\n    openai:\n        key: "+keyA+"\n")
	h := newHouse(t, p, "secrets.yaml")
	keyless(t, p, path, "unencrypted_suffix: _unencrypted", "encrypted_regex: ^key$")
	h.Settle(ctx)
	before, err := os.ReadFile(path)
	must(t, err)
	_, err = h.AddResource(ctx, operator, vault.NewResource{Kind: "generic", Handle: "mail", Secrets: one("value", "some-smtp-password"), Source: "sops:secrets.yaml"})
	wantCode(t, err, fault.NotSupported)
	after, err := os.ReadFile(path)
	must(t, err)
	if string(after) != string(before) {
		t.Error("the file was written")
	}
	_, err = h.AddResource(ctx, operator, vault.NewResource{Kind: "api_key", Handle: "openai_two", Attrs: map[string]string{"service": "openai"}, Secrets: one("key", keyB), Source: "sops:secrets.yaml"})
	must(t, err)
	if after, err = os.ReadFile(path); err != nil || strings.Contains(string(after), keyB) || h.has("secrets.yaml", `["api_keys"]["openai_two"]["key"]`) != keyB {
		t.Errorf("what the rules do encrypt: %v", err)
	}
}

// A handle below which SOPS keeps everything in clear is none for a file.
func TestAttack66_NoNameThatSOPSLeavesInClear(t *testing.T) {
	p := sopstest.NewPerson(t)
	path := file(t, p, "secrets.yaml", text())
	h := newHouse(t, p, "secrets.yaml")
	_, err := h.RenameResource(ctx, operator, "openai", "openai_unencrypted")
	wantCode(t, err, fault.NotSupported)
	_, err = h.AddResource(ctx, operator, vault.NewResource{Kind: "generic", Handle: "mail_unencrypted", Secrets: one("value", "some-smtp-password"), Source: "sops:secrets.yaml"})
	wantCode(t, err, fault.NotSupported)
	_, err = h.EditResource(ctx, operator, "smtp", vault.Edit{Secrets: one("extra_unencrypted", "postmaster-7")})
	wantCode(t, err, fault.NotSupported)
	if b, err := os.ReadFile(path); err != nil || strings.Contains(string(b), keyA) || strings.Contains(string(b), "postmaster-7") {
		t.Errorf("in clear: %v", err)
	}
}
