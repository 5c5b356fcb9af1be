package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
)

// The form of known.json is frozen: a home that an earlier release wrote must go on knowing its vault.
func TestGoldenKnown(t *testing.T) {
	k := known{Mark: vault.Mark{Format: 1, VaultID: "vlt_a", AuditKey: "00ff", Head: audit.Head{Writer: "main", Seq: 7, Hash: "aa"}}, Place: "postgres h:5432/d, schema zavhoz", Moment: "3:00"}
	const want = `{"format":1,"vault_id":"vlt_a","audit_key":"00ff","head":{"writer":"main","seq":7,"hash":"aa"},"place":"postgres h:5432/d, schema zavhoz","moment":"3:00"}`
	if b, err := json.Marshal(k); err != nil || string(b) != want {
		t.Fatalf("%s %v", b, err)
	}
	dir, err := home.At(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir.Path(), knownName)
	if err := os.WriteFile(file, []byte(want+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := readKnown(dir); err != nil || got != k {
		t.Fatalf("%+v %v", got, err)
	}
	if err := os.WriteFile(file, []byte(want[:40]), 0o600); err != nil { // half of it is no home that knows nothing
		t.Fatal(err)
	}
	if _, err := readKnown(dir); fault.CodeOf(err) != fault.VaultCorrupt {
		t.Fatal(err)
	}
}
