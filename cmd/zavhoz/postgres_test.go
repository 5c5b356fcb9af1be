//go:build unix

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/zavhoz/zavhoz/run/postgres/postgrestest"
)

// databaseForScripts gives a script a database of its own: its address in ADDRESS, that of another schema in ELSEWHERE and in the file elsewhere, a second home; and addresses of a role that owns tables (OWNER,
// MOVED), and in files (served, movedto) those of one that serves there.
func databaseForScripts(e *testscript.Env, root string) error {
	server := postgrestest.Start(e.T().(testing.TB))
	elsewhere := server.URL("sslmode=disable&zavhoz_schema=elsewhere")
	e.Setenv("ADDRESS", server.URL("sslmode=disable"))
	e.Setenv("PASSWORD", server.Password)
	e.Setenv("ELSEWHERE", elsewhere)
	e.Setenv("THIRD", server.URL("sslmode=disable&zavhoz_schema=third"))
	e.Setenv("REPLICA", filepath.Join(root, "r"))
	e.Setenv("OWNER", server.URL("sslmode=disable&zavhoz_schema=two"))
	e.Setenv("MOVED", server.URL("sslmode=disable&zavhoz_schema=moved"))
	e.Setenv("UNGRANTED", server.URLOf(postgrestest.Plain, server.Password, "sslmode=disable&zavhoz_schema=fifth"))
	for file, address := range map[string]string{
		"elsewhere": elsewhere, "served": server.URLOf(postgrestest.Plain, server.Password, "sslmode=disable&zavhoz_schema=two"), "movedto": server.URLOf(postgrestest.Plain, server.Password, "sslmode=disable&zavhoz_schema=moved"),
	} {
		if err := os.WriteFile(filepath.Join(e.WorkDir, file), []byte(address+"\n"), 0o600); err != nil {
			return err
		}
	}
	return nil
}
