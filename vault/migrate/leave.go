package migrate

import (
	"context"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/record"
)

// Leave marks a store whose vault was copied elsewhere: nothing opens it any more. The event is recorded with it.
func Leave(ctx context.Context, st store.Store, k *keyring.Keyring, e audit.Event, now time.Time) error {
	log := audit.New(record.NewBook(k), k, audit.Options{})
	return vault.StoreFault(st.Update(ctx, func(tx store.Tx) error {
		if err := log.Append(tx, e); err != nil {
			return err
		}
		return vault.MarkMoved(tx, now)
	}))
}
