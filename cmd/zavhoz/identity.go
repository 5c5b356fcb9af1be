package main

import (
	"context"
	"crypto/sha256"
	"sync"

	"github.com/zavhoz/zavhoz/mcp"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// maxKnown bounds how many agents are remembered over a lock.
const maxKnown = 1024

// identity lets the doors ask the vault who comes. While the vault is locked it knows whom it knew before, by a digest of their tokens: their sessions live on, to
// be told that the vault is locked.
type identity struct {
	v *vault.Vault

	mu    sync.Mutex
	known map[[sha256.Size]byte]mcp.Agent // the zero digest: who comes without a token
}

// Authenticate finds the agent of a token. An operator's token opens no MCP door: it would carry the operator's rights to a model.
func (i *identity) Authenticate(ctx context.Context, token string) (mcp.Agent, error) {
	if err := admit(ctx, true); err != nil {
		return mcp.Agent{}, err
	}
	a, err := i.v.Authenticate(ctx, token)
	if err == nil && a.Role != vault.RoleAgent {
		err = fault.New(fault.Unauthenticated, "this token is an operator's", "use an agent's token: `zavhoz agent add NAME`")
	}
	return i.remember(ctx, sha256.Sum256([]byte("token "+token)), mcpAgent(a), err)
}

// Local finds the agent of who comes by the socket without a token.
func (i *identity) Local(ctx context.Context) (mcp.Agent, error) {
	if err := admit(ctx, false); err != nil {
		return mcp.Agent{}, err
	}
	a, err := i.v.Local(ctx)
	return i.remember(ctx, [sha256.Size]byte{}, mcpAgent(a), err)
}

// remember keeps who was found, and gives them while the vault is locked. One who comes by a socket, where who may connect at all is settled, and was not known
// before, is let in as nobody; over HTTP they are refused.
func (i *identity) remember(ctx context.Context, digest [sha256.Size]byte, a mcp.Agent, err error) (mcp.Agent, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if fault.CodeOf(err) != fault.VaultLocked {
		if err != nil {
			delete(i.known, digest)
			return mcp.Agent{}, err
		}
		if i.known == nil || len(i.known) >= maxKnown {
			i.known = map[[sha256.Size]byte]mcp.Agent{}
		}
		i.known[digest] = a
		return a, nil
	}
	if a, ok := i.known[digest]; ok {
		return a, nil
	}
	if !bySocket(ctx) {
		return mcp.Agent{}, err
	}
	return mcp.Agent{Unknown: true}, nil
}
