package bolt_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/bolt"
)

// slow is a held value whose commit waits: the next batch's functions run meanwhile.
type slow struct {
	committing, release chan struct{}
	once                sync.Once
}

func (s *slow) Encode() ([]byte, error) {
	s.once.Do(func() {
		close(s.committing)
		<-s.release
	})
	return []byte("slow"), nil
}

// What runs while a batch is being made durable sees what that batch wrote, is not acknowledged before it, and fails with it.
func TestWhatReadAnUnfinishedCommitSharesItsFate(t *testing.T) {
	for _, fail := range []error{nil, store.ErrFull} {
		t.Run(fmt.Sprint(fail), func(t *testing.T) {
			s := create(t)
			put(t, s, "gone", "old")
			first := &slow{committing: make(chan struct{}), release: make(chan struct{})}
			if fail != nil {
				bolt.FailNextCommit(s, fail)
			}
			firstErr, secondErr := make(chan error, 1), make(chan error, 1)
			go func() {
				firstErr <- s.Update(t.Context(), func(tx store.Tx) error {
					return errors.Join(tx.(store.Holder).Hold("slow", "k", first), tx.Put("things", "a", []byte("1")), tx.Put("things", "b", []byte("1")), tx.Delete("things", "gone"))
				})
			}()
			<-first.committing
			ran := make(chan string, 1)
			go func() {
				secondErr <- s.Update(t.Context(), func(tx store.Tx) error {
					seen, err := seenBySecond(tx)
					ran <- seen
					return err
				})
			}()
			if seen := <-ran; seen != "a=1 gone=false a c c a" {
				t.Errorf("the second saw %s", seen)
			}
			select {
			case err := <-secondErr:
				t.Errorf("acknowledged before what it read: %v", err)
			default:
			}
			if value(t, s, "a") != nil || string(value(t, s, "gone")) != "old" {
				t.Error("a view sees what is not durable")
			}
			close(first.release)
			if err := <-firstErr; !errors.Is(err, fail) {
				t.Errorf("first: %v", err)
			}
			if err := <-secondErr; !errors.Is(err, fail) {
				t.Errorf("second: %v", err)
			}
			if (value(t, s, "a") != nil) != (fail == nil) || (value(t, s, "c") != nil) != (fail == nil) || value(t, s, "b") != nil {
				t.Error("not as acknowledged")
			}
			put(t, s, "after", "v")
			if string(value(t, s, "after")) != "v" {
				t.Error("the store does not go on")
			}
		})
	}
}

// An error of a function that read what never came to be is not told: "is there already" would make its caller believe in a record that is lost.
func TestAnErrorOfWhatNeverWasIsNotTold(t *testing.T) {
	errThere := errors.New("is there already")
	for _, fail := range []error{nil, store.ErrFull} {
		t.Run(fmt.Sprint(fail), func(t *testing.T) {
			s := create(t)
			first := &slow{committing: make(chan struct{}), release: make(chan struct{})}
			if fail != nil {
				bolt.FailNextCommit(s, fail)
			}
			var errs [3]chan error
			ran := make(chan struct{})
			update := func(i int, fn func(store.Tx) error) {
				errs[i] = make(chan error, 1)
				go func() {
					errs[i] <- s.Update(t.Context(), func(tx store.Tx) error {
						if i > 0 {
							defer func() { ran <- struct{}{} }()
						}
						return fn(tx)
					})
				}()
			}
			there := func(tx store.Tx) error {
				if _, err := tx.Get("things", "a"); err != nil {
					return err
				}
				return errThere
			}
			update(0, func(tx store.Tx) error {
				return errors.Join(tx.(store.Holder).Hold("slow", "k", first), tx.Put("things", "a", nil))
			})
			<-first.committing
			update(1, there) // before any other of its batch
			<-ran
			update(2, func(tx store.Tx) error { return tx.Put("things", "b", nil) })
			<-ran
			more := make(chan error, 1)
			go func() { more <- s.Update(t.Context(), func(tx store.Tx) error { defer close(ran); return there(tx) }) }()
			<-ran
			close(first.release)
			for i, want := range []error{fail, errThere, fail, errThere} {
				err := error(nil)
				if i < len(errs) {
					err = <-errs[i]
				} else {
					err = <-more
				}
				if fail != nil {
					want = fail
				}
				if !errors.Is(err, want) || fail != nil && errors.Is(err, errThere) {
					t.Errorf("call %d: %v, want %v", i, err, want)
				}
			}
		})
	}
}

// explosive is a held value that panics when it is encoded.
type explosive struct{ *slow }

func (e explosive) Encode() ([]byte, error) {
	_, _ = e.slow.Encode()
	panic("explosive")
}

// A leader that falls over a held value takes nobody along but the batches that built on it: all are told, and the store goes on.
func TestALeaderThatPanics(t *testing.T) {
	watchdog(t)
	s := create(t)
	fuse := explosive{&slow{committing: make(chan struct{}), release: make(chan struct{})}}
	panicked := make(chan any, 1)
	go func() {
		defer func() { panicked <- recover() }()
		_ = s.Update(t.Context(), func(tx store.Tx) error {
			return errors.Join(tx.(store.Holder).Hold("slow", "k", fuse), tx.Put("things", "a", nil))
		})
	}()
	<-fuse.committing
	ran, second := make(chan struct{}), make(chan error, 1)
	go func() {
		second <- s.Update(t.Context(), func(tx store.Tx) error { defer close(ran); return tx.Put("things", "b", nil) })
	}()
	<-ran
	close(fuse.release)
	if r := <-panicked; r != "explosive" {
		t.Errorf("the leader's caller: %v", r)
	}
	if err := <-second; err == nil {
		t.Error("what was built on it is acknowledged")
	}
	put(t, s, "after", "v")
	if value(t, s, "a") != nil || value(t, s, "b") != nil || string(value(t, s, "after")) != "v" {
		t.Error("not as acknowledged")
	}
}

// seenBySecond writes over the first call's writes and tells what it reads, by every way of reading.
func seenBySecond(tx store.Tx) (string, error) {
	var seen []string
	row := func(k string, _ []byte) (bool, error) {
		seen = append(seen, k)
		return true, nil
	}
	a, err := tx.Get("things", "a")
	seen = append(seen, "a="+string(a))
	_, gone := tx.Get("things", "gone")
	seen = append(seen, fmt.Sprint("gone=", gone == nil))
	err = errors.Join(err, tx.Delete("things", "b"), tx.Put("things", "c", []byte("2")),
		tx.Scan("things", "", "", row), tx.ScanDown("things", "", "", row))
	return strings.Join(seen, " "), err
}

func put(t *testing.T, s *bolt.Store, key, v string) {
	t.Helper()
	if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.Put("things", key, []byte(v)) }); err != nil {
		t.Fatal(err)
	}
}
