package vault_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// The collections as a writer of the database sees them: their names are part of the vault's format.
const (
	resources store.Collection = "resources"
	handles   store.Collection = "handles"
	versions  store.Collection = "versions"
	agents    store.Collection = "agents"
)

// rows gives every row of a collection, under the vault's feet.
func (h *house) rows(c store.Collection) map[string][]byte {
	h.t.Helper()
	out := map[string][]byte{}
	must(h.t, h.store.View(ctx, func(tx store.Tx) error {
		return tx.Scan(c, "", "", func(key string, raw []byte) (bool, error) {
			out[key] = bytes.Clone(raw)
			return true, nil
		})
	}))
	return out
}

func (h *house) setRow(c store.Collection, key string, raw []byte) {
	h.t.Helper()
	must(h.t, h.store.Update(ctx, func(tx store.Tx) error { return tx.Put(c, key, raw) }))
}

// replaceIn edits one row as text.
func (h *house) replaceIn(c store.Collection, key, old, with string) {
	h.t.Helper()
	raw := h.rows(c)[key]
	if !bytes.Contains(raw, []byte(old)) {
		h.t.Fatalf("the row %s of %s has no %q", key, c, old)
	}
	h.setRow(c, key, bytes.Replace(raw, []byte(old), []byte(with), 1))
}

func (h *house) startFails(code fault.Code) {
	h.t.Helper()
	_, err := vault.Open(ctx, vault.Options{Store: h.store, Keyring: h.k, Opener: h.opener, Clock: h.clock, Verify: true})
	wantCode(h.t, err, code)
}

// A writer of the database moves rows and ciphertexts about, so that a handle that an agent may use leads to what it may not.
func TestAttack57_WhatIsMovedDoesNotOpen(t *testing.T) {
	for name, move := range map[string]func(h *house, mine, other vault.Resource){
		"a resource over another":      func(h *house, m, o vault.Resource) { h.setRow(resources, m.ID, h.rows(resources)[o.ID]) },
		"a handle to another resource": func(h *house, m, o vault.Resource) { h.setRow(handles, m.Handle, h.rows(handles)[o.Handle]) },
		"the id in the handle's row":   func(h *house, m, o vault.Resource) { h.replaceIn(handles, m.Handle, m.ID, o.ID) },
		"a ciphertext to another": func(h *house, m, o vault.Resource) {
			h.replaceIn(resources, m.ID, m.Sealed["token"].Value, o.Sealed["token"].Value)
		},
		"the version of the ciphertext": func(h *house, m, _ vault.Resource) { h.replaceIn(resources, m.ID, `"version":1`, `"version":2`) },
		"a version of the history": func(h *house, m, _ vault.Resource) {
			for key, raw := range h.rows(versions) {
				if strings.HasPrefix(key, m.ID) {
					h.setRow(resources, m.ID, raw)
					return
				}
			}
			h.t.Fatal("no history")
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			m, o := h.addBot("mine"), h.addBot("other")
			agent, _ := h.addAgent(vault.NewAgent{Name: "one"})
			_, err := h.EditResource(ctx, operator, "other", vault.Edit{Labels: map[string]string{"x": "y"}})
			must(t, err)
			if name == "a version of the history" {
				m, err = h.EditResource(ctx, operator, "mine", vault.Edit{Labels: map[string]string{"x": "y"}})
				must(t, err)
			}
			_, err = h.Authorise(ctx, agent, []string{"mine"})
			must(t, err) // and the caches are warm
			move(h, m, o)
			_, err = h.Authorise(ctx, agent, []string{"mine"})
			wantCode(t, err, fault.RecordTampered)
			_, err = h.Resource(ctx, "mine")
			wantCode(t, err, fault.RecordTampered)
			h.startFails(fault.RecordTampered)
		})
	}

	h := newHouse(t)
	m, o := h.addBot("mine"), h.addBot("other")
	_, err := h.opener.Open(m.FieldRef("token"), o.Sealed["token"].Value)
	wantCode(t, err, fault.RecordTampered) // even where no MAC is looked at
}

