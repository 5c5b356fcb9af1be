package bolt_test

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/bolt"
)

// What the journal's disk did not take was not written: nobody sees it, now or later, and nothing is written after it.
func TestJournalThatCannotBeSynced(t *testing.T) {
	broken := errors.New("broken disk")
	for name, fail := range map[string]func(s *bolt.Store){
		"write": func(s *bolt.Store) { bolt.FailNextCommit(s, broken) },
		"sync":  func(s *bolt.Store) { bolt.FailNextSync(s, broken) },
	} {
		s := journalled(t, bolt.Journal{}, bolt.Options{})
		put(t, s, "a", "1")
		fail(s)
		set := func() error {
			return s.Update(t.Context(), func(tx store.Tx) error { return tx.Put("things", "a", []byte("2")) })
		}
		for range 2 {
			if err := set(); !errors.Is(err, broken) {
				t.Errorf("%s: %v", name, err)
			}
		}
		bolt.Checkpoint(s)
		if v := value(t, s, "a"); string(v) != "1" {
			t.Errorf("%s: a View sees %s", name, v)
		}
		path := closed(t, s)
		if _, err := os.Stat(bolt.JournalPath(path)); err != nil {
			t.Errorf("%s: what was acknowledged is gone with its journal: %v", name, err)
		}
		if v := value(t, open(t, path), "a"); string(v) != "1" {
			t.Errorf("%s: then %s", name, v)
		}
	}
}

// TestJournalWithoutRoom: a frame that finds no room is refused before it is acknowledged, and the store goes on.
func TestJournalWithoutRoom(t *testing.T) {
	s := journalled(t, bolt.Journal{}, bolt.Options{})
	bolt.FailNextCommit(s, store.ErrFull)
	set := func(v string) error {
		return s.Update(t.Context(), func(tx store.Tx) error { return tx.Put("things", "a", []byte(v)) })
	}
	if err := set("1"); !errors.Is(err, store.ErrFull) || value(t, s, "a") != nil {
		t.Errorf("%v", err)
	}
	if err := set("2"); err != nil || string(value(t, s, "a")) != "2" {
		t.Errorf("%v", err)
	}
	if v := value(t, open(t, pair(t, s)), "a"); string(v) != "2" {
		t.Errorf("a crash leaves %s", v)
	}
}

// The file cannot take what was acknowledged: the disk is full. It is kept, shown, and filed when there is room; nothing else is acknowledged until then but removals.
func TestAcknowledgedAndNoRoomToFileIt(t *testing.T) {
	s := journalled(t, bolt.Journal{}, bolt.Options{})
	update := func(fn func(tx store.Tx) error) error { return s.Update(t.Context(), fn) }
	put(t, s, "a", "1")
	put(t, s, "b", "1")
	full := func() { bolt.FailNextFiling(s, store.ErrFull) }
	full()
	bolt.Checkpoint(s)
	if v := value(t, s, "a"); string(v) != "1" {
		t.Errorf("a View sees %s", v)
	}
	full()
	if err := update(func(tx store.Tx) error { return tx.Put("things", "a", []byte("2")) }); !errors.Is(err, store.ErrFull) {
		t.Errorf("a write to a full disk: %v", err)
	}
	full()
	if err := update(func(tx store.Tx) error { return tx.Delete("things", "b") }); err != nil {
		t.Errorf("a removal: %v", err)
	}
	check := func(s *bolt.Store, when string) {
		t.Helper()
		if a, b := value(t, s, "a"), value(t, s, "b"); string(a) != "1" || b != nil {
			t.Errorf("%s: a=%s b=%s", when, a, b)
		}
	}
	check(s, "then")
	check(open(t, pair(t, s)), "after a crash")
	full()
	path := closed(t, s)
	if _, err := os.Stat(bolt.JournalPath(path)); err != nil {
		t.Errorf("closed while full: %v", err)
	}
	again := open(t, path)
	check(again, "opened again")
	closed(t, again)
	absent(t, bolt.JournalPath(path))

	s = journalled(t, bolt.Journal{}, bolt.Options{})
	put(t, s, "a", "1")
	put(t, s, "b", "1")
	full()
	bolt.Checkpoint(s)
	full()
	if err := update(func(tx store.Tx) error { return tx.Delete("things", "b") }); err != nil {
		t.Error(err)
	}
	bolt.Checkpoint(s)
	check(s, "when there is room")
	filed := pair(t, s) // the removal is filed with what was to be filed before it: it may be what makes room
	if err := os.Remove(bolt.JournalPath(filed)); err != nil {
		t.Fatal(err)
	}
	alone, err := bolt.Open(t.Context(), bolt.Options{Path: filed, AcceptOlderMeta: true})
	if err != nil {
		t.Fatal(err)
	}
	check(closing(t, alone), "in the file")
	put(t, s, "c", "1")
	if check(s, "and goes on"); string(value(t, s, "c")) != "1" {
		t.Error("the store does not go on")
	}
}

// TestJournalledMaxSize: with a bound on the file nothing is acknowledged that it could not take.
func TestJournalledMaxSize(t *testing.T) {
	s := journalled(t, bolt.Journal{Slot: 1 << 20}, bolt.Options{MaxSize: 12 << 20})
	n, used := 0, false
	for err := error(nil); ; n++ {
		err = s.Update(t.Context(), func(tx store.Tx) error { return tx.Put("things", fmt.Sprintf("%05d", n), make([]byte, 20_000)) })
		used = used || bolt.Journals(s)
		if errors.Is(err, store.ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if !used || n < 100 {
		t.Errorf("full after %d; journalled: %v", n, used)
	}
	for i := range n {
		if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.Delete("things", fmt.Sprintf("%05d", i)) }); err != nil {
			t.Fatalf("removal %d of %d: %v", i, n, err)
		}
	}
	if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.Put("things", "again", make([]byte, 100_000)) }); err != nil {
		t.Error(err)
	}
}
