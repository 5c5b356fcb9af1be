//go:build unix

package tools_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// What a model can call is exactly this. A tool that is not there cannot be turned against anybody: one that comes needs its row's wall first, and breaks this test.
var known = []string{
	"allocate_resource", "get_run", "get_status", "http_request_with_resource", "list_managed_servers", "list_project_secrets", "list_resources", "release_resource",
	"request_secret", "resolve_environment", "run_with_resource", "stop_run",
}

// Row 69: nothing sets a secret into a repository in this release, so that no workflow can print it. The uid plays no part.
func TestAttack69_NothingSetsASecretIntoARepository(t *testing.T) {
	h := newHouse(t)
	if names := slices.Sorted(maps.Keys(h.tools)); !slices.Equal(names, known) {
		t.Errorf("%q", names)
	}
	for name, tool := range h.tools {
		if text := strings.ToLower(name + string(tool.Input)); strings.Contains(text, "github_set") || strings.Contains(text, "repository") {
			t.Errorf("%s", text)
		}
	}
}

// Row 71: no tool takes a value, so that nothing a model says becomes a secret by a tool: a link is answered with a code, which tools neither take nor give.
func TestAttack71_NothingTakesAValueIn(t *testing.T) {
	h := newHouse(t)
	for name, tool := range h.tools {
		if text := strings.ToLower(name + string(tool.Input)); strings.Contains(text, "intake") || strings.Contains(text, `"secret"`) || strings.Contains(text, `"value"`) || strings.Contains(text, `"password"`) {
			t.Errorf("%s takes a value: %s", name, text)
		}
	}
}
