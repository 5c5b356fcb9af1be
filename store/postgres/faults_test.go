package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/run/postgres/postgrestest"
	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/postgres"
	"github.com/zavhoz/zavhoz/store/storetest"
)

func replace(sql, schema string) string { return strings.ReplaceAll(sql, "$", schema) }

// load is writers and readers on several replicas, who note what was acknowledged.
type load struct {
	t       *testing.T
	all     []*postgres.Store
	acked   [4]atomic.Int64 // increments of each counter
	unknown [4]atomic.Int64
	refused atomic.Int64
	stop    chan struct{}
	wg      sync.WaitGroup
}

func startLoad(t *testing.T, all ...*postgres.Store) *load {
	l := &load{t: t, all: all, stop: make(chan struct{})}
	for i := range 12 {
		s, n := all[i%len(all)], i%len(l.acked)
		l.wg.Go(func() { l.write(s, n) })
	}
	for _, s := range all {
		l.wg.Go(func() { l.read(s) })
	}
	return l
}

// write counts in two collections at once.
func (l *load) write(s *postgres.Store, n int) {
	key := fmt.Sprint("n", n)
	for {
		select {
		case <-l.stop:
			return
		default:
		}
		err := s.Update(context.Background(), func(tx store.Tx) error {
			if err := increment(tx, key); err != nil {
				return err
			}
			v, err := tx.Get("things", key)
			if err != nil {
				return err
			}
			return tx.Put("others", key, v)
		})
		switch {
		case err == nil:
			l.acked[n].Add(1)
		case errors.Is(err, store.ErrUnknown):
			l.unknown[n].Add(1)
		case errors.Is(err, store.ErrUnavailable), errors.Is(err, store.ErrDenied), errors.Is(err, store.ErrReadOnly):
			l.refused.Add(1)
		default:
			l.t.Errorf("update: %v", err)
			return
		}
	}
}

// read holds both collections to each other.
func (l *load) read(s *postgres.Store) {
	for {
		select {
		case <-l.stop:
			return
		default:
		}
		err := s.View(context.Background(), func(tx store.Tx) error {
			for n := range l.acked {
				key := fmt.Sprint("n", n)
				a, err := tx.Get("things", key)
				b, berr := tx.Get("others", key)
				if err == nil && berr == nil && string(a) != string(b) {
					l.t.Errorf("half an update: %s and %s", a, b)
				}
				if err != nil && !errors.Is(err, store.ErrNotFound) {
					return err
				}
			}
			return nil
		})
		if err != nil && !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrDenied) && !errors.Is(err, store.ErrReadOnly) {
			l.t.Errorf("view: %v", err)
			return
		}
	}
}

