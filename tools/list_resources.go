package tools

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/zavhoz/zavhoz/mcp"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/policy"
)

var _ = register(listResources)

type listResourcesIn struct {
	Kind    string `json:"kind"`
	Project string `json:"project"`
	Label   string `json:"label"`
	Cursor  string `json:"cursor"`
}

// resourceOut is a resource as a model sees it: no secret, no hidden field, not even their lengths.
type resourceOut struct {
	Handle     string            `json:"handle"`
	Kind       string            `json:"kind"`
	Project    string            `json:"project"`
	Attributes map[string]string `json:"attributes"`
	Labels     map[string]string `json:"labels"`
	Status     string            `json:"status"`
	Use        string            `json:"use"`
	Env        []string          `json:"environment"` // names of the variables that a command of a run finds it under
	Hosts      []string          `json:"hosts"`       // where its credential goes, and nowhere else
	Pins       []pinOut          `json:"pinned_commands"`
}

// pinOut is a command that the operator allowed, as the model would call it.
type pinOut struct {
	Name string   `json:"name"`
	Argv []string `json:"argv"`
}

type listResourcesOut struct {
	Resources  []resourceOut `json:"resources"`
	NextCursor string        `json:"next_cursor"`
}

// Bounds of one page, to keep a reply under 10,000 tokens.
const (
	listPage       = 50
	pageBytes      = 36 << 10 // of all resources, encoded
	largeView      = 4 << 10  // of one: beyond that it is given in brief
	briefAttribute = 120      // characters
)

const resourceSchema = `{"type":"object","properties":{"handle":{"type":"string"},"kind":{"type":"string"},"project":{"type":"string"},"attributes":{"type":"object","additionalProperties":{"type":"string"}},"labels":{"type":"object","additionalProperties":{"type":"string"}},"status":{"type":"string"},"use":{"type":"string"},"environment":{"type":"array","items":{"type":"string"}},"hosts":{"type":"array","items":{"type":"string"}},"pinned_commands":{"type":"array","items":{"type":"object","properties":{"name":{"type":"string"},"argv":{"type":"array","items":{"type":"string"}}},"required":["name","argv"],"additionalProperties":false}}},"required":["handle","kind","project","attributes","labels","status","use","environment","hosts","pinned_commands"],"additionalProperties":false}`

func listResources(d Deps) mcp.Tool {
	return mcp.Tool{
		Name:  "list_resources",
		Title: "List resources",
		Description: "Lists the credentials and machines you may use, by handle: what each is for, the variables that a command finds it under (environment), the hosts its " +
			"credential is good for, and which commands the operator pinned. " +
			"Values are never shown; you use a resource by its handle in run_with_resource. Call this first, and again with next_cursor until that is empty. " +
			`Example: {"kind":"server"}`,
		Input: schema(`"kind":{"type":"string","enum":[` + kindEnum() + `],"description":"only this kind"},` +
			`"project":{"type":"string","maxLength":40,"description":"only this project's"},` +
			`"label":{"type":"string","maxLength":200,"description":"only with this label: key or key=value"},` +
			`"cursor":{"type":"string","maxLength":1000,"description":"next_cursor of the page before"}`),
		Output:      schema(`"resources":{"type":"array","items":`+resourceSchema+`},"next_cursor":{"type":"string"}`, "resources", "next_cursor"),
		Annotations: mcp.Annotations{ReadOnly: true, Idempotent: true},
		Handle: func(ctx context.Context, c *mcp.Call) (mcp.Result, error) {
			in, err := input[listResourcesIn](c)
			if err != nil {
				return mcp.Result{}, err
			}
			if in.Kind != "" {
				if _, err := kind.Get(in.Kind); err != nil {
					return mcp.Result{}, err
				}
			}
			return resourcesPage(ctx, d, actor(c, ""), in)
		},
	}
}

