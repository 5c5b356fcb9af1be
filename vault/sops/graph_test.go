package sops_test

import (
	"os/exec"
	"strings"
	"testing"
)

// Only the helper links SOPS's own package.
func TestOnlyTheHelperLinksSOPS(t *testing.T) {
	for target, want := range map[string]bool{"cmd/zavhoz": false, "vault/sops/...": false, "cmd/zavhoz-sops": true} {
		out, err := exec.Command("go", "list", "-deps", "github.com/zavhoz/zavhoz/"+target).Output()
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(string(out), "github.com/getsops/sops"); got != want {
			t.Errorf("%s links getsops/sops: %v", target, got)
		}
	}
}
