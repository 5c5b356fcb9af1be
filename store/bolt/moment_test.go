package bolt_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/bolt"
)

// A reader looks at both meta pages, one after the other. A commit that becomes durable between the two looks, and the next one that is writing its meta page at the
// second, are no damage: the first page was still of before, the second is half written, and the newest moment is whole all the same.
func TestCommitsBetweenTwoLooksAreNoDamage(t *testing.T) {
	s := create(t)
	put(t, s, "a", "0")
	if bolt.LastTx(s)%2 == 0 { // the newest is in the page that is looked at last
		put(t, s, "a", "0")
	}
	var whole, torn [4096]byte
	file := bolt.File(s)
	if _, err := file.ReadAt(whole[:], 4096); err != nil {
		t.Fatal(err)
	}
	write := func(page []byte) {
		if _, err := file.WriteAt(page, 4096); err != nil {
			t.Error(err)
		}
	}
	looks := 0
	bolt.OnLook(s, func(slot int) {
		if looks++; looks != 2 {
			return
		}
		if slot != 1 {
			t.Errorf("the second look is at page %d", slot)
		}
		bolt.OnLook(s, nil)
		put(t, s, "a", "1")
		copy(torn[:], whole[:40])
		write(torn[:])
	})
	if err := bolt.Probe(s); err != nil {
		t.Errorf("a false alarm: %v", err)
	}
	write(whole[:])
	put(t, s, "a", "2") // a false alarm would have ended the write side for good
	if v := value(t, s, "a"); string(v) != "2" {
		t.Errorf("then %s", v)
	}
	write(torn[:])
	if bolt.LastTx(s)%2 == 0 {
		t.Fatal("the newest is elsewhere")
	}
	if err := bolt.Probe(s); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("damage is not seen any more: %v", err)
	}
}

// bbolt shows a transaction before the disk has said that it is there. Nobody sees it until then, in a View or a backup, and nobody at all if the disk says no.
func TestNothingIsSeenBeforeTheDiskHasIt(t *testing.T) {
	for _, fail := range []error{nil, errors.New("broken disk")} {
		t.Run(fmt.Sprint(fail), func(t *testing.T) {
			s := create(t)
			put(t, s, "a", "old")
			seen := make(chan string, 1)
			bolt.BeforeNextSync(s, func() {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
				defer cancel()
				err := s.View(ctx, func(tx store.Tx) error {
					v, err := tx.Get("things", "a")
					t.Errorf("a View sees %s", v)
					return err
				})
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("a View does not wait: %v", err)
				}
				if _, err := s.WriteTo(ctx, io.Discard); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("a backup does not wait: %v", err)
				}
				begun := make(chan struct{})
				go func() {
					close(begun)
					seen <- string(value(t, s, "a"))
				}()
				<-begun
			}, fail)
			err := s.Update(t.Context(), func(tx store.Tx) error { return tx.Put("things", "a", []byte("new")) })
			if !errors.Is(err, fail) {
				t.Errorf("the update: %v", err)
			}
			want := "new"
			if fail != nil {
				want = "old"
			}
			if got := <-seen; got != want {
				t.Errorf("who waited sees %s, want %s", got, want)
			}
			if got := string(value(t, s, "a")); got != want {
				t.Errorf("afterwards %s, want %s", got, want)
			}
		})
	}
}

// Whoever writes a whole and newer transaction into the open file is found out by its number: nothing is built on it, and no reader waits for it.
func TestANewerTransactionOfSomebodyElse(t *testing.T) {
	watchdog(t)
	s := create(t)
	put(t, s, "a", "ours")
	mem, err := os.ReadFile(bolt.File(s).Name())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "other.db")
	if err := os.WriteFile(path, mem, 0o600); err != nil {
		t.Fatal(err)
	}
	other := open(t, path)
	for range 3 {
		put(t, other, "a", "theirs")
	}
	closed(t, other)
	if mem, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	if _, err := bolt.File(s).WriteAt(mem, 0); err != nil {
		t.Fatal(err)
	}
	if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.Put("things", "b", nil) }); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("an update: %v", err)
	}
	if err := s.View(t.Context(), func(store.Tx) error { return nil }); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("a view: %v", err)
	}
}
