package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/postgres"
	"github.com/zavhoz/zavhoz/store/storetest"
)

// rotor is three processes' stores as one: each transaction goes through the next.
type rotor struct {
	all  []*postgres.Store
	next atomic.Uint64
}

func (r *rotor) one() *postgres.Store { return r.all[r.next.Add(1)%uint64(len(r.all))] }

func (r *rotor) View(ctx context.Context, fn func(store.Tx) error) error {
	return r.one().View(ctx, fn)
}

// Update brings its replica up to date first: the suite's functions say what they see at once, and one that is overtaken runs again.
func (r *rotor) Update(ctx context.Context, fn func(store.Tx) error) error {
	s := r.one()
	if ctx.Err() == nil {
		if err := s.View(ctx, func(store.Tx) error { return nil }); err != nil {
			return err
		}
	}
	return s.Update(ctx, fn)
}

func (r *rotor) Watch(ctx context.Context) <-chan store.Change { return r.all[0].Watch(ctx) }

func (r *rotor) Close() (err error) {
	for _, s := range r.all {
		err = errors.Join(err, s.Close())
	}
	return err
}

func turning(t *testing.T, o postgres.Options) *rotor {
	r := &rotor{}
	for range 3 {
		r.all = append(r.all, open(t, o))
	}
	return r
}

// The contract holds whichever replica a call goes to: what one wrote, the next reads, though each keeps in memory what it has read.
func TestContractOverReplicas(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		o := fresh(server)
		if _, err := postgres.Prepare(t.Context(), o, ""); err != nil {
			t.Fatal(err)
		}
		return turning(t, o)
	}, storetest.Options{
		Reopen: func(t *testing.T, s store.Store) store.Store {
			o := postgres.URLOf(s.(*rotor).all[0])
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return turning(t, o)
		},
		Fault: func(_ *testing.T, s store.Store, err error) {
			r := s.(*rotor)
			postgres.FailNextCommit(r.all[(r.next.Load()+1)%3], err)
		},
		Several: true,
	})
}

// Three replicas that write all the time lose no write and starve nobody.
func TestReplicasWriteSideBySide(t *testing.T) {
	o := fresh(server)
	create(t, o)
	r := turning(t, o)
	const each = 60
	var wg sync.WaitGroup
	for i := range r.all {
		for range 4 {
			wg.Go(func() {
				for range each {
					ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
					if err := r.all[i].Update(ctx, func(tx store.Tx) error { return increment(tx, "n") }); err != nil {
						t.Errorf("replica %d: %v", i, err)
					}
					cancel()
				}
			})
		}
	}
	wg.Wait()
	if got := value(t, r, "n"); got != strconv.Itoa(12*each) {
		t.Errorf("%s, want %d", got, 12*each)
	}
}