// A writer of the database widens what decides: nothing obeys it.
func TestAttack72_AnEditedRowIsRefusedNotObeyed(t *testing.T) {
	newOne := func(t *testing.T) (*house, vault.Resource, vault.Actor) {
		h := newHouse(t)
		r, err := h.AddResource(ctx, operator, vault.NewResource{
			Kind: "generic", Handle: "narrow", Secrets: values("value", "a value of the test"),
			Policy: policy.Policy{Agents: []string{"somebody"}, Deliveries: []policy.Delivery{policy.File}, Hosts: []policy.HostRule{{Host: "good.example"}}, MaxUses: 1},
		})
		must(t, err)
		a, _ := h.addAgent(vault.NewAgent{Name: "somebody"})
		return h, r, a
	}
	for name, edit := range map[string]struct{ old, with string }{
		"hosts":      {"good.example", "evil.example"},
		"agents":     {"somebody", "everyone"},
		"deliveries": {`"file"`, `"env"`},
		"uses":       {`"max_uses":1`, `"max_uses":9`},
		"status":     {`"active"`, `"disabled"`},
	} {
		t.Run(name, func(t *testing.T) {
			h, r, a := newOne(t)
			h.replaceIn(resources, r.ID, edit.old, edit.with)
			_, err := h.Authorise(ctx, a, []string{"narrow"})
			wantCode(t, err, fault.RecordTampered)
			_, err = h.Allocate(ctx, a, ask("narrow"))
			wantCode(t, err, fault.RecordTampered)
			_, err = h.EditResource(ctx, operator, "narrow", vault.Edit{Labels: map[string]string{"x": "y"}})
			wantCode(t, err, fault.RecordTampered) // nor made authentic by the next edit
			h.startFails(fault.RecordTampered)
		})
	}
	t.Run("the agent's grants", func(t *testing.T) {
		h, _, a := newOne(t)
		h.replaceIn(agents, a.ID, `"kinds":["*"]`, `"kinds":["x"]`)
		_, err := h.Authorise(ctx, a, []string{"narrow"})
		wantCode(t, err, fault.RecordTampered)
	})
	t.Run("an older policy put back", func(t *testing.T) {
		h, r, _ := newOne(t)
		wide := h.rows(resources)[r.ID]
		p := r.Policy
		p.Hosts = []policy.HostRule{{Host: "better.example"}}
		_, err := h.EditResource(ctx, operator, "narrow", vault.Edit{Policy: &p})
		must(t, err)
		h.setRow(resources, r.ID, wide) // authentic by itself: only the digest misses the newer one
		wantCode(t, h.Verify(ctx), fault.VaultCorrupt)
		h.startFails(fault.VaultCorrupt)
	})
}

// A stolen file, whatever was done to the vault before, holds no value: neither as text nor in an encoding that JSON uses.
func TestAttack66_TheFileHoldsNoPlaintext(t *testing.T) {
	h := newHouse(t)
	const address, second, url = "198.51.100.77", "987654321:BBF4nQzx7Lq0mYcVtR2sWbE8uKpJdH1oGiXvM", "postgres://bot:pa55word-of-the-test@db.internal.example:5432/bot"
	h.addBot("bot")
	_, err := h.AddResource(ctx, operator, vault.NewResource{Kind: "server", Handle: "vps", Attrs: map[string]string{"user": "deploy"}, Secrets: values("host", address, "password", "pa55word-of-the-test")})
	must(t, err)
	_, err = h.AddResource(ctx, operator, vault.NewResource{Kind: "database", Handle: "db", Secrets: values("url", url)})
	must(t, err)
	_, err = h.EditResource(ctx, operator, "bot", vault.Edit{Secrets: values("token", second)})
	must(t, err)
	_, err = h.RemoveResource(ctx, operator, "vps")
	must(t, err)
	_, token, err := h.AddAgent(ctx, operator, vault.NewAgent{Name: "one"})
	must(t, err)
	var export bytes.Buffer
	log, st := h.Audit()
	_, err = log.Export(ctx, st, &export)
	must(t, err)

	written := map[string][]byte{"the audit export": export.Bytes()}
	must(t, filepath.WalkDir(h.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			written[path], err = os.ReadFile(path)
		}
		return err
	}))
	kept := append(written[filepath.Join(h.dir, "vault.db")], written[filepath.Join(h.dir, "vault.db.journal")]...)
	if len(written) < 2 || !bytes.Contains(kept, []byte("telegram_bot")) {
		t.Fatal("the vault's files were not read")
	}
	for _, value := range []string{botToken, second, address, "pa55word-of-the-test", "db.internal.example", token} {
		for _, form := range []string{value, base64.StdEncoding.EncodeToString([]byte(value)), hex.EncodeToString([]byte(value))} {
			for name, b := range written {
				if bytes.Contains(b, []byte(form)) {
					t.Errorf("%s holds %q", name, value)
				}
			}
		}
	}
}
