package postgres

import (
	"context"
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/zavhoz/zavhoz/store"
)

// Format is the number of the tables' layout: of the last migration. A database with a greater one gives store.ErrFormat.
const Format = 3

// readable is the earliest format whose tables are read as they are: the migrations after it change what is written alone.
const readable = 1

//go:embed migrations/*.sql
var embedded embed.FS

// step is one migration.
type step struct {
	number int
	name   string
	sql    string
}

// sum is over the text as it is embedded: what was applied is never changed afterwards.
func (s step) sum() []byte {
	h := sha256.Sum256([]byte(s.sql))
	return h[:]
}

// steps are the migrations in order. They are numbered from 1 without a hole, which a test holds.
func steps() (out []step, err error) {
	names, err := fs.Glob(embedded, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	for _, name := range names {
		b, err := embedded.ReadFile(name)
		if err != nil {
			return nil, err
		}
		base := strings.TrimSuffix(strings.TrimPrefix(name, "migrations/"), ".sql")
		digits, _, _ := strings.Cut(base, "_")
		n, err := strconv.Atoi(digits)
		if err != nil {
			return nil, err
		}
		out = append(out, step{n, base, string(b)})
	}
	return out, nil
}

// ErrRole says that there is no role of that name to give rights to.
var ErrRole = errors.New("postgres: no such role")

// quoteRole quotes the name of a role. Two words are no roles in quotes either: PostgreSQL would give "public" the rights, which is everybody.
func quoteRole(role string) (string, error) {
	if role == "" || len(role) > 63 || role == "public" || role == "none" || strings.ContainsFunc(role, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", ErrRole
	}
	return pgx.Identifier{role}.Sanitize(), nil
}

// Prepare makes the schema and its tables where they are not there or of an earlier format, in one transaction under a lock that all replicas share, and gives what it
// applied. It needs a role that may create in the database or owns the schema; with grantTo, that role gets what a running vault needs of it, and nothing else.
// Errors: ErrOld, ErrRole, store.ErrFormat (a newer zavhoz made it, or a migration that was applied is not ours), store.ErrDenied, store.ErrUnavailable.
func Prepare(ctx context.Context, o Options, grantTo string) (applied []string, err error) {
	schema, err := o.schema()
	if err != nil {
		return nil, err
	}
	cfg, err := o.config()
	if err != nil {
		return nil, err
	}
	c, err := pgx.ConnectConfig(ctx, cfg.ConnConfig)
	if err != nil {
		return nil, failure(ctx, err)
	}
	defer c.Close(context.WithoutCancel(ctx))
	if err := fit(ctx, c); err != nil {
		return nil, failure(ctx, err)
	}
	tx, err := c.Begin(ctx)
	if err != nil {
		return nil, failure(ctx, err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if applied, err = migrate(ctx, tx, schema); err == nil && grantTo != "" {
		err = grant(ctx, tx, schema, grantTo)
	}
	if err == nil {
		err = tx.Commit(ctx)
	}
	return applied, failure(ctx, err)
}

func migrate(ctx context.Context, tx pgx.Tx, schema string) (applied []string, err error) {
	if _, err := tx.Exec(ctx, "SELECT pg_catalog.pg_advisory_xact_lock($1)", lockOf(schema, "migrations")); err != nil {
		return nil, err
	}
	var there bool
	if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE pg_catalog.quote_ident(nspname) = $1 OR nspname = $2)",
		schema, strings.Trim(schema, `"`)).Scan(&there); err != nil {
		return nil, err
	}
	if !there {
		if _, err := tx.Exec(ctx, "CREATE SCHEMA "+schema); err != nil {
			return nil, err
		}
	}
	if _, err := tx.Exec(ctx, "CREATE TABLE IF NOT EXISTS "+schema+
		".migrations (number integer PRIMARY KEY, name text NOT NULL, sum bytea NOT NULL, at timestamptz NOT NULL DEFAULT pg_catalog.now())"); err != nil {
		return nil, err
	}
	done, err := appliedSteps(ctx, tx, schema)
	if err != nil {
		return nil, err
	}
	all, err := steps()
	if err != nil {
		return nil, err
	}
	if err := compare(all, done); err != nil {
		return nil, err
	}
	for _, s := range all[len(done):] {
		if _, err := tx.Exec(ctx, strings.ReplaceAll(s.sql, "{schema}", schema)); err != nil {
			return nil, err
		}
		if _, err := tx.Exec(ctx, "INSERT INTO "+schema+".migrations (number, name, sum) VALUES ($1, $2, $3)", s.number, s.name, s.sum()); err != nil {
			return nil, err
		}
		applied = append(applied, s.name)
	}
	return applied, nil
}

// querier is what a connection, a pool and a transaction have in common.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func appliedSteps(ctx context.Context, q querier, schema string) ([]step, error) {
	rows, err := q.Query(ctx, "SELECT number, name, sum FROM "+schema+".migrations ORDER BY number")
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (s step, err error) {
		var sum []byte
		err = r.Scan(&s.number, &s.name, &sum)
		s.sql = string(sum)
		return s, err
	})
}

// compare holds what was applied (sql: its sum) to what this program has.
func compare(all, done []step) error {
	if len(done) > len(all) {
		return fmt.Errorf("%w: the database has format %d, this program knows format %d", store.ErrFormat, len(done), len(all))
	}
	for i, d := range done {
		if d.number != all[i].number || d.sql != string(all[i].sum()) {
			return fmt.Errorf("%w: migration %d of the database is not this program's", store.ErrFormat, all[i].number)
		}
	}
	return nil
}

// grant gives a role what runs need: rows, and nothing of the tables themselves.
func grant(ctx context.Context, tx pgx.Tx, schema, to string) error {
	role, err := quoteRole(to)
	if err != nil {
		return err
	}
	for _, q := range []string{
		"GRANT USAGE ON SCHEMA " + schema + " TO " + role,
		"GRANT SELECT, INSERT, UPDATE, DELETE ON " + schema + ".records TO " + role,
		"GRANT SELECT, UPDATE ON " + schema + ".moment TO " + role,
		"GRANT SELECT, INSERT, DELETE ON " + schema + ".commits TO " + role,
		"GRANT SELECT ON " + schema + ".migrations TO " + role,
	} {
		var pg *pgconn.PgError
		if _, err := tx.Exec(ctx, q); errors.As(err, &pg) && pg.Code == "42704" {
			return ErrRole
		} else if err != nil {
			return err
		}
	}
	return nil
}

// lockOf is the number of an advisory lock of ours: other programs of the same database have theirs.
func lockOf(schema, name string) int64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte("zavhoz\x00" + schema + "\x00" + name))
	return int64(h.Sum64())
}

// known refuses tables that are not of this program's format, or to who only reads of one that it cannot read. Errors: store.ErrNotFound where there are none.
func known(ctx context.Context, q querier, schema string, reads bool) error {
	done, err := appliedSteps(ctx, q, schema)
	if err != nil {
		return failure(ctx, err)
	}
	all, err := steps()
	if err != nil {
		return err
	}
	if err := compare(all, done); err != nil {
		return err
	}
	if len(done) < len(all) && (!reads || len(done) < readable) {
		return errBehind
	}
	return nil
}

// errBehind: Prepare mends it.
var errBehind = fmt.Errorf("%w: the database has an earlier format and was not migrated", store.ErrFormat)

// Behind tells whether an error of Open says that the tables are of an earlier format, which Prepare mends.
func Behind(err error) bool { return errors.Is(err, errBehind) }