func increment(tx store.Tx, key string) error {
	v, err := tx.Get("things", key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	n, _ := strconv.Atoi(string(v))
	return tx.Put("things", key, []byte(strconv.Itoa(n+1)))
}

// A refusal is of the newest moment too: what another replica has just written is not "not there".
func TestARefusalIsNotOfYesterday(t *testing.T) {
	o := fresh(server)
	a := create(t, o)
	b := open(t, o)
	missing := errors.New("missing")
	look := func(s store.Store) error {
		return s.Update(t.Context(), func(tx store.Tx) error {
			if _, err := tx.Get("things", "k"); errors.Is(err, store.ErrNotFound) {
				return missing
			}
			return nil
		})
	}
	for i := range 20 {
		for _, s := range []store.Store{a, b} {
			if err := look(s); !errors.Is(err, missing) {
				t.Fatalf("round %d: %v", i, err)
			}
		}
		put(t, a, "k", "v")
		if err := look(b); err != nil {
			t.Fatalf("round %d, another replica's record: %v", i, err)
		}
		if err := a.Update(t.Context(), func(tx store.Tx) error { return tx.Delete("things", "k") }); err != nil {
			t.Fatal(err)
		}
	}
}

// A View keeps its moment while others write, also for what it has not read yet, and the cache does not lend it newer values.
func TestAViewKeepsItsMoment(t *testing.T) {
	o := fresh(server)
	a := create(t, o)
	b := open(t, o)
	for i := range 40 {
		put(t, a, fmt.Sprintf("k%02d", i), "old")
	}
	err := b.View(t.Context(), func(tx store.Tx) error {
		if v, err := tx.Get("things", "k00"); err != nil || string(v) != "old" {
			t.Errorf("%s %v", v, err)
		}
		for i := range 40 {
			put(t, a, fmt.Sprintf("k%02d", i), "new")
		}
		put(t, b, "more", "new") // b's own cache is at the newest moment now
		if v := value(t, b, "k07"); v != "new" {
			t.Errorf("another View sees %s", v)
		}
		n := 0
		return errors.Join(tx.Scan("things", "", "", func(k string, v []byte) (bool, error) {
			n++
			if string(v) != "old" {
				t.Errorf("%s is %s", k, v)
			}
			in, err := tx.Get("things", k)
			if string(in) != "old" {
				t.Errorf("%s is %s, read by its key", k, in)
			}
			return true, err
		}), func() error {
			if n != 40 {
				return fmt.Errorf("%d records", n)
			}
			return nil
		}())
	})
	if err != nil {
		t.Error(err)
	}
}

// When the database goes back to an earlier moment (a failover that lost commits, a restore, a writer of it), who knew the later one reads and writes nothing any more,
// whatever others write meanwhile, and who kept a mark of it is not let in without a person.
func TestAttack72_HistoryThatGoesBackIsRefused(t *testing.T) {
	o := fresh(server)
	a := create(t, o)
	put(t, a, "k", "one")
	early := a.Mark()
	server.Exec(t, "CREATE TABLE "+o.Schema+".saved AS TABLE "+o.Schema+".records")
	server.Exec(t, "CREATE TABLE "+o.Schema+".saved_moment AS TABLE "+o.Schema+".moment")
	put(t, a, "k", "two")
	put(t, a, "later", "two")
	late := a.Mark()
	reader := open(t, o)
	if value(t, reader, "later") != "two" {
		t.Error("a reader does not see the newest")
	}
	for _, q := range []string{
		"DELETE FROM $.records", "INSERT INTO $.records SELECT * FROM $.saved", "DELETE FROM $.commits WHERE seq > 1", "DELETE FROM $.moment",
		"INSERT INTO $.moment SELECT * FROM $.saved_moment",
	} {
		server.Exec(t, replace(q, o.Schema))
	}
	read := func(tx store.Tx) error { _, err := tx.Get("things", "k"); return err }
	refused := func(when string) {
		t.Helper()
		for range 2 {
			if err := a.Update(t.Context(), func(tx store.Tx) error { return tx.Put("things", "y", []byte("v")) }); !errors.Is(err, store.ErrRewound) {
				t.Errorf("%s: it writes: %v", when, err)
			}
			if err := a.View(t.Context(), read); !errors.Is(err, store.ErrRewound) {
				t.Errorf("%s: it reads: %v", when, err)
			}
		}
	}
	if err := reader.View(t.Context(), read); !errors.Is(err, store.ErrRewound) {
		t.Errorf("who only reads: %v", err)
	}
	refused("behind")
	for _, c := range []struct {
		mark    string
		refused bool
	}{{"", false}, {early, false}, {late, true}, {"3:zz", true}} {
		m := o
		m.Mark = c.mark
		s, err := postgres.Open(t.Context(), m)
		if errors.Is(err, store.ErrRewound) != c.refused || !c.refused && err != nil {
			t.Errorf("opened with the mark %q: %v", c.mark, err)
		}
		if err == nil {
			closing(t, s)
		}
	}
	b := open(t, o)
	put(t, b, "k", "other history") // as many commits as a knew
	put(t, b, "x", "other history")
	refused("level, with other commits")
	put(t, b, "x", "other history again")
	refused("beyond")
	m := o
	m.Mark = late
	if s, err := postgres.Open(t.Context(), m); !errors.Is(err, store.ErrRewound) {
		t.Errorf("another history that went on is opened: %v", err)
		if err == nil {
			closing(t, s)
		}
	}
}

// A replica that does nothing hears what the others write, and has it in memory: who writes next need not read it under the lock that all writers wait for.
func TestAReplicaFollowsInMemory(t *testing.T) {
	o := fresh(server)
	a := create(t, o)
	put(t, a, "k", "old")
	b := open(t, o)
	put(t, a, "k", "new")
	put(t, a, "fresh", "v")
	for key, want := range map[string]string{"k": "new", "fresh": "v"} {
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			if v, known := postgres.Knows(b, "things", key); known && string(v) == want {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s is not known", key)
			}
		}
	}
}

func TestWatchTellsOfOthers(t *testing.T) {
	o := fresh(server)
	a := create(t, o)
	b := open(t, o)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	heard := b.Watch(ctx)
	tell := func(s store.Store, key string) {
		t.Helper()
		put(t, s, key, "v")
		for {
			select {
			case n, ok := <-heard:
				if !ok {
					t.Fatal("the watch ended")
				}
				if n.Collection == "things" && (n.Key == key || n.Key == "") {
					return
				}
			case <-ctx.Done():
				t.Fatalf("no notice of %s\n%s", key, server.Log())
			}
		}
	}
	tell(a, "of another")
	tell(b, "of its own")
	server.AdminQuery(t, "SELECT count(pg_terminate_backend(pid))::text FROM pg_stat_activity WHERE application_name LIKE 'zavhoz%'")
	tell(a, "after the connections were lost")
	server.AdminQuery(t, "SELECT count(pg_terminate_backend(pid))::text FROM pg_stat_activity WHERE application_name LIKE 'zavhoz%' AND query LIKE 'LISTEN%'")
	for i := range 30 { // some of them while nobody listens
		tell(a, fmt.Sprint("while it is away ", i))
	}
	server.Exec(t, "DELETE FROM "+o.Schema+".commits") // as when it was away for too long
	tell(a, "after a gap")
}
