package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/postgres"
)

const chaosWriters = 12

var (
	errRefused = errors.New("refused")
	errEncode  = errors.New("cannot be encoded")
)

// Ways in which a call of chaos goes; all others write.
const (
	encodePanics = iota
	encodeExits
	encodeErrs
	functionErrs
	functionPanics
	functionExits
	writesNothing
	chaosWays = 60
)

// faulty is a held value of such a call.
type faulty int

func (h faulty) Encode() ([]byte, error) {
	switch h {
	case encodePanics:
		panic("chaos")
	case encodeExits:
		runtime.Goexit()
	}
	return nil, errEncode
}

// chaos is writers and Views over replicas whose answers are late and lost, whose commits fail, whose memory is taken away and whose telling is held up.
type chaos struct {
	t      *testing.T
	stores []*postgres.Store
	acked  [chaosWriters]atomic.Int64 // what each writer has counted up to, as it was told
}

// Whatever of it happens, every call sees what was acknowledged before it began, at any replica, whole; nothing is acknowledged twice or lost, everything is told, and at the end no turn is kept.
func TestChaos(t *testing.T) {
	rounds := 40
	if os.Getenv("ZAVHOZ_LONG") != "" {
		rounds = 1000
	}
	for _, replicas := range []int{1, 3} {
		t.Run(fmt.Sprint(replicas), func(t *testing.T) {
			o := fresh(server)
			c := &chaos{t: t, stores: []*postgres.Store{create(t, o)}}
			for len(c.stores) < replicas {
				c.stores = append(c.stores, open(t, o))
			}
			c.play(rounds)
		})
	}
}

func (c *chaos) play(rounds int) {
	watched, end := context.WithCancel(context.Background())
	defer end()
	var tellers, writers, spoilers sync.WaitGroup
	told := make([]map[store.Change]bool, len(c.stores))
	stop := make(chan struct{})
	for i, s := range c.stores {
		told[i] = map[store.Change]bool{}
		changes := s.Watch(watched)
		tellers.Go(func() {
			for left := chaosWriters; left > 0; {
				select {
				case ch := <-changes:
					told[i][ch] = true
					if ch.Collection == "last" {
						left--
					}
				case <-time.After(time.Minute):
					c.t.Errorf("replica %d: %d writers' last words were never told", i, left)
					return
				}
			}
		})
		postgres.OnSend(s, late)
		spoilers.Go(func() { c.spoil(s, stop) })
	}
	for k := range chaosWriters {
		writers.Go(func() { c.write(k, rounds) })
	}
	writers.Wait()
	close(stop)
	spoilers.Wait()
	for k := range chaosWriters {
		s := c.stores[k%len(c.stores)]
		postgres.OnSend(s, nil)
		err := store.ErrFull // of a failure that is due still
		for errors.Is(err, store.ErrFull) {
			err = s.Update(c.t.Context(), func(tx store.Tx) error { return tx.Put("last", fmt.Sprint(k), nil) })
		}
		if err != nil {
			c.t.Error(err)
		}
	}
	tellers.Wait()
	for i := range told {
		for k := range chaosWriters {
			for n := range c.acked[k].Load() {
				if key := chaosKey(k, n+1); !told[i][store.Change{Collection: "once", Key: key}] && !told[i][store.Change{Collection: "once"}] {
					c.t.Errorf("replica %d was never told of %s", i, key)
				}
			}
		}
		if left := postgres.LeftOver(c.stores[i]); left != "" {
			c.t.Errorf("replica %d: %s", i, left)
		}
	}
}

// late lets answers come late, and get lost.
func late(err error) error {
	switch r := rand.IntN(100); {
	case r < 2 && err == nil:
		return postgres.LostAnswer()
	case r < 10:
		time.Sleep(rand.N(2 * time.Millisecond))
	case r < 50:
		runtime.Gosched()
	}
	return err
}

func (c *chaos) spoil(s *postgres.Store, stop chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(rand.N(40 * time.Millisecond)):
		}
		switch rand.IntN(8) {
		case 0:
			postgres.FailNextCommit(s, store.ErrFull)
		case 1:
			s.Uncache()
		default:
			release := postgres.HoldTelling(s)
			time.Sleep(rand.N(4 * time.Millisecond))
			release()
		}
	}
}

func chaosKey(k int, n int64) string { return fmt.Sprintf("%02d-%06d", k, n) }

