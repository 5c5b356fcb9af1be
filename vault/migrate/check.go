package migrate

import (
	"context"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
)

// Check authenticates every record, count and digest of a vault, follows its audit chain and opens every sealed value for a moment. It writes nothing. Errors:
// fault record_tampered, vault_corrupt, audit_broken, vault_format, vault_locked, store errors.
func Check(ctx context.Context, st store.Store, k *keyring.Keyring, o vault.Opener) (Counts, error) {
	return checked(ctx, st, k, o, nil)
}

// checked is Check that lends the vault to then, where it is not nil.
func checked(ctx context.Context, st store.Store, k *keyring.Keyring, o vault.Opener, then func(context.Context, *vault.Vault) error) (n Counts, err error) {
	v, err := vault.Open(ctx, vault.Options{Store: st, Keyring: k, Opener: o})
	if err != nil {
		return n, err
	}
	defer func() {
		if cerr := v.Close(context.WithoutCancel(ctx)); err == nil {
			err = cerr
		}
	}()
	if err := v.Verify(ctx); err != nil {
		return n, vault.StoreFault(err)
	}
	log, _ := v.Audit()
	rep, err := log.Verify(ctx, st)
	if err != nil {
		return n, vault.StoreFault(err)
	}
	n.Audit = rep.Records
	err = v.EachSeal(ctx, func(ref keyring.Ref, sealed string) error {
		s, err := o.Open(ref, sealed)
		if err != nil {
			return fault.Of(err)
		}
		s.Wipe()
		n.Seals++
		return nil
	})
	if err == nil && then != nil {
		err = then(ctx, v)
	}
	return n, err
}

// still is one moment of a store: what is checked is what is copied.
type still struct{ store.Tx }

// View runs fn on the moment.
func (s still) View(ctx context.Context, fn func(store.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return fn(s.Tx)
}

// Update gives store.ErrReadOnly.
func (s still) Update(context.Context, func(store.Tx) error) error { return store.ErrReadOnly }

// Watch gives a channel on which nothing comes.
func (s still) Watch(ctx context.Context) <-chan store.Change {
	c := make(chan store.Change)
	context.AfterFunc(ctx, func() { close(c) })
	return c
}

// Close does nothing: the moment ends with its transaction.
func (s still) Close() error { return nil }

var _ store.Store = still{}
