package postgres_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/postgres"
)

// slow is a held value whose commit waits: the next batch's functions run meanwhile.
type slow struct {
	committing, release chan struct{}
	once                sync.Once
}

func newSlow() *slow { return &slow{committing: make(chan struct{}), release: make(chan struct{})} }

func (s *slow) Encode() ([]byte, error) {
	s.once.Do(func() {
		close(s.committing)
		<-s.release
	})
	return []byte("slow"), nil
}

// pair is two Updates: the second's function runs while the first's commit is held up.
type pair struct {
	first, second chan error
	ran           *runs
	held          *slow
}

// runs is what a function tells of each time that it ran; it is run again as often as it is overtaken, and never waits for who listens.
type runs struct {
	begun chan string // what it told the first time
	mu    sync.Mutex
	last  string
	told  bool
}

func newRuns() *runs { return &runs{begun: make(chan string, 1)} }

func (r *runs) tell(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.told {
		r.begun <- what
	}
	r.told, r.last = true, what
}

// end gives what it told the last time.
func (r *runs) end() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// startPair lets the first count up and write `a`, and gives back when the second's function has run over that.
func startPair(t *testing.T, s *postgres.Store) *pair {
	t.Helper()
	p := &pair{first: make(chan error, 1), second: make(chan error, 1), ran: newRuns(), held: newSlow()}
	go func() {
		p.first <- s.Update(t.Context(), func(tx store.Tx) error {
			return errors.Join(tx.(store.Holder).Hold("slow", "k", p.held), increment(tx, "n"), tx.Put("things", "a", []byte("1")), tx.Put("things", "b", []byte("1")), tx.Delete("things", "gone"))
		})
	}()
	<-p.held.committing
	go func() {
		p.second <- s.Update(t.Context(), func(tx store.Tx) error {
			seen, err := seenBySecond(tx)
			p.ran.tell(seen)
			return err
		})
	}()
	if seen := <-p.ran.begun; seen != "a=1 gone=false a c n n c a" {
		t.Errorf("the second saw %s", seen)
	}
	select {
	case err := <-p.second:
		t.Errorf("acknowledged before what it read: %v", err)
	default:
	}
	return p
}

// seenBySecond counts up, writes over the first call's writes and tells what it reads, by every way of reading.
func seenBySecond(tx store.Tx) (string, error) {
	var seen []string
	row := func(k string, _ []byte) (bool, error) {
		seen = append(seen, k)
		return true, nil
	}
	a, err := tx.Get("things", "a")
	if errors.Is(err, store.ErrNotFound) {
		a, err = []byte("-"), nil
	}
	_, gone := tx.Get("things", "gone")
	seen = append(seen, "a="+string(a), fmt.Sprint("gone=", gone == nil))
	err = errors.Join(err, increment(tx, "n"), tx.Delete("things", "b"), tx.Put("things", "c", []byte("2")), tx.Scan("things", "", "", row), tx.ScanDown("things", "", "", row))
	return strings.Join(seen, " "), err
}

