package vault_test

import (
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
)

const (
	goldenUnfinished = `{"format":1,"vault_id":"vlt_aaaaaaaaaaaaaaaaaaaaaaaaaa","started_at":"2026-11-01T12:00:00Z","collections":["audit","digests"]}`
	goldenMoved      = `{"format":1,"at":"2026-11-01T12:00:00Z"}`
)

// The marks are written and read by different versions, and none opens a store that has one.
func TestGoldenMarks(t *testing.T) {
	h := newHouse(t)
	at := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	mark := vault.Unfinished{VaultID: "vlt_aaaaaaaaaaaaaaaaaaaaaaaaaa", StartedAt: at, Collections: []store.Collection{"audit", "digests"}}
	update := func(fn func(tx store.Tx) error) { t.Helper(); must(t, h.store.Update(ctx, fn)) }
	marked := func(key, want string, code fault.Code) {
		t.Helper()
		must(t, h.store.View(ctx, func(tx store.Tx) error {
			b, err := tx.Get("moves", key)
			if string(b) != want {
				t.Errorf("the mark is\n%s\nnot\n%s", b, want)
			}
			return err
		}))
		_, err := vault.Header(ctx, h.store)
		wantCode(t, err, code)
	}
	update(func(tx store.Tx) error {
		if err := keyring.Save(tx, []byte("a header")); err != nil {
			return err
		}
		return vault.MarkUnfinished(tx, mark)
	})
	marked("unfinished", goldenUnfinished, fault.NotInitialized)
	for text, code := range map[string]fault.Code{`{"format":2}`: fault.VaultFormat, `{"format":`: fault.VaultCorrupt, ``: fault.VaultCorrupt} {
		update(func(tx store.Tx) error { return tx.Put("moves", "unfinished", []byte(text)) })
		marked("unfinished", text, code)
	}
	update(vault.ClearUnfinished)
	if b, err := vault.Header(ctx, h.store); err != nil || string(b) != "a header" {
		t.Errorf("without a mark: %q %v", b, err)
	}
	update(func(tx store.Tx) error { return vault.MarkMoved(tx, at) })
	marked("moved", goldenMoved, fault.NotInitialized)
}
