package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"go.etcd.io/bbolt"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/bolt"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/id"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/record"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// openVault is issue 4's figure: a vault of so many secrets opened as a daemon opens it, every page held to the format, every record authenticated,
// every count and sum compared, beside bare bbolt that opens the same file and reads the same bytes; then reads and writes a second.
func openVault(ctx context.Context, b *bench) ([]Row, error) {
	var rows []Row
	for _, n := range []int{10, 1000, 100_000} {
		if b.light && n > 1000 {
			n = 10_000
		}
		more, err := openOne(ctx, b, n)
		if err != nil {
			return nil, err
		}
		rows = append(rows, more...)
	}
	more, err := rates(ctx, b)
	return append(rows, more...), err
}

func openOne(ctx context.Context, b *bench, n int) ([]Row, error) {
	name := fmt.Sprintf("open_%d", n)
	h, err := b.house(ctx, name, 0)
	if err != nil {
		return nil, err
	}
	defer h.ring.Close()
	if err := errors.Join(h.fill(ctx, n), h.Vault.Close(ctx), h.store.Close()); err != nil {
		return nil, err
	}
	path := filepath.Join(b.dir, name+".db")
	var heap uint64
	got, err := turns(b.rounds(min(30, 3+300_000/max(n, 1))),
		func() (float64, error) { return readAll(path) },
		func() (took float64, err error) {
			took, heap, err = h.openAgain(ctx, path)
			return took, err
		})
	if err != nil {
		return nil, err
	}
	open := Row{What: fmt.Sprintf("a vault of %d secrets opened, every record verified, beside bare bbolt that reads the same file", n), Floor: got[0], Ours: got[1], Unit: "ms"}
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	mem := Row{What: fmt.Sprintf("memory that is live after it (%d secrets), beside the file", n), Floor: float64(st.Size()) / (1 << 20), Ours: float64(heap) / (1 << 20), Unit: "MiB"}
	return []Row{open.ratio(1, "×"), mem.ratio(100, "%")}, nil
}

// fill puts n resources with one sealed value each, in few transactions: each is what AddResource makes, without its checks.
func (h *house) fill(ctx context.Context, n int) error {
	book := record.NewBook(h.ring)
	resources := record.NewSet[vault.Resource](book, vault.ResourceCollection)
	handles := record.NewSet[struct {
		ID string `json:"id"`
	}](book, "handles")
	made := 0
	for made < n {
		until := min(n, made+2000)
		err := h.store.Update(ctx, func(tx store.Tx) error {
			for i := made; i < until; i++ {
				r, err := h.sealed(i)
				if err != nil {
					return err
				}
				err = errors.Join(resources.Put(tx, r.ID, r), handles.Put(tx, r.Handle, struct {
					ID string `json:"id"`
				}{r.ID}))
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		made = until
	}
	return nil
}

func (h *house) sealed(i int) (vault.Resource, error) {
	now := time.Now().UTC()
	r := vault.Resource{
		Format: 1, ID: id.New(id.Resource), Handle: fmt.Sprintf("bulk_%06d", i), Kind: "generic", Project: vault.DefaultProject, Status: vault.Active,
		Version: 1, CreatedAt: now, UpdatedAt: now, UpdatedBy: "operator",
	}
	s := secret.FromString(newSecret())
	defer s.Wipe()
	text, err := h.ring.Seal(keyring.Ref{Type: "resource", ID: r.ID, Field: "value", Version: 1}, s)
	r.Sealed = map[string]vault.Sealed{"value": {Value: text, Version: 1, Class: s.LengthClass()}}
	return r, err
}

// readAll opens the file with bare bbolt, reads every byte of every record, and closes it.
func readAll(path string) (float64, error) {
	start := time.Now()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoFreelistSync: true, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return 0, err
	}
	total := 0
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error {
			return b.ForEach(func(k, v []byte) error {
				for _, c := range v {
					total += int(c)
				}
				return nil
			})
		})
	})
	err = errors.Join(err, db.Close())
	if total == 0 {
		err = errors.Join(err, errors.New("nothing was read"))
	}
	return float64(time.Since(start).Nanoseconds()) / 1e6, err
}

// openAgain opens the vault as a daemon does, and gives the milliseconds and the bytes of heap that are live then.
func (h *house) openAgain(ctx context.Context, path string) (took float64, heap uint64, err error) {
	start := time.Now()
	st, err := bolt.Open(ctx, bolt.Options{Path: path})
	if err != nil {
		return 0, 0, err
	}
	v, err := vault.Open(ctx, vault.Options{Store: st, Keyring: h.ring, Opener: h.opener, Verify: true})
	if err != nil {
		return 0, 0, errors.Join(err, st.Close())
	}
	took = float64(time.Since(start).Nanoseconds()) / 1e6
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return took, m.HeapAlloc, errors.Join(v.Close(ctx), st.Close())
}

// rates is reads and writes a second by one caller, of bare bbolt's: the same length of value, one a transaction.
func rates(ctx context.Context, b *bench) ([]Row, error) {
	h, err := b.house(ctx, "rates", resident)
	if err != nil {
		return nil, err
	}
	db, err := b.bareBolt("rates_floor.db")
	if err != nil {
		return nil, err
	}
	n := 0
	got, err := turns(b.rounds(15),
		func() (float64, error) { return rate(1, func(i int) error { _, err := boltGet(db, i); return err }) },
		func() (float64, error) {
			return rate(1, func(i int) error { _, err := h.Resource(ctx, h.ids[i%resident]); return err })
		},
		func() (float64, error) {
			return rate(1, func(i int) error {
				return db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(things).Put(thing(i), make([]byte, recordBytes)) })
			})
		},
		func() (float64, error) {
			return rate(1, func(int) error { n++; _, err := h.add(ctx, fmt.Sprintf("rate_%d", n)); return err })
		})
	if err != nil {
		return nil, err
	}
	get := Row{What: "a resource read by its id, 1 caller, beside bare bbolt", Floor: got[0], Ours: got[1], Unit: "/s"}
	put := Row{What: "a resource added: sealed, audited, durable; 1 caller, beside one put of bare bbolt", Floor: got[2], Ours: got[3], Unit: "/s"}
	return []Row{get.ratio(100, "%"), put.ratio(100, "%")}, errors.Join(h.close(ctx), db.Close())
}
