//go:build unix

package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/run/postgres/postgrestest"
)

// away is a place whose vault is in a database of its own, and where its daemon has been.
func away(t *testing.T, init ...string) (*place, *postgrestest.Server) {
	t.Helper()
	server := postgrestest.Start(t)
	p := newPlace(t)
	p.dir = p.dir.Away()
	p.env = append(p.env, "ADDRESS="+server.URL("sslmode=disable"))
	p.ok(append([]string{"init", "--store", "env:ADDRESS"}, init...)...)
	p.status()
	p.stop()
	return p, server
}

// unknown tells that a command refuses a vault that the home does not know, with the way out, and that a copy left nothing.
func (p *place) unknown(args ...string) {
	p.t.Helper()
	if r := p.run("", args...); r.code != 7 || !strings.Contains(r.stderr, "record_tampered") || !strings.Contains(r.stderr, "--accept-store") {
		p.t.Errorf("%v: %v", args, r)
	}
	if _, err := os.Stat(p.target()); !errors.Is(err, fs.ErrNotExist) {
		p.t.Errorf("%v: the copy is there: %v", args, err)
	}
}

func (p *place) target() string { return filepath.Join(filepath.Dir(p.dir.Path()), "copy.db") }

// TestCommandsWithoutADaemonKnowTheVault: what opens the vault by itself holds it to what the home knows of it, as the daemon does: neither an earlier state nor another history of it is copied,
// or said to be opened by a key; and where nothing was changed both go through.
func TestCommandsWithoutADaemonKnowTheVault(t *testing.T) {
	t.Parallel()
	p, server := away(t)
	for _, q := range []string{"CREATE SCHEMA was", "CREATE TABLE was.records AS TABLE zavhoz.records", "CREATE TABLE was.moment AS TABLE zavhoz.moment", "CREATE TABLE was.commits AS TABLE zavhoz.commits"} {
		server.Exec(t, q)
	}
	p.ok("agent", "add", "ci")
	p.stop()
	back := func(tables ...string) {
		t.Helper()
		for _, table := range tables {
			server.Exec(t, "TRUNCATE zavhoz."+table)
			server.Exec(t, "INSERT INTO zavhoz."+table+" SELECT * FROM was."+table)
		}
	}
	migrate, check := []string{"migrate", "--to", "bolt:" + p.target()}, []string{"key", "check", p.dir.Identity()}
	p.ok(check...)
	p.stop()
	p.ok(migrate...)
	if err := os.Remove(p.target()); err != nil {
		t.Fatal(err)
	}

	back("records") // yesterday's records, under a moment that goes on
	p.unknown(migrate...)
	p.unknown(append(migrate, "--from", "env:ADDRESS")...)
	p.unknown(append(migrate, "--identity", p.dir.Identity(), "--mark-moved")...)
	p.unknown(check...)
	back("moment", "commits") // and its moment
	p.unknown(migrate...)
	p.unknown(append(migrate, "--from", "env:ADDRESS")...)
	p.unknown(check...)
	p.unknown("status")
}

// TestAKeyIsTriedOnTheVaultThatTheHomeKnows: a header is wrapped for public keys, so one of other keys may open by the right passphrase; no daemon that is locked can tell.
func TestAKeyIsTriedOnTheVaultThatTheHomeKnows(t *testing.T) {
	t.Parallel()
	word := filepath.Join(t.TempDir(), "word")
	if err := os.WriteFile(word, []byte("correct horse battery staple\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, _ := away(t, "--unlock", "passphrase", "--passphrase-from", "@"+word)
	check := []string{"key", "check", "--passphrase-from", "@" + word}
	p.ok(check...)
	p.stop()
	file := filepath.Join(p.dir.Path(), knownName)
	was, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, old, fresh string }{{"other keys", `"audit_key":"`, `"audit_key":"00`}, {"another vault", `"vault_id":"vlt_`, `"vault_id":"vlt_x`}} {
		b := bytes.Replace(was, []byte(c.old), []byte(c.fresh), 1)
		if c.name == "other keys" { // of the same length
			i := bytes.Index(b, []byte(c.fresh)) + len(c.fresh)
			b = append(b[:i+62:i+62], b[i+64:]...)
		}
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
		r := p.run("", check...)
		p.stop()
		if r.code != 7 || !strings.Contains(r.stderr, "record_tampered") {
			t.Errorf("%s: %v", c.name, r)
		}
	}
}
