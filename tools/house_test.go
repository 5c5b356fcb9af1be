//go:build unix

package tools_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/mcp"
	"github.com/zavhoz/zavhoz/run"
	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/bolt"
	"github.com/zavhoz/zavhoz/tools"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/id"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/open"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/web/api"
)

// What no reply may hold: secret values, hidden ones, and what a provider calls a machine.
const (
	botToken   = "123456789:AAF4nQzx7Lq0mYcVtR2sWbE8uKpJdH1oGiXvN"
	password   = "correct-horse-7f3a91c2"
	hostName   = "hidden-7f3a91c2.example.org"
	address    = "203.0.113.77"
	providerID = "8812345-vps"
	domainName = "vps-8812345.provider.example"
)

var (
	planted  = []string{botToken, botToken[10:20], password, hostName, address, providerID, domainName}
	operator = vault.OperatorActor()
	ctx      = context.Background()
)

// house is the real vault on a real file, the real engine and the real protocol, with a clock that tests turn.
type house struct {
	*vault.Vault
	t         *testing.T
	store     store.Store
	keys      *keyring.Keyring
	engine    *run.Engine
	srv       *mcp.Server
	tools     map[string]mcp.Tool
	mu        sync.Mutex
	now       time.Time
	sync      api.SyncInfo
	isolation api.Isolation
	pages     string // where pages are served
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

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// identity is the vault as the doors ask it.
type identity struct{ v *vault.Vault }

func (i identity) Authenticate(ctx context.Context, token string) (mcp.Agent, error) {
	a, err := i.v.Authenticate(ctx, token)
	return mcp.Agent{ID: a.ID, Name: a.Name, Attended: a.Attended, PerMinute: 1 << 30}, err
}

func (i identity) Local(ctx context.Context) (mcp.Agent, error) {
	a, err := i.v.Local(ctx)
	return mcp.Agent{ID: a.ID, Name: a.Name, Attended: a.Attended, PerMinute: 1 << 30}, err
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := build(t, t.TempDir())
	t.Cleanup(func() {
		must(t, h.engine.Shutdown(ctx))
		must(t, h.Vault.Close(ctx))
		must(t, h.store.Close())
		h.keys.Close()
	})
	return h
}

// build makes a house whose end is the caller's affair.
func build(t *testing.T, dir string) *house {
	t.Helper()
	ident, err := age.GenerateX25519Identity()
	must(t, err)
	k, _, err := keyring.Create([]age.Recipient{ident.Recipient()})
	must(t, err)
	st, err := bolt.Create(ctx, bolt.Options{Path: filepath.Join(dir, "vault.db")})
	must(t, err)
	h := &house{t: t, store: st, keys: k, now: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC), sync: api.SyncInfo{Configured: true}, isolation: api.Isolation{Level: "open"}, pages: "https://vault.example", tools: map[string]mcp.Tool{}}
	opener := open.New(k)
	h.Vault, err = vault.Open(ctx, vault.Options{Store: st, Keyring: k, Opener: opener, Clock: h.clock})
	must(t, err)
	must(t, h.Setup(ctx))
	h.engine = run.New(run.Options{Authority: h.Vault, Opener: opener, Keeper: h.Vault, Clock: h.clock, Secrets: func(ctx context.Context, add func(string, secret.Secret)) error {
		return h.EachSealed(ctx, func(label string, ref keyring.Ref, sealed string) error {
			s, err := opener.Open(ref, sealed)
			if err == nil {
				add(label, s)
			}
			return err
		})
	}})
	all := tools.All(tools.Deps{
		Vault: h.Vault, Runner: h.engine, Presence: h.HasPresence, Clock: h.clock, PageURL: func() string { return h.pages }, Isolation: func(context.Context) api.Isolation { return h.isolation },
		Sync: func(context.Context) (api.SyncInfo, error) { return h.sync, nil },
	})
	for _, x := range all {
		h.tools[x.Name] = x
	}
	h.srv, err = mcp.New(mcp.Options{
		Tools: all, Inventory: tools.Inventory{Vault: h.Vault}, Prompts: tools.Prompts(), Identity: identity{h.Vault}, Instructions: tools.Instructions, Version: "1.2.3",
	})
	must(t, err)
	return h
}

func (h *house) changed() { h.engine.Changed() }

func values(kv ...string) map[string]secret.Secret {
	m := map[string]secret.Secret{}
	for i := 0; i < len(kv); i += 2 {
		m[kv[i]] = secret.FromString(kv[i+1])
	}
	return m
}

func (h *house) add(n vault.NewResource) vault.Resource {
	h.t.Helper()
	r, err := h.AddResource(ctx, operator, n)
	must(h.t, err)
	h.changed()
	return r
}

func (h *house) addBot(handle string, p policy.Policy) vault.Resource {
	h.t.Helper()
	return h.add(vault.NewResource{Kind: "telegram_bot", Handle: handle, Attrs: map[string]string{"username": "@weather_bot"}, Secrets: values("token", botToken), Policy: p})
}

