//go:build unix

package main

import (
	"testing"

	"github.com/zavhoz/zavhoz/run/postgres/postgrestest"
	"github.com/zavhoz/zavhoz/store/postgres"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// A copy whose role is mistyped is refused before anything is copied, and a vault that is there gives nobody any rights: the copy is refused.
func TestRightsComeBeforeTheCopy(t *testing.T) {
	t.Parallel()
	server := postgrestest.Start(t)
	p := initialised(t)
	p.env = append(p.env, "ADDRESS="+server.URL("sslmode=disable"))
	to := []string{"migrate", "--to", "env:ADDRESS"}
	if r := p.run("", append(to, "--grant-to", "nobody")...); r.code != 2 {
		t.Fatalf("a role that is not there: %v", r)
	}
	if n := server.AdminQuery(t, "SELECT count(*)::text FROM zavhoz.records"); n != "0" {
		t.Errorf("%s records were copied before the role was looked for", n)
	}
	rights := func() string {
		return server.AdminQuery(t, "SELECT has_table_privilege($1, 'zavhoz.records', 'SELECT')::text", postgrestest.Plain)
	}
	p.ok(to...)
	if r := p.run("", append(to, "--grant-to", postgrestest.Plain)...); r.code != 4 || rights() != "false" {
		t.Errorf("a copy over a vault: %v, rights: %s", r, rights())
	}
	server.Exec(t, "DROP SCHEMA zavhoz CASCADE")
	p.ok(append(to, "--grant-to", postgrestest.Plain)...)
	if rights() != "true" {
		t.Error("the role has no rights")
	}
}

// A daemon whose server was put in an old one's place says that, and not that something went wrong.
func TestAnOldServerHasItsCode(t *testing.T) {
	for name, err := range map[string]error{"at the start": databaseFault(postgres.ErrOld), "later": vault.StoreFault(postgres.ErrOld)} {
		if c := fault.CodeOf(err); c != fault.NotSupported {
			t.Errorf("%s: %s", name, c)
		}
	}
}
