//go:build unix

package run_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/run"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/id"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// house is an Authority, Opener and source of secrets in memory: the vault's own tests hold the vault.
type house struct {
	mu        sync.Mutex
	resources map[string]vault.Resource
	records   map[string]vault.Run
	spent     map[string]int
	events    []string // what happened, in order
	onStart   func()   // runs before StartRun looks
	secretErr error
}

var (
	alice  = vault.Actor{Type: audit.Agent, ID: "agt_alice", Name: "alice", Door: "stdio"}
	bob    = vault.Actor{Type: audit.Agent, ID: "agt_bob", Name: "bob", Door: "stdio"}
	person = vault.OperatorActor()
)

func newHouse() *house {
	return &house{resources: map[string]vault.Resource{}, records: map[string]vault.Run{}, spent: map[string]int{}}
}

// add puts a resource in; secrets are field → value.
func (h *house) add(handle string, secrets map[string]string, p policy.Policy, attrs map[string]string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := vault.Resource{ID: "res_" + handle, Handle: handle, Kind: "generic", Attrs: attrs, Sealed: map[string]vault.Sealed{}, Policy: p, Version: 1, Status: vault.Active}
	for f, v := range secrets {
		r.Sealed[f] = vault.Sealed{Value: "sealed:" + hex.EncodeToString([]byte(v)), Version: 1}
	}
	h.resources[handle] = r
}

func (h *house) edit(handle string, f func(*vault.Resource)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.resources[handle]
	f(&r)
	r.Version++
	h.resources[handle] = r
}

func (h *house) note(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, fmt.Sprintf(format, args...))
}

func (h *house) happened() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.events)
}

func (h *house) Authorise(_ context.Context, a vault.Actor, refs []string) ([]vault.Use, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var uses []vault.Use
	for _, ref := range refs {
		r, ok := h.resources[ref]
		if !ok {
			return nil, fault.New(fault.UnknownResource, "no such resource", "")
		}
		uses = append(uses, vault.Use{Resource: r, Lease: vault.Lease{ID: "lse_" + ref, Agent: a.ID}})
	}
	return uses, nil
}

func (h *house) StartRun(ctx context.Context, a vault.Actor, r vault.Run, uses []vault.Use) (vault.Run, []vault.Use, error) {
	if h.onStart != nil {
		h.onStart()
	}
	var refs []string
	for _, u := range uses {
		refs = append(refs, u.Resource.Handle)
		r.Leases = append(r.Leases, u.Lease.ID)
	}
	uses, err := h.Authorise(ctx, a, refs)
	r.ID, r.Actor, r.State, r.StartedAt, r.Handles = id.New(id.Run), a, vault.RunRunning, time.Now(), refs
	h.note("start %s", strings.Join(refs, "+"))
	h.mu.Lock()
	defer h.mu.Unlock()
	h.records[r.ID] = r
	return r, uses, err
}

func (h *house) EndRun(_ context.Context, r vault.Run) error {
	h.note("end %s", r.State)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.records[r.ID] = r
	return nil
}

func (h *house) GetRun(_ context.Context, a vault.Actor, runID string) (vault.Run, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, ok := h.records[runID]
	switch {
	case !ok:
		return r, fault.New(fault.UnknownRun, "no such run", "")
	case a.Type == audit.Agent && r.Actor.ID != a.ID:
		return vault.Run{}, fault.New(fault.RunNotYours, "not yours", "")
	}
	return r, nil
}

func (h *house) SpendRedactions(_ context.Context, leases []string, n int) (bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range leases {
		h.spent[l] += n
	}
	return false, nil
}

func (h *house) Open(ref keyring.Ref, sealed string) (secret.Secret, error) {
	h.note("open %s.%s", ref.ID, ref.Field)
	return unhex(sealed)
}

func unhex(sealed string) (secret.Secret, error) {
	v, ok := strings.CutPrefix(sealed, "sealed:")
	if !ok {
		return secret.Secret{}, fault.New(fault.RecordTampered, "does not open", "")
	}
	b, err := hex.DecodeString(v)
	return secret.New(b), err
}

// secrets is Options.Secrets.
func (h *house) secrets(_ context.Context, add func(string, secret.Secret)) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, "matcher")
	for _, handle := range slices.Sorted(maps.Keys(h.resources)) {
		for f, s := range h.resources[handle].Sealed {
			v, err := unhex(s.Value)
			if err != nil {
				return err
			}
			add(handle+"."+f, v)
		}
	}
	return h.secretErr
}

// rules are the real ones for commands; deliveries and variables are simple: a policy's word, and HANDLE_FIELD.
type rules struct{ run.DefaultRules }

func (rules) Allows(r vault.Resource, d policy.Delivery) bool {
	return r.Policy.AllowsDelivery(d, []policy.Delivery{policy.SSH})
}

func (rules) EnvVars(r vault.Resource) (vars []kind.EnvVar) {
	for _, f := range slices.Sorted(maps.Keys(r.Sealed)) {
		vars = append(vars, kind.EnvVar{Name: strings.ToUpper(r.Handle + "_" + f), Field: f})
	}
	return vars
}

func newEngine(t *testing.T, h *house, edit func(*run.Options)) *run.Engine {
	t.Helper()
	o := run.Options{Authority: h, Opener: h, Rules: rules{}, Secrets: h.secrets, TempDir: t.TempDir()}
	if edit != nil {
		edit(&o)
	}
	e := run.New(o)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := e.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if left, _ := os.ReadDir(o.TempDir); len(left) > 0 {
			t.Errorf("private folders left: %v", left)
		}
	})
	return e
}

// script writes a program that only its owner can change.
func script(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tool")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// pinTo allows one command with the value.
func pinTo(argv ...string) policy.Policy {
	return policy.Policy{Pins: []policy.Pin{{Name: "deploy", Argv: argv}}}
}

const token = "5318008:AAHcanary-qZ7_xW2mK9vLpT4rN8"

// botHouse has one resource, bot, pinned to a script.
func botHouse(t *testing.T, body string) (*house, string) {
	h := newHouse()
	tool := script(t, body)
	h.add("bot", map[string]string{"token": token}, pinTo(tool), nil)
	return h, tool
}

func request(command ...string) run.Request {
	return run.Request{Actor: alice, Refs: []string{"bot"}, Command: command}
}

func mustRun(t *testing.T, e *run.Engine, r run.Request) run.Result {
	t.Helper()
	res, err := e.Run(t.Context(), r)
	if err != nil {
		t.Fatal(err, errors.Unwrap(err))
	}
	return res
}
