package vault

import (
	"context"
	"errors"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/keyring"
)

// EachSeal gives every sealed field of the vault, hidden ones and those of earlier versions, of rotations, of servers and of projects too: what a check of all seals must open. The values
// stay sealed; the caller has an opener.
func (v *Vault) EachSeal(ctx context.Context, fn func(ref keyring.Ref, sealed string) error) error {
	return v.view(ctx, func(tx store.Tx) error {
		each := func(fields map[string]Sealed, ref func(field string) keyring.Ref) (bool, error) {
			for field, s := range fields {
				if err := fn(ref(field), s.Value); err != nil {
					return false, err
				}
			}
			return true, ctx.Err()
		}
		resource := func(_ string, r Resource) (bool, error) { return each(r.Sealed, r.FieldRef) }
		if err := v.resources.Scan(tx, "", "", resource); err != nil {
			return err
		}
		if err := v.versions.Scan(tx, "", "", resource); err != nil {
			return err
		}
		rotation := func(_ string, x Rotation) (bool, error) { return each(x.Sealed, x.FieldRef) }
		if err := v.rotations.Scan(tx, "", "", rotation); err != nil {
			return err
		}
		if err := v.eachProjectSealed(tx, func(_ string, ref keyring.Ref, sealed string) error { return errors.Join(fn(ref, sealed), ctx.Err()) }); err != nil {
			return err
		}
		return v.servers.Scan(tx, "", "", func(_ string, s Server) (bool, error) { return each(s.Sealed, s.FieldRef) })
	})
}
