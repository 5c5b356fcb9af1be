package vault_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/bolt"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/id"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/open"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// lockable is a vault behind a gate, with what unlocks it.
type lockable struct {
	*vault.Vault
	gate   *vault.Gate
	ring   *keyring.Keyring
	header []byte
	id     age.Identity
	st     store.Store
}

func newLockable(t *testing.T) *lockable {
	t.Helper()
	return newLockableOn(t, func(st store.Store) store.Store { return st })
}

// newLockableOn has wrap between its gate and its file.
func newLockableOn(t *testing.T, wrap func(store.Store) store.Store) *lockable {
	t.Helper()
	ctx := t.Context()
	ident, err := age.GenerateX25519Identity()
	must(t, err)
	k, header, err := keyring.Create([]age.Recipient{ident.Recipient()})
	must(t, err)
	st, err := bolt.Create(ctx, bolt.Options{Path: filepath.Join(t.TempDir(), "vault.db")})
	must(t, err)
	l := &lockable{gate: vault.NewGate(wrap(st), false), ring: k, header: header, id: ident, st: st}
	l.Vault, err = vault.Open(ctx, vault.Options{Store: l.gate, Keyring: k, Opener: open.New(k)})
	must(t, err)
	must(t, l.Setup(ctx))
	t.Cleanup(func() {
		_ = l.Vault.Close(context.Background())
		_ = st.Close()
		k.Close()
	})
	return l
}

func (l *lockable) lock(t *testing.T) {
	t.Helper()
	must(t, l.Noted(t.Context()))
	must(t, l.gate.Shut(t.Context()))
	l.ring.Close()
}

func (l *lockable) unlock(t *testing.T) {
	t.Helper()
	k, err := keyring.Unlock(l.header, []age.Identity{l.id})
	must(t, err)
	must(t, l.ring.TakeOver(k))
	l.gate.Wake()
	must(t, l.Awaken(t.Context(), audit.Event{Actor: vault.OperatorActor(), Action: audit.VaultUnlock, Outcome: audit.Allowed}))
	l.gate.Open()
}

