package web

import (
	"encoding"
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/web/api"
)

// mostExact is the largest number that every reader of JSON takes exactly.
const mostExact = 1<<53 - 1

// object is a JSON object; encoding/json writes its keys in order.
type object = map[string]any

// Description gives the API's description: OpenAPI 3.1, made of the tables by which the API is served and of the very types that its replies are written from.
var Description = sync.OnceValue(func() []byte {
	d := &description{schemas: object{}, closed: map[reflect.Type]bool{}}
	b, err := json.MarshalIndent(d.whole(), "", "  ")
	if err != nil {
		panic(err) // it is made of our own types alone
	}
	return append(b, '\n')
})

func describe(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(Description()) // the peer may have gone
}

// description is one under way.
type description struct {
	schemas object
	closed  map[reflect.Type]bool // types of bodies: what they do not name is refused
}

func (d *description) whole() object {
	paths := object{}
	routes := slices.Sorted(maps.Keys(operations))
	for _, route := range routes { // bodies first: what is in one is closed in replies, too
		if op := operations[route]; op.in != nil {
			d.close(reflect.TypeOf(op.in))
		}
	}
	for _, route := range routes {
		verb, path, _ := strings.Cut(route, " ")
		at, _ := paths[path].(object)
		if at == nil {
			at = object{}
			paths[path] = at
		}
		at[strings.ToLower(verb)] = d.operation(route, verb, path)
	}
	d.schema(reflect.TypeFor[api.Problem]())
	return object{
		"openapi": "3.1.0",
		"info": object{
			"title": "Zavhoz", "version": "1",
			"description": "The operator's side of Zavhoz for programs. Values of secrets go in and never come out. Failures are problems (RFC 9457) with a stable code.",
		},
		"servers":  []any{object{"url": "/"}},
		"security": []any{object{"operatorToken": []any{}}},
		"paths":    paths,
		"components": object{
			"schemas":         d.schemas,
			"securitySchemes": object{"operatorToken": object{"type": "http", "scheme": "bearer", "bearerFormat": "zvh_op_…"}},
			"responses": object{"Problem": object{
				"description": "A problem, with a stable code",
				"headers": object{
					"X-Request-Id": object{"schema": object{"type": "string"}},
					"Retry-After":  object{"description": "seconds to wait, of 429", "schema": object{"type": "integer", "minimum": 0}},
				},
				"content": object{"application/problem+json": object{"schema": ref("Problem")}},
			}},
		},
	}
}

func ref(name string) object { return object{"$ref": "#/components/schemas/" + name} }

// holes names what is to be put into a path: {id} in /projects/{id}.
func holes(path string) (names []string) {
	for part := range strings.SplitSeq(path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			names = append(names, strings.TrimSuffix(name, "}"))
		}
	}
	return names
}

func (d *description) operation(route, verb, path string) object {
	op, over := operations[route], overHTTP[route]
	var params []any
	for _, name := range holes(path) {
		params = append(params, object{"name": name, "in": "path", "required": true, "schema": object{"type": "string", "minLength": 1}})
	}
	for _, name := range over.query {
		params = append(params, object{"name": name, "in": "query", "schema": querySchema(path, name)})
	}
	if op.tagged && verb != http.MethodGet {
		params = append(params, object{"name": "If-Match", "in": "header", "description": "the ETag that was read", "schema": object{"type": "string"}})
	}
	out := object{
		"operationId": operationID(verb, path), "summary": op.summary, "x-zavhoz-scope": string(over.scope),
		"responses": d.responses(op),
	}
	if len(params) > 0 {
		out["parameters"] = params
	}
	if op.in != nil {
		content := object{"schema": d.schema(reflect.TypeOf(op.in))}
		if op.example != "" {
			content["example"] = json.RawMessage(op.example)
		}
		out["requestBody"] = object{"required": true, "content": object{"application/json": content}}
	}
	return out
}

// operationID is verb and path in words: get_projects_id_config_secrets.
func operationID(verb, path string) string {
	words := strings.NewReplacer("/api/v1/", "", "{", "", "}", "", "/", "_", ".", "_").Replace(path)
	return strings.ToLower(verb) + "_" + words
}

func querySchema(path, name string) object {
	switch name {
	case "limit":
		most := maxPageSize
		if strings.HasSuffix(path, "/audit") {
			most = 1000
		}
		return object{"type": "integer", "minimum": 1, "maximum": most}
	case "since":
		return object{"type": "string", "format": "date-time"}
	case "confirm_shrunk":
		return object{"type": "string", "enum": []any{"true", "false"}}
	}
	return object{"type": "string"}
}

