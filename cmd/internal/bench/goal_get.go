package main

import (
	"context"
	"errors"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/record"
)

// perTurn is how many reads one turn makes: one alone is shorter than a look at the clock is exact.
const perTurn = 2000

// ofParts is goal 4 as a ratio, as every goal is meant: 3 µs, where the parts alone took 1.7 µs of the machine for which it was set.
const ofParts = 3 / 1.7

// getAndOpen is goal 4: a resource read by its id and its secret opened, in this process, beside the parts alone: bbolt's own read with the copy that
// must be made, and the cipher.
func getAndOpen(ctx context.Context, b *bench) ([]Row, error) {
	h, err := b.house(ctx, "get", resident)
	if err != nil {
		return nil, err
	}
	db, err := b.bareBolt("get_floor.db")
	if err != nil {
		return nil, err
	}
	seal, err := chacha20poly1305.NewX(make([]byte, chacha20poly1305.KeySize))
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, seal.NonceSize())
	box := seal.Seal(nil, nonce, []byte(newSecret()), nil)
	set := record.NewSet[vault.Resource](record.NewBook(h.ring), vault.ResourceCollection)
	opened := func(r vault.Resource) error {
		s, err := h.opener.Open(r.FieldRef("value"), r.Sealed["value"].Value)
		s.Wipe()
		return err
	}
	got, err := turns(b.rounds(100),
		each(func(i int) error {
			_, err := boltGet(db, i)
			_, oerr := seal.Open(nil, nonce, box, nil)
			return errors.Join(err, oerr)
		}),
		each(func(i int) error {
			var r vault.Resource
			err := h.store.View(ctx, func(tx store.Tx) (err error) {
				r, err = set.Get(tx, h.ids[i%resident])
				return err
			})
			return errors.Join(err, opened(r))
		}),
		each(func(i int) error {
			r, err := h.Resource(ctx, h.ids[i%resident])
			return errors.Join(err, opened(r))
		}))
	if err != nil {
		return nil, err
	}
	get := Row{What: "get a record and open its secret, in process, beside bbolt and cipher alone", Floor: got[0], Ours: got[1], Unit: "µs of processor time"}
	whole := Row{What: "the same by the vault, which reads the count of uses too", Floor: got[0], Ours: got[2], Unit: "µs of processor time"}
	return []Row{get.times(ofParts), whole.times(ofParts)}, errors.Join(h.close(ctx), db.Close())
}

// each gives the microseconds of processor time that one of perTurn calls takes.
func each(fn func(i int) error) func() (float64, error) {
	return func() (float64, error) {
		start := worked()
		for i := range perTurn {
			if err := fn(i); err != nil {
				return 0, err
			}
		}
		return float64((worked() - start).Nanoseconds()) / 1e3 / perTurn, nil
	}
}