func (h *house) addServer(handle string) vault.Resource {
	h.t.Helper()
	return h.add(vault.NewResource{Kind: "server", Handle: handle, Attrs: map[string]string{"user": "deploy"}, Secrets: values("host", hostName, "password", password)})
}

func (h *house) setPolicy(handle string, p policy.Policy) {
	h.t.Helper()
	_, err := h.EditResource(ctx, operator, handle, vault.Edit{Policy: &p})
	must(h.t, err)
	h.changed()
}

// agent makes an agent and gives its token.
func (h *house) agent(n vault.NewAgent) string {
	h.t.Helper()
	_, token, err := h.AddAgent(ctx, operator, n)
	must(h.t, err)
	return token
}

// machine is a provider's row as sync would write it.
type machine struct {
	ram, disk, cpu   int
	usedRAM, usedDsk int
	status           string
	unmanaged, ghost bool
	age              time.Duration
}

// sees makes rows of the provider's list, as a cycle of sync would, and gives their ids.
func (h *house) sees(machines ...machine) (ids []string) {
	h.t.Helper()
	err := h.ApplyServers(ctx, "time4vps", func([]vault.Server, json.RawMessage) (out vault.ServerOutcome, err error) {
		for i, m := range machines {
			if m.status == "" {
				m.status = "active"
			}
			s := vault.Server{
				ID: id.New(id.Server), ProviderID: fmt.Sprint(providerID, i), Status: m.status, Intent: "auto", IsManaged: !m.unmanaged, Ghost: m.ghost, CPU: m.cpu, RAMMB: m.ram, DiskMB: m.disk,
				UsedRAMMB: m.usedRAM, UsedDiskMB: m.usedDsk, ObservedAt: h.clock().Add(-m.age), CreatedAt: h.clock(), OS: "debian-13",
				Prints: map[string]string{"ip": h.ServerPrint("ip", secret.FromString(address)), "domain": h.ServerPrint("domain", secret.FromString(domainName))},
			}
			ids = append(ids, s.ID)
			out.Changes = append(out.Changes, vault.ServerChange{Server: s, Seal: values("ip", address, "domain", domainName)})
		}
		out.State = json.RawMessage(`{}`)
		return out, nil
	})
	must(h.t, err)
	return ids
}

// change edits the provider's row of a resource, as a cycle would.
func (h *house) change(serverID string, f func(*vault.Server)) {
	h.t.Helper()
	must(h.t, h.ApplyServers(ctx, "time4vps", func(rows []vault.Server, _ json.RawMessage) (out vault.ServerOutcome, err error) {
		for _, r := range rows {
			if r.ID == serverID {
				f(&r)
				out.Changes = append(out.Changes, vault.ServerChange{Server: r})
			}
		}
		return out, nil
	}))
}

func (h *house) adopt(serverID, handle string) {
	h.t.Helper()
	_, err := h.AdoptServer(ctx, operator, serverID, vault.NewResource{Handle: handle, Attrs: map[string]string{"user": "deploy"}, Secrets: values("password", password)})
	must(h.t, err)
	h.changed()
}

// script writes a program to pin.
func script(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tool")
	must(t, os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o700))
	return path
}

func pinned(argv ...string) policy.Policy {
	return policy.Policy{Deliveries: []policy.Delivery{policy.Env}, Pins: []policy.Pin{{Name: "tool", Argv: argv}}}
}

// denials gives the codes of the refusals that were recorded for an action.
func (h *house) denials(a audit.Action) (codes []string) {
	h.t.Helper()
	must(h.t, h.Vault.Close(ctx)) // what is queued is written
	log, st := h.Audit()
	rs, _, err := listAudit(st, log, audit.Filter{Action: a, Outcome: audit.Denied, Limit: 100})
	must(h.t, err)
	for _, r := range rs {
		codes = append(codes, r.Code)
	}
	return codes
}

// localCall is a call of the agent `local`, past the protocol.
func (h *house) localCall(args json.RawMessage) *mcp.Call {
	h.t.Helper()
	a, err := h.Local(ctx)
	must(h.t, err)
	return &mcp.Call{Caller: mcp.Caller{AgentID: a.ID, Agent: a.Name, Door: mcp.DoorStdio}, Arguments: args, Progress: func(float64, float64, string) {}}
}

var fuzzed struct {
	once sync.Once
	h    *house
}

// shared is one house for all rounds of a fuzz target; it ends with the process.
func shared(t *testing.T) *house {
	fuzzed.once.Do(func() {
		dir, err := os.MkdirTemp("", "zavhoz-fuzz")
		must(t, err)
		fuzzed.h = build(t, dir)
		must(t, os.RemoveAll(dir)) // the open file stays until the process ends
		_, err = fuzzed.h.AddResource(ctx, operator, vault.NewResource{Kind: "telegram_bot", Handle: "b", Secrets: values("token", botToken)})
		must(t, err)
	})
	fuzzed.h.t = t
	return fuzzed.h
}
