//go:build unix

package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/zavhoz/zavhoz/run/postgres/postgrestest"
)

// databaseForScripts gives a script a database of its own: its address in ADDRESS, that of another schema in ELSEWHERE and in the file elsewhere, and a second home.
func databaseForScripts(e *testscript.Env, root string) error {
	server := postgrestest.Start(e.T().(testing.TB))
	elsewhere := server.URL("sslmode=disable&zavhoz_schema=elsewhere")
	e.Setenv("ADDRESS", server.URL("sslmode=disable"))
	e.Setenv("PASSWORD", server.Password)
	e.Setenv("ELSEWHERE", elsewhere)
	e.Setenv("THIRD", server.URL("sslmode=disable&zavhoz_schema=third"))
	e.Setenv("REPLICA", filepath.Join(root, "r"))
	return os.WriteFile(filepath.Join(e.WorkDir, "elsewhere"), []byte(elsewhere+"\n"), 0o600)
}
