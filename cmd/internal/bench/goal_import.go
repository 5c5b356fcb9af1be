package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// importSize is how many secrets one import brings.
const importSize = 10_000

// importAll is the import of 10,000 secrets in one transaction, each sealed, authenticated and audited, beside as many puts in one transaction of bare bbolt.
func importAll(ctx context.Context, b *bench) ([]Row, error) {
	h, err := b.house(ctx, "import", 0)
	if err != nil {
		return nil, err
	}
	db, err := b.bareBolt("import_floor.db")
	if err != nil {
		return nil, err
	}
	turn := 0
	got, err := turns(b.rounds(10),
		func() (float64, error) { return millisOf(func() error { return manyThings(db, turn) }) },
		func() (float64, error) {
			turn++
			items := make([]vault.NewResource, importSize)
			for i := range items {
				items[i] = vault.NewResource{Kind: "generic", Handle: fmt.Sprintf("turn_%d_%d", turn, i), Secrets: map[string]secret.Secret{"value": secret.FromString(newSecret())}}
			}
			return millisOf(func() error {
				_, err := h.Import(ctx, vault.OperatorActor(), vault.Import{Items: items})
				return err
			})
		})
	if err = errors.Join(err, h.close(ctx), db.Close()); err != nil {
		return nil, err
	}
	return []Row{Row{What: "import of 10,000 secrets in one transaction, beside as many puts in one of bare bbolt", Floor: got[0], Ours: got[1], Unit: "ms"}.ratio(1, "×")}, nil
}

func millisOf(fn func() error) (float64, error) {
	start := time.Now()
	err := fn()
	return float64(time.Since(start).Microseconds()) / 1000, err
}

// manyThings puts importSize values of a record's length in one transaction.
func manyThings(db *bbolt.DB, turn int) error {
	return db.Update(func(tx *bbolt.Tx) error {
		for i := range importSize {
			if err := tx.Bucket(things).Put(fmt.Appendf(nil, "import-%03d-%05d", turn, i), make([]byte, recordBytes)); err != nil {
				return err
			}
		}
		return nil
	})
}
