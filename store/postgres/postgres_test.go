package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/run/postgres/postgrestest"
	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/postgres"
	"github.com/zavhoz/zavhoz/store/storetest"
)

var server *postgrestest.Server // of the tests that do not hurt it

// TestMain: with leaderEnv set, this binary is the process that TestALeaderIsKilled kills.
func TestMain(m *testing.M) {
	if address := os.Getenv(leaderEnv); address != "" {
		fmt.Fprintln(os.Stderr, leadAlone(address))
		os.Exit(1)
	}
	var err error
	if server, err = postgrestest.New(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	server.Close()
	os.Exit(code)
}

var schemas atomic.Int64

// fresh gives options for a schema that is not there yet.
func fresh(s *postgrestest.Server) postgres.Options {
	return postgres.Options{URL: s.URL("sslmode=disable"), Schema: fmt.Sprintf("zv_%d", schemas.Add(1)), Patience: 20 * time.Second}
}

// create gives an empty store that closes with the test.
func create(t testing.TB, o postgres.Options) *postgres.Store {
	t.Helper()
	s, err := postgres.Create(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return closing(t, s)
}

func open(t testing.TB, o postgres.Options) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return closing(t, s)
}

func closing(t testing.TB, s *postgres.Store) *postgres.Store {
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, store.ErrClosed) {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func put(t testing.TB, s store.Store, key, value string) {
	t.Helper()
	if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.Put("things", key, []byte(value)) }); err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
}

// value gives what is under key, "-" where nothing is.
func value(t testing.TB, s store.Store, key string) (v string) {
	t.Helper()
	err := s.View(t.Context(), func(tx store.Tx) error {
		b, err := tx.Get("things", key)
		if v = string(b); errors.Is(err, store.ErrNotFound) {
			v, err = "-", nil
		}
		return err
	})
	if err != nil {
		t.Fatalf("get %s: %v", key, err)
	}
	return v
}

func TestContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return create(t, fresh(server)) }, storetest.Options{
		Reopen: func(t *testing.T, s store.Store) store.Store {
			o := postgres.URLOf(s.(*postgres.Store))
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return open(t, o)
		},
		Fault: func(_ *testing.T, s store.Store, err error) { postgres.FailNextCommit(s.(*postgres.Store), err) },
	})
}

// Who may write rows can make one a gigabyte long: it is refused without being fetched, in a View, in an Update and beside others, and the rest is read.
func TestAttack72_AGiantValueIsNotFetched(t *testing.T) {
	o := fresh(server)
	put(t, create(t, o), "k", "one")
	put(t, open(t, o), "other", "two")
	server.Exec(t, replace("UPDATE $.records SET value = decode(repeat('00', 1 + 16*1024*1024), 'hex') WHERE key = 'k'", o.Schema))
	s := open(t, o)
	read := func(tx store.Tx) error { _, err := tx.Get("things", "k"); return err }
	if err := s.View(t.Context(), read); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("in a View: %v", err)
	}
	if err := s.Update(t.Context(), read); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("in an Update: %v", err)
	}
	err := s.View(t.Context(), func(tx store.Tx) error {
		return tx.Scan("things", "", "", func(string, []byte) (bool, error) { return true, nil })
	})
	if !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("in a scan: %v", err)
	}
	if v := value(t, s, "other"); v != "two" {
		t.Errorf("beside it: %q", v)
	}
}

func TestOpenErrors(t *testing.T) {
	ctx := context.Background()
	o := fresh(server)
	if _, err := postgres.Open(ctx, o); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no tables: %v", err)
	}
	wrong := o
	wrong.URL = server.URLOf(postgrestest.User, "canary-password-7Qx", "sslmode=disable")
	_, err := postgres.Open(ctx, wrong)
	if !errors.Is(err, store.ErrDenied) {
		t.Errorf("a wrong password: %v", err)
	}
	for _, bad := range []string{"postgres://app:canary-password-7Qx@%zz/", "host=localhost port=canary-password-7Qx", "canary-password-7Qx"} {
		o := postgres.Options{URL: bad, Patience: time.Second}
		_, oerr := postgres.Open(ctx, o)
		_, perr := postgres.Prepare(ctx, o, "")
		err = errors.Join(err, oerr, perr)
		if oerr == nil || perr == nil {
			t.Errorf("%q: %v %v", bad, oerr, perr)
		}
	}
	if strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), postgrestest.User+"@") {
		t.Errorf("an error tells the address: %v", err)
	}
	o.Schema = `x"; DROP SCHEMA y`
	if _, err := postgres.Create(ctx, o); err == nil {
		t.Error("a schema's name that is none was taken")
	}
}

