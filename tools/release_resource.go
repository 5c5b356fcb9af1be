package tools

import (
	"context"

	"github.com/zavhoz/zavhoz/mcp"
)

var _ = register(releaseResource)

type releaseIn struct {
	LeaseID string `json:"lease_id"`
}

type releaseOut struct {
	LeaseID  string `json:"lease_id"`
	Handle   string `json:"handle"`
	Released bool   `json:"released"`
}

func releaseResource(d Deps) mcp.Tool {
	return mcp.Tool{
		Name:  "release_resource",
		Title: "Release a resource",
		Description: "Ends a lease that allocate_resource gave you, and frees the memory, disk and ports it reserved. Call it when the work is done; releasing twice is fine. " +
			`Example: {"lease_id":"lse_…"}`,
		Input:       schema(`"lease_id":{"type":"string","maxLength":64}`, "lease_id"),
		Output:      schema(`"lease_id":{"type":"string"},"handle":{"type":"string"},"released":{"type":"boolean"}`, "lease_id", "handle", "released"),
		Annotations: mcp.Annotations{Destructive: true, Idempotent: true},
		Handle: func(ctx context.Context, c *mcp.Call) (mcp.Result, error) {
			in, err := input[releaseIn](c)
			if err != nil {
				return mcp.Result{}, err
			}
			l, err := d.Vault.Release(ctx, actor(c, ""), in.LeaseID)
			if err != nil {
				return mcp.Result{}, err
			}
			if l.Handle == "" {
				return mcp.Result{Text: "The vault is locked: it gives nothing now, and this lease is released when it is unlocked.", Structured: releaseOut{LeaseID: l.ID, Released: true}}, nil
			}
			return mcp.Result{Text: "Released " + l.Handle + ".", Structured: releaseOut{LeaseID: l.ID, Handle: l.Handle, Released: true}}, nil
		},
	}
}
