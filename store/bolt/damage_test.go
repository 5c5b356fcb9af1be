package bolt_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/bolt"
	"github.com/zavhoz/zavhoz/store/storetest"
)

// digest stands for the keyed count and digest that vault/record keeps of a collection, and for each record's MAC.
type digest struct {
	records int
	hash    [32]byte
}

var collections = []store.Collection{"agents", "audit", "leases", "resources"}

// digestOf reads everything, each record twice: by scan and by key.
func digestOf(s *bolt.Store) (d digest, err error) {
	h := sha256.New()
	err = s.View(context.Background(), func(tx store.Tx) error {
		for _, c := range collections {
			err := tx.Scan(c, "", "", func(k string, v []byte) (bool, error) {
				d.records++
				_, _ = fmt.Fprintf(h, "%q %q %x\n", c, k, v)
				got, err := tx.Get(c, k)
				if err == nil && string(got) != string(v) {
					err = fmt.Errorf("%s/%q: get and scan differ", c, k)
				}
				return true, err
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	h.Sum(d.hash[:0])
	return d, err
}

// sample makes a small vault with a tree of two levels, an inline collection, long values and pages left free.
func sample(t testing.TB) (path string, want digest) {
	s := create(t)
	r := rand.New(rand.NewPCG(1, 2))
	value := func(n int) []byte {
		v := make([]byte, n)
		for i := range v {
			v[i] = byte(r.Uint32())
		}
		return v
	}
	for round := range 3 {
		err := s.Update(context.Background(), func(tx store.Tx) error {
			for i := range 40 {
				key := fmt.Sprintf("res_%02d%s", i, strings.Repeat("k", i))
				if err := tx.Put("resources", key, value(100+r.IntN(600))); err != nil {
					return err
				}
			}
			return errors.Join(tx.Put("agents", "local", value(50)), tx.Put("agents", "other", nil),
				tx.Put("audit", fmt.Sprint(round), value(9000)), tx.Put("leases", "lse", value(1200)))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	want, err := digestOf(s)
	if err != nil {
		t.Fatal(err)
	}
	return closed(t, s), want
}

// watchdog ends the test binary when a damaged file makes something hang. A test of many steps calls alive after each: a machine that is busy makes
// all of them long, a hang one without end.
func watchdog(t *testing.T) (alive func()) {
	const patience = 10 * time.Minute
	timer := time.AfterFunc(patience, func() { panic("hang: " + t.Name()) })
	t.Cleanup(func() { timer.Stop() })
	return func() { timer.Reset(patience) }
}

// outcome opens a damaged file and reads it. nil means that it read to the end, as d.
func outcome(t *testing.T, path string, what string) (d digest, err error) {
	t.Helper()
	s, err := bolt.Open(context.Background(), bolt.Options{Path: path, LockTimeout: -1})
	if err != nil {
		if !errors.Is(err, store.ErrCorrupt) && !errors.Is(err, store.ErrFormat) {
			t.Fatalf("%s: open: an unclear error: %v", what, err)
		}
		return digest{}, err
	}
	d, err = digestOf(s)
	if err != nil && !errors.Is(err, store.ErrCorrupt) {
		t.Fatalf("%s: read: an unclear error: %v", what, err)
	}
	if cerr := s.Close(); cerr != nil {
		t.Fatalf("%s: close: %v", what, cerr)
	}
	return d, err
}

// TestEveryFlip flips bytes: all that give the file its structure, and a stride of the rest (closer with ZAVHOZ_LONG).
// Structure must be found by the store itself; a changed key or value must be one that a digest finds, with no record lost beside it
// (but where the number of a page or the name of a collection was bent).
func TestEveryFlip(t *testing.T) {
	alive := watchdog(t)
	path, want := sample(t)
	mem, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	structure, refs, err := bolt.Structure(mem)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	flip := func(at int, mask byte) (digest, error) {
		what := fmt.Sprintf("byte %d xor %#x", at, mask)
		if _, err := f.WriteAt([]byte{mem[at] ^ mask}, int64(at)); err != nil {
			t.Fatal(err)
		}
		d, err := outcome(t, path, what)
		alive()
		if _, werr := f.WriteAt(mem[at:at+1], int64(at)); werr != nil {
			t.Fatal(werr)
		}
		if err == nil && d.records != want.records && !refs[at] {
			t.Errorf("%s: %d records of %d, and no error", what, d.records, want.records)
		}
		return d, err
	}
	masks, stride, skip := []byte{0x01, 0x80}, 421, 7
	if storetest.Long() {
		masks, stride, skip = []byte{0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xff}, 7, 1
	}
	for i, at := range structure {
		if i >= 160 && i%skip != 0 { // both metas wholly, always
			continue
		}
		mask := masks[i%len(masks)]
		if _, err := flip(at, mask); err == nil {
			t.Errorf("byte %d xor %#x is structure, and was not found", at, mask)
		}
	}
	changed := 0
	for at := 0; at < len(mem); at += stride {
		if d, err := flip(at, masks[at%len(masks)]); err == nil && d != want {
			changed++
		}
	}
	if changed == 0 {
		t.Error("no flip reached a value: the test reads nothing")
	}
	if d, err := outcome(t, path, "restored"); err != nil || d != want {
		t.Errorf("the restored file: %v", err)
	}
}

// TestEveryByte flips bytes in memory, where it is quick: a stride of them, or with ZAVHOZ_LONG every byte of the file.
func TestEveryByte(t *testing.T) {
	alive := watchdog(t)
	path, _ := sample(t)
	mem, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want, err := bolt.ReadImage(mem)
	if err != nil {
		t.Fatal(err)
	}
	_, refs, err := bolt.Structure(mem)
	if err != nil {
		t.Fatal(err)
	}
	stride := 47
	if storetest.Long() {
		stride = 1
	}
	for at := 0; at < len(mem); at += stride {
		mask := byte(1) << (at % 8)
		mem[at] ^= mask
		n, err := bolt.ReadImage(mem)
		alive()
		mem[at] ^= mask
		switch {
		case err == nil && n != want && !refs[at]:
			t.Errorf("byte %d: %d records of %d, and no error", at, n, want)
		case err != nil && !errors.Is(err, store.ErrCorrupt) && !errors.Is(err, store.ErrFormat):
			t.Errorf("byte %d: %v", at, err)
		}
	}
}

// TestEveryCut cuts the file: short of its last page it does not open; past it nothing is lost.
func TestEveryCut(t *testing.T) {
	alive := watchdog(t)
	path, want := sample(t)
	mem, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	stride := 1021
	if storetest.Long() {
		stride = 101
	}
	cuts := []int{0, 1, 4095, 4096, 4097, 8191, 8192, 8193, len(mem) - 1}
	for at := 0; at < len(mem); at += stride {
		cuts = append(cuts, at)
	}
	whole := 0
	for _, at := range cuts {
		if err := os.WriteFile(path, mem[:at], 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := outcome(t, path, fmt.Sprintf("cut at %d", at))
		alive()
		if err == nil && d != want {
			t.Errorf("cut at %d: other records, and no error", at)
		}
		if err == nil {
			whole++
		}
	}
	if whole == 0 || whole == len(cuts) {
		t.Errorf("%d of %d cuts opened", whole, len(cuts))
	}
}

// TestWritesToDamaged: a file whose damage Open cannot see takes writes or refuses them, and keeps what it says it took.
func TestWritesToDamaged(t *testing.T) {
	watchdog(t)
	path, _ := sample(t)
	mem, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	wrote := 0
	for at := 8192; at < len(mem); at += 4999 {
		bad := append([]byte(nil), mem...)
		bad[at] ^= 0x10
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := bolt.Open(context.Background(), bolt.Options{Path: path, LockTimeout: -1})
		if err != nil {
			continue
		}
		err = s.Update(context.Background(), func(tx store.Tx) error {
			for i := range 40 {
				if err := tx.Delete("resources", fmt.Sprintf("res_%02d%s", i, strings.Repeat("k", i))); err != nil {
					return err
				}
			}
			return tx.Put("leases", "new", []byte("new"))
		})
		closed(t, s)
		if err != nil {
			if !errors.Is(err, store.ErrCorrupt) {
				t.Errorf("byte %d: %v", at, err)
			}
			continue
		}
		wrote++
		s = open(t, path)
		if err := s.View(context.Background(), func(tx store.Tx) error { _, err := tx.Get("leases", "new"); return err }); err != nil {
			t.Errorf("byte %d: %v", at, err)
		}
		closed(t, s)
	}
	if wrote == 0 {
		t.Error("no damaged file took a write")
	}
}

// FuzzImage: no bytes make the check or the reader panic, recurse without end, or read outside the file; what passes the check reads
// the same both ways.
func FuzzImage(f *testing.F) {
	path, _ := sample(f)
	mem, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(0), []byte{1}, uint32(0))
	f.Add(uint32(8192), []byte{0xff, 0xff}, uint32(100))
	f.Add(uint32(4096*9+16), []byte{3, 0, 0, 0, 0, 0, 0, 0}, uint32(0))
	f.Fuzz(func(t *testing.T, at uint32, patch []byte, cut uint32) {
		bad := append([]byte(nil), mem...)
		copy(bad[int(at)%len(bad):], patch)
		bad = bad[:len(bad)-int(cut)%len(bad)]
		if _, err := bolt.ReadImage(bad); err != nil && !errors.Is(err, store.ErrCorrupt) && !errors.Is(err, store.ErrFormat) {
			t.Fatal(err)
		}
	})
}