// until waits for so many more acknowledged increments: the service is back.
func (l *load) until(more int64) {
	l.t.Helper()
	sum := func() (n int64) {
		for i := range l.acked {
			n += l.acked[i].Load()
		}
		return n
	}
	goal, deadline := sum()+more, time.Now().Add(time.Minute)
	for sum() < goal {
		if time.Now().After(deadline) {
			l.t.Fatalf("the service is not back: %d of %d", sum(), goal)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// end compares: what was acknowledged is there, and what was not is not, but where nobody could know.
func (l *load) end() {
	l.t.Helper()
	close(l.stop)
	l.wg.Wait()
	total := int64(0)
	for n := range l.acked {
		got, _ := strconv.ParseInt(value(l.t, l.all[0], fmt.Sprint("n", n)), 10, 64)
		acked, unknown := l.acked[n].Load(), l.unknown[n].Load()
		if total += acked; got < acked || got > acked+unknown {
			l.t.Errorf("counter %d: %d were acknowledged, %d are unknown, %d are there", n, acked, unknown, got)
		}
	}
	l.t.Logf("%d updates were acknowledged, %d refused", total, l.refused.Load())
}

// PostgreSQL is killed in the middle of transactions, again and again: nothing acknowledged is lost, nothing happens twice, and it goes on by itself.
func TestTheServerIsKilled(t *testing.T) {
	hurt := postgrestest.Start(t)
	o := fresh(hurt)
	a := create(t, o)
	l := startLoad(t, a, open(t, o))
	kills := 3
	if storetest.Long() {
		kills = 20
	}
	for range kills {
		l.until(30)
		hurt.Kill(t)
		hurt.Restart(t)
	}
	l.until(30)
	l.end()
}

// Sessions are ended in the middle of whatever they do.
func TestSessionsAreEnded(t *testing.T) {
	o := fresh(server)
	l := startLoad(t, create(t, o), open(t, o), open(t, o))
	for range 25 {
		l.until(5)
		server.AdminQuery(t, "SELECT count(pg_terminate_backend(pid))::text FROM pg_stat_activity WHERE application_name LIKE 'zavhoz%'")
	}
	l.until(30)
	l.end()
}

// A commit whose answer is lost happened once, or not at all, and the caller is told which.
func TestALostAnswerIsFoundOut(t *testing.T) {
	o := fresh(server)
	s := create(t, o)
	other := open(t, o)
	put(t, s, "n", "0")
	done := 0
	add := func(st store.Store) error {
		return st.Update(t.Context(), func(tx store.Tx) error { return increment(tx, "n") })
	}
	check := func(what string) {
		t.Helper()
		if got := value(t, other, "n"); got != strconv.Itoa(done) {
			t.Errorf("%s: %s, want %d", what, got, done)
		}
	}
	lose := func(before func()) { // the next answer
		lost := false
		postgres.OnSend(s, func(err error) error {
			if lost {
				return err
			}
			lost = true
			if before != nil {
				before()
			}
			return postgres.LostAnswer()
		})
	}
	for _, again := range []int{0, 1} { // on trust, and under the lock
		lose(nil)
		if err := add(s); err != nil {
			t.Errorf("it was made, and is refused: %v", err)
		}
		done++
		check("an answer is lost")
		lose(func() {
			if err := add(other); err != nil {
				t.Error(err)
			}
			done++
		})
		if err := add(s); err != nil {
			t.Errorf("it was made before another's, and is refused: %v", err)
		}
		done++
		check("another commits before it is asked for")
		postgres.OnSend(s, nil)
		if again == 0 {
			if err := add(other); err != nil {
				t.Error(err)
			}
			done++
		}
	}
	// the database stays away: nobody knows, and that is what is said
	o.Patience = 2 * time.Second
	short := open(t, o)
	postgres.OnSend(short, func(error) error { return postgres.LostAnswer() })
	if err := add(short); !errors.Is(err, store.ErrUnknown) {
		t.Errorf("unknown: %v", err)
	}
	done++ // it was made
	postgres.OnSend(short, nil)
	if err := add(short); err != nil {
		t.Error(err)
	}
	done++
	check("after all")
}

// Rights that are taken away are refused with a clear error, nothing half happens, and it goes on when they are back.
func TestRightsAreTakenAway(t *testing.T) {
	o := fresh(server)
	if _, err := postgres.Prepare(t.Context(), o, postgrestest.Plain); err != nil {
		t.Fatal(err)
	}
	o.URL = server.URLOf(postgrestest.Plain, server.Password, "sslmode=disable")
	s := open(t, o)
	put(t, s, "a", "1")
	server.Exec(t, "REVOKE INSERT ON "+o.Schema+".records FROM "+postgrestest.Plain)
	err := s.Update(t.Context(), func(tx store.Tx) error {
		return errors.Join(tx.Put("things", "a", []byte("2")), tx.Put("things", "b", nil))
	})
	if !errors.Is(err, store.ErrDenied) {
		t.Errorf("without the right to write: %v", err)
	}
	if value(t, s, "a") != "1" || value(t, s, "b") != "-" {
		t.Error("something was written")
	}
	server.Exec(t, "GRANT INSERT ON "+o.Schema+".records TO "+postgrestest.Plain)
	put(t, s, "a", "3")
	server.Exec(t, "REVOKE SELECT ON "+o.Schema+".moment FROM "+postgrestest.Plain)
	if err := s.View(t.Context(), func(store.Tx) error { return nil }); !errors.Is(err, store.ErrDenied) {
		t.Errorf("without the right to read: %v", err)
	}
	server.Exec(t, "GRANT SELECT ON "+o.Schema+".moment TO "+postgrestest.Plain)
	put(t, s, "a", "4")
}

// The role of a running vault can do what it needs and nothing to the tables themselves.
func TestTheRoleOfARunIsNarrow(t *testing.T) {
	o := fresh(server)
	if _, err := postgres.Prepare(t.Context(), o, postgrestest.Plain); err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{
		"DROP TABLE $.records", "ALTER TABLE $.records ADD COLUMN x int", "TRUNCATE $.records", "CREATE TABLE $.x (x int)", "DELETE FROM $.moment", "INSERT INTO $.moment VALUES (true, 1, 1, gen_random_uuid())",
		"UPDATE $.commits SET seq = 1", "DELETE FROM $.migrations", "INSERT INTO $.migrations VALUES (2, 'x', '')", "CREATE TRIGGER x BEFORE INSERT ON $.records EXECUTE FUNCTION suppress_redundant_updates_trigger()",
		"DROP SCHEMA $ CASCADE", "CREATE SCHEMA other",
	} {
		if err := server.TryAs(t, postgrestest.Plain, server.Password, replace(q, o.Schema)); err == nil {
			t.Errorf("it may: %s", q)
		}
	}
	o.URL = server.URLOf(postgrestest.Plain, server.Password, "sslmode=disable")
	s := open(t, o)
	put(t, s, "a", "1")
	if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.Delete("things", "a") }); err != nil {
		t.Error(err)
	}
	if _, err := postgres.Prepare(t.Context(), o, ""); err != nil && !errors.Is(err, store.ErrDenied) {
		t.Errorf("preparing what is prepared: %v", err)
	}
	o.Schema = "elsewhere"
	if _, err := postgres.Create(t.Context(), o); !errors.Is(err, store.ErrDenied) {
		t.Errorf("making a schema: %v", err)
	}
}

// again calls fn until it goes well, for a minute at most: on a busy machine a store of little patience says that the database is away where it is only late.
func again(fn func() error) (err error) {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		if err = fn(); !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrUnknown) {
			break
		}
	}
	return err
}

