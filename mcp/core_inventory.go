package mcp

import (
	"context"
	"encoding/json"
	"strings"

	mcpgo "github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"github.com/zavhoz/zavhoz/vault/fault"
)

const scheme = "zavhoz://resources/"

const mimeJSON = "application/json"

func (c *core) addInventory() {
	if c.srv.inv == nil {
		return
	}
	t := mcpgo.NewResourceTemplate(scheme+"{handle}", "resource",
		mcpgo.WithTemplateDescription("One resource of the inventory: its kind, public attributes and what it can be used for. Never a secret value."),
		mcpgo.WithTemplateMIMEType(mimeJSON))
	c.lib.AddResourceTemplate(t, func(ctx context.Context, req mcpgo.ReadResourceRequest) ([]mcpgo.ResourceContents, error) {
		return c.read(ctx, req.Params.URI)
	})
}

func (c *core) read(ctx context.Context, uri string) ([]mcpgo.ResourceContents, error) {
	rq := sessionOf(ctx)
	handle, ok := strings.CutPrefix(uri, scheme)
	if rq == nil || !ok || len(handle) == 0 || len(handle) > 64 {
		return nil, rq.fail(fault.New(fault.UnknownResource, "there is no such resource", "call resources/list"))
	}
	ctx, cancel := context.WithTimeout(ctx, c.srv.limits.CallTimeout)
	defer cancel()
	v, err := c.srv.inv.Read(ctx, rq.caller, handle)
	if err != nil {
		return nil, rq.fail(err)
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, rq.fail(err)
	}
	return []mcpgo.ResourceContents{mcpgo.TextResourceContents{URI: uri, MIMEType: mimeJSON, Text: string(raw)}}, nil
}

// fail keeps the true error for encode; what mcp-go gets of it is its type.
func (rq *coreSession) fail(err error) error {
	if rq != nil {
		rq.problem = err
	}
	return err
}

// GetSessionResources is how mcp-go asks for what resources/list shows: the caller's own inventory. A read goes by the template.
func (rq *coreSession) GetSessionResources() map[string]server.ServerResource {
	if rq.srv.inv == nil || rq.msg.Method != "resources/list" {
		return nil
	}
	ctx, cancel := context.WithTimeout(rq.ctx, rq.srv.limits.CallTimeout)
	defer cancel()
	items, err := rq.srv.inv.List(ctx, rq.caller)
	if err != nil {
		rq.problem = err
		return nil
	}
	out := make(map[string]server.ServerResource, len(items))
	for _, it := range items {
		r := mcpgo.NewResource(scheme+it.Handle, it.Handle, mcpgo.WithResourceDescription(it.Description), mcpgo.WithMIMEType(mimeJSON))
		r.Title = it.Title
		out[r.URI] = server.ServerResource{Resource: r}
	}
	return out
}

// SetSessionResources does nothing: no door adds resources of its own.
func (rq *coreSession) SetSessionResources(map[string]server.ServerResource) {}

func (c *core) addPrompt(p Prompt) {
	prompt := mcpgo.NewPrompt(p.Name, mcpgo.WithPromptDescription(p.Description))
	prompt.Title = p.Title
	c.lib.AddPrompt(prompt, func(context.Context, mcpgo.GetPromptRequest) (*mcpgo.GetPromptResult, error) {
		return mcpgo.NewGetPromptResult(p.Description, []mcpgo.PromptMessage{mcpgo.NewPromptMessage(mcpgo.RoleUser, mcpgo.NewTextContent(p.Text))}), nil
	})
}
