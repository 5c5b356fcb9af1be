package bolt_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/bolt"
)

// A sealed record is about this long, in bytes. Each benchmark has its floor beside it; BenchmarkPut takes its floors in turns with
// itself, operation by operation, and reports the ratios of the medians: they hold on a noisy machine where two runs would not.
const benchValue = 1100

func benchKey(i int) string { return fmt.Sprintf("key-%06d", i*7919%1000) }

// filled gives a store with n records.
func filled(b testing.TB, n int) *bolt.Store {
	s := create(b)
	v := make([]byte, benchValue)
	for lo := 0; lo < n; lo += 1000 {
		err := s.Update(context.Background(), func(tx store.Tx) error {
			for i := lo; i < min(lo+1000, n); i++ {
				if err := tx.Put("things", fmt.Sprintf("key-%06d", i), v); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	return s
}

// BenchmarkPut: one put an Update. "x-sync2" is the ratio to what a durable copy-on-write commit cannot go below, twice pwrite of
// 4 KiB and fdatasync (goal: ≤ 1.5); "x-bbolt" the ratio to bbolt's own single put.
func BenchmarkPut(b *testing.B) {
	s, v, db := filled(b, 1000), make([]byte, benchValue), bare(b)
	sync2 := floorSync2(b)
	var took [3][]time.Duration
	timed := func(i int, op func() error) {
		start := time.Now()
		if err := op(); err != nil {
			b.Fatal(err)
		}
		took[i] = append(took[i], time.Since(start))
	}
	b.ResetTimer()
	for i := range b.N {
		key := benchKey(i)
		timed(0, func() error {
			return s.Update(context.Background(), func(tx store.Tx) error { return tx.Put("things", key, v) })
		})
		b.StopTimer()
		timed(1, func() error { return sync2(i) })
		timed(2, func() error {
			return db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("things")).Put([]byte(key), v) })
		})
		b.StartTimer()
	}
	b.ReportMetric(float64(median(took[0]))/float64(median(took[1])), "x-sync2")
	b.ReportMetric(float64(median(took[0]))/float64(median(took[2])), "x-bbolt")
	b.ReportMetric(float64(median(took[0])), "p50-ns")
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

func floorSync2(b *testing.B) func(i int) error {
	f, err := os.Create(filepath.Join(b.TempDir(), "floor"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = f.Close() })
	if _, err := f.Write(make([]byte, 1<<20)); err != nil {
		b.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, 4096)
	return func(i int) error {
		for half := range 2 {
			buf[0]++
			if _, err := f.WriteAt(buf, int64((2*i+half)%256*len(buf))); err != nil {
				return err
			}
			if err := datasync(f); err != nil {
				return err
			}
		}
		return nil
	}
}

// writers runs op b.N times from 32 goroutines.
func writers(b *testing.B, op func(i int) error) {
	var wg sync.WaitGroup
	b.ResetTimer()
	for g := range 32 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := g; i < b.N; i += 32 {
				if err := op(i); err != nil {
					b.Error(err)
					return
				}
			}
		}()
	}
	wg.Wait()
}

func BenchmarkPut32(b *testing.B) {
	s, v := filled(b, 1000), make([]byte, benchValue)
	writers(b, func(i int) error {
		return s.Update(context.Background(), func(tx store.Tx) error { return tx.Put("things", benchKey(i), v) })
	})
}

// bare is bbolt with nothing of ours.
func bare(b *testing.B) *bbolt.DB {
	db, err := bbolt.Open(filepath.Join(b.TempDir(), "bare.db"), 0o600,
		&bbolt.Options{NoFreelistSync: true, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	err = db.Update(func(tx *bbolt.Tx) error {
		bk, err := tx.CreateBucket([]byte("things"))
		for i := 0; err == nil && i < 1000; i++ {
			err = bk.Put([]byte(fmt.Sprintf("key-%06d", i)), make([]byte, benchValue))
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return db
}

// BenchmarkFloorGroup32 is a bare group commit over bbolt: puts only, no functions, nothing checked.
func BenchmarkFloorGroup32(b *testing.B) {
	db, v := bare(b), make([]byte, benchValue)
	type op struct {
		key  string
		done chan error
	}
	queue := make(chan op, 256)
	go func() {
		for o := range queue {
			ops := []op{o}
			for more := true; more && len(ops) < 256; {
				select {
				case o, ok := <-queue:
					if more = ok; ok {
						ops = append(ops, o)
					}
				default:
					more = false
				}
			}
			err := db.Update(func(tx *bbolt.Tx) error {
				for _, o := range ops {
					if err := tx.Bucket([]byte("things")).Put([]byte(o.key), v); err != nil {
						return err
					}
				}
				return nil
			})
			for _, o := range ops {
				o.done <- err
			}
		}
	}()
	defer close(queue)
	writers(b, func(i int) error {
		done := make(chan error, 1)
		queue <- op{benchKey(i), done}
		return <-done
	})
}

// BenchmarkFloorBatch32 is bbolt's own db.Batch, with its timer.
func BenchmarkFloorBatch32(b *testing.B) {
	db, v := bare(b), make([]byte, benchValue)
	writers(b, func(i int) error {
		return db.Batch(func(tx *bbolt.Tx) error { return tx.Bucket([]byte("things")).Put([]byte(benchKey(i)), v) })
	})
}

func BenchmarkGet(b *testing.B) {
	s := filled(b, 1000)
	keys := make([]string, 1000)
	for i := range keys {
		keys[i] = benchKey(rand.IntN(1000))
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		err := s.View(context.Background(), func(tx store.Tx) error {
			_, err := tx.Get("things", keys[i%1000])
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFloorGet is bbolt's own, with the copy that the contract asks for.
func BenchmarkFloorGet(b *testing.B) {
	db := bare(b)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		err := db.View(func(tx *bbolt.Tx) error {
			if len(bytes.Clone(tx.Bucket([]byte("things")).Get([]byte(benchKey(i))))) != benchValue {
				return store.ErrNotFound
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOpen opens 100,000 records, check included; BenchmarkFloorOpen is bbolt's own opening of the same file.
func BenchmarkOpen(b *testing.B) {
	path := closed(b, filled(b, 100_000))
	b.ResetTimer()
	for range b.N {
		s, err := bolt.Open(context.Background(), bolt.Options{Path: path})
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCheck is the check alone.
func BenchmarkCheck(b *testing.B) {
	s := filled(b, 100_000)
	b.ResetTimer()
	for range b.N {
		if err := bolt.Check(s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFloorOpen(b *testing.B) {
	path := closed(b, filled(b, 100_000))
	b.ResetTimer()
	for range b.N {
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoFreelistSync: true, FreelistType: bbolt.FreelistMapType})
		if err != nil {
			b.Fatal(err)
		}
		if err := db.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func closed(b testing.TB, s *bolt.Store) string {
	path := bolt.File(s).Name()
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	return path
}
