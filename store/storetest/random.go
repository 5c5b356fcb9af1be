package storetest

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/store"
)

// model is the store as maps.
type model map[store.Collection]map[string]string

func (m model) clone() model {
	out := model{}
	for c, rows := range m {
		out[c] = maps.Clone(rows)
	}
	return out
}

func (m model) rows(c store.Collection, prefix, from string, down bool) (out []string) {
	keys := slices.Sorted(maps.Keys(m[c]))
	if down {
		slices.Reverse(keys)
	}
	for _, k := range keys {
		if strings.HasPrefix(k, prefix) && (!down && k >= from || down && (from == "" || k <= from)) {
			out = append(out, k+"="+m[c][k])
		}
	}
	return out
}

var errUndo = errors.New("storetest: taken back")

// random is one run of random transactions; its seed makes it repeatable (ZAVHOZ_SEED).
type random struct {
	*rand.Rand
	keys int
}

func newRandom(t *testing.T) *random {
	seed := uint64(time.Now().UnixNano())
	if env := os.Getenv("ZAVHOZ_SEED"); env != "" {
		var err error
		if seed, err = strconv.ParseUint(env, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("repeat with ZAVHOZ_SEED=%d", seed)
		}
	})
	return &random{rand.New(rand.NewPCG(seed, 0)), 200}
}

func (r *random) collection() store.Collection {
	return []store.Collection{"a", "b", "c"}[r.IntN(3)]
}

func (r *random) key() string {
	n := r.IntN(r.keys)
	return fmt.Sprintf("%c/%d%s", 'k'+rune(n%3), n, strings.Repeat("x", n%7*n%60))
}

func (r *random) value() string {
	n := r.IntN(300)
	if r.IntN(40) == 0 {
		n = r.IntN(20000)
	}
	return strings.Repeat(strconv.Itoa(n), n)
}

// step does one random thing to both tx and m, and compares.
func (r *random) step(tx store.Tx, m model, c store.Collection, phase int) error {
	key := r.key()
	switch op := r.IntN(10); {
	case op < 4 && phase == 0 || op < 1:
		v := r.value()
		if m[c] == nil {
			m[c] = map[string]string{}
		}
		m[c][key] = v
		return tx.Put(c, key, []byte(v))
	case op < 6:
		delete(m[c], key)
		return tx.Delete(c, key)
	case op < 8:
		want, ok := m[c][key]
		if !ok {
			want = "-"
		}
		return holds(tx, c, key, want)
	default:
		prefix, from := []string{"", "k/", "k/1", "l/", "z"}[r.IntN(5)], []string{"", key}[r.IntN(2)]
		down := r.IntN(2) == 0
		got, err := rows(tx, c, prefix, from, down)
		if want := m.rows(c, prefix, from, down); err == nil && !slices.Equal(got, want) {
			err = fmt.Errorf("scan %s %q %q %v: got %d rows, want %d", c, prefix, from, down, len(got), len(want))
		}
		return err
	}
}

// testRandom compares random transactions, some taken back, with a map; growing and shrinking by turns.
func testRandom(t *testing.T, s store.Store, opts Options) {
	rounds := opts.Rounds
	if rounds == 0 {
		rounds = 400
	}
	r, truth := newRandom(t), model{}
	for round := range rounds {
		var next model
		undo := r.IntN(5) == 0
		err := s.Update(background(t), func(tx store.Tx) error {
			next = truth.clone()
			for range 1 + r.IntN(40) {
				if err := r.step(tx, next, r.collection(), round/50%2); err != nil {
					return err
				}
			}
			if undo {
				return errUndo
			}
			return nil
		})
		if undo && errors.Is(err, errUndo) {
			err = nil
		} else {
			truth = next
		}
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if opts.Reopen != nil && round%97 == 96 {
			s = opts.Reopen(t, s)
		}
		if round%10 == 0 {
			same(t, s, truth)
		}
	}
	same(t, s, truth)
}

// same compares the whole store with the model.
func same(t *testing.T, s store.Store, m model) {
	t.Helper()
	view(t, s, func(tx store.Tx) error {
		for _, c := range []store.Collection{"a", "b", "c"} {
			got, err := rows(tx, c, "", "", false)
			if err != nil {
				return err
			}
			if want := m.rows(c, "", "", false); !slices.Equal(got, want) {
				return fmt.Errorf("%s: got %d rows, want %d", c, len(got), len(want))
			}
		}
		return nil
	})
}
