package rotate

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/zavhoz/zavhoz/run/postgres/postgrestest"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// logsIn tells whether a URL is taken, by a client that is not ours.
func logsIn(t testing.TB, url string) bool {
	t.Helper()
	c, err := pgx.Connect(context.Background(), url)
	if err != nil {
		if !strings.Contains(err.Error(), "28P01") {
			t.Fatal("the server does not answer") // the error may hold the URL
		}
		return false
	}
	_ = c.Close(context.Background())
	return true
}

// addDatabase adds a database with a role of its own, as rotations change its password.
func (h *house) addDatabase(s *postgrestest.Server, role string) {
	h.t.Helper()
	const first = "the-first-canary-password-1"
	s.AdminQuery(h.t, `DROP ROLE IF EXISTS `+role)
	s.AdminQuery(h.t, `CREATE ROLE `+role+` LOGIN PASSWORD '`+first+`'`)
	h.add(vault.NewResource{Kind: "database", Handle: "shop", Policy: private, Secrets: map[string]secret.Secret{"url": secret.FromString(s.URLOf(role, first, ""))}})
}

func TestADatabasePasswordIsExchanged(t *testing.T) {
	s, h := postgrestest.Start(t), newHouse(t)
	s.AdminQuery(t, `ALTER SYSTEM SET log_statement = 'all'`)
	s.AdminQuery(t, `SELECT pg_reload_conf()::text`)
	h.addDatabase(s, "app_turn")
	old, before := h.value("shop", "url"), h.value("shop", "password")
	open, err := pgx.Connect(t.Context(), old)
	must(t, err)
	defer open.Close(context.Background())
	state, err := h.r.Start(t.Context(), operator, "shop", Request{})
	must(t, err)
	fresh, password := h.value("shop", "url"), h.value("shop", "password")
	if state.Ended != "done" || logsIn(t, old) || !logsIn(t, fresh) {
		t.Errorf("%+v: not the new password alone is taken", state)
	}
	if len(password) != passwordLength || fresh != strings.Replace(old, before, password, 1) {
		t.Error("more of the URL than its password has changed")
	}
	if got := s.AdminQuery(t, `SELECT rolpassword FROM pg_authid WHERE rolname = 'app_turn'`); !strings.HasPrefix(got, "SCRAM-SHA-256$4096:") {
		t.Errorf("the server keeps %.20q", got)
	}
	if log := s.Log(); !strings.Contains(log, "ALTER ROLE SESSION_USER PASSWORD 'SCRAM-SHA-256$") || strings.Contains(log, password) {
		t.Error("the server's log has the password, or not the statement")
	}
	if _, err := open.Exec(t.Context(), "SELECT 1"); err != nil {
		t.Error("a session that was open does not go on")
	}
	hour := time.Hour
	_, err = h.r.Start(t.Context(), operator, "shop", Request{Overlap: &hour})
	wantCode(t, err, fault.InvalidArgument)
}

// At every point the resource or its rotation has the password that is taken, and every way leads on to one that the resource has.
func TestAStoppedExchangeOfAPasswordGoesOnAndBack(t *testing.T) {
	s := postgrestest.Start(t)
	for _, point := range []string{"made", "install", "installed", "prove", "proven", "switched", "retire"} {
		for _, way := range []string{"resume", "abort"} {
			t.Run(point+" "+way, func(t *testing.T) {
				h := newHouse(t)
				h.addDatabase(s, "app_stop")
				old := h.value("shop", "url")
				if !h.stopAt(point, func() error { _, err := h.r.Start(t.Context(), operator, "shop", Request{}); return err }) {
					t.Fatal("it does not come there")
				}
				x := h.rotation("shop")
				now := h.value("shop", "url")
				sealed, err := h.Opener.Open(x.FieldRef("url"), x.Sealed["url"].Value)
				must(t, err)
				if !logsIn(t, now) && !logsIn(t, string(sealed.Reveal())) {
					t.Fatal("neither password is taken")
				}
				if !strings.Contains(h.known(), string(sealed.Reveal())) {
					t.Error("the new password is not masked")
				}
				var state State
				if way == "resume" {
					state, err = h.r.Resume(t.Context(), operator, "shop")
				} else {
					state, err = h.r.Abort(t.Context(), operator, "shop")
				}
				must(t, err)
				end := h.value("shop", "url")
				if !logsIn(t, end) || h.rotation("shop") != nil || (end == old) != (way == "abort") {
					t.Errorf("%+v: what the resource has is not taken, or is another than it should be", state)
				}
				if way == "abort" && logsIn(t, string(sealed.Reveal())) {
					t.Error("the new password is still taken")
				}
			})
		}
	}
}

