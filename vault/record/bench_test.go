package record_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/open"
	"github.com/zavhoz/zavhoz/vault/record"
	"github.com/zavhoz/zavhoz/vault/secret"
)

type sealed struct {
	Handle string            `json:"handle"`
	Sealed map[string]string `json:"sealed"`
	Pad    string            `json:"pad"`
}

func fill(b *testing.B, n int) (*world, *record.Set[sealed]) {
	w := newWorld(b)
	s := record.NewSet[sealed](w.book, "resources")
	for at := 0; at < n; at += 1000 {
		w.update(func(tx store.Tx) error {
			for i := at; i < min(n, at+1000); i++ {
				key := fmt.Sprintf("res_%026d", i)
				v, err := w.k.Seal(keyring.Ref{Type: "resource", ID: key, Field: "token", Version: 1}, secret.FromString(strings.Repeat("k", 46)))
				if err != nil {
					return err
				}
				if err := s.Put(tx, key, sealed{key, map[string]string{"token": v}, strings.Repeat("p", 700)}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return w, s
}

// Goal 4: one record read from the store and its secret opened.
func BenchmarkGetOpen(b *testing.B) {
	w, s := fill(b, 1000)
	o := open.New(w.k)
	keys := make([]string, 1000)
	for i := range keys {
		keys[i] = fmt.Sprintf("res_%026d", i)
	}
	for _, each := range []struct {
		name string
		fn   func(tx store.Tx, key string) error
	}{
		{"store alone", func(tx store.Tx, key string) error { _, err := tx.Get("resources", key); return err }},
		{"get", func(tx store.Tx, key string) error { _, err := s.Get(tx, key); return err }},
		{"get and open", func(tx store.Tx, key string) error {
			r, err := s.Get(tx, key)
			if err != nil {
				return err
			}
			v, err := o.Open(keyring.Ref{Type: "resource", ID: key, Field: "token", Version: 1}, r.Sealed["token"])
			v.Wipe()
			return err
		}},
	} {
		b.Run(each.name, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				key := keys[i%len(keys)]
				i++
				if err := w.st.View(b.Context(), func(tx store.Tx) error { return each.fn(tx, key) }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	const rows = 100_000
	w, _ := fill(b, rows)
	b.ResetTimer()
	for b.Loop() {
		if err := w.verify(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(rows, "rows/op")
}

// A put in one large transaction: what the accounts cost beside the store.
func BenchmarkPut(b *testing.B) {
	w, s := fill(b, 1000)
	v := sealed{Pad: strings.Repeat("p", 900)}
	b.ReportAllocs()
	n := 0
	w.update(func(tx store.Tx) error {
		for b.Loop() {
			n++
			if err := s.Put(tx, fmt.Sprintf("res_%026d", n%1000), v); err != nil {
				return err
			}
		}
		return nil
	})
}