// impatient is a store that says soon that the database is away.
type impatient struct {
	*postgres.Store
	t *testing.T
}

func openImpatient(t *testing.T, o postgres.Options) impatient {
	t.Helper()
	o.Patience = 500 * time.Millisecond
	s := impatient{t: t}
	err := again(func() (err error) { s.Store, err = postgres.Open(t.Context(), o); return err })
	if err != nil {
		t.Fatal(err)
	}
	closing(t, s.Store)
	return s
}

// put and value hold once the database is there.
func (s impatient) put(v string) {
	s.t.Helper()
	err := again(func() error {
		return s.Update(s.t.Context(), func(tx store.Tx) error { return tx.Put("things", "a", []byte(v)) })
	})
	if err != nil {
		s.t.Errorf("put %s: %v", v, err)
	}
}

func (s impatient) value() (v string) {
	s.t.Helper()
	err := again(func() error {
		return s.View(s.t.Context(), func(tx store.Tx) error {
			b, err := tx.Get("things", "a")
			v = string(b)
			return err
		})
	})
	if err != nil {
		s.t.Errorf("get: %v", err)
	}
	return v
}

// endSessions returns when they are gone: a session that was told to end may answer once more.
func endSessions(t *testing.T) {
	t.Helper()
	pids := server.AdminQuery(t, "SELECT coalesce(string_agg(pid::text || left(pg_terminate_backend(pid)::text, 0), ','), '0') FROM pg_stat_activity WHERE application_name LIKE 'zavhoz%'")
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if server.AdminQuery(t, "SELECT count(*)::text FROM pg_stat_activity WHERE application_name LIKE 'zavhoz%' AND pid IN ("+pids+")") == "0" {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the sessions do not end")
		}
	}
}

// A server that takes no more connections, or has become a standby, is waited for, and then said to be away; it goes on when that is over.
func TestNoConnectionIsFree(t *testing.T) {
	o := fresh(server)
	s := create(t, o)
	put(t, s, "a", "1")
	s2 := openImpatient(t, o)
	server.AdminExec(t, "postgres", "ALTER ROLE "+postgrestest.User+" CONNECTION LIMIT 0")
	endSessions(t)
	if err := s2.View(t.Context(), func(store.Tx) error { return nil }); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a view: %v", err)
	}
	if err := s2.Update(t.Context(), func(tx store.Tx) error { return tx.Put("things", "a", nil) }); !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrUnknown) {
		t.Errorf("an update: %v", err)
	}
	server.AdminExec(t, "postgres", "ALTER ROLE "+postgrestest.User+" CONNECTION LIMIT -1")
	s2.put("2")

	server.AdminExec(t, "postgres", "ALTER ROLE "+postgrestest.User+" SET default_transaction_read_only = on")
	endSessions(t)
	if err := s2.Update(t.Context(), func(tx store.Tx) error { return tx.Put("things", "a", nil) }); err == nil {
		t.Error("a standby took a write")
	}
	if got := s2.value(); got != "2" {
		t.Errorf("reads %q", got)
	}
	server.AdminExec(t, "postgres", "ALTER ROLE "+postgrestest.User+" RESET default_transaction_read_only")
	endSessions(t)
	put(t, s, "a", "3")
	if got := s2.value(); got != "3" {
		t.Errorf("reads %q", got)
	}
}

// More Views at their own moments than there are connections for them: the next waits, and says why when its patience ends.
func TestViewsHoldTheirConnections(t *testing.T) {
	o := fresh(server)
	create(t, o)
	s := openImpatient(t, o)
	inside, release := make(chan error), make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	leave := sync.OnceFunc(func() { close(release) })
	defer leave()
	for i := range 8 {
		s.put(fmt.Sprint(i))
		wg.Go(func() {
			in, got := false, ""
			view := func(tx store.Tx) error {
				in = true
				inside <- nil
				<-release
				v, err := tx.Get("things", "a")
				got = string(v)
				return err
			}
			var err error
			late := again(func() error {
				if err = s.View(t.Context(), view); in {
					return nil
				}
				return err
			})
			if !in {
				inside <- late
			} else if err != nil || got != fmt.Sprint(i) {
				t.Errorf("view %d sees %q, %v", i, got, err)
			}
		})
		if err := <-inside; err != nil {
			t.Fatalf("view %d: %v", i, err)
		}
	}
	s.put("last") // writes go on
	if err := s.View(t.Context(), func(store.Tx) error { return nil }); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("one too many: %v", err)
	}
	leave()
	wg.Wait()
	if got := s.value(); got != "last" {
		t.Error(got)
	}
}
