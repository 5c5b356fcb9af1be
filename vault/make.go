package vault

import (
	"context"
	"errors"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/id"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// Make writes a new vault in one transaction: the header, what Setup writes and, unless pass is empty, the operator's passphrase. A store never holds half of one, which nothing would open and
// no other Make would touch. Errors: fault already_initialized (there is something of a vault; nothing was changed), those of Header for a store that is marked, store errors; after one that
// wraps store.ErrUnknown nobody knows yet whether the vault is there.
func (v *Vault) Make(ctx context.Context, header []byte, pass secret.Secret) error {
	var p keyring.Presence
	if !pass.IsZero() {
		var err error
		if p, err = keyring.HashPassphrase(pass, v.now()); err != nil {
			return err
		}
	}
	err := v.update(ctx, func(tx store.Tx) error {
		if err := vacant(tx); err != nil {
			return err
		}
		if err := keyring.Save(tx, header); err != nil {
			return err
		}
		if err := v.setup(tx); err != nil || p.Format == 0 {
			return err
		}
		return v.setPresence(tx, p, audit.Event{Actor: OperatorActor(), Action: audit.PresenceSet, Outcome: audit.Allowed})
	})
	if err == nil && p.Format != 0 {
		v.trust.presence.Store(true)
	}
	return err
}

// vacant refuses a store in which anything of a vault is. One whose header is gone is no place for another: its records could be all that is left of somebody's, and a backup of the header brings
// them back.
func vacant(tx store.Tx) error {
	switch _, err := HeaderTx(tx); {
	case err == nil:
		return fault.New(fault.AlreadyInitialized, "there is a vault already; nothing was changed", "use it, or make another elsewhere")
	case !errors.Is(err, store.ErrNotFound):
		return err
	}
	return tx.Scan(audit.Records, "", "", func(string, []byte) (bool, error) {
		return false, fault.New(fault.AlreadyInitialized, "there are records of a vault whose key header is gone; nothing was changed", "restore it from a backup, or make another elsewhere")
	})
}

// PutHeader writes the header of a new vault.
func PutHeader(ctx context.Context, st store.Store, header []byte) error {
	return StoreFault(st.Update(ctx, func(tx store.Tx) error { return keyring.Save(tx, header) }))
}

// Setup writes what a new vault starts with: the default project and the agent `local`.
func (v *Vault) Setup(ctx context.Context) error { return v.update(ctx, v.setup) }

func (v *Vault) setup(tx store.Tx) error {
	now := v.now()
	p := Project{Format: 1, ID: id.New(id.Project), Slug: DefaultProject, CreatedAt: now}
	if err := v.putProject(tx, p); err != nil {
		return err
	}
	local := Agent{
		Format: 1, ID: id.New(id.Agent), Name: LocalAgent, Role: RoleAgent, CreatedAt: now,
		Grants: Grants{Projects: []string{DefaultProject}, Kinds: []string{"*"}},
	}
	if err := v.putAgent(tx, local); err != nil {
		return err
	}
	return v.audit.Append(tx, audit.Event{Actor: SystemActor("init"), Action: audit.VaultInit, Outcome: audit.Allowed})
}
