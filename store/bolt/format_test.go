package bolt_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/bolt"
)

// edit changes a closed store's file with bbolt itself.
func edit(t *testing.T, path string, fn func(tx *bbolt.Tx) error) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoFreelistSync: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(fn); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestForeignFiles(t *testing.T) {
	mark := func(key, value string) func(tx *bbolt.Tx) error {
		return func(tx *bbolt.Tx) error { return tx.Bucket([]byte("_meta")).Put([]byte(key), []byte(value)) }
	}
	tests := map[string]struct {
		edit func(tx *bbolt.Tx) error
		want error
		text string
	}{
		"newer":   {mark("format", "3"), store.ErrFormat, "the file has format 3, this program knows formats 1 and 2"},
		"garbage": {mark("format", "x"), store.ErrCorrupt, ""},
		"magic":   {mark("magic", "other"), store.ErrCorrupt, "not a zavhoz store"},
		"no mark": {func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte("_meta")) }, store.ErrCorrupt, ""},
		"nested": {func(tx *bbolt.Tx) error {
			_, err := tx.Bucket([]byte("leases")).CreateBucket([]byte("in"))
			return err
		}, store.ErrCorrupt, ""},
		"sequence": {func(tx *bbolt.Tx) error { return tx.Bucket([]byte("leases")).SetSequence(7) }, store.ErrCorrupt, ""},
		"name": {func(tx *bbolt.Tx) error {
			_, err := tx.CreateBucket([]byte("Not A Name"))
			return err
		}, store.ErrCorrupt, ""},
		"long key": {func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("leases")).Put(bytes.Repeat([]byte("k"), 600), nil)
		}, store.ErrCorrupt, ""},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			path, _ := sample(t)
			edit(t, path, c.edit)
			_, err := bolt.Open(context.Background(), bolt.Options{Path: path})
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestOlderMeta: one damaged meta page is an error, not a step back; the step back is taken only when it is asked for.
func TestOlderMeta(t *testing.T) {
	for slot := range 2 {
		path, _ := sample(t)
		s := open(t, path)
		if err := s.Update(context.Background(), func(tx store.Tx) error { return tx.Put("leases", "last", nil) }); err != nil {
			t.Fatal(err)
		}
		closed(t, s)
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(make([]byte, 512), int64(slot*4096)); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		opts := bolt.Options{Path: path}
		if _, err := bolt.Open(context.Background(), opts); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("slot %d: %v", slot, err)
		}
		opts.AcceptOlderMeta = true
		opts.ReadOnly = true
		s, err = bolt.Open(context.Background(), opts)
		if err != nil {
			t.Fatalf("slot %d: %v", slot, err)
		}
		closed(t, s)
		opts.ReadOnly = false
		if s, err = bolt.Open(context.Background(), opts); err != nil {
			t.Fatalf("slot %d: %v", slot, err)
		}
		if err := s.Update(context.Background(), func(tx store.Tx) error { return tx.Put("leases", "after", nil) }); err != nil {
			t.Errorf("slot %d: %v", slot, err)
		}
		closed(t, s)
		s = open(t, path) // whole again
		if err := s.View(context.Background(), func(tx store.Tx) error { _, err := tx.Get("leases", "after"); return err }); err != nil {
			t.Errorf("slot %d: %v", slot, err)
		}
		closed(t, s)
	}
}

// TestBackup: a backup taken at any transaction opens, holds one moment, and lives on.
func TestBackup(t *testing.T) {
	path, want := sample(t)
	s := open(t, path)
	for i := range 3 {
		var buf bytes.Buffer
		n, err := s.WriteTo(context.Background(), &buf)
		if err != nil || n != int64(buf.Len()) {
			t.Fatalf("%d of %d bytes, %v", n, buf.Len(), err)
		}
		copied := filepath.Join(t.TempDir(), "copy.db")
		if err := os.WriteFile(copied, buf.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		c := open(t, copied)
		if d, err := digestOf(c); err != nil || d != want {
			t.Errorf("backup %d: %v", i, err)
		}
		if err := c.Update(context.Background(), func(tx store.Tx) error { return tx.Put("leases", "more", nil) }); err != nil {
			t.Error(err)
		}
		if err := bolt.Check(c); err != nil {
			t.Errorf("backup %d after a write: %v", i, err)
		}
		// the next backup is of a transaction of the other slot
		err = s.Update(context.Background(), func(tx store.Tx) error { return tx.Put("more", "k", []byte{byte(i)}) })
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.WriteTo(ctx, &bytes.Buffer{}); !errors.Is(err, context.Canceled) {
		t.Errorf("under an ended context: %v", err)
	}
}

// TestGolden: format 1 stays readable.
func TestGolden(t *testing.T) {
	mem, err := os.ReadFile("../../testdata/store/format1.db")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "vault.db")
	if err := os.WriteFile(path, mem, 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, path)
	err = s.View(context.Background(), func(tx store.Tx) error {
		v, err := tx.Get("golden", "key")
		if err == nil && string(v) != "value" {
			t.Errorf("got %q", v)
		}
		n := 0
		return errors.Join(err, tx.Scan("many", "", "", func(string, []byte) (bool, error) { n++; return true, nil }), func() error {
			if n != 100 {
				t.Errorf("%d records, want 100", n)
			}
			return nil
		}())
	})
	if err != nil {
		t.Fatal(err)
	}
}
