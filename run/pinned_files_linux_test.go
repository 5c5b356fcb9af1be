package run_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"

	"github.com/zavhoz/zavhoz/run"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// The script that a pinned shell is given is pinned with it: who may write the folder that it lies in does not thereby choose what holds the value.
func TestAttack51_TheScriptOfAPin(t *testing.T) {
	eachUser(t, func(t *testing.T) {
		for name, walls := range map[string]bool{"without_walls": false, "sealed": true} {
			t.Run(name, func(t *testing.T) {
				h, e := realHouse(t, func(o *run.Options) {
					if !walls {
						o.Sandbox = nil
					}
				})
				file := filepath.Join(t.TempDir(), "deploy.sh")
				if err := os.WriteFile(file, []byte("echo deployed\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				sum := sha256.Sum256([]byte("echo deployed\n"))
				h.keep("generic", "bot", map[string]string{"env": "TOKEN", "fields": "value"}, map[string]string{"value": token}, policy.Policy{
					Pins: []policy.Pin{{Name: "deploy", Argv: []string{"/bin/sh", file}, Files: map[string]string{file: hex.EncodeToString(sum[:])}}},
				})
				r := request("pin:deploy")
				if res := mustRun(t, e, r); res.ExitCode != 0 || res.Stdout != "deployed\n" {
					t.Fatalf("%+v", res)
				}
				if err := os.WriteFile(file, []byte("echo $TOKEN | rev\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				if res, err := e.Run(t.Context(), r); fault.CodeOf(err) != fault.BinaryChanged || res.Stdout != "" {
					t.Fatalf("%+v %v", res, err)
				}
				if err := os.Remove(file); err != nil {
					t.Fatal(err)
				}
				if _, err := e.Run(t.Context(), r); fault.CodeOf(err) != fault.BinaryChanged {
					t.Fatal(err)
				}
			})
		}
	})
}

// A folder that agents may write is none that a pinned command works in, or is given: what it loads from there would be theirs.
func TestAttack51_APinInAFolderOfAgents(t *testing.T) {
	dir := t.TempDir()
	for name, walls := range map[string]bool{"without_walls": false, "sealed": true} {
		t.Run(name, func(t *testing.T) {
			h, e := realHouse(t, func(o *run.Options) {
				if !walls {
					o.Sandbox = nil
				}
				o.AgentsWrite = func(_ context.Context, path string) (bool, error) { return path == dir, nil }
			})
			for handle, pin := range map[string]policy.Pin{
				"cwd": {Name: "p", Argv: []string{"/bin/true"}, Cwd: dir}, "given": {Name: "p", Argv: []string{"/bin/ls", dir}},
			} {
				h.keep("generic", handle, map[string]string{"env": "TOKEN", "fields": "value"}, map[string]string{"value": token}, policy.Policy{Pins: []policy.Pin{pin}})
				r := request("pin:p")
				r.Refs = []string{handle}
				if _, err := e.Run(t.Context(), r); fault.CodeOf(err) != fault.WorkdirRefused {
					t.Errorf("%s: %v", handle, err)
				}
			}
		})
	}
}
