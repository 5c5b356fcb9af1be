package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/store"
)

func testGetPutDelete(t *testing.T, s store.Store) {
	has(t, s, things, "a", "-")
	put(t, s, things, "a", "1", "b", "2", "empty", "")
	has(t, s, things, "a", "1")
	has(t, s, things, "b", "2")
	has(t, s, things, "empty", "")
	put(t, s, things, "a", "one")
	has(t, s, things, "a", "one")
	update(t, s, func(tx store.Tx) error {
		return errors.Join(tx.Delete(things, "a"), tx.Delete(things, "never"), tx.Delete(others, "never"))
	})
	has(t, s, things, "a", "-")
	has(t, s, things, "b", "2")
	put(t, s, things, "a", "again")
	has(t, s, things, "a", "again")
	update(t, s, func(store.Tx) error { return nil })
	view(t, s, func(tx store.Tx) error {
		v, err := tx.Get(things, "empty")
		if err != nil || v == nil {
			return fmt.Errorf("an empty value is not nil: %v, %v", v, err)
		}
		return nil
	})
}

func testCollections(t *testing.T, s store.Store) {
	put(t, s, things, "k", "thing")
	put(t, s, others, "k", "other")
	has(t, s, things, "k", "thing")
	has(t, s, others, "k", "other")
	update(t, s, func(tx store.Tx) error { return tx.Delete(things, "k") })
	has(t, s, things, "k", "-")
	has(t, s, others, "k", "other")
	for _, c := range []store.Collection{"a", "meta", "format", "x_1", "user", "select", store.Collection("a" + strings.Repeat("z", 31))} {
		put(t, s, c, "k", string(c))
	}
	has(t, s, "meta", "k", "meta")
	has(t, s, "select", "k", "select")
}

// testNames: a name or key outside the contract is refused by every method, and has no effect.
func testNames(t *testing.T, s store.Store) {
	bad := []struct {
		c   store.Collection
		key string
	}{
		{"", "k"}, {"Upper", "k"}, {"1st", "k"}, {"_meta", "k"}, {"a-b", "k"}, {"a b", "k"}, {"a\x00", "k"}, {"a.b", "k"}, {"ä", "k"},
		{store.Collection("a" + strings.Repeat("z", 32)), "k"}, {things, ""},
	}
	for _, b := range bad {
		name := fmt.Sprintf("%q/%q", b.c, b.key)
		update(t, s, func(tx store.Tx) error {
			_, err := tx.Get(b.c, b.key)
			wants(t, err, store.ErrInvalidKey, "get "+name)
			wants(t, tx.Put(b.c, b.key, nil), store.ErrInvalidKey, "put "+name)
			wants(t, tx.Delete(b.c, b.key), store.ErrInvalidKey, "delete "+name)
			if b.key != "" {
				_, err = rows(tx, b.c, "", "", false)
				wants(t, err, store.ErrInvalidKey, "scan "+name)
				_, err = rows(tx, b.c, "", "", true)
				wants(t, err, store.ErrInvalidKey, "scan down "+name)
			}
			return nil
		})
	}
}

func testLimits(t *testing.T, s store.Store) {
	longKey, longValue := strings.Repeat("k", store.MaxKey), make([]byte, store.MaxValue)
	for i := range longValue {
		longValue[i] = byte(i * 7)
	}
	update(t, s, func(tx store.Tx) error {
		wants(t, tx.Put(things, longKey+"k", nil), store.ErrTooLarge, "long key")
		wants(t, tx.Put(things, "k", make([]byte, store.MaxValue+1)), store.ErrTooLarge, "long value")
		return tx.Put(things, longKey, longValue)
	})
	has(t, s, things, longKey, string(longValue))
	has(t, s, things, "k", "-")
}

// scanKeys has neighbours that a careless prefix or order would mix up: bytes, not letters.
var scanKeys = []string{"\x00", "A", "a", "a\x00", "a/", "a/1", "a/10", "a/2", "a/\xff", "a/\xff\xff", "a0", "b", "ä", "\xff", "\xff\xff"}

