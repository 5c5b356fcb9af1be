package record_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/zavhoz/zavhoz/store"
)

// slowly is a held value whose commit waits: the next batch's functions run meanwhile.
type slowly struct {
	committing, release chan struct{}
	once                sync.Once
}

func (s *slowly) Encode() ([]byte, error) {
	s.once.Do(func() {
		close(s.committing)
		<-s.release
	})
	return []byte("slow"), nil
}

// A record held in one batch is durable when a third one holds it again, while the second, which changed the accounts but not that record, is being made durable: the
// accounts that the second hands on hold the row of before the first, whatever is found in the file by then.
func TestHeldAgainAcrossABatch(t *testing.T) {
	w := newWorld(t)
	w.put("a", "before")
	w.put("b", "before")
	slow := [2]*slowly{}
	for i := range slow {
		slow[i] = &slowly{committing: make(chan struct{}), release: make(chan struct{})}
	}
	batch := func(fn func(tx store.Tx) error) (ran, done chan error) {
		ran, done = make(chan error, 1), make(chan error, 1)
		go func() {
			done <- w.st.Update(t.Context(), func(tx store.Tx) error {
				err := fn(tx)
				select {
				case ran <- err:
				default: // it ran before
				}
				return err
			})
		}()
		return ran, done
	}
	_, first := batch(func(tx store.Tx) error {
		return errors.Join(w.grants.Hold(tx, "a", grant{"a", []string{"1"}}), tx.(store.Holder).Hold("slow", "k0", slow[0]))
	})
	<-slow[0].committing
	ran, second := batch(func(tx store.Tx) error {
		return errors.Join(w.grants.Put(tx, "b", grant{"b", []string{"1"}}), tx.(store.Holder).Hold("slow", "k1", slow[1]))
	})
	<-ran
	close(slow[0].release)
	<-slow[1].committing
	ran, third := batch(func(tx store.Tx) error { return w.grants.Hold(tx, "a", grant{"a", []string{"2"}}) })
	<-ran
	close(slow[1].release)
	if err := errors.Join(<-first, <-second, <-third); err != nil {
		t.Fatal(err)
	}
	if err := w.verify(); err != nil {
		t.Error(err)
	}
}