// write counts one writer's number up, in calls each of which goes some way, and looks at all numbers now and then.
func (c *chaos) write(k, rounds int) {
	s := c.stores[k%len(c.stores)]
	for range rounds {
		before, next, way := c.now(), c.acked[k].Load()+1, rand.IntN(chaosWays)
		err, returned, seen := error(nil), false, sight{}
		done := make(chan struct{})
		go func() { // which its function or a value may end
			defer close(done)
			defer func() { _ = recover() }()
			err = s.Update(context.Background(), func(tx store.Tx) error {
				seen = nil // a function that is overtaken may have seen what is not the newest: it runs again
				return seen.call(tx, k, next, way, before)
			})
			returned = true
		}()
		if rand.IntN(2) == 0 { // beside it, whatever it is at
			c.stores[rand.IntN(len(c.stores))].Warm(context.Background(), "things", fmt.Sprint(k), fmt.Sprint(rand.IntN(chaosWriters)))
			s.Warm(context.Background(), "once", chaosKey(k, next), chaosKey(k, next-3))
		}
		<-done
		if returned && (err == nil || errors.Is(err, errRefused)) {
			seen.report(c.t)
		}
		switch {
		case !returned, way == writesNothing && err == nil:
		case err == nil:
			if way < writesNothing {
				c.t.Errorf("a call of way %d is acknowledged", way)
			}
			c.acked[k].Store(next)
		case !errors.Is(err, errRefused) && !errors.Is(err, errEncode) && !errors.Is(err, store.ErrFull) && !strings.Contains(err.Error(), "abandoned"):
			c.t.Error(err)
		}
		if rand.IntN(3) == 0 {
			var seen sight
			before, any := c.now(), c.stores[rand.IntN(len(c.stores))]
			if err := any.View(context.Background(), func(tx store.Tx) error { return seen.numbers(tx, before) }); err != nil {
				c.t.Error(err)
			}
			seen.report(c.t)
		}
	}
}

func (c *chaos) now() (all [chaosWriters]int64) {
	for k := range all {
		all[k] = c.acked[k].Load()
	}
	return all
}

// sight is what a function has seen that must not be.
type sight []string

func (s *sight) add(format string, args ...any) { *s = append(*s, fmt.Sprintf(format, args...)) }

func (s sight) report(t *testing.T) {
	for _, what := range s {
		t.Error(what)
	}
}

// numbers holds all numbers to what was acknowledged before, and both records of each to be of one commit.
func (s *sight) numbers(tx store.Tx, before [chaosWriters]int64) error {
	for k := range before {
		one, err := tx.Get("things", fmt.Sprint(k))
		two, err2 := tx.Get("others", fmt.Sprint(k))
		if err := errors.Join(err, err2); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if n := chaosNumber(one); n < before[k] || string(one) != string(two) {
			s.add("number %d is %d and %d, %d was acknowledged", k, n, chaosNumber(two), before[k])
		}
	}
	return nil
}

func chaosNumber(value []byte) int64 {
	n, _ := strconv.ParseInt(strings.TrimRight(string(value), "x"), 10, 64)
	return n
}

// call is the function of a write: a number counted up in two records of any length, a record under a key that is used once, one of them removed again, all of them counted.
func (s *sight) call(tx store.Tx, k int, next int64, way int, before [chaosWriters]int64) error {
	if err := s.numbers(tx, before); err != nil {
		return err
	}
	was, err := tx.Get("things", fmt.Sprint(k))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if n := chaosNumber(was); n != next-1 {
		s.add("writer %d sees %d, after %d", k, n, next-1)
	}
	if way == writesNothing {
		return nil
	}
	value := []byte(strconv.FormatInt(next, 10) + strings.Repeat("x", []int{0, 0, 10, 3000, 40000}[rand.IntN(5)]))
	err = errors.Join(tx.Put("things", fmt.Sprint(k), value), tx.Put("others", fmt.Sprint(k), value), tx.(store.Adder).Add("once", chaosKey(k, next), []byte("1")))
	if next > 3 {
		err = errors.Join(err, tx.Delete("once", chaosKey(k, next-3)))
	}
	rows := int64(0)
	err = errors.Join(err, tx.Scan("once", fmt.Sprintf("%02d-", k), "", func(string, []byte) (bool, error) { rows++; return true, nil }))
	if err == nil && rows != min(next, 3) {
		s.add("writer %d finds %d rows at %d", k, rows, next)
	}
	switch way {
	case encodePanics, encodeExits, encodeErrs:
		err = errors.Join(err, tx.(store.Holder).Hold("held", fmt.Sprint(k), faulty(way)))
	case functionErrs:
		err = errors.Join(err, errRefused)
	case functionPanics:
		panic("chaos")
	case functionExits:
		runtime.Goexit()
	}
	return err
}
