package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

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

// holding keeps everybody from the records, until release.
func holding(t *testing.T, o postgres.Options) (release func()) {
	t.Helper()
	tx := begun(t, o, "LOCK TABLE "+o.Schema+".records")
	return func() { _ = tx.Rollback(context.Background()) }
}

// What was asked before all was forgotten is not kept: who forgets wants to see what is there now.
func TestWhatWasForgottenDoesNotComeBack(t *testing.T) {
	o := fresh(server)
	s := create(t, o)
	put(t, s, "there", "v")
	s.Uncache()
	release := holding(t, o)
	defer release()
	var asks sync.WaitGroup
	asks.Go(func() { s.Warm(t.Context(), "things", "there") })
	waitsFor(t, o, "records", nil)
	s.Uncache()
	release()
	asks.Wait()
	if v, known := postgres.Knows(s, "things", "there"); known {
		t.Errorf("%q", v)
	}
}

// A database that does not answer keeps nobody for the time of many questions.
func TestWhatIsNotAnsweredIsNotAskedOn(t *testing.T) {
	o := fresh(server)
	s := create(t, o)
	release := holding(t, o)
	defer release()
	var many []string
	for i := range 1000 { // eight questions
		many = append(many, fmt.Sprint("k", i))
	}
	start := time.Now()
	s.Warm(t.Context(), "things", many...)
	for i := range 100 { // each by itself, as the parts of many writes
		s.Warm(t.Context(), "others", fmt.Sprint("k", i))
	}
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("%v", took)
	}
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
