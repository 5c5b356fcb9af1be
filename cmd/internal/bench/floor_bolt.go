package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
)

// recordBytes is about as long as a sealed resource.
const recordBytes = 1100

var things = []byte("things")

func thing(i int) []byte { return fmt.Appendf(nil, "key-%06d", i*7919%resident) }

// twoSyncs gives the floor of a durable copy-on-write commit: twice a page written and the file synced.
func (b *bench) twoSyncs() (func() error, func() error, error) {
	f, err := os.Create(filepath.Join(b.dir, "syncs"))
	if err != nil {
		return nil, nil, err
	}
	if _, err := f.Write(make([]byte, 1<<20)); err != nil {
		return nil, nil, err
	}
	page, at := make([]byte, 4096), int64(0)
	return func() error {
		for range 2 {
			page[0]++
			at = (at + 4096) % (1 << 20)
			if _, err := f.WriteAt(page, at); err != nil {
				return err
			}
			if err := datasync(f); err != nil {
				return err
			}
		}
		return nil
	}, f.Close, f.Sync()
}

// bareBolt is bbolt with nothing of ours.
func (b *bench) bareBolt(name string) (*bbolt.DB, error) {
	db, err := bbolt.Open(filepath.Join(b.dir, name), 0o600, &bbolt.Options{NoFreelistSync: true, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return nil, err
	}
	return db, db.Update(func(tx *bbolt.Tx) error {
		bk, err := tx.CreateBucket(things)
		for i := 0; err == nil && i < resident; i++ {
			err = bk.Put(thing(i), make([]byte, recordBytes))
		}
		return err
	})
}

// sameRows are the rows that one resource added writes: itself, its handle, the audit record and its chain's head, and the row that counts them and
// sums them up, in collections of their own.
var sameRows = []struct {
	bucket string
	kept   int // rows that are there
	bytes  int
	grows  bool // each write is a new row at the end
	writes int
}{{"resources", resident, 800, false, 1}, {"handles", resident, 80, false, 1}, {"audit", resident, 400, true, 1}, {"audit_heads", 1, 200, false, 1}, {"digests", 1, 420, false, 1}}

// sameRowsOnBolt writes them with bare bbolt, in one transaction.
func sameRowsOnBolt(db *bbolt.DB, n int) error {
	return db.Update(func(tx *bbolt.Tx) error {
		for _, s := range sameRows {
			var err error
			b := tx.Bucket([]byte(s.bucket))
			if b == nil {
				b, err = tx.CreateBucket([]byte(s.bucket))
				for i := 0; err == nil && i < s.kept; i++ {
					err = b.Put(rowKey(i), make([]byte, s.bytes))
				}
			}
			for i := 0; err == nil && i < s.writes; i++ {
				at := (n*7919 + i*83) % s.kept
				if s.grows {
					at = s.kept + n
				}
				err = b.Put(rowKey(at), make([]byte, s.bytes))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func rowKey(i int) []byte { return fmt.Appendf(nil, "key-%09d", i) }

func boltGet(db *bbolt.DB, i int) (v []byte, err error) {
	err = db.View(func(tx *bbolt.Tx) error {
		v = bytes.Clone(tx.Bucket(things).Get(thing(i)))
		return nil
	})
	return v, err
}

// group is a bare group commit: whatever is queued goes into the next transaction. No functions, no checks.
type group struct {
	queue chan groupPut
	done  chan struct{}
}

type groupPut struct {
	key  []byte
	told chan error
}

func startGroup(db *bbolt.DB) *group {
	g := &group{queue: make(chan groupPut, 256), done: make(chan struct{})}
	go g.run(db)
	return g
}

func (g *group) run(db *bbolt.DB) {
	defer close(g.done)
	value := make([]byte, recordBytes)
	for first := range g.queue {
		puts := g.drain([]groupPut{first})
		err := db.Update(func(tx *bbolt.Tx) error {
			for _, p := range puts {
				if err := tx.Bucket(things).Put(p.key, value); err != nil {
					return err
				}
			}
			return nil
		})
		for _, p := range puts {
			p.told <- err
		}
	}
}

func (g *group) drain(puts []groupPut) []groupPut {
	for len(puts) < 256 {
		select {
		case p, ok := <-g.queue:
			if !ok {
				return puts
			}
			puts = append(puts, p)
		default:
			return puts
		}
	}
	return puts
}

func (g *group) put(i int) error {
	p := groupPut{thing(i), make(chan error, 1)}
	g.queue <- p
	return <-p.told
}

func (g *group) stop() {
	close(g.queue)
	<-g.done
}
