package bolt_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/bolt"
	"github.com/zavhoz/zavhoz/store/storetest"
)

// journalled gives an empty store that journals from the next write on.
func journalled(t testing.TB, k bolt.Journal, o bolt.Options) *bolt.Store {
	t.Helper()
	if o.Path == "" {
		o.Path = filepath.Join(t.TempDir(), "vault.db")
	}
	s, err := k.Create(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if closing(t, s); o.MaxSize > 0 {
		return s
	}
	if err := s.Update(context.Background(), func(tx store.Tx) error { return tx.Put("others", "first", nil) }); err != nil {
		t.Fatal(err)
	}
	if !bolt.Journals(s) {
		t.Fatal("there is no journal")
	}
	return s
}

// TestJournalledContract: the contract with a journal so small that checkpoints begin all the time, by themselves and beside the writers; and with one that is never filed but at the end.
func TestJournalledContract(t *testing.T) {
	for name, k := range map[string]bolt.Journal{"small": {Slot: 20 << 10, Within: time.Millisecond}, "large": {Slot: 4 << 20}} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) store.Store {
				s := journalled(t, k, bolt.Options{})
				if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.Delete("others", "first") }); err != nil {
					t.Fatal(err)
				}
				return s
			}, storetest.Options{
				Reopen: func(t *testing.T, s store.Store) store.Store {
					path := bolt.File(s.(*bolt.Store)).Name()
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
					again, err := k.Open(t.Context(), bolt.Options{Path: path, LockTimeout: -1})
					if err != nil {
						t.Fatal(err)
					}
					return closing(t, again)
				},
				Fault: func(_ *testing.T, s store.Store, err error) { bolt.FailNextCommit(s.(*bolt.Store), err) },
			})
		})
	}
}

// pair is a file and its journal as a crash would leave them now: copies in a folder of their own.
func pair(t testing.TB, s *bolt.Store) string {
	t.Helper()
	from := bolt.File(s).Name()
	path := filepath.Join(t.TempDir(), "vault.db")
	copyFile(t, from, path)
	copyFile(t, bolt.JournalPath(from), bolt.JournalPath(path))
	return path
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	mem, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, mem, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func absent(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is there: %v", filepath.Base(path), err)
	}
}

// A crash leaves two files that belong together; a clean end leaves one, which the format before this one's journal can read.
func TestACleanEndLeavesOneFile(t *testing.T) {
	s := journalled(t, bolt.Journal{}, bolt.Options{})
	put(t, s, "a", "1")
	crashed := pair(t, s)
	if st, err := os.Stat(bolt.JournalPath(crashed)); err != nil || st.Size() != 128<<10 {
		t.Errorf("the journal: %v", err)
	}
	if bolt.Pending(s) != 1 {
		t.Errorf("%d writes are pending", bolt.Pending(s))
	}
	path := closed(t, s)
	absent(t, bolt.JournalPath(path))
	mem, err := os.ReadFile(path)
	if err != nil || !bytes.Contains(mem, []byte("format1journal")) {
		t.Errorf("the file does not say that it is whole by itself: %v", err)
	}
	for _, p := range []string{path, crashed} {
		again := open(t, p)
		if v := value(t, again, "a"); string(v) != "1" {
			t.Errorf("%s", v)
		}
		closed(t, again)
		absent(t, bolt.JournalPath(p))
	}
}

