package bolt_test

import (
	"context"
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/bolt"
)

// TestFailingDisk makes every write to the file fail for real, inside bbolt's commit: the store's descriptor is swapped for one that
// may only read. Nothing changes, the store says why it takes no more writes, and reads go on; cut as well, it still does not fall
// (bbolt's own rollback would: it reads the file in a goroutine of its own).
func TestFailingDisk(t *testing.T) {
	watchdog(t)
	for _, cut := range []bool{false, true} {
		path, want := sample(t)
		s := open(t, path)
		ro, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Dup3(int(ro.Fd()), int(bolt.File(s).Fd()), unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			err := s.Update(context.Background(), func(tx store.Tx) error {
				if cut {
					if err := os.Truncate(path, 16384); err != nil {
						return err
					}
				}
				return tx.Put("leases", "new", nil)
			})
			if cut && !errors.Is(err, store.ErrCorrupt) && !errors.Is(err, unix.EBADF) || !cut && !errors.Is(err, unix.EBADF) {
				t.Errorf("write (cut %v): %v", cut, err)
			}
		}
		if d, err := digestOf(s); !cut && (err != nil || d != want) || cut && !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("read (cut %v): %v", cut, err)
		}
		closed(t, s)
		if err := ro.Close(); err != nil {
			t.Fatal(err)
		}
		if cut {
			continue
		}
		s = open(t, path)
		if d, err := digestOf(s); err != nil || d != want {
			t.Errorf("opened again: %v", err)
		}
	}
}
