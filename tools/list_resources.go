package tools

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/zavhoz/zavhoz/mcp"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/kind"
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

// listPage bounds one page, to keep a reply under 10,000 tokens.
const listPage = 50

const resourceSchema = `{"type":"object","properties":{"handle":{"type":"string"},"kind":{"type":"string"},"project":{"type":"string"},"attributes":{"type":"object","additionalProperties":{"type":"string"}},"labels":{"type":"object","additionalProperties":{"type":"string"}},"status":{"type":"string"},"use":{"type":"string"},"pinned_commands":{"type":"array","items":{"type":"object","properties":{"name":{"type":"string"},"argv":{"type":"array","items":{"type":"string"}}},"required":["name","argv"],"additionalProperties":false}}},"required":["handle","kind","project","attributes","labels","status","use","pinned_commands"],"additionalProperties":false}`

func listResources(d Deps) mcp.Tool {
	return mcp.Tool{
		Name:  "list_resources",
		Title: "List resources",
		Description: "Lists the credentials and machines you may use, by handle: what each is for and which commands the operator pinned. " +
			"Values are never shown; you use a resource by its handle in run_with_resource. Call this first. " +
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
			rs, next, err := d.Vault.Visible(ctx, actor(c, ""), vault.Filter{Kind: in.Kind, Project: in.Project, Label: in.Label, Cursor: in.Cursor, Limit: listPage})
			if err != nil {
				return mcp.Result{}, err
			}
			out := listResourcesOut{Resources: make([]resourceOut, 0, len(rs)), NextCursor: next}
			for _, r := range rs {
				out.Resources = append(out.Resources, resourceView(r))
			}
			text := plural(len(rs), "resource") + "."
			if len(rs) == 0 {
				text = "No resources that you may use. Ask the operator to add one (`zavhoz resource add`)."
			}
			if next != "" {
				text += " More with next_cursor."
			}
			return mcp.Result{Text: text, Structured: out}, nil
		},
	}
}

// resourceView is the one place in which a resource becomes a reply to a model.
func resourceView(r vault.Resource) resourceOut {
	out := resourceOut{
		Handle: r.Handle, Kind: r.Kind, Project: r.Project, Attributes: shown(r.Attrs), Labels: nonNil(r.Labels), Status: string(r.Status), Pins: []pinOut{},
	}
	if k, err := kind.Get(r.Kind); err == nil && k.Uses != nil {
		out.Use = k.Uses(r.Attrs)
	}
	for _, p := range r.Policy.Pins {
		out.Pins = append(out.Pins, pinOut{Name: p.Name, Argv: p.Argv})
	}
	return out
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