// What runs while a batch is being made durable sees what that batch wrote, is not acknowledged before it, and runs again where that batch never was: it failed, was
// overtaken by another replica, or nobody knows.
func TestWhatReadAnUnfinishedCommitSharesItsFate(t *testing.T) {
	for _, c := range []struct {
		name  string
		hurt  func(s, other *postgres.Store) // before the first is sent
		first error
		again string // what the second saw in the end; "": it ran once
		n     string
	}{
		{"committed", func(*postgres.Store, *postgres.Store) {}, nil, "", "2"},
		{"failed", func(s, _ *postgres.Store) { postgres.FailNextCommit(s, store.ErrFull) }, store.ErrFull, "a=- gone=true c gone n n gone c", "1"},
		{"overtaken", func(_, other *postgres.Store) { put(t, other, "n", "5") }, nil, "", "7"},
		{"its answer is lost", func(s, _ *postgres.Store) { lose(s, 1) }, nil, "", "2"},
		{"its answer is lost, and another commits", func(s, other *postgres.Store) {
			lose(s, 1)
			put(t, other, "n", "5")
		}, nil, "", "7"},
		{"nobody knows", func(s, _ *postgres.Store) { lose(s, -1) }, store.ErrUnknown, "a=1 gone=false a c n n c a", "2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := fresh(server)
			create(t, o)
			other := open(t, o)
			if errors.Is(c.first, store.ErrUnknown) {
				o.Patience = 2 * time.Second
			}
			s := open(t, o)
			put(t, s, "gone", "old")
			p := startPair(t, s)
			if value(t, s, "a") != "-" || value(t, other, "gone") != "old" {
				t.Error("a view sees what is not committed")
			}
			c.hurt(s, other)
			close(p.held.release)
			if err := <-p.first; !errors.Is(err, c.first) {
				t.Errorf("first: %v, want %v", err, c.first)
			}
			postgres.OnSend(s, nil)
			if err := <-p.second; err != nil {
				t.Errorf("second: %v", err)
			}
			last := p.ran.end()
			if c.again != "" && last != c.again {
				t.Errorf("the second saw %q in the end, want %q", last, c.again)
			}
			for _, x := range []*postgres.Store{s, other} {
				if got := value(t, x, "n"); got != c.n {
					t.Errorf("counted %s, want %s", got, c.n)
				}
				lastIsFirst := c.n == "7" && value(t, x, "b") == "1" // both ran again, in either order
				if value(t, x, "c") != "2" || value(t, x, "b") != "-" && !lastIsFirst || (value(t, x, "a") == "1") == errors.Is(c.first, store.ErrFull) {
					t.Error("not as acknowledged")
				}
			}
			put(t, s, "after", "v")
			if value(t, other, "after") != "v" {
				t.Error("the store does not go on")
			}
		})
	}
}

// lose lets the answers to the next n commits be lost; -1: all.
func lose(s *postgres.Store, n int64) {
	var left atomic.Int64
	left.Store(n)
	postgres.OnSend(s, func(err error) error {
		if left.Add(-1) >= 0 || n < 0 {
			return postgres.LostAnswer()
		}
		return err
	})
}

