package unlock

import (
	"context"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
)

// Identities gives every identity of the sources that need no person, for what is encrypted to the vault's recipients beside its header: SOPS files. Sources that
// have none are passed over. Errors: wrong_identity where none has any; key_file_exposed.
func (o Options) Identities(ctx context.Context, vaultID string) (all []age.Identity, err error) {
	var first error
	for _, source := range o.Order {
		if source == home.FromPassphrase {
			continue
		}
		ids, err := o.identities(ctx, source, vaultID)
		switch {
		case err == nil:
			all = append(all, ids...)
		case ctx.Err() != nil || fault.CodeOf(err) == fault.KeyFileExposed:
			return nil, err
		case first == nil:
			first = err
		}
	}
	if len(all) == 0 {
		return nil, fault.New(fault.WrongIdentity, "no identity is at hand that could open a file of secrets: a passphrase opens none", "keep one in a source of `unlock:` in config.yaml that needs no person").Because(first)
	}
	return all, nil
}
