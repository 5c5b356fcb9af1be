//go:build unix

package tools_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/zavhoz/zavhoz/mcp"
	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/tools"
	"github.com/zavhoz/zavhoz/vault/audit"
)

var update = flag.Bool("update", false, "rewrite golden files")

// golden compares with a file of testdata.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		must(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	must(t, err)
	if string(want) != got {
		t.Errorf("%s differs; now:\n%s", file, got)
	}
}

var compiled sync.Map // text → schema

func compile(t *testing.T, raw json.RawMessage) *jsonschema.Schema {
	t.Helper()
	if s, ok := compiled.Load(string(raw)); ok {
		return s.(*jsonschema.Schema)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	must(t, err)
	c := jsonschema.NewCompiler()
	must(t, c.AddResource("mem:///tool.json", doc))
	s, err := c.Compile("mem:///tool.json")
	must(t, err)
	compiled.Store(string(raw), s)
	return s
}

func validate(t *testing.T, schema, value json.RawMessage) {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(value))
	must(t, err)
	if err := compile(t, schema).Validate(doc); err != nil {
		t.Errorf("%s\nis not what the schema says: %v", value, err)
	}
}

func listAudit(st store.Store, log *audit.Log, f audit.Filter) (rs []audit.Record, next string, err error) {
	err = st.View(ctx, func(tx store.Tx) error {
		rs, next, err = log.List(tx, f)
		return err
	})
	return rs, next, err
}

// The surface that models know: names, titles, descriptions, schemas and annotations. A change here is a change of the API.
func TestSchemasGolden(t *testing.T) {
	c := newHouse(t).connect("", false)
	var pretty bytes.Buffer
	must(t, json.Indent(&pretty, c.request("tools/list", ""), "", "  "))
	golden(t, "testdata/schemas.golden", pretty.String()+"\n")
}

func TestToolsAreTheDesigns(t *testing.T) {
	h := newHouse(t)
	want := map[string]mcp.Annotations{
		"list_resources":       {ReadOnly: true, Idempotent: true},
		"list_managed_servers": {ReadOnly: true, Idempotent: true},
		"get_run":              {ReadOnly: true, Idempotent: true},
		"get_status":           {ReadOnly: true, Idempotent: true},
		"list_project_secrets": {ReadOnly: true, Idempotent: true},
		"request_secret":       {Idempotent: true},                    // asks a person, once for the same
		"resolve_environment":  {Idempotent: true},                    // generates what is not there, once
		"allocate_resource":    {},                                    // adds a lease, each time another
		"release_resource":     {Destructive: true, Idempotent: true}, // ends one of the caller's
		"stop_run":             {Destructive: true, Idempotent: true},
		"run_with_resource":    {Destructive: true, OpenWorld: true}, // whatever the command does

		"http_request_with_resource": {Destructive: true, OpenWorld: true}, // whatever the host does
	}
	if got := slices.Sorted(maps.Keys(h.tools)); !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
		t.Fatalf("tools: %v", got)
	}
	for name, a := range want {
		if h.tools[name].Annotations != a {
			t.Errorf("%s: %+v", name, h.tools[name].Annotations)
		}
	}
}

var example = regexp.MustCompile(`Example: (\{.*\})$`)

func TestDescriptionsAreShortAndTrue(t *testing.T) {
	if n := len(tools.Instructions); n > mcp.MaxInstructions {
		t.Errorf("the instructions have %d bytes", n)
	}
	first := map[string]string{}
	for name, x := range newHouse(t).tools {
		sentence, _, _ := strings.Cut(x.Description, ". ")
		if other, taken := first[sentence]; taken {
			t.Errorf("%s and %s begin alike", name, other)
		}
		first[sentence] = name
		m := example.FindStringSubmatch(x.Description)
		if len(x.Description) > mcp.MaxInstructions || x.Title == "" || m == nil {
			t.Errorf("%s: no title, no example at the end, or too long", name)
			continue
		}
		validate(t, x.Input, json.RawMessage(m[1]))
		if !strings.Contains(tools.Instructions, name) {
			t.Errorf("the instructions do not name %s", name)
		}
	}
}

// Every object of every schema is closed, but for maps of strings or numbers; none has what clients refuse: unions of types other than with null, references.
func TestSchemasAreClosed(t *testing.T) {
	for name, x := range newHouse(t).tools {
		for _, raw := range []json.RawMessage{x.Input, x.Output} {
			compile(t, raw)
			var v map[string]any
			must(t, json.Unmarshal(raw, &v))
			closed(t, name, v)
			if v["type"] != "object" {
				t.Errorf("%s: a schema is no object", name)
			}
		}
	}
}

func closed(t *testing.T, at string, v map[string]any) {
	t.Helper()
	if v["type"] == "object" {
		if more, ok := v["additionalProperties"]; !ok || more != false && !scalarsOnly(more) {
			t.Errorf("%s: an object that anything may be in", at)
		}
	}
	for _, word := range []string{"$ref", "oneOf", "anyOf", "allOf", "not"} {
		if _, has := v[word]; has {
			t.Errorf("%s: has %s", at, word)
		}
	}
	if p, ok := v["properties"].(map[string]any); ok {
		for name, x := range p {
			closed(t, at+"."+name, x.(map[string]any))
		}
	}
	if items, ok := v["items"].(map[string]any); ok {
		closed(t, at+"[]", items)
	}
}

func scalarsOnly(more any) bool {
	m, ok := more.(map[string]any)
	return ok && (m["type"] == "string" || m["type"] == "integer")
}

// What a tool answers is a struct of its own: nothing of the domain's may slip in with a field that somebody adds there.
func TestEveryRequiredNameIsThere(t *testing.T) {
	for name, x := range newHouse(t).tools {
		var v struct {
			Properties map[string]any
			Required   []string
		}
		must(t, json.Unmarshal(x.Output, &v))
		slices.Sort(v.Required)
		if all := slices.Sorted(maps.Keys(v.Properties)); !reflect.DeepEqual(all, v.Required) {
			t.Errorf("%s: gives %v, promises %v", name, all, v.Required)
		}
	}
}