// Who opens a crashed pair for reading sees what was acknowledged, and changes no byte of either file.
func TestReadOnlyReplaysInMemory(t *testing.T) {
	s := journalled(t, bolt.Journal{}, bolt.Options{})
	put(t, s, "a", "1")
	path := pair(t, s)
	before := contents(t, path)
	ro, err := bolt.Open(t.Context(), bolt.Options{Path: path, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if v := value(t, ro, "a"); string(v) != "1" {
		t.Errorf("%s", v)
	}
	if _, err := ro.WriteTo(t.Context(), &bytes.Buffer{}); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("a copy that lacks what is in the journal: %v", err)
	}
	if closed(t, ro); contents(t, path) != before {
		t.Error("a byte was written")
	}
}

func contents(t *testing.T, path string) string {
	t.Helper()
	a, err := os.ReadFile(path)
	b, berr := os.ReadFile(bolt.JournalPath(path))
	if err != nil || berr != nil {
		t.Fatal(err, berr)
	}
	return string(a) + string(b)
}

// A file and a journal that do not belong together, or not any more, are never mixed.
func TestForeignJournal(t *testing.T) {
	k := bolt.Journal{}
	s := journalled(t, k, bolt.Options{})
	put(t, s, "a", "1")
	first := pair(t, s)
	bolt.Checkpoint(s)
	put(t, s, "a", "2")
	second := pair(t, s)
	for range 2 {
		bolt.Checkpoint(s)
		put(t, s, "a", "3")
	}
	third := pair(t, s)
	if err := bolt.Settle(s); err != nil {
		t.Fatal(err)
	}
	put(t, s, "a", "4") // binds the file to a generation that had no frame
	fourth := pair(t, s)
	other := journalled(t, k, bolt.Options{})
	put(t, other, "a", "other")
	fifth := pair(t, other)
	for i, file := range []string{first, second, third, fourth, fifth} {
		for j, beside := range []string{first, second, third, fourth, fifth} {
			path := filepath.Join(t.TempDir(), "vault.db")
			copyFile(t, file, path)
			copyFile(t, bolt.JournalPath(beside), bolt.JournalPath(path))
			again, err := bolt.Open(t.Context(), bolt.Options{Path: path})
			if err != nil {
				if !errors.Is(err, store.ErrCorrupt) || i == j {
					t.Errorf("file %d, journal %d: %v", i, j, err)
				}
				continue
			}
			// The second journal still holds the first generation, whole, and then goes on: it is a later moment of the same pair. The first has the second's head, and
			// no frame yet: an earlier moment, which is not found, as an older file is not.
			want := []string{"1", "2", "3", "4", "other"}[j]
			if v := value(t, again, "a"); string(v) != want || i != j && i+j != 1 {
				t.Errorf("file %d with journal %d: %s", i, j, v)
			}
			closed(t, again)
		}
	}
}

// A file that needs no journal is opened whatever lies beside it. What may be all that is left of somebody's writes stays; what the file has taken up, or was never begun, makes way.
func TestJournalBesideAWholeFile(t *testing.T) {
	s := journalled(t, bolt.Journal{}, bolt.Options{})
	put(t, s, "a", "1")
	crashed := pair(t, s)
	whole := closed(t, s)
	fresh, _ := sample(t)
	for name, c := range map[string]struct {
		file    string
		journal func(path string) error
		stays   bool
	}{
		"its own, taken up":         {whole, func(p string) error { return os.Rename(bolt.JournalPath(crashed), p) }, false},
		"another's, with frames":    {fresh, func(p string) error { mem, _ := bolt.GoldenJournal(); return os.WriteFile(p, mem, 0o600) }, true},
		"one that was cut short":    {fresh, func(p string) error { return os.WriteFile(p, make([]byte, 5000), 0o600) }, false},
		"an empty one":              {fresh, func(p string) error { return os.WriteFile(p, nil, 0o600) }, false},
		"a head without frames":     {fresh, func(p string) error { mem, _ := bolt.GoldenJournal(); return os.WriteFile(p, mem[:4096], 0o600) }, false},
		"something else altogether": {fresh, func(p string) error { return os.WriteFile(p, []byte("a person's notes"), 0o600) }, true},
		"a folder":                  {fresh, func(p string) error { return os.Mkdir(p, 0o700) }, true},
		"a link":                    {fresh, func(p string) error { return os.Symlink(fresh, p) }, true},
	} {
		path := filepath.Join(t.TempDir(), "vault.db")
		copyFile(t, c.file, path)
		if err := c.journal(bolt.JournalPath(path)); err != nil {
			t.Fatal(name, err)
		}
		again, err := bolt.Journal{}.Open(t.Context(), bolt.Options{Path: path})
		if err != nil {
			t.Fatal(name, err)
		}
		closing(t, again)
		put(t, again, "b", "2")
		if bolt.Journals(again) == c.stays || string(value(t, again, "b")) != "2" {
			t.Errorf("%s: journals: %v", name, bolt.Journals(again))
		}
		closed(t, again)
		if _, err := os.Lstat(bolt.JournalPath(path)); (err == nil) != c.stays {
			t.Errorf("%s: afterwards: %v", name, err)
		}
	}
}

// Without its journal a file that needs one is not opened: what was written last would be lost without a word. A person may ask for that.
func TestMissingJournal(t *testing.T) {
	s := journalled(t, bolt.Journal{}, bolt.Options{})
	put(t, s, "a", "1")
	bolt.Checkpoint(s)
	put(t, s, "a", "2")
	path := pair(t, s)
	if err := os.Remove(bolt.JournalPath(path)); err != nil {
		t.Fatal(err)
	}
	if _, err := bolt.Open(t.Context(), bolt.Options{Path: path}); !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), "journal") {
		t.Errorf("opened without its journal: %v", err)
	}
	for _, ro := range []bool{true, false} {
		again, err := bolt.Open(t.Context(), bolt.Options{Path: path, AcceptOlderMeta: true, ReadOnly: ro})
		if err != nil {
			t.Fatal(err)
		}
		if v := value(t, again, "a"); string(v) != "1" {
			t.Errorf("%s", v)
		}
		closed(t, again)
	}
	closed(t, open(t, path))
}

