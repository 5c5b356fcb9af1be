package postgres_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/postgres"
)

// earlier makes of tables what an earlier format made.
func earlier(t *testing.T, o postgres.Options, format int) {
	t.Helper()
	back := []string{
		"ALTER TABLE $.records RESET (toast_tuple_target)",
		"ALTER TABLE $.commits RESET (toast_tuple_target), ALTER COLUMN collections SET STORAGE EXTENDED, ALTER COLUMN keys SET STORAGE EXTENDED",
		"DELETE FROM $.migrations WHERE number = 3",
	}
	if format == 1 {
		back = append(back, "ALTER TABLE $.records ADD CHECK (octet_length(collection) BETWEEN 1 AND 32), ADD CHECK (octet_length(key) BETWEEN 1 AND 512), ADD CHECK (octet_length(value) <= 16777216)",
			"ALTER TABLE $.moment ADD CHECK (one)", "DELETE FROM $.migrations WHERE number = 2")
	}
	for _, q := range back {
		server.Exec(t, strings.ReplaceAll(q, "$", o.Schema))
	}
}

// TestTablesOfAnEarlierFormat: tables as formats 1 and 2 made them are read as they are, refused to who may write until they are migrated, by who owns them, and keep their rows.
func TestTablesOfAnEarlierFormat(t *testing.T) {
	for format, applies := range map[int][]string{1: {"0002_no_checks", "0003_in_place"}, 2: {"0003_in_place"}} {
		t.Run(strconv.Itoa(format), func(t *testing.T) { tablesOfFormat(t, format, applies) })
	}
}

func tablesOfFormat(t *testing.T, format int, applies []string) {
	ctx := context.Background()
	o := fresh(server)
	s := create(t, o)
	put(t, s, "a", "1")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	earlier(t, o, format)
	if _, err := postgres.Open(ctx, o); !postgres.Behind(err) || !errors.Is(err, store.ErrFormat) {
		t.Errorf("not migrated: %v", err)
	}
	reader := o
	reader.ReadOnly = true
	if got := value(t, open(t, reader), "a"); got != "1" {
		t.Errorf("read as they are: %q", got)
	}
	if n := server.AdminQuery(t, "SELECT count(*)::text FROM "+o.Schema+".migrations"); n != strconv.Itoa(format) {
		t.Errorf("who reads migrated them: %s", n)
	}
	if applied, err := postgres.Prepare(ctx, o, ""); err != nil || !slices.Equal(applied, applies) {
		t.Fatalf("migrated: %v %v", applied, err)
	}
	if left := server.AdminQuery(t, "SELECT conname FROM pg_constraint WHERE contype = 'c' AND connamespace = $1::regnamespace", o.Schema); left != "" {
		t.Errorf("a check is left: %s", left)
	}
	toasted := func(when, want string) {
		t.Helper()
		if n := server.AdminQuery(t, "SELECT (pg_relation_size(reltoastrelid) > 0)::text FROM pg_class WHERE oid = ($1 || '.records')::regclass", o.Schema); n != want {
			t.Errorf("%s: in pieces: %s", when, n)
		}
	}
	s = open(t, o)
	if got := value(t, s, "a"); got != "1" {
		t.Errorf("after it: %q", got)
	}
	put(t, s, "a", strings.Repeat("x", 7<<10))
	toasted("a value of a page", "false")
	put(t, s, "b", strings.Repeat("x", 9<<10))
	toasted("a longer one", "true")
}

// A commit takes the moment and then records; a migration beside one takes them in the same order, so that neither is ended for the other.
func TestAMigrationBesideACommit(t *testing.T) {
	o := fresh(server)
	if err := create(t, o).Close(); err != nil {
		t.Fatal(err)
	}
	earlier(t, o, 1)
	commit, migrated := besideMigration(t, o, "UPDATE "+o.Schema+".moment SET seq = seq", "moment")
	_, err := commit.Exec(t.Context(), "DELETE FROM "+o.Schema+".records")
	if err == nil {
		err = commit.Commit(t.Context())
	}
	if merr := <-migrated; err != nil || merr != nil {
		t.Errorf("the commit: %v; the migration: %v", err, merr)
	}
}

// A migration from the last format waits for whoever vacuums the records, and holds no commit up meanwhile.
func TestAMigrationBesideAVacuum(t *testing.T) {
	o := fresh(server)
	if err := create(t, o).Close(); err != nil {
		t.Fatal(err)
	}
	earlier(t, o, 2)
	vacuum, migrated := besideMigration(t, o, "LOCK TABLE "+o.Schema+".records IN SHARE UPDATE EXCLUSIVE MODE", "records")
	if held := server.AdminQuery(t, "SELECT count(*)::text FROM pg_locks l JOIN pg_class c ON c.oid = l.relation WHERE l.granted AND l.mode = 'AccessExclusiveLock' AND c.relnamespace = $1::regnamespace AND c.relname IN ('commits', 'moment', 'records')", o.Schema); held != "0" {
		t.Errorf("it holds %s tables that commits need", held)
	}
	err := vacuum.Commit(t.Context())
	if merr := <-migrated; err != nil || merr != nil {
		t.Errorf("the vacuum: %v; the migration: %v", err, merr)
	}
}

// besideMigration begins a transaction by a statement, and a migration that waits for it at a table.
func besideMigration(t *testing.T, o postgres.Options, sql, table string) (tx pgx.Tx, migrated chan error) {
	t.Helper()
	tx = begun(t, o, sql)
	migrated = make(chan error, 1)
	go func() { migrated <- second(postgres.Prepare(context.Background(), o, "")) }()
	waitsFor(t, o, table, migrated)
	return tx, migrated
}

// begun begins a transaction, on a connection of its own, by a statement.
func begun(t *testing.T, o postgres.Options, sql string) pgx.Tx {
	t.Helper()
	c, err := pgx.Connect(t.Context(), o.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	tx, err := c.Begin(t.Context())
	if err == nil {
		_, err = tx.Exec(t.Context(), sql)
	}
	if err != nil {
		t.Fatal(err)
	}
	return tx
}

// waitsFor gives back when somebody waits for a table; what is migrated meanwhile, nil where nothing is, may not have ended.
func waitsFor(t *testing.T, o postgres.Options, table string, migrated chan error) {
	t.Helper()
	for server.AdminQuery(t, "SELECT count(*)::text FROM pg_locks WHERE NOT granted AND relation = ($1 || '.' || $2)::regclass", o.Schema, table) == "0" {
		select {
		case err := <-migrated:
			t.Fatalf("it did not wait: %v", err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}
