package vault_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/bolt"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/open"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// house is a vault on a real file with a clock that tests turn.
type house struct {
	*vault.Vault
	t      *testing.T
	dir    string
	store  store.Store
	k      *keyring.Keyring
	opener *open.Opener
	mu     sync.Mutex
	now    time.Time
}

func (h *house) clock() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *house) pass(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

var ctx = context.Background()

func newHouse(t *testing.T) *house {
	t.Helper()
	ident, err := age.GenerateX25519Identity()
	must(t, err)
	k, _, err := keyring.Create([]age.Recipient{ident.Recipient()})
	must(t, err)
	dir := t.TempDir()
	st, err := bolt.Create(ctx, bolt.Options{Path: filepath.Join(dir, "vault.db")})
	must(t, err)
	h := &house{t: t, dir: dir, store: st, k: k, opener: open.New(k), now: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	h.Vault, err = vault.Open(ctx, vault.Options{Store: st, Keyring: k, Opener: h.opener, Clock: h.clock, RedactionBudget: 5})
	must(t, err)
	must(t, h.Setup(ctx))
	t.Cleanup(func() {
		must(t, h.Vault.Close(ctx))
		must(t, st.Close())
		k.Close()
	})
	return h
}

// reopen is the daemon's next start on the same file.
func (h *house) reopen() *vault.Vault {
	h.t.Helper()
	v, err := vault.Open(ctx, vault.Options{Store: h.store, Keyring: h.k, Opener: h.opener, Clock: h.clock, Verify: true})
	must(h.t, err)
	h.t.Cleanup(func() { must(h.t, v.Close(ctx)) })
	return v
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t *testing.T, err error, code fault.Code) {
	t.Helper()
	if fault.CodeOf(err) != code {
		t.Fatalf("got %v, want code %q", err, code)
	}
}

var operator = vault.OperatorActor()

const botToken = "123456789:AAF4nQzx7Lq0mYcVtR2sWbE8uKpJdH1oGiXvN"

func values(kv ...string) map[string]secret.Secret {
	m := map[string]secret.Secret{}
	for i := 0; i < len(kv); i += 2 {
		m[kv[i]] = secret.FromString(kv[i+1])
	}
	return m
}

func (h *house) addBot(handle string) vault.Resource {
	h.t.Helper()
	r, err := h.AddResource(ctx, operator, vault.NewResource{Kind: "telegram_bot", Handle: handle, Attrs: map[string]string{"username": "@weather_bot"}, Secrets: values("token", botToken)})
	must(h.t, err)
	return r
}

func (h *house) addAgent(n vault.NewAgent) (vault.Actor, string) {
	h.t.Helper()
	a, token, err := h.AddAgent(ctx, operator, n)
	must(h.t, err)
	return vault.Actor{Type: audit.Agent, ID: a.ID, Name: a.Name, Door: "http"}, token
}

func (h *house) local() vault.Actor {
	h.t.Helper()
	a, err := h.Local(ctx)
	must(h.t, err)
	return vault.Actor{Type: audit.Agent, ID: a.ID, Name: a.Name, Door: "stdio"}
}

func (h *house) reveal(r vault.Resource, field string) string {
	h.t.Helper()
	s, err := h.opener.Open(r.FieldRef(field), r.Sealed[field].Value)
	must(h.t, err)
	return string(s.Reveal())
}

func TestResourceLife(t *testing.T) {
	h := newHouse(t)
	r := h.addBot("weather_bot")
	if got := h.reveal(r, "token"); got != botToken {
		t.Fatalf("the token came back changed")
	}
	_, err := h.AddResource(ctx, operator, vault.NewResource{Kind: "generic", Handle: "weather_bot", Secrets: values("value", "long enough value")})
	wantCode(t, err, fault.HandleTaken)

	const second = "987654321:BBF4nQzx7Lq0mYcVtR2sWbE8uKpJdH1oGiXvM"
	r2, err := h.EditResource(ctx, operator, "weather_bot", vault.Edit{Secrets: values("token", second), Why: "rotated"})
	must(t, err)
	if r2.Version != 2 || h.reveal(r2, "token") != second {
		t.Fatalf("edit: version %d", r2.Version)
	}
	_, err = h.EditResource(ctx, operator, "weather_bot", vault.Edit{Attrs: map[string]string{"username": "@x_bot"}, IfVersion: 1})
	wantCode(t, err, fault.VersionConflict)

	r3, err := h.RenameResource(ctx, operator, "weather_bot", "bot.two")
	must(t, err)
	_, err = h.Resource(ctx, "weather_bot")
	wantCode(t, err, fault.UnknownResource)
	if r3.ID != r.ID {
		t.Error("a rename changed the id")
	}
	r4, err := h.RollbackResource(ctx, operator, "bot.two", 1, "")
	must(t, err)
	if h.reveal(r4, "token") != botToken || r4.Version != 4 || r4.Handle != "bot.two" {
		t.Errorf("rollback gave version %d, handle %s", r4.Version, r4.Handle)
	}
	rows, err := h.History(ctx, "bot.two")
	must(t, err)
	if len(rows) != 4 || rows[0].Version != 4 || rows[3].Version != 1 || rows[2].Changed[0] != "token" {
		t.Errorf("history: %+v", rows)
	}
	_, err = h.RemoveResource(ctx, operator, "bot.two")
	must(t, err)
	_, err = h.History(ctx, "bot.two")
	wantCode(t, err, fault.UnknownResource)
	must(t, h.Verify(ctx))
}

// An edit may call fields by their aliases, as an addition may; by two names at once it is refused.
func TestEditsByAlias(t *testing.T) {
	h := newHouse(t)
	_, err := h.AddResource(ctx, operator, vault.NewResource{Kind: "server", Handle: "s", Attrs: map[string]string{"ssh_user": "deploy"}, Secrets: values("ip", "server.example.org", "password", "correct horse battery")})
	must(t, err)
	r, err := h.EditResource(ctx, operator, "s", vault.Edit{Attrs: map[string]string{"ssh_user": "root"}, Secrets: values("address", "other.example.org")})
	must(t, err)
	if r.Attrs["user"] != "root" || h.reveal(r, "host") != "other.example.org" || len(r.Sealed) != 2 {
		t.Errorf("%+v", r.Attrs)
	}
	_, err = h.EditResource(ctx, operator, "s", vault.Edit{Secrets: values("address", "a.example.org", "ip", "b.example.org")})
	if fault.CodeOf(err) != fault.SecretInvalid && fault.CodeOf(err) != fault.InvalidArgument {
		t.Errorf("one field by two names: %v", err)
	}
	r, err = h.EditResource(ctx, operator, "s", vault.Edit{Attrs: map[string]string{"ssh_user": ""}})
	must(t, err)
	if r.Attrs["user"] != "root" { // the kind's default
		t.Errorf("%+v", r.Attrs)
	}
}

func TestHistoryKeepsTen(t *testing.T) {
	h := newHouse(t)
	h.addBot("b")
	for range 15 {
		label := map[string]string{"n": h.clock().Format("150405")}
		h.pass(time.Second)
		_, err := h.EditResource(ctx, operator, "b", vault.Edit{Labels: label})
		must(t, err)
	}
	rows, err := h.History(ctx, "b")
	must(t, err)
	if len(rows) != vault.KeepVersions+1 || rows[0].Version != 16 {
		t.Errorf("%d rows, newest %d", len(rows), rows[0].Version)
	}
	_, err = h.RollbackResource(ctx, operator, "b", 1, "")
	wantCode(t, err, fault.UnknownVersion)
}

func TestRollbackDoesNotWidenThePolicy(t *testing.T) {
	h := newHouse(t)
	h.addBot("b")
	p, err := h.Resource(ctx, "b")
	must(t, err)
	narrow := p.Policy
	narrow.Agents = []string{"ci"}
	_, err = h.EditResource(ctx, operator, "b", vault.Edit{Policy: &narrow})
	must(t, err)
	r, err := h.RollbackResource(ctx, operator, "b", 1, "")
	must(t, err)
	if len(r.Policy.Agents) != 1 {
		t.Error("a rollback widened the policy")
	}
}

func TestHandlesAreChecked(t *testing.T) {
	for _, bad := range []string{"", "A", "-a", ".a", "a b", "a/b", "é", "lse_aaaaaaaaaaaaaaaaaaaaaaaaaa", "x\x00", string(make([]byte, 65))} {
		if vault.CheckHandle(bad) == nil {
			t.Errorf("handle %q was taken", bad)
		}
	}
	for _, good := range []string{"a", "prod_vps_1", "openai-main", "0.x"} {
		must(t, vault.CheckHandle(good))
	}
}

func TestListPages(t *testing.T) {
	h := newHouse(t)
	for _, x := range []string{"a", "b", "c", "d", "e"} {
		h.addBot(x)
	}
	var got []string
	cursor := ""
	for {
		rs, next, err := h.ListResources(ctx, vault.Filter{Limit: 2, Cursor: cursor})
		must(t, err)
		for _, r := range rs {
			got = append(got, r.Handle)
		}
		if cursor = next; next == "" {
			break
		}
	}
	if len(got) != 5 || got[0] != "a" || got[4] != "e" {
		t.Errorf("pages gave %v", got)
	}
	_, _, err := h.ListResources(ctx, vault.Filter{Cursor: "%%%"})
	wantCode(t, err, fault.InvalidArgument)
}

// Edits one by one cannot pass the limit of labels.
func TestLabelsAreCountedWhole(t *testing.T) {
	h := newHouse(t)
	h.addBot("b")
	for i := range 32 {
		_, err := h.EditResource(ctx, operator, "b", vault.Edit{Labels: map[string]string{fmt.Sprint("l", i): "x"}})
		must(t, err)
	}
	_, err := h.EditResource(ctx, operator, "b", vault.Edit{Labels: map[string]string{"more": "x"}})
	wantCode(t, err, fault.InvalidArgument)
	r, err := h.EditResource(ctx, operator, "b", vault.Edit{Labels: map[string]string{"more": "x", "l0": ""}})
	must(t, err)
	if len(r.Labels) != 32 {
		t.Errorf("%d labels", len(r.Labels))
	}
}

func TestAgentsAreChecked(t *testing.T) {
	h := newHouse(t)
	for name, n := range map[string]vault.NewAgent{
		"name":      {Name: "An agent"},
		"role":      {Name: "a", Role: "root"},
		"rate":      {Name: "a", Rate: vault.Rate{PerMinute: -1}},
		"runs":      {Name: "a", Rate: vault.Rate{Concurrent: -1}},
		"no name":   {},
		"an id":     {Name: "lse_aaaaaaaaaaaaaaaaaaaaaaaaaa"},
		"too long":  {Name: strings.Repeat("a", 65)},
		"with zero": {Name: "a\x00"},
	} {
		_, token, err := h.AddAgent(ctx, operator, n)
		if fault.CodeOf(err) != fault.InvalidArgument || token != "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	for want, g := range map[fault.Code]vault.Grants{fault.UnknownKind: {Kinds: []string{"server", "bot"}}, fault.UnknownProject: {Projects: []string{"default", "wbe"}}} {
		_, token, err := h.AddAgent(ctx, operator, vault.NewAgent{Name: "typo", Grants: g})
		if fault.CodeOf(err) != want || token != "" {
			t.Errorf("%+v: %v", g, err)
		}
	}
	h.addAgent(vault.NewAgent{Name: "a"})
	_, _, err := h.AddAgent(ctx, operator, vault.NewAgent{Name: "a"})
	wantCode(t, err, fault.NameTaken)
	_, err = h.RemoveAgent(ctx, operator, "b")
	wantCode(t, err, fault.UnknownAgent)
}
