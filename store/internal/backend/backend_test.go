package backend

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/zavhoz/zavhoz/store"
)

const things = store.Collection("things")

// memory is a backend's moment.
type memory map[string]string

func (m memory) Get(_ store.Collection, key string) ([]byte, bool, error) {
	v, ok := m[key]
	return []byte(v), ok, nil
}

func (m memory) Same(_ store.Collection, key string, want []byte) (bool, error) {
	v, ok := m[key]
	return ok && v == string(want), nil
}

func (m memory) Rows(in Reach) Rows {
	keys := m.scan(in)
	return func() (string, []byte, bool, error) {
		if len(keys) == 0 {
			return "", nil, false, nil
		}
		k := keys[0]
		keys = keys[1:]
		return k, []byte(m[k]), true, nil
	}
}

// scan says what store.Tx says of Scan and ScanDown, key by key.
func (m memory) scan(in Reach) (keys []string) {
	for k := range m {
		if strings.HasPrefix(k, in.Prefix) && (in.Up && k >= in.From || !in.Up && (in.From == "" || k <= in.From)) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	if !in.Up {
		slices.Reverse(keys)
	}
	return keys
}

type late string

func (l late) Encode() ([]byte, error) { return []byte(l), nil }

// A transaction over two overlays reads as a map that had all their writes, whatever was put, held, deleted and taken back, and in whatever order it is gone through.
func TestATransactionReadsWhatWasWritten(t *testing.T) {
	alphabet := []string{"a", "ab", "abc", "b", "ba", "a\xff", "a\xff\xff", "\xff", "\xff\xff", "c"}
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 5))
		pick := func() string { return alphabet[r.IntN(len(alphabet))] }
		base := memory{}
		for range r.IntN(6) {
			base[pick()] = fmt.Sprint("base", r.IntN(10))
		}
		want := maps.Clone(base)
		var ov *Overlay
		for range 2 {
			o := NewOverlay()
			o.Base, ov = ov, o
			for range 4 {
				before := maps.Clone(want)
				tx := &Tx{Ctx: context.Background(), R: base, Over: ov}
				for n := range 5 {
					k, v := pick(), fmt.Sprint(seed, n)
					var err error
					switch r.IntN(4) {
					case 0:
						err, want[k] = tx.Put(things, k, []byte(v)), v
					case 1:
						err, want[k] = tx.Hold(things, k, late(v)), v
					case 2:
						delete(want, k)
						err = tx.Delete(things, k)
					default:
						compare(t, tx, want, Reach{things, pick()[:1], pick(), r.IntN(2) == 0})
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				if r.IntN(3) == 0 {
					ov.Rollback()
					want = before
				} else {
					ov.Keep()
				}
				for _, up := range []bool{true, false} {
					compare(t, tx, want, Reach{things, "", "", up})
				}
				tx.Finish()
			}
		}
		list, err := ov.Changes()
		if err != nil || !slices.IsSortedFunc(list, func(a, b Change) int { return strings.Compare(a.Key, b.Key) }) {
			t.Fatal(err, list)
		}
		for _, ch := range list {
			if v, ok := want[ch.Key]; ok != (ch.Fate == Written) || ok && v != string(ch.Value) || ok && ch.Value == nil {
				t.Fatalf("seed %d: %+v, not %q %v", seed, ch, v, ok)
			}
		}
	}
}

func compare(t *testing.T, tx *Tx, want memory, in Reach) {
	t.Helper()
	var keys []string
	scan := tx.ScanDown
	if in.Up {
		scan = tx.Scan
	}
	err := scan(things, in.Prefix, in.From, func(k string, v []byte) (bool, error) {
		if string(v) != want[k] {
			t.Errorf("%q is %q, not %q", k, v, want[k])
		}
		same, err := tx.Same(things, k, v)
		if !same || err != nil {
			t.Errorf("%q is not the same: %v", k, err)
		}
		got, err := tx.Get(things, k)
		if !bytes.Equal(got, v) || err != nil {
			t.Errorf("%q: %q, %v", k, got, err)
		}
		if err := tx.Put(things, k, nil); !errors.Is(err, errScanning) {
			t.Errorf("a write inside a scan: %v", err)
		}
		keys = append(keys, k)
		return true, nil
	})
	if err != nil || !slices.Equal(keys, want.scan(in)) {
		t.Fatalf("%+v: %q, not %q; %v", in, keys, want.scan(in), err)
	}
}

func TestAFreshKeyIsFreshOnce(t *testing.T) {
	ov := NewOverlay()
	tx := &Tx{Ctx: t.Context(), R: memory{}, Over: ov}
	if err := tx.PutFresh(things, "a", nil); err != nil {
		t.Fatal(err)
	}
	if err := tx.PutFresh(things, "a", nil); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("twice: %v", err)
	}
	if err := errors.Join(tx.Delete(things, "b"), tx.PutFresh(things, "b", nil)); err != nil {
		t.Fatal(err)
	}
	list, err := ov.Changes()
	if err != nil || len(list) != 2 || !list[0].Fresh || list[1].Fresh {
		t.Errorf("%+v, %v", list, err)
	}
	if err := (&Tx{Ctx: t.Context(), R: memory{}}).PutFresh(things, "a", nil); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("in a View: %v", err)
	}
}

// Who waits for a turn gets it in order, or gives up with its context and leaves no trace.
func TestATurnIsGivenInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turn := NewTurn()
		turn.Take()
		ctx, cancel := context.WithCancel(t.Context())
		gaveUp := make(chan error, 1)
		got := make(chan int, 3)
		go func() { gaveUp <- turn.Wait(ctx) }()
		synctest.Wait()
		for i := range 3 {
			go func() {
				turn.Take()
				got <- i
				turn.Give()
			}()
			synctest.Wait()
		}
		cancel()
		if err := <-gaveUp; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		turn.Give()
		for i := range 3 {
			if n := <-got; n != i {
				t.Errorf("%d before %d", n, i)
			}
		}
		if err := turn.Wait(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A watcher that does not listen keeps nobody waiting; what is too much is merged, and nothing is lost.
func TestASlowWatcherLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ws Watchers
		ctx, cancel := context.WithCancel(t.Context())
		if ws.Any() {
			t.Error("somebody watches")
		}
		ch := ws.Watch(ctx)
		ws.Tell([]store.Change{{Collection: "first", Key: "k"}})
		synctest.Wait() // it has the first in its hand
		for i := range 3 * WatchKeys {
			ws.Tell([]store.Change{{Collection: things, Key: fmt.Sprint(i)}})
		}
		ws.Tell([]store.Change{{Collection: "others", Key: "k"}})
		want := []store.Change{{Collection: "first", Key: "k"}, {Collection: "others"}, {Collection: things}}
		var got []store.Change
		for range want {
			got = append(got, <-ch)
		}
		slices.SortFunc(got[1:], func(a, b store.Change) int { return strings.Compare(string(a.Collection), string(b.Collection)) })
		if !slices.Equal(got, want) {
			t.Errorf("%v", got)
		}
		cancel()
		if _, open := <-ch; open {
			t.Error("still open")
		}
		ch = ws.Watch(t.Context())
		ws.Close()
		if _, open := <-ch; open {
			t.Error("open after Close")
		}
		if _, open := <-ws.Watch(t.Context()); open {
			t.Error("begun after Close")
		}
	})
}
