package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/bolt"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/open"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// house is a vault in this process, wired as the daemon wires it.
type house struct {
	*vault.Vault
	store  store.Store
	ring   *keyring.Keyring
	opener *open.Opener
	who    age.Identity // opens its keyring
	ids    []string     // of its resources
}

// resident is how many resources a house has where its floor has as many records.
const resident = 1000

func (b *bench) house(ctx context.Context, name string, resources int) (*house, error) {
	st, err := bolt.Create(ctx, bolt.Options{Path: filepath.Join(b.dir, name+".db")})
	if err != nil {
		return nil, err
	}
	return houseIn(ctx, st, resources)
}

// houseIn makes the vault in a store that is empty.
func houseIn(ctx context.Context, st store.Store, resources int) (*house, error) {
	who, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, err
	}
	h := &house{store: st, who: who}
	var header []byte
	if h.ring, header, err = keyring.Create([]age.Recipient{who.Recipient()}); err != nil {
		return nil, err
	}
	if err := vault.PutHeader(ctx, h.store, header); err != nil {
		return nil, err
	}
	h.opener = open.New(h.ring)
	if h.Vault, err = vault.Open(ctx, vault.Options{Store: h.store, Keyring: h.ring, Opener: h.opener}); err != nil {
		return nil, err
	}
	if err := h.Setup(ctx); err != nil {
		return nil, err
	}
	for i := range resources {
		r, err := h.add(ctx, fmt.Sprintf("res_%d", i))
		if err != nil {
			return nil, err
		}
		h.ids = append(h.ids, r.ID)
	}
	return h, nil
}

// add puts one resource with one secret value.
func (h *house) add(ctx context.Context, handle string) (vault.Resource, error) {
	return h.AddResource(ctx, vault.OperatorActor(), vault.NewResource{Kind: "generic", Handle: handle, Secrets: map[string]secret.Secret{"value": secret.FromString(newSecret())}})
}

// edit puts a new value into a resource, which keeps the one before.
func (h *house) edit(ctx context.Context, id string) error {
	_, err := h.EditResource(ctx, vault.OperatorActor(), id, vault.Edit{Secrets: map[string]secret.Secret{"value": secret.FromString(newSecret())}})
	return err
}

func (h *house) close(ctx context.Context) error {
	err := errors.Join(h.Vault.Close(ctx), h.store.Close())
	h.ring.Close()
	return err
}