// An error of a function that read what never came to be is not told: "is there already" would make its caller believe in a record that is lost.
func TestAnErrorOfWhatNeverWasIsNotTold(t *testing.T) {
	errThere := errors.New("is there already")
	for _, fail := range []error{nil, store.ErrFull} {
		t.Run(fmt.Sprint(fail), func(t *testing.T) {
			s := create(t, fresh(server))
			first := newSlow()
			if fail != nil {
				postgres.FailNextCommit(s, fail)
			}
			ran := make(chan struct{}, 1)
			there := func(tx store.Tx) error {
				if _, err := tx.Get("things", "a"); err != nil {
					return err
				}
				return errThere
			}
			update := func(fn func(store.Tx) error) chan error {
				done := make(chan error, 1)
				go func() {
					once := sync.OnceFunc(func() { ran <- struct{}{} }) // it may be run again, when nobody listens any more
					done <- s.Update(t.Context(), func(tx store.Tx) error { defer once(); return fn(tx) })
				}()
				return done
			}
			begun := update(func(tx store.Tx) error {
				return errors.Join(tx.(store.Holder).Hold("slow", "k", first), tx.Put("things", "a", nil))
			})
			<-first.committing
			<-ran
			alone := update(there) // before any other of its batch
			<-ran
			good := update(func(tx store.Tx) error { return tx.Put("things", "b", nil) })
			<-ran
			within := update(there)
			<-ran
			close(first.release)
			if err := <-begun; !errors.Is(err, fail) {
				t.Errorf("first: %v", err)
			}
			if err := <-good; err != nil {
				t.Errorf("a good one: %v", err)
			}
			want := errThere
			if fail != nil {
				want = store.ErrNotFound
			}
			if a, w := <-alone, <-within; !errors.Is(a, want) || !errors.Is(w, want) {
				t.Errorf("told %v and %v, want %v", a, w, want)
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

// A leader that falls over a held value takes nobody along: what was built on it runs again, and the store goes on.
func TestALeaderThatPanics(t *testing.T) {
	s := create(t, fresh(server))
	fuse := explosive{newSlow()}
	panicked := make(chan any, 1)
	go func() {
		defer func() { panicked <- recover() }()
		_ = s.Update(t.Context(), func(tx store.Tx) error {
			return errors.Join(tx.(store.Holder).Hold("slow", "k", fuse), tx.Put("things", "a", nil))
		})
	}()
	<-fuse.committing
	ran, second := make(chan struct{}), make(chan error, 1)
	begun := sync.OnceFunc(func() { close(ran) })
	go func() {
		second <- s.Update(t.Context(), func(tx store.Tx) error { begun(); return tx.Put("things", "b", nil) })
	}()
	<-ran
	close(fuse.release)
	if r := <-panicked; r != "explosive" {
		t.Errorf("the leader's caller: %v", r)
	}
	if err := <-second; err != nil {
		t.Errorf("what was built on it: %v", err)
	}
	put(t, s, "after", "v")
	if value(t, s, "a") != "-" || value(t, s, "b") != "" || value(t, s, "after") != "v" {
		t.Error("not as acknowledged")
	}
}

// What the base lacks is asked of the server while the commit before is under way, or has just been made: an answer of either moment counts, and what is kept of it in
// memory is right at both.
func TestReadsBesideACommit(t *testing.T) {
	o := fresh(server)
	s := create(t, o)
	for i := range 40 {
		put(t, s, fmt.Sprintf("k%02d", i), "old")
	}
	for round := range 12 {
		s.Uncache()
		hold, ran := newSlow(), make(chan struct{})
		read := sync.OnceFunc(func() { close(ran) })
		first, second := make(chan error, 1), make(chan error, 1)
		go func() {
			first <- s.Update(t.Context(), func(tx store.Tx) error {
				return errors.Join(tx.(store.Holder).Hold("slow", "k", hold), tx.Put("things", fmt.Sprintf("k%02d", 2*round), []byte("new")), tx.Delete("things", fmt.Sprintf("k%02d", 2*round+1)))
			})
		}()
		<-hold.committing
		released := round%2 == 0
		if released { // its commit is made while the second's function reads
			postgres.OnSend(s, func(err error) error { <-ran; return err })
			close(hold.release)
		}
		go func() {
			second <- s.Update(t.Context(), func(tx store.Tx) error {
				defer read()
				for i := range 40 {
					v, err := tx.Get("things", fmt.Sprintf("k%02d", i))
					want := map[bool]string{true: "old", false: "new"}[i > 2*round]
					if gone := i%2 == 1 && i < 2*round+2; gone != errors.Is(err, store.ErrNotFound) || !gone && string(v) != want {
						t.Errorf("round %d: k%02d is %q, %v", round, i, v, err)
					}
					if i == 20 {
						time.Sleep(5 * time.Millisecond)
					}
				}
				n := 0
				err := tx.Scan("things", "k", "", func(string, []byte) (bool, error) { n++; return true, nil })
				if n != 39-round {
					t.Errorf("round %d: %d rows", round, n)
				}
				return errors.Join(err, tx.Put("things", "x", []byte(fmt.Sprint(round))))
			})
		}()
		if !released {
			time.Sleep(2 * time.Millisecond)
			close(hold.release)
		}
		if err := errors.Join(<-first, <-second); err != nil {
			t.Fatal(err)
		}
		postgres.OnSend(s, nil)
		for i := range 40 {
			want := "old"
			if i < 2*round+2 {
				want = map[bool]string{true: "-", false: "new"}[i%2 == 1]
			}
			if got := value(t, s, fmt.Sprintf("k%02d", i)); got != want {
				t.Errorf("after round %d: k%02d is %s, want %s", round, i, got, want)
			}
		}
	}
}

// Who asks for the newest moment hears of this process's commit before its sender does: it is seen at once, and what is kept in memory goes on with it.
func TestAViewHearsOfACommitFirst(t *testing.T) {
	o := fresh(server)
	s := create(t, o)
	other := open(t, o)
	put(t, s, "n", "0")
	put(t, s, "big", strings.Repeat("x", 40<<10))
	views := 0
	postgres.OnSend(s, func(err error) error {
		views++
		if got := value(t, s, "n"); got != fmt.Sprint(views) {
			t.Errorf("a view sees %s, want %d", got, views)
		}
		return err
	})
	for i := range 6 {
		err := s.Update(t.Context(), func(tx store.Tx) error {
			return errors.Join(increment(tx, "n"), tx.Put("things", "big", []byte(strings.Repeat(fmt.Sprint(i), 40<<10))), tx.Delete("things", "big2"))
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := value(t, s, "big"); got != strings.Repeat(fmt.Sprint(i), 40<<10) {
			t.Errorf("a long value is %.10s", got)
		}
	}
	postgres.OnSend(s, nil)
	if got := value(t, other, "n"); got != "6" {
		t.Error(got)
	}
}

// The next commit is sent before the one before is told of: its functions and every View read both, nobody is acknowledged before what was committed earlier, and each is told of in its turn.
func TestTheNextIsSentBeforeTheLastIsTold(t *testing.T) {
	o := fresh(server)
	s := create(t, o)
	other := open(t, o)
	put(t, s, "n", "0")
	changes := s.Watch(t.Context())
	var sent atomic.Int64
	postgres.OnSend(s, func(err error) error { sent.Add(1); return err })
	release := postgres.HoldTelling(s)
	ends := make([]chan error, 3)
	for i := range ends {
		ends[i] = make(chan error, 1)
		ran := newRuns()
		go func() {
			ends[i] <- s.Update(t.Context(), func(tx store.Tx) error {
				before, err := tx.Get("things", "n")
				ran.tell(string(before))
				return errors.Join(err, increment(tx, "n"), tx.Put("things", fmt.Sprint("by", i), []byte("x")))
			})
		}()
		<-ran.begun
		for i < 2 && sent.Load() <= int64(i) {
			time.Sleep(time.Millisecond)
		}
		if got := ran.end(); got != fmt.Sprint(i) {
			t.Errorf("call %d saw %s", i, got)
		}
		if got, want := value(t, s, "n"), fmt.Sprint(min(i, 1)+1); got != want {
			t.Errorf("a view beside call %d sees %s, want %s", i, got, want)
		}
	}
	if got := value(t, other, "n"); got != "2" {
		t.Errorf("another replica sees %s", got)
	}
	for i, end := range ends {
		select {
		case err := <-end:
			t.Errorf("call %d is acknowledged: %v", i, err)
		default:
		}
	}
	release()
	for i, end := range ends {
		if err := <-end; err != nil {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if got := value(t, s, "n"); got != "3" || sent.Load() != 3 {
		t.Errorf("n is %s after %d commits", got, sent.Load())
	}
	waiting := map[string]bool{"by0": true, "by1": true, "by2": true}
	for len(waiting) > 0 {
		select {
		case ch := <-changes:
			delete(waiting, ch.Key)
		case <-time.After(20 * time.Second):
			t.Fatalf("never told of %v", waiting)
		}
	}
}

// How long commits take is learned of those that were made: nothing of a batch that writes nothing, that fails before it is sent, or that finds itself overtaken.
func TestOnlyCommitsAreMeasured(t *testing.T) {
	o := fresh(server)
	s := create(t, o)
	other := open(t, o)
	put(t, s, "n", "0")
	before := postgres.Paced(s)
	if before == 0 {
		t.Error("a commit is not measured")
	}
	if err := s.Update(t.Context(), func(store.Tx) error { return nil }); err != nil {
		t.Error(err)
	}
	failure := errors.New("failed")
	postgres.FailNextCommit(s, failure)
	if err := s.Update(t.Context(), func(tx store.Tx) error { return increment(tx, "n") }); !errors.Is(err, failure) {
		t.Error(err)
	}
	if n := postgres.Paced(s); n != before {
		t.Errorf("%d measured of what was none", n-before)
	}
	put(t, other, "n", "5")
	if err := s.Update(t.Context(), func(tx store.Tx) error { return increment(tx, "n") }); err != nil || value(t, s, "n") != "6" {
		t.Error(err)
	}
	if n := postgres.Paced(s); n != before+1 {
		t.Errorf("%d measured of a commit that was overtaken once", n-before)
	}
}

// Many Views that look for what is not in memory at the same time each get their own.
func TestViewsAskTogether(t *testing.T) {
	s := create(t, fresh(server))
	for i := range 50 {
		put(t, s, fmt.Sprint("k", i), fmt.Sprint("v", i))
	}
	for range 5 {
		s.Uncache()
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				want := "-"
				if i < 50 {
					want = fmt.Sprint("v", i)
				}
				for range 3 {
					if got := value(t, s, fmt.Sprint("k", i)); got != want {
						t.Errorf("k%d is %s", i, got)
					}
				}
			})
		}
		wg.Wait()
	}
}

// A record whose key nobody has used is not looked for; the commit holds it to that, and nothing of it is written where it is there all the same.
func TestAnAddedRecordIsNew(t *testing.T) {
	o := fresh(server)
	s := create(t, o)
	other := open(t, o)
	add := func(s store.Store, key string, more ...func(store.Tx) error) error {
		return s.Update(t.Context(), func(tx store.Tx) error {
			err := errors.Join(tx.Put("things", "beside", []byte(key)), tx.(store.Adder).Add("things", key, []byte("new")))
			for _, fn := range more {
				err = errors.Join(err, fn(tx))
			}
			return err
		})
	}
	if err := add(s, "a"); err != nil || value(t, s, "a") != "new" || value(t, other, "a") != "new" {
		t.Errorf("%v", err)
	}
	if err := add(other, "a"); !errors.Is(err, store.ErrCorrupt) || value(t, other, "a") != "new" || value(t, s, "beside") != "a" {
		t.Errorf("one that is there: %v", err)
	}
	put(t, s, "taken", "first")
	if err := add(other, "taken"); !errors.Is(err, store.ErrCorrupt) || value(t, other, "taken") != "first" || value(t, s, "beside") != "a" {
		t.Errorf("one that is there, and was not looked for: %v", err)
	}
	twice := func(tx store.Tx) error { return tx.(store.Adder).Add("things", "b", nil) }
	if err := add(s, "b", twice); !errors.Is(err, store.ErrCorrupt) || value(t, s, "b") != "-" {
		t.Errorf("twice in one: %v", err)
	}
	again := func(tx store.Tx) error {
		return errors.Join(tx.Delete("things", "taken"), tx.(store.Adder).Add("things", "taken", []byte("again")), tx.Put("things", "c", []byte("over")))
	}
	if err := add(s, "c", again); err != nil || value(t, other, "c") != "over" || value(t, other, "taken") != "again" {
		t.Errorf("over what is removed: %v, %s", err, value(t, other, "taken"))
	}
	lose(s, 1)
	if err := add(s, "d"); err != nil || value(t, other, "d") != "new" {
		t.Errorf("its answer is lost: %v", err)
	}
	if err := s.View(t.Context(), func(tx store.Tx) error { return tx.(store.Adder).Add("things", "e", nil) }); !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("in a view: %v", err)
	}
}

// What is in memory makes room row by row: the one that every commit changes is not the first to go.
func TestManyRowsDoNotPushOutTheOne(t *testing.T) {
	there := 0
	for range 10 {
		if postgres.Outlasts(100) { // of 1,500
			there++
		}
	}
	if there < 3 {
		t.Errorf("it was there %d times of 10", there)
	}
}