// A checkpoint that ends between a reader's look at the file and its look at what is pending takes nothing away from it.
func TestACheckpointBetweenTwoLooks(t *testing.T) {
	s := journalled(t, bolt.Journal{}, bolt.Options{})
	put(t, s, "a", "1")
	bolt.OnMoment(s, func() {
		bolt.OnMoment(s, nil)
		bolt.Checkpoint(s)
	})
	if v := value(t, s, "a"); string(v) != "1" || bolt.Pending(s) != 0 {
		t.Errorf("a View sees %q, %d are pending", v, bolt.Pending(s))
	}
}

// A store whose file was replaced under it leaves the journal to whoever has the new file.
func TestJournalOfAReplacedFile(t *testing.T) {
	s := journalled(t, bolt.Journal{}, bolt.Options{})
	put(t, s, "a", "1")
	path := bolt.File(s).Name()
	other := journalled(t, bolt.Journal{}, bolt.Options{})
	put(t, other, "a", "other")
	crashed := pair(t, other)
	if err := errors.Join(os.Rename(crashed, path), os.Rename(bolt.JournalPath(crashed), bolt.JournalPath(path))); err != nil {
		t.Fatal(err)
	}
	closed(t, s)
	if v := value(t, open(t, path), "a"); string(v) != "other" {
		t.Errorf("%q", v)
	}
}

// A copy of the file is whole by itself, whatever was pending.
func TestBackupOfAJournalledFile(t *testing.T) {
	s := journalled(t, bolt.Journal{}, bolt.Options{})
	for i := range 3 {
		put(t, s, "a", fmt.Sprint(i))
		var buf bytes.Buffer
		if _, err := s.WriteTo(t.Context(), &buf); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "copy.db")
		if err := os.WriteFile(path, buf.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		c := open(t, path)
		if v := value(t, c, "a"); string(v) != fmt.Sprint(i) {
			t.Errorf("the copy has %s", v)
		}
		closed(t, c)
	}
}

// Large batches go to the file itself, after what is pending.
func TestLargeBatchAfterPending(t *testing.T) {
	s := journalled(t, bolt.Journal{}, bolt.Options{})
	for round := range 3 {
		put(t, s, "a", "small")
		err := s.Update(t.Context(), func(tx store.Tx) error {
			return errors.Join(tx.Put("things", "a", fmt.Appendf(nil, "large %d", round)), tx.Put("things", "long", make([]byte, 100_000)))
		})
		if err != nil {
			t.Fatal(err)
		}
		if bolt.Pending(s) != 0 {
			t.Errorf("%d writes are pending", bolt.Pending(s))
		}
		put(t, s, "b", "after")
		for _, at := range []*bolt.Store{s, open(t, pair(t, s))} {
			if v := value(t, at, "a"); string(v) != fmt.Sprintf("large %d", round) {
				t.Errorf("round %d: %s", round, v)
			}
		}
	}
}

// Options.Alone makes none.
func TestAlone(t *testing.T) {
	s, err := bolt.Journal{}.Create(t.Context(), bolt.Options{Path: filepath.Join(t.TempDir(), "vault.db"), Alone: true})
	if err != nil {
		t.Fatal(err)
	}
	closing(t, s)
	put(t, s, "a", "1")
	put(t, s, "a", "2")
	absent(t, bolt.JournalPath(bolt.File(s).Name()))
}

// TestGoldenJournal: format 1 of the journal is frozen, and stays readable.
func TestGoldenJournal(t *testing.T) {
	mem, named := bolt.GoldenJournal()
	want, err := os.ReadFile("../../testdata/formats/journal.golden")
	if err != nil {
		t.Fatal(err)
	}
	got := "binding " + hex.EncodeToString(named) + "\n"
	for at := 0; at < len(mem); at += 4096 {
		if b := bytes.TrimRight(mem[at:at+4096], "\x00"); len(b) > 0 {
			got += fmt.Sprintf("%d %s\n", at, hex.EncodeToString(b))
		}
	}
	if got != string(want) {
		t.Errorf("the format has changed:\n%s", got)
	}
	if frames, writes, err := bolt.ReplayBytes(mem, named); err != nil || frames != 3 || writes != 3 {
		t.Errorf("%d frames, %d writes, %v", frames, writes, err)
	}
}
