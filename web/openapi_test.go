package web_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/mcp"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/web"
)

var updateAPI = flag.Bool("update-api", false, "write testdata/openapi.golden.json anew")

// TestGoldenDescription: programs are generated from it. A difference is a change of a public interface: look whether it breaks anybody, then run with -update-api.
func TestGoldenDescription(t *testing.T) {
	path := filepath.Join("testdata", "openapi.golden.json")
	if *updateAPI {
		must(t, os.MkdirAll("testdata", 0o755))
		must(t, os.WriteFile(path, web.Description(), 0o644))
	}
	want, err := os.ReadFile(path)
	must(t, err)
	if got := web.Description(); !bytes.Equal(got, bytes.ReplaceAll(want, []byte("\r\n"), []byte("\n"))) {
		t.Errorf("the API's description is not %s", path)
	}
	if !json.Valid(web.Description()) {
		t.Error("the description is no JSON")
	}
}

// TestEveryRouteIsDescribed: what a token may call is described with its body and its reply, and nothing else is.
func TestEveryRouteIsDescribed(t *testing.T) {
	var d struct {
		Paths map[string]map[string]struct {
			RequestBody json.RawMessage
			Responses   map[string]json.RawMessage
			Scope       string `json:"x-zavhoz-scope"`
		}
	}
	must(t, json.Unmarshal(web.Description(), &d))
	described := 0
	for pattern := range web.Table() {
		scope, _, _ := web.OverHTTP(pattern)
		verb, path, _ := strings.Cut(pattern, " ")
		op, there := d.Paths[path][strings.ToLower(verb)]
		if there != (scope != "") {
			t.Errorf("%s: served over HTTP is %v, described is %v", pattern, scope != "", there)
			continue
		}
		if !there {
			continue
		}
		described++
		in, _, status, _ := web.Operation(pattern)
		if in != nil && !json.Valid([]byte(web.BodyOf(pattern))) {
			t.Errorf("%s: no example of a body", pattern)
		}
		if op.Scope != string(scope) || op.Responses[fmt.Sprint(status)] == nil || op.Responses["default"] == nil || (in != nil) != (op.RequestBody != nil) {
			t.Errorf("%s: %+v", pattern, op)
		}
	}
	if described < 30 {
		t.Errorf("%d routes", described)
	}
}

// schemas checks JSON against the parts of JSON Schema that the description is written in.
type schemas struct{ all map[string]map[string]any }

func readSchemas(t testing.TB) (s schemas, replies map[string]map[string]any) {
	var d struct {
		Paths map[string]map[string]struct {
			Responses map[string]struct {
				Content map[string]struct{ Schema map[string]any }
			}
		}
		Components struct{ Schemas map[string]map[string]any }
	}
	must(t, json.Unmarshal(web.Description(), &d))
	s.all, replies = d.Components.Schemas, map[string]map[string]any{}
	for path, verbs := range d.Paths {
		for verb, op := range verbs {
			for status, r := range op.Responses {
				if c, ok := r.Content["application/json"]; ok && status != "default" {
					replies[strings.ToUpper(verb)+" "+path] = c.Schema
				}
			}
		}
	}
	return s, replies
}

func (s schemas) check(at string, schema map[string]any, v any) error {
	if ref, ok := schema["$ref"].(string); ok {
		return s.check(at, s.all[strings.TrimPrefix(ref, "#/components/schemas/")], v)
	}
	if one, ok := schema["anyOf"].([]any); ok {
		var err error
		for _, alternative := range one {
			if err = s.check(at, alternative.(map[string]any), v); err == nil {
				return nil
			}
		}
		return err
	}
	if enum, ok := schema["enum"].([]any); ok && !slices.Contains(enum, v) {
		return fmt.Errorf("%s is %v", at, v)
	}
	kind, _ := schema["type"].(string)
	switch x := v.(type) {
	case map[string]any:
		if kind != "" && kind != "object" {
			return fmt.Errorf("%s is an object, no %s", at, kind)
		}
		return s.object(at, schema, x)
	case []any:
		if kind != "" && kind != "array" {
			return fmt.Errorf("%s is a list, no %s", at, kind)
		}
		items, _ := schema["items"].(map[string]any)
		for i, e := range x {
			if err := s.check(fmt.Sprint(at, "[", i, "]"), items, e); err != nil {
				return err
			}
		}
	default:
		is := map[string]bool{"": true}
		switch n := v.(type) {
		case nil:
			is["null"] = true
		case string:
			is["string"] = true
		case bool:
			is["boolean"] = true
		case float64:
			is["number"], is["integer"] = true, n == float64(int64(n))
		}
		if !is[kind] {
			return fmt.Errorf("%s is %v, no %s", at, v, kind)
		}
	}
	return nil
}

func (s schemas) object(at string, schema, x map[string]any) error {
	properties, _ := schema["properties"].(map[string]any)
	required, _ := schema["required"].([]any)
	for _, name := range required {
		if _, ok := x[name.(string)]; !ok {
			return fmt.Errorf("%s has no %s", at, name)
		}
	}
	for name, v := range x {
		p, known := properties[name].(map[string]any)
		more, open := schema["additionalProperties"].(map[string]any)
		switch {
		case !known && open:
			p = more
		case !known && (properties != nil || schema["additionalProperties"] == false):
			return fmt.Errorf("%s has a %s of which the description knows nothing", at, name)
		}
		if err := s.check(at+"."+name, p, v); err != nil {
			return err
		}
	}
	return nil
}

