//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/zavhoz/zavhoz/vault/sops/sopstest"
)

// sopsForScripts puts zavhoz-sops beside the zavhoz that scripts run, and the real sops and age on their way, with the identity key.txt of a person called ALICE.
func sopsForScripts(e *testscript.Env, root string) error {
	t := e.T().(testing.TB)
	at, err := exec.LookPath("zavhoz")
	if err != nil {
		return err
	}
	b, err := os.ReadFile(sopstest.Helper(t))
	if err != nil {
		return err
	}
	helper := filepath.Join(filepath.Dir(at), "zavhoz-sops")
	fresh := helper + "." + filepath.Base(root)
	if err := os.WriteFile(fresh, b, 0o700); err != nil { // scripts run beside each other: a program that runs is not written to
		return err
	}
	if err := os.Rename(fresh, helper); err != nil {
		return err
	}
	p := sopstest.NewPerson(t)
	key, err := os.ReadFile(filepath.Join(p.Dir, "key.txt"))
	if err != nil {
		return err
	}
	e.Setenv("ALICE", p.Recipient())
	e.Setenv("HOME2", filepath.Join(root, "h2"))
	e.Setenv("PATH", filepath.Dir(at)+string(filepath.ListSeparator)+filepath.Dir(sopstest.Program(t, "sops"))+string(filepath.ListSeparator)+e.Getenv("PATH"))
	e.Setenv("SOPS_AGE_KEY_FILE", "")
	return os.WriteFile(filepath.Join(e.WorkDir, "key.txt"), key, 0o600)
}