func resourcesPage(ctx context.Context, d Deps, who vault.Actor, in listResourcesIn) (mcp.Result, error) {
	f := vault.Filter{Kind: in.Kind, Project: in.Project, Label: in.Label, Cursor: in.Cursor, Limit: listPage}
	rs, next, err := d.Vault.Visible(ctx, who, f)
	if err != nil {
		return mcp.Result{}, err
	}
	views, fit := resourceViews(rs)
	if fit < len(rs) { // the vault makes the cursor, so it is asked for as many as fit
		f.Limit = fit
		if rs, next, err = d.Vault.Visible(ctx, who, f); err != nil {
			return mcp.Result{}, err
		}
		views, _ = resourceViews(rs)
	}
	text := plural(len(views), "resource") + "."
	switch {
	case next != "":
		text += " More with next_cursor."
	case len(views) == 0 && in != listResourcesIn{}:
		text = "No resources that you may use match. Call without filters to see all."
	case len(views) == 0:
		text = "No resources that you may use. Ask the operator to add one (`zavhoz resource add`)."
	}
	return mcp.Result{Text: text, Structured: listResourcesOut{Resources: views, NextCursor: next}}, nil
}

// resourceViews gives the views, and how many of them fit into a reply: at least one.
func resourceViews(rs []vault.Resource) (views []resourceOut, fit int) {
	views = make([]resourceOut, 0, len(rs))
	size := 0
	for _, r := range rs {
		v := resourceView(r)
		n := encodedLen(v)
		if n > largeView {
			v = v.brief()
			n = encodedLen(v)
		}
		if size += n; size <= pageBytes || fit == 0 {
			fit++
		}
		views = append(views, v)
	}
	return views, fit
}

func encodedLen(v any) int {
	b, _ := json.Marshal(v)
	return len(b)
}

// brief cuts long attributes, and gives pinned commands in their short form: zavhoz://resources/{handle} has the whole.
func (o resourceOut) brief() resourceOut {
	o.Attributes = maps.Clone(o.Attributes)
	for name, v := range o.Attributes {
		if utf8.RuneCountInString(v) > briefAttribute {
			o.Attributes[name] = string([]rune(v)[:briefAttribute]) + "…"
		}
	}
	pins := make([]pinOut, len(o.Pins))
	for i, p := range o.Pins {
		pins[i] = pinOut{Name: p.Name, Argv: []string{policy.PinPrefix + p.Name}}
		for _, a := range p.Argv[min(1, len(p.Argv)):] {
			if strings.Contains(a, "{") && len(a) <= briefAttribute {
				pins[i].Argv = append(pins[i].Argv, a)
			}
		}
	}
	o.Pins = pins
	return o
}

// resourceView is the one place in which a resource becomes a reply to a model.
func resourceView(r vault.Resource) resourceOut {
	out := resourceOut{
		Handle: r.Handle, Kind: r.Kind, Project: r.Project, Attributes: shown(r.Attrs), Labels: nonNil(r.Labels), Status: string(r.Status),
		Env: []string{}, Hosts: []string{}, Pins: []pinOut{},
	}
	if k, err := kind.Get(r.Kind); err == nil {
		describe(&out, k, r)
	}
	for _, p := range r.Policy.Pins {
		out.Pins = append(out.Pins, pinOut{Name: p.Name, Argv: p.Argv})
	}
	return out
}

// describe says what a model needs to know to use the resource: what for, under which variables, at which hosts.
func describe(out *resourceOut, k kind.Kind, r vault.Resource) {
	if k.Uses != nil {
		out.Use = k.Uses(r.Attrs)
	}
	for _, v := range k.EnvVars(r.Attrs) {
		if !slices.Contains(out.Env, v.Name) {
			out.Env = append(out.Env, v.Name)
		}
	}
	for _, rule := range k.Rules(r.Attrs, r.Policy) {
		if h := (policy.HostRule{Host: rule.Host, Port: rule.Port}).String(); !slices.Contains(out.Hosts, h) {
			out.Hosts = append(out.Hosts, h)
		}
	}
}

// shown leaves out a server's host key: public as it is, scans of the internet find the address by it.
func shown(attrs map[string]string) map[string]string {
	out := maps.Clone(nonNil(attrs))
	delete(out, "host_key")
	return out
}

func nonNil(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// kindEnum is every kind as JSON strings, sorted.
func kindEnum() string {
	var names []string
	for _, k := range kind.All() {
		names = append(names, k.Name)
	}
	slices.Sort(names)
	s := ""
	for i, n := range names {
		if i > 0 {
			s += ","
		}
		s += fmt.Sprintf("%q", n)
	}
	return s
}
