package bolt_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/bolt"
	"github.com/zavhoz/zavhoz/store/storetest"
)

// create gives an empty store that closes with the test.
func create(t testing.TB) *bolt.Store {
	t.Helper()
	return createAt(t, filepath.Join(t.TempDir(), "vault.db"))
}

func createAt(t testing.TB, path string) *bolt.Store {
	t.Helper()
	s, err := bolt.Create(context.Background(), bolt.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	return closing(t, s)
}

func open(t testing.TB, path string) *bolt.Store {
	t.Helper()
	s, err := bolt.Open(context.Background(), bolt.Options{Path: path, LockTimeout: -1})
	if err != nil {
		t.Fatal(err)
	}
	return closing(t, s)
}

func closing(t testing.TB, s *bolt.Store) *bolt.Store {
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, store.ErrClosed) {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func TestContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return create(t) }, storetest.Options{
		Reopen: func(t *testing.T, s store.Store) store.Store {
			path := bolt.File(s.(*bolt.Store)).Name()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return open(t, path)
		},
		Fault: func(_ *testing.T, s store.Store, err error) { bolt.FailNextCommit(s.(*bolt.Store), err) },
	})
}

func TestCreateRefusesExisting(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vault.db")
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := bolt.Create(context.Background(), bolt.Options{Path: path}); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("got %v", err)
	}
	if b, _ := os.ReadFile(path); string(b) != "mine" {
		t.Fatalf("the file became %q", b)
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "vault.db")
	ctx := context.Background()
	openErr := func(o bolt.Options) error {
		t.Helper()
		s, err := bolt.Open(ctx, o)
		if err == nil {
			t.Fatal("opened", s.Close())
		}
		return err
	}
	if err := openErr(bolt.Options{Path: path}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open made a file: %v", err)
	}
	if err := openErr(bolt.Options{Path: dir}); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("a folder: %v", err)
	}
	for _, text := range []string{"", "x", string(make([]byte, 1<<20))} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := openErr(bolt.Options{Path: path}); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("a file of %d bytes: %v", len(text), err)
		}
	}
}

// TestBusy: one process at a time; readers together.
func TestBusy(t *testing.T) {
	s := create(t)
	path := bolt.File(s).Name()
	for _, o := range []bolt.Options{{Path: path, LockTimeout: -1}, {Path: path, LockTimeout: 30 * time.Millisecond, ReadOnly: true}} {
		if _, err := bolt.Open(context.Background(), o); !errors.Is(err, store.ErrBusy) {
			t.Errorf("second open: %v", err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := bolt.Open(ctx, bolt.Options{Path: path}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("open under an ending context: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		r, err := bolt.Open(context.Background(), bolt.Options{Path: path, LockTimeout: -1, ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		closing(t, r)
		if err := r.Update(context.Background(), func(store.Tx) error { return nil }); !errors.Is(err, store.ErrReadOnly) {
			t.Errorf("update of a read-only store: %v", err)
		}
	}
}

// TestFileMode: the names and sizes of records are nobody else's business.
func TestFileMode(t *testing.T) {
	s := create(t)
	st, err := os.Stat(bolt.File(s).Name())
	if err != nil || st.Mode().Perm()&0o077 != 0 && filepath.Separator == '/' {
		t.Fatalf("%v, %v", st.Mode(), err)
	}
}

// TestMaxSize: a full store says so, changes nothing, and works on.
func TestMaxSize(t *testing.T) {
	s, err := bolt.Create(context.Background(), bolt.Options{Path: filepath.Join(t.TempDir(), "vault.db"), MaxSize: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	closing(t, s)
	put := func(key string, size int) error {
		return s.Update(context.Background(), func(tx store.Tx) error { return tx.Put("things", key, make([]byte, size)) })
	}
	if err := put("small", 1000); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if err := put("big", 8<<20); !errors.Is(err, store.ErrFull) {
			t.Fatalf("got %v", err)
		}
	}
	if err := put("small", 2000); err != nil {
		t.Fatal(err)
	}
	if err := bolt.Check(s); err != nil {
		t.Fatal(err)
	}
}

func TestBeginLocks(t *testing.T) {
	if !bolt.LocksKnown(create(t)) {
		t.Error("bbolt's locks have other names: a fault at the begin of a transaction would hang the store (unlock.go)")
	}
}
