//go:build unix

package main

import (
	"testing"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// TestAttack70_AnUnlockingSellsNoTicket: whatever state the vault is in, a word for the operator's presence that is wrong, or that nobody looked at, opens no guarded act
// on the connection that brought it; it counts as a guess. The right one does open it.
func TestAttack70_AnUnlockingSellsNoTicket(t *testing.T) {
	t.Parallel()
	wrong := map[string]any{"presence": "any word at all"}
	byPhrase := map[string]any{"passphrase": phrase, "presence": "any word at all"}
	for name, c := range map[string]struct {
		passphrase, set, lock bool
		in, right             map[string]any // right is nil where nothing can be proven in that state
		code                  fault.Code
	}{
		"open":                  {set: true, in: wrong},
		"open, by passphrase":   {passphrase: true, set: true, in: byPhrase},
		"locked, by file":       {set: true, lock: true, in: wrong, right: map[string]any{"presence": phrase}, code: fault.PresenceRequired},
		"locked, by passphrase": {passphrase: true, set: true, lock: true, in: byPhrase, right: map[string]any{"passphrase": phrase, "presence": phrase}, code: fault.PresenceRequired},
		"locked, an answer":     {set: true, lock: true, in: map[string]any{"answer": "AAAA"}, code: fault.PresenceRequired},
		"none set, open":        {in: wrong},
		"none set, locked":      {lock: true, in: wrong},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			if c.passphrase {
				p.okIn(phrase+"\n", "init", "--unlock", "passphrase", "--passphrase-from", "-")
				p.okIn(phrase+"\n", "unlock", "--passphrase-from", "-")
			} else {
				p.ok("init")
			}
			if c.set {
				p.okIn(phrase+"\n", "presence", "set", "--operator-passphrase-from", "-")
			}
			if c.lock {
				p.ok("lock")
			}
			cl, ctx := p.client(), t.Context()
			guarded := func() fault.Code { return fault.CodeOf(cl.plain(ctx, "GET", path("keys", "header"), nil, nil)) }
			if code := fault.CodeOf(cl.plain(ctx, "POST", path("unlock"), c.in, nil)); code != c.code {
				t.Fatalf("unlock: %q, want %q", code, c.code)
			}
			if code := guarded(); c.set && code != fault.PresenceRequired && code != fault.VaultLocked {
				t.Fatalf("a word that nobody found right: a guarded act gives %q", code)
			}
			if c.right != nil {
				if err := cl.plain(ctx, "POST", path("unlock"), c.right, nil); err != nil {
					t.Fatal(err)
				}
				if code := guarded(); code != "" {
					t.Fatalf("the right word: %s", code)
				}
			}
			for range 4 {
				_ = cl.plain(ctx, "POST", path("unlock"), c.in, nil)
			}
			if code := fault.CodeOf(cl.plain(ctx, "POST", path("unlock"), c.in, nil)); code != fault.RateLimited {
				t.Errorf("after five wrong words: %q", code)
			}
		})
	}
}
