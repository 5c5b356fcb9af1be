package web_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/web"
)

// TestEveryRouteIsInTheTableOfActs: the table decides which routes ask for presence, so none is missing in it, and none of it is of no route. New has panicked
// where one is served under another rule.
func TestEveryRouteIsInTheTableOfActs(t *testing.T) {
	h := newHouse(t)
	served := web.Served(h.web)
	for pattern, a := range web.Table() {
		if !served[pattern] {
			t.Errorf("%s is in the table and not served", pattern)
		}
		if a.Rule != web.Always && a.Why == "" {
			t.Errorf("%s: no reason", pattern)
		}
		if verb, _, _ := strings.Cut(pattern, " "); a.Rule == web.Free && a.Why == "reads" && verb != "GET" && !strings.HasSuffix(pattern, "verify") {
			t.Errorf("%s only reads?", pattern)
		}
	}
	if len(served) < 40 {
		t.Fatalf("%d routes", len(served))
	}
}

// TestAttack70_EveryGuardedRouteRefuses goes through the table itself: whatever is always guarded refuses a program of the same uid before it reads anything, and
// each that judges its request refuses one that widens.
func TestAttack70_EveryGuardedRouteRefuses(t *testing.T) {
	h, server := guardedHouse(t)
	shell := h.sit(nowhere)
	judged := map[string]bool{"POST /api/v1/unlock": true, "POST /api/v1/backup": true, "POST /api/v1/runs/attend": true, "POST /api/v1/projects/{id}/environment": true} // each has a test of its own
	for _, a := range widening {
		where, _, _ := strings.Cut(a.path, "?")
		judged[a.method+" /api/v1"+where] = true
	}
	named := func(pattern string) bool { // some act of widening goes by this route
		for route := range judged {
			if matches(pattern, route) {
				return true
			}
		}
		return false
	}
	fill := strings.NewReplacer("{handle}", "bot", "{id}", server, "{slot}", "spare", "{run}", "run_held", "{workdir}", "w", "{name}", "local", "{key}", "DATABASE_URL", "{file}", "f")
	for pattern, a := range web.Table() {
		verb, path, _ := strings.Cut(pattern, " ")
		switch a.Rule {
		case web.Always:
			shell.refused(fault.PresenceRequired, verb, strings.TrimPrefix(fill.Replace(path), "/api/v1"), "this is not even JSON")
		case web.Judged:
			if !named(pattern) {
				t.Errorf("%s: no act that it must refuse is tried", pattern)
			}
		}
	}
}

// matches tells whether a route of the list above goes by a pattern.
func matches(pattern, route string) bool {
	p, r := strings.Split(pattern, "/"), strings.Split(route, "/")
	if len(p) != len(r) {
		return false
	}
	for i := range p {
		if p[i] != r[i] && !strings.HasPrefix(p[i], "{") {
			return false
		}
	}
	return true
}

// TestARouteThatNobodyJudgedIsNotServed: who adds a route and forgets the table finds out before anything is served.
func TestARouteThatNobodyJudgedIsNotServed(t *testing.T) {
	h := newHouse(t)
	for _, pattern := range []string{"POST /api/v1/anything", "DELETE /api/v1/resources/{handle}"} { // unknown; known, and guarded
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s was taken", pattern)
				}
			}()
			web.Handle(h.web, pattern, http.StatusOK)
		}()
	}
}