func testScan(t *testing.T, s store.Store) {
	update(t, s, func(tx store.Tx) error {
		for _, k := range scanKeys {
			if err := errors.Join(tx.Put(things, k, []byte("v"+k)), tx.Put(others, "not"+k, nil)); err != nil {
				return err
			}
		}
		return nil
	})
	check := func(tx store.Tx) error {
		for _, prefix := range append([]string{"", "a/\xff", "zz", "\xff\xff\xff"}, scanKeys...) {
			for _, from := range append([]string{"", "a/15", "zz", "\xff\xff\xff"}, scanKeys...) {
				for _, down := range []bool{false, true} {
					got, err := rows(tx, things, prefix, from, down)
					if err != nil {
						return err
					}
					if want := expected(prefix, from, down); !slices.Equal(got, want) {
						t.Errorf("prefix %q from %q down %v:\n got %q\nwant %q", prefix, from, down, got, want)
					}
				}
			}
		}
		return nil
	}
	view(t, s, check)
	update(t, s, check)
	view(t, s, func(tx store.Tx) error {
		if got, err := rows(tx, "nothing", "", "", false); err != nil || got != nil {
			t.Errorf("scan of no collection: %q, %v", got, err)
		}
		return nil
	})
}

// expected is the contract's words about scans, over scanKeys.
func expected(prefix, from string, down bool) (out []string) {
	for _, k := range slices.Sorted(slices.Values(scanKeys)) {
		if strings.HasPrefix(k, prefix) && (!down && k >= from || down && (from == "" || k <= from)) {
			out = append(out, k+"=v"+k)
		}
	}
	if down {
		slices.Reverse(out)
	}
	return out
}

func testScanStops(t *testing.T, s store.Store) {
	put(t, s, things, "a", "1", "b", "2", "c", "3")
	boom := errors.New("boom")
	body := func(tx store.Tx) error {
		seen := 0
		stop := func(string, []byte) (bool, error) { seen++; return seen < 2, nil }
		if err := tx.Scan(things, "", "", stop); err != nil || seen != 2 {
			t.Errorf("stopped after %d, %v", seen, err)
		}
		fail := func(string, []byte) (bool, error) { return true, boom }
		wants(t, tx.Scan(things, "", "", fail), boom, "scan")
		wants(t, tx.ScanDown(things, "", "", fail), boom, "scan down")
		// A scan in a scan, and reads and writes elsewhere, are allowed.
		return tx.Scan(things, "", "", func(k string, v []byte) (bool, error) {
			inner, err := rows(tx, things, "", k, true)
			if err == nil && inner[0] != k+"="+string(v) {
				err = fmt.Errorf("inner scan from %q began with %q", k, inner[0])
			}
			return true, err
		})
	}
	view(t, s, body)
	update(t, s, func(tx store.Tx) error {
		if err := body(tx); err != nil {
			return err
		}
		return tx.Scan(things, "", "", func(k string, v []byte) (bool, error) { return true, tx.Put(others, k, v) })
	})
	has(t, s, others, "c", "3")
}

func testOwnWrites(t *testing.T, s store.Store) {
	put(t, s, things, "a", "1", "b", "2", "c", "3", "d", "4")
	update(t, s, func(tx store.Tx) error {
		if err := putAll(tx, things, "b", "two", "bb", "new", "z", "last"); err != nil {
			return err
		}
		if err := errors.Join(tx.Delete(things, "c"), tx.Put(things, "c", []byte("three")), tx.Delete(things, "c"),
			tx.Delete(things, "d"), tx.Put(things, "d", []byte("four")), tx.Put(things, "e", nil), tx.Delete(things, "e")); err != nil {
			return err
		}
		err := errors.Join(holds(tx, things, "b", "two"), holds(tx, things, "bb", "new"), holds(tx, things, "c", "-"),
			holds(tx, things, "d", "four"), holds(tx, things, "e", "-"))
		if err != nil {
			return err
		}
		up, err := rows(tx, things, "", "", false)
		if want := []string{"a=1", "b=two", "bb=new", "d=four", "z=last"}; err != nil || !slices.Equal(up, want) {
			t.Errorf("scan: %q, %v, want %q", up, err, want)
		}
		down, err := rows(tx, things, "", "d", true)
		if want := []string{"d=four", "bb=new", "b=two", "a=1"}; err != nil || !slices.Equal(down, want) {
			t.Errorf("scan down: %q, %v, want %q", down, err, want)
		}
		one, err := rows(tx, things, "b", "ba", false)
		if want := []string{"bb=new"}; err != nil || !slices.Equal(one, want) {
			t.Errorf("scan of a prefix: %q, %v, want %q", one, err, want)
		}
		// Writes after a scan are seen by the next one.
		if err := errors.Join(tx.Put(things, "aa", nil), tx.Delete(things, "a")); err != nil {
			return err
		}
		again, err := rows(tx, things, "a", "", false)
		if want := []string{"aa="}; err != nil || !slices.Equal(again, want) {
			t.Errorf("scan after writes: %q, %v, want %q", again, err, want)
		}
		return nil
	})
	has(t, s, things, "c", "-")
	has(t, s, things, "bb", "new")
}
