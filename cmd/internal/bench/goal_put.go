package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"go.etcd.io/bbolt"
)

// put is goal 3: a resource added, and one edited: sealed, authenticated, counted, audited and durable, beside two fdatasyncs; and 32 writers at once
// beside a group commit over bare bbolt that puts one value of the same length for each.
func put(ctx context.Context, b *bench) ([]Row, error) {
	h, err := b.house(ctx, "put", resident)
	if err != nil {
		return nil, err
	}
	syncs, closeSyncs, err := b.twoSyncs()
	if err != nil {
		return nil, err
	}
	db, err := b.bareBolt("put_floor.db")
	if err != nil {
		return nil, err
	}
	one, err := onePut(ctx, b, h, syncs, db)
	if err != nil {
		return nil, err
	}
	many, err := manyPuts(ctx, b, h, db)
	return append(one, many...), errors.Join(err, h.close(ctx), closeSyncs(), db.Close())
}

func onePut(ctx context.Context, b *bench, h *house, syncs func() error, db *bbolt.DB) ([]Row, error) {
	n := 0
	got, err := turns(b.rounds(1500),
		micros(syncs),
		micros(func() error {
			n++
			return db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(things).Put(thing(n), make([]byte, recordBytes)) })
		}),
		micros(func() error { return sameRowsOnBolt(db, n) }),
		micros(func() error { _, err := h.add(ctx, fmt.Sprintf("one_%d", n)); return err }),
		micros(func() error { return h.edit(ctx, h.ids[n%resident]) }))
	if err != nil {
		return nil, err
	}
	return []Row{
		Row{What: "floor of bbolt: one put, beside two fdatasyncs", Floor: got[0], Ours: got[1], Unit: "µs"}.ratio(1, "×"),
		Row{What: "floor of the same rows: as many records in as many collections, in bare bbolt, beside two fdatasyncs", Floor: got[0], Ours: got[2], Unit: "µs"}.ratio(1, "×"),
		Row{What: "a resource added: durable, sealed, audited; 1 writer, beside two fdatasyncs", Floor: got[0], Ours: got[3], Unit: "µs"}.times(1.5),
		Row{What: "a resource edited, its version before kept; 1 writer, beside two fdatasyncs", Floor: got[0], Ours: got[4], Unit: "µs"}.times(1.5),
	}, nil
}

func manyPuts(ctx context.Context, b *bench, h *house, db *bbolt.DB) ([]Row, error) {
	g := startGroup(db)
	defer g.stop()
	var seq atomic.Int64
	got, err := turns(b.rounds(15),
		func() (float64, error) { return rate(32, g.put) },
		func() (float64, error) {
			return rate(32, func(int) error { _, err := h.add(ctx, fmt.Sprintf("many_%d", seq.Add(1))); return err })
		},
		func() (float64, error) { return rate(32, func(i int) error { return h.edit(ctx, h.ids[i%resident]) }) })
	if err != nil {
		return nil, err
	}
	return []Row{
		Row{What: "resources added, 32 writers, beside a bare group commit", Floor: got[0], Ours: got[1], Unit: "/s"}.share(50),
		Row{What: "resources edited, 32 writers, beside a bare group commit", Floor: got[0], Ours: got[2], Unit: "/s"}.share(50),
	}, nil
}
