package keyring

import (
	"errors"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// Collection is where the header lies in a vault's store, readable while the vault is locked.
const Collection store.Collection = "keyring"

const headerKey = "header"

// Save writes the header of a vault.
func Save(tx store.Tx, header []byte) error { return tx.Put(Collection, headerKey, header) }

// Load reads the header of a vault. A store without one is no vault: fault vault_corrupt.
func Load(tx store.Tx) ([]byte, error) {
	b, err := tx.Get(Collection, headerKey)
	if errors.Is(err, store.ErrNotFound) {
		return nil, fault.New(fault.VaultCorrupt, "the vault has no key header", "restore the vault from a backup").Because(err)
	}
	return b, err
}