func (d *description) responses(op operation) object {
	headers := object{"X-Request-Id": object{"schema": object{"type": "string"}}}
	if op.tagged {
		headers["ETag"] = object{"description": `"v" and the version`, "schema": object{"type": "string"}}
	}
	media, schema := op.media, object{"type": "string"}
	if media == "" {
		media, schema = "application/json", d.schema(reflect.TypeOf(op.out))
	}
	return object{
		utoa(op.status): object{"description": http.StatusText(op.status), "headers": headers, "content": object{media: object{"schema": schema}}},
		"default":       object{"$ref": "#/components/responses/Problem"},
	}
}

// close marks a type and all within it.
func (d *description) close(t reflect.Type) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map, reflect.Array:
		d.close(t.Elem())
	case reflect.Struct:
		if d.closed[t] || written(t) != nil {
			return
		}
		d.closed[t] = true
		for i := range t.NumField() {
			d.close(t.Field(i).Type)
		}
	}
}

// written is the schema of a type that writes itself; nil of any other.
func written(t reflect.Type) object {
	switch t {
	case reflect.TypeFor[api.Value]():
		return object{"type": "string", "writeOnly": true}
	case reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case reflect.TypeFor[json.RawMessage]():
		return object{}
	case reflect.TypeFor[[]byte]():
		return object{"type": "string", "contentEncoding": "base64"}
	case reflect.TypeFor[policy.Delivery]():
		return object{"type": "string", "enum": []any{"broker", "ssh", "env", "file", "none"}}
	}
	if t.Kind() != reflect.Pointer && t.Implements(reflect.TypeFor[encoding.TextMarshaler]()) {
		return object{"type": "string"}
	}
	if !t.Implements(reflect.TypeFor[json.Marshaler]()) || t.Kind() == reflect.Pointer {
		return nil
	}
	b, err := json.Marshal(reflect.Zero(t).Interface())
	if err != nil || len(b) == 0 || b[0] != '"' {
		return object{}
	}
	return object{"type": "string"}
}

// schema is that of a type; a struct's is among the components.
func (d *description) schema(t reflect.Type) object {
	if own := written(t); own != nil {
		return own
	}
	switch t.Kind() {
	case reflect.Pointer:
		return d.schema(t.Elem())
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Float32, reflect.Float64:
		return object{"type": "number"}
	case reflect.Slice, reflect.Array:
		return object{"type": "array", "items": d.schema(t.Elem())}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": d.schema(t.Elem())}
	case reflect.Interface:
		return object{}
	case reflect.Struct:
		name := schemaName(t)
		if _, done := d.schemas[name]; !done {
			d.schemas[name] = object{} // a type may hold itself
			d.schemas[name] = d.structure(t)
		}
		return ref(name)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return object{"type": "integer", "minimum": 0, "maximum": mostExact}
	}
	return object{"type": "integer", "minimum": -mostExact, "maximum": mostExact}
}

// schemaName is a type's name: of a page with that of its items.
func schemaName(t reflect.Type) string {
	name := t.Name()
	head, inner, generic := strings.Cut(name, "[")
	if generic {
		return head + "Of" + inner[strings.LastIndexAny(inner, "./")+1:len(inner)-1]
	}
	if pkg := t.PkgPath(); strings.HasSuffix(pkg, "/vault") || strings.HasSuffix(pkg, "/audit") {
		return pkg[strings.LastIndexByte(pkg, '/')+1:] + "." + name // vault.Resource is not api.Resource
	}
	return name
}

func (d *description) structure(t reflect.Type) object {
	properties, required := object{}, []any{}
	d.fields(t, properties, &required)
	out := object{"type": "object", "properties": properties}
	if len(required) > 0 {
		out["required"] = required
	}
	if d.closed[t] {
		out["additionalProperties"] = false
	}
	return out
}

func (d *description) fields(t reflect.Type, properties object, required *[]any) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, rest, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			d.fields(f.Type, properties, required)
			continue
		case !f.IsExported() || name == "-":
			continue
		}
		s := d.schema(f.Type)
		if d.closed[t] && f.Type.Kind() == reflect.Map && f.Type.Elem().Kind() == reflect.String {
			s = object{"type": "object", "additionalProperties": object{"anyOf": []any{d.schema(f.Type.Elem()), object{"type": "null"}}}} // as "": a label that goes, a hint that is taken away
		}
		optional := strings.Contains(rest, "omitempty") || strings.Contains(rest, "omitzero")
		if d.closed[t] && optional && f.Type != reflect.TypeFor[api.Value]() {
			s = object{"anyOf": []any{s, object{"type": "null"}}} // null is as good as nothing
		}
		if k := f.Type.Kind(); !optional && (k == reflect.Pointer || k == reflect.Slice || k == reflect.Map) && !d.closed[t] {
			s = object{"anyOf": []any{s, object{"type": "null"}}} // a reply may have none
		}
		properties[name] = s
		if !optional {
			*required = append(*required, name)
		}
	}
}