// Migrations go forward only, and only over what is known.
func TestMigrations(t *testing.T) {
	ctx := context.Background()
	o := fresh(server)
	done := make(chan error, 8)
	for range cap(done) { // under a lock: each replica may try
		go func() {
			_, err := postgres.Prepare(ctx, o, "")
			done <- err
		}()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Errorf("side by side: %v", err)
		}
	}
	if applied, err := postgres.Prepare(ctx, o, ""); err != nil || len(applied) > 0 {
		t.Errorf("again: %v %v", applied, err)
	}
	server.Exec(t, "INSERT INTO "+o.Schema+".migrations (number, name, sum) VALUES (1000, 'later', '')")
	for _, err := range []error{second(postgres.Prepare(ctx, o, "")), second(postgres.Open(ctx, o))} {
		if !errors.Is(err, store.ErrFormat) {
			t.Errorf("a newer format: %v", err)
		}
	}
	server.Exec(t, "DELETE FROM "+o.Schema+".migrations WHERE number = 1000")
	server.Exec(t, "UPDATE "+o.Schema+".migrations SET sum = 'x' WHERE number = 1")
	for _, err := range []error{second(postgres.Prepare(ctx, o, "")), second(postgres.Open(ctx, o))} {
		if !errors.Is(err, store.ErrFormat) {
			t.Errorf("another migration: %v", err)
		}
	}
	server.Exec(t, "DELETE FROM "+o.Schema+".migrations")
	if _, err := postgres.Open(ctx, o); !errors.Is(err, store.ErrFormat) {
		t.Errorf("an earlier format: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

// Whoever acts on a whole vault has it alone.
func TestExclusive(t *testing.T) {
	o := fresh(server)
	s := create(t, o)
	alone := o
	alone.Exclusive = true
	if _, err := postgres.Open(t.Context(), alone); !errors.Is(err, store.ErrBusy) {
		t.Errorf("beside another: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	x := open(t, alone)
	put(t, x, "a", "1")
	for _, o := range []postgres.Options{o, alone} {
		if _, err := postgres.Open(t.Context(), o); !errors.Is(err, store.ErrBusy) {
			t.Errorf("beside who has it alone: %v", err)
		}
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	if got := value(t, open(t, o), "a"); got != "1" {
		t.Error(got)
	}
}

func TestAddress(t *testing.T) {
	t.Setenv("PGPASSWORD", "canary")
	o, err := postgres.Address("postgres://app@db.example:5433/shop?sslmode=require&zavhoz_insecure=yes&zavhoz_schema=team")
	if err != nil || o.Schema != "team" || strings.Contains(o.URL, "zavhoz_schema") || o.Place() != "postgres db.example:5433/shop, schema team" {
		t.Errorf("%+v %v %s", o.Schema, err, o.Place())
	}
	for address, exposed := range map[string]bool{
		"postgres://app@db.example/shop": true, "postgres://app@db.example/shop?sslmode=require": true, "postgres://app@db.example/shop?sslmode=verify-full": false,
		"postgres://app@localhost/shop?sslmode=disable": false, "postgres://app@127.0.0.1,db.example/shop?sslmode=disable": true, "postgres:///shop?host=/run/postgresql": false,
		"postgres://app@db.example/shop?sslmode=verify-ca": true,
	} {
		o, err := postgres.Address(address)
		if errors.Is(err, postgres.ErrExposed) != exposed {
			t.Errorf("%s: %v", address, err)
		}
		if exposed {
			word := "?"
			if strings.Contains(address, "?") {
				word = "&"
			}
			o, err = postgres.Address(address + word + "zavhoz_insecure=yes")
		}
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		if why, err := o.Exposure(); err != nil || (why != "") != exposed {
			t.Errorf("%s: %q %v", address, why, err)
		}
	}
	for address, has := range map[string]bool{
		"postgres://app@h/d": false, "postgres://app:x@h/d": true, "postgres://app@h/d?password=x": true, "host=h password=x": true, "host=h user=app": false, "postgres://app:@h/d": true,
	} {
		if postgres.HasPassword(address) != has {
			t.Error(address)
		}
	}
}

const leaderEnv = "ZAVHOZ_TEST_LEADER"

// leadAlone is the process that TestALeaderIsKilled kills.
func leadAlone(address string) error {
	o, err := postgres.Address(address)
	if err != nil {
		return err
	}
	s, err := postgres.Open(context.Background(), o)
	if err != nil {
		return err
	}
	return s.Lead(context.Background(), "cron", "a child", func(ctx context.Context) {
		fmt.Println("leads")
		<-ctx.Done()
		fmt.Println("no more")
	})
}
