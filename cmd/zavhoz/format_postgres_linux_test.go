package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/run/postgres/postgrestest"
)

// Tables of an earlier zavhoz are read as they are by who only reads, also to finish an init that was broken off; an init of another home leaves them alone; who serves as a role that may not migrate them is told who may, and
// the owner's daemon does.
func TestAVaultOfAnEarlierFormat(t *testing.T) {
	t.Parallel()
	p, server := away(t, "--grant-to", postgrestest.Plain)
	for _, q := range []string{
		"ALTER TABLE zavhoz.records ADD CHECK (octet_length(collection) BETWEEN 1 AND 32), ADD CHECK (octet_length(key) BETWEEN 1 AND 512), ADD CHECK (octet_length(value) <= 16777216)",
		"ALTER TABLE zavhoz.moment ADD CHECK (one)",
		"DELETE FROM zavhoz.migrations WHERE number > 1",
	} {
		server.Exec(t, q)
	}
	format := func(when, want string) {
		t.Helper()
		if n := server.AdminQuery(t, "SELECT count(*)::text FROM zavhoz.migrations"); n != want {
			t.Fatalf("%s: format %s", when, n)
		}
	}
	p.ok("migrate", "--to", "bolt:"+p.target())
	format("copied", "1")

	other := newPlace(t)
	other.dir, other.env = other.dir.Away(), append(other.env, "ADDRESS="+server.URL("sslmode=disable"))
	if r := other.run("", initAway...); r.code != 4 || !strings.Contains(r.stderr, "the database holds a vault already") {
		t.Fatalf("an init of another home: %v", r)
	}
	format("another init", "1")

	env := p.env
	p.env = append(slices.Clone(env), "ADDRESS="+server.URLOf(postgrestest.Plain, server.Password, "sslmode=disable"))
	for _, args := range [][]string{{"status"}, {"key", "check", p.dir.Identity()}, {"migrate", "--to", "bolt:" + p.target() + "2", "--mark-moved"}} {
		if r := p.run("", args...); r.code != 7 || !strings.Contains(r.stderr, "vault_format") || !strings.Contains(r.stderr, "owns them") {
			t.Errorf("%v as a role that may not migrate: %v", args, r)
		}
	}
	p.env = env
	format("looked at", "1")

	if err := os.Rename(p.dir.Path(), filepath.Join(filepath.Dir(p.dir.Path()), ".h-init-own")); err != nil { // as if init was killed before it got its name
		t.Fatal(err)
	}
	if out := p.ok(initAway...); !strings.Contains(out, "an earlier init began") {
		t.Fatal(out)
	}
	format("finished", "1")
	p.status()
	p.stop()
	format("served", "3")

	server.Exec(t, "DELETE FROM zavhoz.migrations")
	if r := other.run("", initAway...); r.code != 7 || !strings.Contains(r.stderr, "vault_format") || !strings.Contains(r.stderr, "earlier") {
		t.Errorf("an init over tables of no format: %v", r)
	}
	format("an init over tables of no format", "0")
}
