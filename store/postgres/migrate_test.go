package postgres_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/postgres"
)

// earlier makes of tables what format 1 made.
func earlier(t *testing.T, o postgres.Options) {
	t.Helper()
	for _, q := range []string{
		"ALTER TABLE $.records ADD CHECK (octet_length(collection) BETWEEN 1 AND 32), ADD CHECK (octet_length(key) BETWEEN 1 AND 512), ADD CHECK (octet_length(value) <= 16777216)",
		"ALTER TABLE $.moment ADD CHECK (one)",
		"DELETE FROM $.migrations WHERE number = 2",
	} {
		server.Exec(t, strings.ReplaceAll(q, "$", o.Schema))
	}
}

// TestTablesOfAnEarlierFormat: tables as format 1 made them are read as they are, refused to who may write until they are migrated, by who owns them, and keep their rows.
func TestTablesOfAnEarlierFormat(t *testing.T) {
	ctx := context.Background()
	o := fresh(server)
	s := create(t, o)
	put(t, s, "a", "1")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	earlier(t, o)
	if _, err := postgres.Open(ctx, o); !postgres.Behind(err) || !errors.Is(err, store.ErrFormat) {
		t.Errorf("not migrated: %v", err)
	}
	reader := o
	reader.ReadOnly = true
	if got := value(t, open(t, reader), "a"); got != "1" {
		t.Errorf("read as they are: %q", got)
	}
	if n := server.AdminQuery(t, "SELECT count(*)::text FROM "+o.Schema+".migrations"); n != "1" {
		t.Errorf("who reads migrated them: %s", n)
	}
	if applied, err := postgres.Prepare(ctx, o, ""); err != nil || !slices.Equal(applied, []string{"0002_no_checks"}) {
		t.Fatalf("migrated: %v %v", applied, err)
	}
	if left := server.AdminQuery(t, "SELECT conname FROM pg_constraint WHERE contype = 'c' AND connamespace = $1::regnamespace", o.Schema); left != "" {
		t.Errorf("a check is left: %s", left)
	}
	s = open(t, o)
	if got := value(t, s, "a"); got != "1" {
		t.Errorf("after it: %q", got)
	}
}

// A commit takes the moment and then records; a migration beside one takes them in the same order, so that neither is ended for the other.
func TestAMigrationBesideACommit(t *testing.T) {
	o := fresh(server)
	if err := create(t, o).Close(); err != nil {
		t.Fatal(err)
	}
	earlier(t, o)
	c, err := pgx.Connect(t.Context(), o.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	commit, err := c.Begin(t.Context())
	if err == nil {
		_, err = commit.Exec(t.Context(), "UPDATE "+o.Schema+".moment SET seq = seq")
	}
	if err != nil {
		t.Fatal(err)
	}
	migrated := make(chan error, 1)
	go func() { migrated <- second(postgres.Prepare(context.Background(), o, "")) }()
	for server.AdminQuery(t, "SELECT count(*)::text FROM pg_locks WHERE NOT granted AND relation = ($1 || '.moment')::regclass", o.Schema) == "0" {
		time.Sleep(5 * time.Millisecond)
	}
	if _, err = commit.Exec(t.Context(), "DELETE FROM "+o.Schema+".records"); err == nil {
		err = commit.Commit(t.Context())
	}
	if merr := <-migrated; err != nil || merr != nil {
		t.Errorf("the commit: %v; the migration: %v", err, merr)
	}
}
