package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/postgres"
)

func TestWhatIsWarmIsKnown(t *testing.T) {
	s := create(t, fresh(server))
	put(t, s, "there", "v")
	giant := strings.Repeat("x", 40<<10) // longer than what is kept
	put(t, s, "giant", giant)
	var many []string
	for i := range 300 { // of three questions
		many = append(many, fmt.Sprint("k", i))
	}
	put(t, s, many[299], "last")
	s.Uncache()
	s.Warm(t.Context(), "things", "there")
	s.Warm(t.Context(), "things", "absent")
	s.Warm(t.Context(), "things", "giant")
	s.Warm(t.Context(), "things", many...)
	s.Warm(t.Context(), "things")
	s.Warm(t.Context(), "things", "", strings.Repeat("k", 4096), "beside")
	for key, want := range map[string]string{"there": "v", "absent": "", "k0": "", "k150": "", "k299": "last", "beside": ""} {
		if v, known := postgres.Knows(s, "things", key); !known || string(v) != want {
			t.Errorf("%s: %q, known: %t", key, v, known)
		}
	}
	if got := value(t, s, "giant"); got != giant {
		t.Errorf("%d bytes of %d", len(got), len(giant))
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	s.Uncache()
	s.Warm(ended, "things", many...)
	if _, known := postgres.Knows(s, "things", "k0"); known {
		t.Error("it asked for somebody who has gone")
	}
	closing(t, s)
	s.Warm(t.Context(), "things", "there")
}

// Whatever is warmed while others write, nobody counts from what was.
func TestWhatIsWarmIsNotOfYesterday(t *testing.T) {
	o := fresh(server)
	a := create(t, o)
	all := []*postgres.Store{a, open(t, o)}
	const keys, each = 4, 60
	ctx, cancel := context.WithCancel(t.Context())
	var warmers, writers sync.WaitGroup
	for i := range 4 {
		warmers.Go(func() {
			for n := i; ctx.Err() == nil; n++ {
				if s := all[n%2]; n%8 == 0 {
					s.Uncache()
				} else {
					s.Warm(ctx, "things", fmt.Sprint(n%keys), fmt.Sprint((n+1)%keys))
				}
			}
		})
	}
	for i := range 4 {
		writers.Go(func() {
			for n := range each {
				key := fmt.Sprint((n + i) % keys)
				err := all[i%2].Update(ctx, func(tx store.Tx) error {
					was, err := tx.Get("things", key)
					if errors.Is(err, store.ErrNotFound) {
						was, err = []byte("0"), nil
					}
					n, _ := strconv.Atoi(string(was))
					return errors.Join(err, tx.Put("things", key, []byte(strconv.Itoa(n+1))))
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
	cancel()
	warmers.Wait()
	sum := 0
	for k := range keys {
		n, _ := strconv.Atoi(value(t, a, fmt.Sprint(k)))
		sum += n
	}
	if sum != 4*each {
		t.Errorf("%d of %d are counted", sum, 4*each)
	}
}
