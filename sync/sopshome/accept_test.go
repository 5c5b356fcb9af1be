package sopshome_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/sops/sopstest"
)

// A person who saw how much a file lost says that it is meant: those resources are gone at once. Of another loss, of another file, or of none they can say nothing.
func TestALossIsAccepted(t *testing.T) {
	p := sopstest.NewPerson(t)
	file(t, p, "secrets.yaml", text())
	file(t, p, "more.env", "A=value-of-a\n")
	h := newHouse(t, p, "secrets.yaml", "more.env")
	_, err := h.AcceptLoss(ctx, operator, "secrets.yaml", 0)
	wantCode(t, err, fault.InvalidArgument)
	_, err = h.AcceptLoss(ctx, operator, "../secrets.yaml", 4)
	wantCode(t, err, fault.InvalidArgument)
	file(t, p, "secrets.yaml", "projects: {}\n")
	file(t, p, "more.env", "B=value-of-b\n")
	h.Settle(ctx)
	if s := h.States()[0]; s.Lost != (vault.Loss{Absent: 4, Known: 4}) || h.err("secrets.yaml") != fault.SyncShrunk || h.get("openai").Status != vault.Active {
		t.Fatalf("%+v", s)
	}
	_, err = h.AcceptLoss(ctx, operator, "secrets.yaml", 3)
	wantCode(t, err, fault.VersionConflict)
	if h.get("openai").Status != vault.Active {
		t.Fatal("a loss that nobody saw was taken")
	}
	s, err := h.AcceptLoss(ctx, operator, "secrets.yaml", 4)
	must(t, err)
	if s.Err != nil || s.Lost.Absent != 0 || h.err("secrets.yaml") != "" {
		t.Errorf("%+v", s)
	}
	for _, ref := range []string{"openai", "github_main", "smtp", "shop.stripe_key"} {
		if r := h.get(ref); r.Status != vault.Gone || r.UpdatedBy != "operator" {
			t.Errorf("%s: %s by %s", ref, r.Status, r.UpdatedBy)
		}
	}
	if got := h.recorded(audit.FileAccept); len(got) != 1 || got[0] != "secrets.yaml allowed" {
		t.Errorf("%q", got)
	}
	file(t, p, "secrets.yaml", text())
	h.Settle(ctx)
	if h.get("openai").Status != vault.Active {
		t.Error("what is put back is not in force")
	}
	file(t, p, "secrets.yaml", "projects: {}\n")
	h.Settle(ctx)
	if h.err("secrets.yaml") != fault.SyncShrunk {
		t.Error("one word counts for the next loss, too")
	}
	h.locked.Store(true)
	h.Forget()
	_, err = h.AcceptLoss(ctx, operator, "secrets.yaml", 4)
	wantCode(t, err, fault.VaultLocked)
}

// The daemon's stop is no failure of a file, and no line of the log says so.
func TestAStopIsNoError(t *testing.T) {
	p := sopstest.NewPerson(t)
	file(t, p, "secrets.yaml", text())
	h := newHouse(t, p, "secrets.yaml")
	var log bytes.Buffer
	h.o.Log = slog.New(slog.NewTextHandler(&log, nil))
	stopped, stop := context.WithCancel(ctx)
	stop()
	h.restart()
	h.Settle(stopped) // as it is, and with a file that changed
	p.Sops(p.Dir, "set", "secrets.yaml", `["api_keys"]["openai"]["key"]`, `"`+keyB+`"`)
	h.Settle(stopped)
	h.Forget()
	h.Settle(stopped) // nothing is read yet
	if strings.Contains(log.String(), "ERROR") || h.value("openai", "key") != keyA {
		t.Error(log.String())
	}
	h.Settle(ctx)
	if h.value("openai", "key") != keyB || h.err("secrets.yaml") != "" {
		t.Errorf("%s", h.err("secrets.yaml"))
	}
}
