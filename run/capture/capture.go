// Package capture cuts parts out of a reply, by JSON pointer or by pattern, and puts them into the vault as a new resource.
package capture

import (
	"context"

	"github.com/zavhoz/zavhoz/vault"
)

// Spec says what is to be captured, into which resource.
type Spec struct {
	Handle  string           // of the new resource; it must not exist
	Kind    string           // "generic" (default) or, of a request, "api_key"
	Fields  map[string]Field // sealed field of the new resource → where its value stands
	Purpose string           // one line for people; optional
}

// Field is where a value stands in the reply: exactly one of the two.
type Field struct {
	JSONPointer string // RFC 6901, to a string
	Pattern     string // RE2 with exactly one capture group
}

// Kept is what may be told of a captured resource.
type Kept struct {
	Handle string
	Kind   string
	Fields map[string]string // field → secret.LengthClass
}

// Keeper seals new resources (vault.Vault). It can open nothing.
type Keeper interface {
	// MayKeep tells, before anything is requested, what Keep would refuse.
	MayKeep(ctx context.Context, actor vault.Actor, handle string) error
	// Keep seals and stores r, durable with its audit record when it returns. It wipes r.Secrets.
	Keep(ctx context.Context, actor vault.Actor, r vault.NewResource) (vault.Resource, error)
}
