//go:build !windows

package bolt_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/bolt"
)

// A mapped file that is cut gives SIGBUS where it is read; Windows refuses to cut one.

// clearError fails unless err is nil, damage, or what the store says once it knows of damage.
func clearError(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil && !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("%s: an unclear error: %v", what, err)
	}
}

func TestCutWhileOpen(t *testing.T) {
	watchdog(t)
	for _, size := range []int64{0, 1, 4096, 8192, 8192 + 2048, 40_000, 100_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			path, want := sample(t)
			s := open(t, path)
			if err := os.Truncate(path, size); err != nil {
				t.Fatal(err)
			}
			if d, err := digestOf(s); err == nil && d != want {
				t.Error("other records, and no error")
			} else {
				clearError(t, "read", err)
			}
			for range 3 {
				err := s.Update(context.Background(), func(tx store.Tx) error { return tx.Put("leases", "new", nil) })
				if !errors.Is(err, store.ErrCorrupt) {
					t.Errorf("a write to a cut file: %v", err)
				}
			}
			_, err := s.WriteTo(context.Background(), &discard{})
			if !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("a backup of a cut file: %v", err)
			}
			closed(t, s)
		})
	}
}

type discard struct{ n int }

func (d *discard) Write(b []byte) (int, error) { d.n += len(b); return len(b), nil }

// TestCutInside cuts the file under a running transaction of either sort.
func TestCutInside(t *testing.T) {
	watchdog(t)
	for name, run := range map[string]func(*bolt.Store, func(store.Tx) error) error{
		"view":   func(s *bolt.Store, fn func(store.Tx) error) error { return s.View(context.Background(), fn) },
		"update": func(s *bolt.Store, fn func(store.Tx) error) error { return s.Update(context.Background(), fn) },
	} {
		t.Run(name, func(t *testing.T) {
			path, _ := sample(t)
			s := open(t, path)
			err := run(s, func(tx store.Tx) error {
				if _, err := tx.Get("leases", "lse"); err != nil {
					t.Errorf("before the cut: %v", err)
				}
				if name == "update" {
					if err := tx.Put("leases", "new", nil); err != nil {
						t.Errorf("before the cut: %v", err)
					}
				}
				if err := os.Truncate(path, 8192); err != nil {
					return err
				}
				n := 0
				return tx.Scan("resources", "", "", func(string, []byte) (bool, error) { n++; return true, nil })
			})
			if !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("got %v", err)
			}
			closed(t, s)
		})
	}
}

// TestCutUnderLoad cuts the file at a random moment while readers and writers run. Nobody may see other bytes, hang or fall.
func TestCutUnderLoad(t *testing.T) {
	watchdog(t)
	for round := range 12 {
		s := create(t)
		path := bolt.File(s).Name()
		var wg sync.WaitGroup
		begun := make(chan struct{}, 64)
		for g := range 8 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for i := 0; ; i++ {
					err := work(s, g, i)
					if i == 20 || err != nil {
						begun <- struct{}{}
					}
					if err != nil || i > 20_000 {
						clearError(t, "worker", err)
						return
					}
				}
			}()
		}
		for range 8 {
			<-begun
		}
		if err := os.Truncate(path, []int64{0, 4096, 8192, 12288 + rand.Int64N(20)*4096}[round%4]); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		closed(t, s)
	}
}

// work is one write or a few reads; a value says which key it is of.
func work(s *bolt.Store, g, i int) error {
	key := fmt.Sprintf("%d/%d", g, i%20)
	if g%2 == 0 {
		return s.Update(context.Background(), func(tx store.Tx) error {
			return tx.Put("things", key, fmt.Appendf(nil, "%s:%0900d", key, i))
		})
	}
	return s.View(context.Background(), func(tx store.Tx) error {
		return tx.Scan("things", "", "", func(k string, v []byte) (bool, error) {
			if len(v) < len(k) || string(v[:len(k)]) != k {
				return false, fmt.Errorf("%w: seen by the reader", store.ErrCorrupt)
			}
			return true, nil
		})
	})
}

// TestOverwrittenWhileOpen overwrites random bytes, and whole pages, under the open store: branch pages that point at themselves among
// them. Reads and writes give an error or bytes; nothing falls.
func TestOverwrittenWhileOpen(t *testing.T) {
	watchdog(t)
	path, _ := sample(t)
	mem, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(3, 4))
	for round := range 60 {
		if err := os.WriteFile(path, mem, 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, path)
		spoil(t, bolt.File(s), mem, r, round)
		_, err := digestOf(s)
		clearError(t, "read", err)
		err = s.Update(context.Background(), func(tx store.Tx) error {
			return tx.Scan("resources", "", "", func(k string, _ []byte) (bool, error) { return true, tx.Delete("audit", k) })
		})
		clearError(t, "empty update", err)
		err = s.Update(context.Background(), func(tx store.Tx) error {
			return errors.Join(tx.Put("resources", "res_20", make([]byte, 3000)), tx.Delete("agents", "local"), tx.Delete("audit", "1"))
		})
		clearError(t, "update", err)
		closed(t, s)
	}
}

func spoil(t *testing.T, f *os.File, mem []byte, r *rand.Rand, round int) {
	write := func(b []byte, at int) {
		if _, err := f.WriteAt(b, int64(at)); err != nil {
			t.Fatal(err)
		}
	}
	switch round % 3 {
	case 0: // every branch points at itself
		for at := 8192; at+4096 <= len(mem); at += 4096 {
			if mem[at+8] == 1 {
				for i := range int(mem[at+10]) {
					write([]byte{byte(at / 4096), 0}, at+16+i*16+8)
				}
			}
		}
	case 1:
		for range 40 {
			write([]byte{byte(r.Uint32())}, r.IntN(len(mem)))
		}
	case 2:
		page := make([]byte, 4096)
		for i := range page {
			page[i] = byte(r.Uint32())
		}
		write(page, r.IntN(len(mem)/4096)*4096)
	}
}

// TestFailedSync: a commit that fails after its meta page is written leaves no trace, and the store takes no more writes.
func TestFailedSync(t *testing.T) {
	path, want := sample(t)
	s := open(t, path)
	broken := errors.New("broken disk")
	bolt.FailNextSync(s, broken)
	write := func() error {
		return s.Update(context.Background(), func(tx store.Tx) error { return tx.Put("leases", "new", nil) })
	}
	for range 2 {
		if err := write(); !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
		if d, err := digestOf(s); err != nil || d != want {
			t.Errorf("after a failed sync: %v, %d records of %d", err, d.records, want.records)
		}
	}
	closed(t, s)
	s = open(t, path)
	if d, err := digestOf(s); err != nil || d != want {
		t.Errorf("opened again: %v", err)
	}
	if err := write(); err != nil {
		t.Error(err)
	}
}
