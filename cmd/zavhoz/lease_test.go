//go:build unix

package main

import (
	"regexp"
	"testing"

	"github.com/zavhoz/zavhoz/vault"
)

// A person sees whose a lease is, for what, and which ports it holds.
func TestLeaseList(t *testing.T) {
	p := initialised(t)
	p.okIn("correct-horse-battery-staple", "resource", "add", "generic", "job", "--set", "env=JOB", "--secret", "value=-")
	d := p.open()
	d.greet()
	var lease struct {
		ID string `json:"lease_id"`
	}
	d.tool("allocate_resource", map[string]any{"handle": "job", "purpose": "a look"}, &lease)
	if out := p.ok("lease", "list"); !regexp.MustCompile(`(?m)^` + lease.ID + ` +local +job +default +- +a look +0 `).MatchString(out) {
		t.Error(out)
	}
	if got := portsHeld(vault.Lease{Ports: []int{9000, 80}, Services: map[string]int{"web": 8080, "db": 5432}}); got != "db:5432 web:8080 9000 80" {
		t.Error(got)
	}
}
