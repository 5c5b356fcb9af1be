package sops_test

import (
	"context"
	"testing"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/sops/sopstest"
	"github.com/zavhoz/zavhoz/vault/sops/wire"
)

// An edit that was decided on another content than the file has now is refused, and the file is as the other writer left it.
func TestAStaleEditIsRefused(t *testing.T) {
	p := sopstest.NewPerson(t)
	path := encrypted(t, p, "secrets.yaml", "projects:\n    shop:\n        secrets:\n            KEY: first-value\n")
	s := newSource(t, p, path)
	p.Sops(p.Dir, "set", "secrets.yaml", `["projects"]["shop"]["secrets"]["KEY"]`, `"second-value"`)
	edit := []wire.Change{put("third-value", "projects", "shop", "secrets", "KEY")}
	wantCode(t, s.Edit(context.Background(), path, edit), fault.VersionConflict)
	if got := p.Sops(p.Dir, "decrypt", "--extract", `["projects"]["shop"]["secrets"]["KEY"]`, "secrets.yaml"); got != "second-value" {
		t.Errorf("sops reads %q", got)
	}
	if err := s.Edit(context.Background(), path, edit); err != nil { // the refusal read it again
		t.Fatal(err)
	}
}
