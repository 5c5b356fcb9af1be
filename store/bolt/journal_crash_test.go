package bolt_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/bolt"
	"github.com/zavhoz/zavhoz/store/storetest"
)

// disk is a layer over a journal's file that knows what a crash may leave: what was synced, and of what was written since any part.
type disk struct {
	bolt.JournalFile
	mu     sync.Mutex
	synced []byte // the file as of the last sync
	since  []wrote
	step   func(what string)
}

type wrote struct {
	at   int64
	data []byte
}

func (d *disk) WriteAt(b []byte, at int64) (int, error) {
	d.mu.Lock()
	d.since = append(d.since, wrote{at, slices.Clone(b)})
	d.mu.Unlock()
	n, err := d.JournalFile.WriteAt(b, at)
	d.step("written")
	return n, err
}

func (d *disk) Sync() error {
	err := d.JournalFile.Sync()
	d.mu.Lock()
	for _, w := range d.since {
		copy(d.synced[w.at:], w.data)
	}
	d.since = nil
	d.mu.Unlock()
	d.step("synced")
	return err
}

// left gives what the disk may hold after a crash now: of each block of 512 bytes that was not synced, the old or the new.
func (d *disk) left(r *rand.Rand, share float64) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	mem := slices.Clone(d.synced)
	for _, w := range d.since {
		for at := 0; at < len(w.data); at += 512 {
			if r.Float64() < share {
				end := min(at+512, len(w.data))
				copy(mem[w.at+int64(at):], w.data[at:end])
			}
		}
	}
	return mem
}

// crashes plays a store under a model, and crashes it at every step that reaches the disk.
type crashes struct {
	t       *testing.T
	r       *rand.Rand
	s       *bolt.Store
	path    string
	disk    *disk
	mu      sync.Mutex
	model   map[string]string // acknowledged
	next    map[string]string // of the batch under way, nil: none
	count   int
	reached map[string]int
}

func (c *crashes) step(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reached[what]++
	file, err := os.ReadFile(c.path)
	if err != nil {
		c.t.Error(err)
		return
	}
	if c.disk == nil {
		return
	}
	for _, share := range []float64{0, 1, 0.5, 0.8} {
		c.crash(what, file, c.disk.left(c.r, share))
	}
}

func (c *crashes) crash(what string, file, journal []byte) {
	dir, err := os.MkdirTemp(c.t.TempDir(), "")
	if err != nil {
		c.t.Error(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "vault.db")
	if err := errors.Join(os.WriteFile(path, file, 0o600), os.WriteFile(bolt.JournalPath(path), journal, 0o600)); err != nil {
		c.t.Error(err)
		return
	}
	c.count++
	for _, ro := range []bool{true, false} {
		s, err := bolt.Open(context.Background(), bolt.Options{Path: path, ReadOnly: ro})
		if err != nil {
			c.t.Errorf("crash %d, %s: %v", c.count, what, err)
			return
		}
		got, err := all(s)
		if err != nil || !maps.Equal(got, c.model) && (c.next == nil || !maps.Equal(got, c.next)) {
			c.t.Errorf("crash %d, %s: %d records, %v; want %d, or %d", c.count, what, len(got), err, len(c.model), len(c.next))
		}
		if err := s.Close(); err != nil {
			c.t.Error(err)
		}
	}
}

func all(s *bolt.Store) (map[string]string, error) {
	out := map[string]string{}
	err := s.View(context.Background(), func(tx store.Tx) error {
		for _, c := range []store.Collection{"left", "right", "things"} {
			err := tx.Scan(c, "", "", func(k string, v []byte) (bool, error) { out[string(c)+"/"+k] = string(v); return true, nil })
			if err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

// batch writes a random batch, in the model as well.
func (c *crashes) batch(n int) error {
	type write struct {
		c        store.Collection
		key, val string
		gone     bool
	}
	var writes []write
	c.mu.Lock()
	next := maps.Clone(c.model)
	for range 1 + c.r.IntN(n) {
		w := write{c: []store.Collection{"left", "right", "things"}[c.r.IntN(3)], key: fmt.Sprint(c.r.IntN(40)), gone: c.r.IntN(4) == 0}
		b := make([]byte, c.r.IntN(900))
		for i := range b {
			b[i] = byte(c.r.Uint32())
		}
		if w.val = string(b); w.gone {
			delete(next, string(w.c)+"/"+w.key)
		} else {
			next[string(w.c)+"/"+w.key] = w.val
		}
		writes = append(writes, w)
	}
	c.next = next
	c.mu.Unlock()
	err := c.s.Update(context.Background(), func(tx store.Tx) error {
		for _, w := range writes {
			err := tx.Delete(w.c, w.key)
			if !w.gone {
				err = tx.Put(w.c, w.key, []byte(w.val))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.model = next
	}
	c.next = nil
	return err
}

// TestCrashAtEveryStep: a crash between any two writes, syncs and commits, with what was not synced there, not there, or there in part, loses nothing that was acknowledged, and shows nothing in part.
// Batches are acknowledged in the middle of checkpoints as well.
func TestCrashAtEveryStep(t *testing.T) {
	alive := watchdog(t)
	rounds := 7
	if storetest.Long() {
		rounds = 300
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	c := &crashes{t: t, r: rand.New(rand.NewPCG(seed, 0)), path: filepath.Join(t.TempDir(), "vault.db"), model: map[string]string{}, reached: map[string]int{}}
	const slot = 64 << 10
	k := bolt.Journal{Slot: slot,
		Layer: func(f bolt.JournalFile) bolt.JournalFile {
			c.disk = &disk{JournalFile: f, synced: make([]byte, 2*slot), step: c.step}
			return c.disk
		},
		Step: func(what string) {
			c.step(what)
			if what == "filing" || what == "filed" {
				if err := c.batch(3); err != nil {
					t.Errorf("a batch beside a checkpoint: %v", err)
				}
			}
		}}
	var err error
	if c.s, err = k.Create(t.Context(), bolt.Options{Path: c.path}); err != nil {
		t.Fatal(err)
	}
	closing(t, c.s)
	for round := range rounds {
		for range 3 {
			if err := c.batch(12); err != nil {
				t.Fatal(err)
			}
		}
		bolt.BeforeNextFilingSync(c.s, func() { c.step("the file's head is written") }, nil)
		if round%4 == 3 {
			err = bolt.Settle(c.s)
		} else {
			bolt.Checkpoint(c.s)
		}
		if alive(); err != nil || t.Failed() {
			t.Fatal(err)
		}
	}
	for _, what := range []string{"begun", "bound", "written", "synced", "filing", "the file's head is written", "filed", "prepared", "settled"} {
		if c.reached[what] == 0 {
			t.Errorf("no crash at %q", what)
		}
	}
	if err := c.s.Close(); err != nil {
		t.Error(err)
	}
	t.Logf("%d crashes: %v", c.count, c.reached)
}
