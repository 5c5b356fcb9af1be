package vault

import (
	"context"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/id"
)

const lockdownKey = "lockdown"

// Lockdown is the last time that a person locked the vault for every daemon that has it open. Each is unlocked by itself after.
type Lockdown struct {
	Format int    `json:"format"` // 1
	ID     string `json:"id"`     // ern_…, another each time
	By     string `json:"by"`     // the daemon (rpl_…) that was asked
}

// LockEverywhere tells every daemon that shares the vault to lock it, in one transaction with its audit record.
func (v *Vault) LockEverywhere(ctx context.Context, e audit.Event) error {
	return StoreFault(v.st.Update(ctx, func(tx store.Tx) error { // also of a vault that somebody else wrote to: then above all
		if err := v.lockdowns.Put(tx, lockdownKey, Lockdown{Format: 1, ID: id.New(id.Errand), By: v.replica.ID}); err != nil {
			return err
		}
		return v.audit.Append(tx, e)
	}))
}

// Lockdown gives the last one's id; "" where there was none. It passes a Gate that is waking.
func (v *Vault) Lockdown(ctx context.Context) (last string, err error) {
	err = v.view(waking(ctx), func(tx store.Tx) error {
		l, err := v.lockdowns.Get(tx, lockdownKey)
		last = l.ID
		return ignoreNotFound(err)
	})
	return last, err
}
