package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/rekey"
)

// Sizes of a rotation of the data key.
const (
	rotateSize = 100_000 // resources with one secret each
	rotateRows = 256     // of a transaction of the floor: about what one step of a rotation seals anew
)

// rotateKey is issue 4's figure: the data key of a vault of 100,000 secrets is replaced, each record opened, sealed anew, authenticated and counted, in steps that let
// writers in between; beside bare bbolt that reads and puts as many values in transactions of as many rows.
func rotateKey(ctx context.Context, b *bench) ([]Row, error) {
	n := rotateSize
	if b.light {
		n /= 10
	}
	h, err := b.house(ctx, "rotate", 0)
	if err != nil {
		return nil, err
	}
	db, err := b.bareBolt("rotate_floor.db")
	if err != nil {
		return nil, err
	}
	if err := errors.Join(h.fill(ctx, n), fillFloor(db, n)); err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	keeper := rekey.New(rekey.Options{Vault: h.Vault, Keyring: h.ring, Opener: h.opener})
	go func() {
		defer close(done)
		keeper.Run(running)
	}()
	got, err := turns(2,
		func() (float64, error) { return millisOf(func() error { return putAgain(db, n) }) },
		func() (float64, error) { return millisOf(func() error { return rotated(ctx, keeper) }) })
	stop()
	<-done
	if err = errors.Join(err, h.close(ctx), db.Close()); err != nil {
		return nil, err
	}
	return []Row{Row{What: fmt.Sprintf("the data key of %d secrets rotated, beside bare bbolt that reads and puts as many", n), Floor: got[0], Ours: got[1], Unit: "ms"}.ratio(1, "×")}, nil
}

// rotated replaces the data key and waits until nothing is under the former one.
func rotated(ctx context.Context, k *rekey.Keeper) error {
	p, err := k.Rotate(ctx, vault.OperatorActor(), nil)
	for err == nil && p.Running {
		if p.Problem != nil {
			return p.Problem
		}
		time.Sleep(5 * time.Millisecond)
		p, err = k.Progress(ctx)
	}
	return err
}

func floorKey(i int) []byte { return fmt.Appendf(nil, "rotate-%06d", i) }

func fillFloor(db *bbolt.DB, n int) error {
	return inSteps(db, n, func(bk *bbolt.Bucket, i int) error { return bk.Put(floorKey(i), make([]byte, recordBytes)) })
}

func putAgain(db *bbolt.DB, n int) error {
	return inSteps(db, n, func(bk *bbolt.Bucket, i int) error {
		v := append([]byte(nil), bk.Get(floorKey(i))...)
		v[0]++
		return bk.Put(floorKey(i), v)
	})
}

func inSteps(db *bbolt.DB, n int, one func(bk *bbolt.Bucket, i int) error) error {
	for at := 0; at < n; at += rotateRows {
		err := db.Update(func(tx *bbolt.Tx) error {
			for i := at; i < min(n, at+rotateRows); i++ {
				if err := one(tx.Bucket(things), i); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
