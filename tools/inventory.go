package tools

import (
	"context"

	"github.com/zavhoz/zavhoz/mcp"
	"github.com/zavhoz/zavhoz/vault"
)

// Inventory serves zavhoz://resources/{handle}: what list_resources tells, one resource at a time.
type Inventory struct {
	Vault interface {
		Visible(context.Context, vault.Actor, vault.Filter) ([]vault.Resource, string, error)
		VisibleOne(ctx context.Context, actor vault.Actor, handle string) (vault.Resource, error)
	}
}

var _ mcp.Inventory = Inventory{}

// inventoryMax is how many resources the inventory names; list_resources pages through more.
const inventoryMax = 200

// List gives the resources that the caller may use.
func (i Inventory) List(ctx context.Context, c mcp.Caller) ([]mcp.Resource, error) {
	rs, _, err := i.Vault.Visible(ctx, actor(&mcp.Call{Caller: c}, ""), vault.Filter{Limit: inventoryMax})
	if err != nil {
		return nil, err
	}
	out := make([]mcp.Resource, 0, len(rs))
	for _, r := range rs {
		out = append(out, mcp.Resource{Handle: r.Handle, Title: r.Handle + " (" + r.Kind + ")", Description: resourceView(r).Use})
	}
	return out, nil
}

// Read gives one resource, as list_resources shows it.
func (i Inventory) Read(ctx context.Context, c mcp.Caller, handle string) (any, error) {
	r, err := i.Vault.VisibleOne(ctx, actor(&mcp.Call{Caller: c}, ""), handle)
	if err != nil {
		return nil, err
	}
	return resourceView(r), nil
}

// Prompts are the guides that a client may offer to its user.
func Prompts() []mcp.Prompt {
	return []mcp.Prompt{{
		Name: "zavhoz_guide", Title: "How to work with Zavhoz", Description: "The order of calls, and what to do when one is refused.", Text: Instructions,
	}}
}