// TestRepliesAreAsDescribed goes through every route that a token may call, on a vault that is full, and holds each reply against its schema.
func TestRepliesAreAsDescribed(t *testing.T) {
	h := newHouse(t)
	server := h.fill(h.sit(1))
	s := h.street(mcp.Limits{})
	w := s.bearer(vault.NewAgent{Name: "all", Scopes: []vault.Scope{vault.ScopeRead, vault.ScopeWrite, vault.ScopeAdmin}})
	types, replies := readSchemas(t)
	bodies := map[string]string{ // where the example is not of this house
		"POST /api/v1/projects":                     `{"slug":"fresh"}`,
		"PATCH /api/v1/projects/{id}":               `{"config":{"modules":["backend"],"deep":{"er":[1,null]}}}`,
		"POST /api/v1/projects/{id}/config/secrets": `{"secrets":{"DATABASE_URL":"again","TELEGRAM_BOT_TOKEN":"` + botToken + `"},"env_hints":{"B":"to come"}}`,
		"POST /api/v1/projects/{id}/environment":    `{"names":["APP_NAME","SECRET_KEY","STRIPE_SECRET"]}`,
	}
	later := []string{ // they change what others look at, or are of parts that this house has not
		"POST /api/v1/projects/{id}/config/secrets/{key}/rollback", "POST /api/v1/projects/{id}/config/secrets/{key}/purge", "DELETE /api/v1/projects/{id}/config/secrets/{key}", "DELETE /api/v1/agents/{name}",
	}
	elsewhere := []string{ // tested where there are a rotator, a lock, ports and runs
		"GET /api/v1/resources/{handle}/rotation", "POST /api/v1/lock", "POST /api/v1/runs/{id}/stop", "GET /api/v1/servers/{id}/ports", "POST /api/v1/servers/{id}/reserve", "POST /api/v1/reserves",
	}
	var routes []string
	for route := range replies {
		if !slices.Contains(later, route) && !slices.Contains(elsewhere, route) {
			routes = append(routes, route)
		}
	}
	slices.SortFunc(routes, func(a, b string) int { // writes first: then there is something to read
		rank := func(r string) int {
			return map[string]int{"POST": 0, "PATCH": 1, "PUT": 2, "GET": 3}[r[:strings.IndexByte(r, ' ')]]
		}
		return rank(a) - rank(b)
	})
	lent, err := h.Allocate(ctx, h.agent("borrower", "default"), vault.AllocateRequest{Handle: "bot", Purpose: "a test"})
	must(t, err)
	intakes := map[string]string{} // by what is done to it
	for _, act := range []string{"give", "deny", "read"} {
		i, err := h.RequestSecret(ctx, operator, vault.SecretRequest{Project: "other", Key: "FOR_" + act, Reason: "a test"})
		must(t, err)
		intakes[act] = i.ID
	}
	e, err := h.ResolveEnvironment(ctx, operator, vault.EnvironmentRequest{Project: "other", Names: []string{"APP_NAME", "STRIPE_SECRET"}})
	must(t, err)
	h.sit(1).ok("POST", "/resources", `{"kind":"generic","handle":"asks","secrets":{"value":"`+canary+`"},"policy":{"approval":"always"}}`)
	asked := h.waits(h.agent("asking", "default"), "one", "asks")
	for _, route := range append(routes, later...) {
		verb, path, _ := strings.Cut(route, " ")
		id := "other"
		if strings.Contains(path, "/servers/") {
			id = server
		}
		if strings.HasSuffix(path, "{handle}/environment") {
			path = strings.Replace(path, "{handle}", e.Resource.Handle, 1)
		}
		held := "changes:run_held"
		if verb == "GET" {
			held = asked
		}
		act := path[strings.LastIndexByte(path, '/')+1:]
		path = strings.NewReplacer("{approval}", held, "{intake}", cmp.Or(intakes[act], intakes["read"]), "{lease}", lent.Lease.ID, "{handle}", "bot", "{id}", id, "{name}", "ci", "{key}", "DATABASE_URL").Replace(path)
		_, _, status, _ := web.Operation(route)
		a := w.ok(verb, strings.TrimPrefix(path, "/api/v1"), cmp.Or(bodies[route], web.BodyOf(route)))
		if a.status != status {
			t.Errorf("%s: %d, described %d", route, a.status, status)
		}
		var v any
		must(t, json.Unmarshal([]byte(a.body), &v))
		if err := types.check("reply", replies[route], v); err != nil {
			t.Errorf("%s: %v: %s", route, err, a.body)
		}
	}
	a := w.do(http.MethodGet, "/projects/none", "")
	var v any
	must(t, json.Unmarshal([]byte(a.body), &v))
	if err := types.check("problem", types.all["Problem"], v); err != nil {
		t.Errorf("%v: %s", err, a.body)
	}
	if types.check("x", map[string]any{"type": "string"}, 1.0) == nil || types.check("x", types.all["Merged"], map[string]any{"keys": []any{}}) == nil || types.check("x", types.all["MergeSecrets"], map[string]any{"secrets": map[string]any{}, "odd": 1.0}) == nil {
		t.Error("the checker takes anything")
	}
}
