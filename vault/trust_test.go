package vault_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

func (h *house) removeRow(c store.Collection, key string) {
	h.t.Helper()
	must(h.t, h.store.Update(ctx, func(tx store.Tx) error { return tx.Delete(c, key) }))
}

// Who takes the row away that proves the operator's presence, under a daemon that runs, does not become present: from then on nothing is written or answered.
func TestAttack72_PresenceThatWasTakenAwayIsNoConsent(t *testing.T) {
	h := newHouse(t)
	set, err := h.HasPresence(ctx)
	if err != nil || set {
		t.Fatal(set, err)
	}
	pass := secret.FromString("correct horse battery")
	must(t, h.SetPresence(ctx, operator, pass))
	other := h.reopen() // learns of it at its start
	h.removeRow("settings", "presence")
	for name, v := range map[string]*vault.Vault{"who set it": h.Vault, "who found it at its start": other} {
		_, err = v.HasPresence(ctx)
		wantCode(t, err, fault.RecordTampered)
		wantCode(t, v.CheckPresence(ctx, operator, pass), fault.RecordTampered)
		_, _, err = v.AddAgent(ctx, operator, vault.NewAgent{Name: "later"})
		wantCode(t, err, fault.RecordTampered)
		wantCode(t, v.Note(ctx, audit.Event{Actor: operator, Action: audit.ResourceList, Outcome: audit.Allowed}), fault.RecordTampered)
		if v.Distrusted() == nil {
			t.Errorf("%s: nothing was noticed", name)
		}
	}
}

// A guard finds, while the vault is in use, what was taken away or brought back beneath it.
func TestAttack72_AGuardFindsWhatIsLostOrBroughtBack(t *testing.T) {
	for name, attack := range map[string]func(h *house, removed map[string][]byte){
		"presence is taken away": func(h *house, _ map[string][]byte) { h.removeRow("settings", "presence") },
		"a removed agent is brought back": func(h *house, was map[string][]byte) {
			for key, raw := range was {
				if _, there := h.rows(agents)[key]; !there {
					h.setRow(agents, key, raw)
				}
			}
		},
		"the accounts are taken away":  func(h *house, _ map[string][]byte) { h.removeRow("digests", ".all/main") },
		"the audit head is taken away": func(h *house, _ map[string][]byte) { h.removeRow("audit_heads", "main") },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			must(t, h.SetPresence(ctx, operator, secret.FromString("correct horse battery")))
			_, _, err := h.AddAgent(ctx, operator, vault.NewAgent{Name: "former"})
			must(t, err)
			was := h.rows(agents)
			_, err = h.RemoveAgent(ctx, operator, "former")
			must(t, err)
			run, end := context.WithCancel(ctx)
			var log bytes.Buffer
			done := make(chan struct{})
			changes := h.Changes(run)
			go func() {
				defer close(done)
				h.Guard(run, vault.Guard{Changes: changes, Log: slog.New(slog.NewTextHandler(&log, nil)), Soon: 10 * time.Millisecond, Walk: 20 * time.Millisecond})
			}()
			must(t, h.Note(ctx, audit.Event{Actor: operator, Action: audit.ResourceList, Outcome: audit.Allowed}))
			must(t, h.Noted(ctx))
			time.Sleep(100 * time.Millisecond)
			must(t, h.Distrusted())
			attack(h, was)
			for deadline := time.Now().Add(30 * time.Second); h.Distrusted() == nil && time.Now().Before(deadline); {
				time.Sleep(5 * time.Millisecond)
			}
			wantCode(t, h.Distrusted(), fault.RecordTampered)
			_, _, err = h.AddAgent(ctx, operator, vault.NewAgent{Name: "later"})
			wantCode(t, err, fault.RecordTampered)
			time.Sleep(100 * time.Millisecond)
			end()
			<-done
			if !strings.Contains(log.String(), "record_tampered") {
				t.Errorf("not logged: %s", log.String())
			}
		})
	}
}

// A home knows its vault again by the key that signs its audit records and by their last: not by a name, which a writer of the database copies.
func TestAttack72_AnotherVaultIsNotTakenForThisOne(t *testing.T) {
	h := newHouse(t)
	must(t, h.Note(ctx, audit.Event{Actor: operator, Action: audit.ResourceList, Outcome: audit.Allowed}))
	must(t, h.Noted(ctx))
	m, err := h.Mark(ctx)
	must(t, err)
	must(t, h.Recognise(ctx, m))
	must(t, h.Note(ctx, audit.Event{Actor: operator, Action: audit.ResourceList, Outcome: audit.Allowed}))
	must(t, h.Noted(ctx))
	must(t, h.Recognise(ctx, m)) // it went on

	other := newHouse(t)
	copied := m
	copied.VaultID = other.ID()
	wantCode(t, other.Recognise(ctx, m), fault.RecordTampered)
	wantCode(t, other.Recognise(ctx, copied), fault.RecordTampered)

	ahead := m
	ahead.Head.Seq += 100
	wantCode(t, h.Recognise(ctx, ahead), fault.RecordTampered)
	forked := m
	forked.Head.Hash = strings.Repeat("0", 64)
	wantCode(t, h.Recognise(ctx, forked), fault.RecordTampered)
	unread := m
	unread.AuditKey = "zz"
	wantCode(t, h.Recognise(ctx, unread), fault.RecordTampered)
}
