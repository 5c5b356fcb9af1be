package main

import (
	"context"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
)

// withdraw takes back approvals that no run has used: who locks the vault wants to be asked again.
func (d *daemon) withdraw(ctx context.Context) {
	if err := d.vault.WithdrawApprovals(ctx, vault.WithdrawnLocked); err != nil {
		d.log.Error("approvals that no run has used could not be taken back", "code", string(fault.CodeOf(err)), "cause", fault.Cause(err))
	}
}