// A locked vault answers everything with one error, keeps what was refused for the record, and takes back a lease that its agent gave up meanwhile.
func TestALockedVaultAnswersOneErrorAndForgetsNothing(t *testing.T) {
	l := newLockable(t)
	ctx := t.Context()
	_, err := l.AddResource(ctx, vault.OperatorActor(), vault.NewResource{Kind: "api_key", Handle: "openai_main", Attrs: map[string]string{"service": "openai"}, Secrets: map[string]secret.Secret{"key": secret.FromString("sk-canary-0123456789abcdef")}})
	must(t, err)
	a, err := l.Local(ctx)
	must(t, err)
	agent := vault.Actor{Type: audit.Agent, ID: a.ID, Name: a.Name}
	got, err := l.Allocate(ctx, agent, vault.AllocateRequest{Handle: "openai_main", Purpose: "a test"})
	must(t, err)
	l.lock(t)
	for name, act := range map[string]func() error{
		"list":     func() error { _, _, err := l.ListResources(ctx, vault.Filter{}); return err },
		"visible":  func() error { _, _, err := l.Visible(ctx, agent, vault.Filter{}); return err },
		"local":    func() error { _, err := l.Local(ctx); return err },
		"presence": func() error { _, err := l.HasPresence(ctx); return err },
		"allocate": func() error {
			_, err := l.Allocate(ctx, agent, vault.AllocateRequest{Handle: "openai_main", Purpose: "a test"})
			return err
		},
		"add":       func() error { _, err := l.AddProject(ctx, vault.OperatorActor(), "p", "P"); return err },
		"sweep":     func() error { return l.Sweep(ctx) },
		"verify":    func() error { return l.Verify(ctx) },
		"authorise": func() error { _, err := l.Authorise(ctx, agent, []string{"openai_main"}); return err },
	} {
		if err := act(); fault.CodeOf(err) != fault.VaultLocked {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := l.Release(ctx, agent, got.Lease.ID); err != nil {
		t.Errorf("release: %v", err)
	}
	must(t, l.Note(ctx, audit.Event{Actor: vault.OperatorActor(), Action: audit.VaultUnlock, Outcome: audit.Denied, Code: "wrong_identity"}))
	l.unlock(t)
	if leases, err := l.Leases(ctx, agent); err != nil || len(leases) != 0 {
		t.Errorf("the lease that was released lives on: %v %v", leases, err)
	}
	must(t, l.Noted(ctx))
	log, st := l.Audit()
	var denied, allowed, released int
	must(t, st.View(ctx, func(tx store.Tx) error {
		rs, _, err := log.List(tx, audit.Filter{})
		for _, r := range rs {
			switch {
			case r.Action == audit.VaultUnlock && r.Outcome == audit.Denied:
				denied++
			case r.Action == audit.VaultUnlock:
				allowed++
			case r.Action == audit.LeaseRelease && r.Outcome == audit.Allowed:
				released++
			}
		}
		return err
	}))
	if denied != 1 || allowed != 1 || released != 1 {
		t.Errorf("on record: %d denied, %d unlocked, %d released", denied, allowed, released)
	}
}

// Who is not known has nothing kept for later, none takes the place of the others, and what is refused beyond what is kept is counted on record.
func TestALockedVaultKeepsLittleOfEach(t *testing.T) {
	l := newLockable(t)
	ctx := t.Context()
	l.lock(t)
	agent := func(who string) vault.Actor { return vault.Actor{Type: audit.Agent, ID: who, Name: "x"} }
	_, err := l.Release(ctx, agent(""), id.New(id.Lease))
	wantCode(t, err, fault.VaultLocked)
	one, lease := agent(id.New(id.Agent)), id.New(id.Lease)
	for range 100 { // the same
		_, err := l.Release(ctx, one, lease)
		must(t, err)
	}
	for range 63 {
		_, err := l.Release(ctx, one, id.New(id.Lease))
		must(t, err)
	}
	_, err = l.Release(ctx, one, id.New(id.Lease))
	wantCode(t, err, fault.VaultLocked)
	_, err = l.Release(ctx, agent(id.New(id.Agent)), id.New(id.Lease))
	must(t, err)
	denied := audit.Event{Actor: vault.OperatorActor(), Action: audit.VaultUnlock, Outcome: audit.Denied, Code: "wrong_identity"}
	for range 1024 + 7 {
		must(t, l.Note(ctx, denied))
	}
	l.unlock(t)
	must(t, l.Noted(ctx))
	log, st := l.Audit()
	var more uint64
	must(t, st.View(ctx, func(tx store.Tx) error {
		rs, _, err := log.List(tx, audit.Filter{})
		for _, r := range rs {
			if r.Detail["why"] == "more refused while locked" {
				more += r.Count
			}
		}
		return err
	}))
	if more != 7 {
		t.Errorf("%d more are on record", more)
	}
}

// Shutting waits for a transaction under way, and while the vault wakes nobody else gets in.
func TestTheGateWaitsAndLetsNobodyInEarly(t *testing.T) {
	l := newLockable(t)
	ctx := t.Context()
	inside, leave, shut := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	ended := make(chan error, 1)
	go func() {
		in := sync.OnceFunc(func() { close(inside) })
		ended <- l.gate.Update(ctx, func(store.Tx) error { in(); <-leave; return nil })
	}()
	<-inside
	short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	if err := l.gate.Shut(short); fault.CodeOf(err) != fault.TimedOut {
		t.Fatalf("shut over a transaction: %v", err)
	}
	go func() { shut <- l.gate.Shut(ctx) }()
	close(leave)
	must(t, errors.Join(<-ended, <-shut))
	l.gate.Wake()
	if _, err := l.Local(ctx); fault.CodeOf(err) != fault.VaultLocked {
		t.Errorf("while it wakes: %v", err)
	}
	l.gate.Open()
	if _, err := l.Local(ctx); err != nil {
		t.Errorf("open: %v", err)
	}
}

// What a program wrote while the vault was locked is found when it is unlocked, before anything is answered.
func TestAttack72_WhatChangedWhileLockedIsFoundAtUnlock(t *testing.T) {
	l := newLockable(t)
	l.lock(t)
	must(t, l.st.Update(t.Context(), func(tx store.Tx) error {
		return tx.Put("projects", "slipped_in", []byte(`{"slug":"slipped_in"}`))
	}))
	k, err := keyring.Unlock(l.header, []age.Identity{l.id})
	must(t, err)
	must(t, l.ring.TakeOver(k))
	l.gate.Wake()
	if err := l.Awaken(t.Context(), audit.Event{Actor: vault.OperatorActor(), Action: audit.VaultUnlock, Outcome: audit.Allowed}); err == nil {
		t.Error("a row that was slipped in was not found")
	}
}