// What is being taken back goes forward where the new password is the one that is taken.
func TestThereIsAWayOutOfTakingBack(t *testing.T) {
	s, h := postgrestest.Start(t), newHouse(t)
	h.addDatabase(s, "app_turned")
	old := h.value("shop", "url")
	if !h.stopAt("switched", func() error { _, err := h.r.Start(t.Context(), operator, "shop", Request{}); return err }) {
		t.Fatal("it does not come there")
	}
	if !h.stopAt(string(vault.RotationUndoing), func() error { _, err := h.r.Abort(t.Context(), operator, "shop"); return err }) {
		t.Fatal("taking back does not come there")
	}
	if h.value("shop", "url") != old || logsIn(t, old) {
		t.Fatal("the old password is not the resource's, or is taken")
	}
	state, err := h.r.Resume(t.Context(), operator, "shop")
	must(t, err)
	if now := h.value("shop", "url"); state.Ended != "done" || now == old || !logsIn(t, now) {
		t.Errorf("%+v", state)
	}
}

// Of a server that is gone for ever neither credential is lost, and the resource is free again.
func TestARotationIsGivenUp(t *testing.T) {
	s, h := postgrestest.Start(t), newHouse(t)
	h.addDatabase(s, "app_gone")
	old := h.value("shop", "url")
	if !h.stopAt("install", func() error { _, err := h.r.Start(t.Context(), operator, "shop", Request{}); return err }) {
		t.Fatal("it does not come there")
	}
	state, err := h.r.Abandon(t.Context(), operator, "shop")
	must(t, err)
	if state.Ended != "aborted" || len(state.Remarks) != 1 || h.value("shop", "url") != old || h.rotation("shop") != nil {
		t.Errorf("%+v", state)
	}
	r, err := h.Vault.RollbackResource(t.Context(), operator, "shop", state.Version-1, "")
	must(t, err)
	if now := h.value("shop", "url"); now == old || !logsIn(t, now) {
		t.Errorf("the new password is not version %d", r.Version)
	}
}

// A server that is away, and one that lets nobody change a password, leave everything as it was.
func TestADatabaseThatRefusesTheExchange(t *testing.T) {
	s, h := postgrestest.Start(t), newHouse(t)
	h.addDatabase(s, "app_away")
	old := h.value("shop", "url")
	s.AdminQuery(t, `ALTER ROLE app_away SET default_transaction_read_only = on`)
	_, err := h.r.Start(t.Context(), operator, "shop", Request{})
	wantCode(t, err, fault.NotPermitted)
	if x := h.rotation("shop"); x == nil || x.Step != vault.RotationMade || x.Code != "not_permitted" || !logsIn(t, old) {
		t.Fatalf("%+v", x)
	}
	_, err = h.r.Start(t.Context(), operator, "shop", Request{})
	wantCode(t, err, fault.ResourceBusy)
	s.AdminQuery(t, `ALTER ROLE app_away RESET default_transaction_read_only`)
	s.Stop()
	_, err = h.r.Resume(t.Context(), operator, "shop")
	wantCode(t, err, fault.ConnectionFailed)
	if strings.Contains(err.Error(), s.Host) || h.value("shop", "url") != old {
		t.Errorf("%v", err)
	}
	_, err = h.r.Abort(t.Context(), operator, "shop") // which password is taken cannot be told: the new one must not be thrown away
	wantCode(t, err, fault.ConnectionFailed)
	if x := h.rotation("shop"); x == nil || len(x.Sealed) == 0 {
		t.Error("the new password is gone from the vault")
	}
}
