package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// floorOfProjects is a table as the earlier system has it: a project's secrets in one jsonb, in clear.
type floorOfProjects struct {
	ctx  context.Context
	pool *pgxpool.Pool
}

// rawProjects makes the tables of the floors.
func rawProjects(ctx context.Context, url string) (*pgxpool.Pool, error) {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return nil, err
	}
	for _, q := range []string{
		"CREATE TABLE projects (id integer PRIMARY KEY, config jsonb NOT NULL)",
		`INSERT INTO projects SELECT i, jsonb_build_object('secrets', (SELECT jsonb_object_agg('KEY_' || k, repeat(md5(i::text || k), 3)) FROM generate_series(0, 9) k))
FROM generate_series(0, ` + fmt.Sprint(resident-1) + `) i`,
		"CREATE TABLE same_rows (collection text COLLATE \"C\", key bytea, value bytea NOT NULL, PRIMARY KEY (collection, key)) WITH (fillfactor = 80)",
		"ALTER TABLE same_rows ALTER COLUMN value SET STORAGE EXTERNAL",
		"CREATE TABLE one_row (seq bigint PRIMARY KEY, collections text[] NOT NULL, keys bytea[] NOT NULL, contents bytea[] NOT NULL) WITH (toast_tuple_target = 8160)",
		"ALTER TABLE one_row ALTER COLUMN collections SET STORAGE EXTERNAL, ALTER COLUMN keys SET STORAGE EXTERNAL, ALTER COLUMN contents SET STORAGE EXTERNAL",
	} {
		if _, err := pool.Exec(ctx, q); err != nil {
			pool.Close()
			return nil, err
		}
	}
	return pool, nil
}

// walFiles is how many of 16 MiB a server in use has, about: of more than a gigabyte it keeps no more.
const walFiles = 40

// inUse makes a new server like one that was in use for a while: it has files of its log to use again. A new one makes each of them first, which stops everything for 40 ms,
// and who writes more of the log for that time more often. url is that of a role that may.
func inUse(ctx context.Context, url string) error {
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	for range walFiles {
		if _, err := c.Exec(ctx, "SELECT pg_logical_emit_message(true, 'bench', ''), pg_switch_wal()"); err != nil {
			return err
		}
	}
	_, err = c.Exec(ctx, "CHECKPOINT")
	return err
}

func (f floorOfProjects) read(i int) error {
	var v string
	return f.pool.QueryRow(f.ctx, "SELECT config->'secrets'->>$2 FROM projects WHERE id = $1", i%resident, fmt.Sprint("KEY_", i%10)).Scan(&v)
}

func (f floorOfProjects) set(i int) error {
	_, err := f.pool.Exec(f.ctx, "UPDATE projects SET config = jsonb_set(config, ARRAY['secrets', $2], to_jsonb($3::text)) WHERE id = $1", i%resident, fmt.Sprint("KEY_", i%10), newSecret())
	return err
}

// merge adds to a project's secrets, or replaces what has the same name.
func (f floorOfProjects) merge(i int) error {
	_, err := f.pool.Exec(f.ctx, "UPDATE projects SET config = config || jsonb_build_object('secrets', config->'secrets' || $2::jsonb) WHERE id = $1", i%merged, map[string]string{mergedName(i): newSecret()})
	return err
}

// The rows that one edited resource writes: itself, the version before, the audit record and its chain's head, and the row that counts them and sums them up.
var editRows = []struct {
	collection string
	bytes      int
	of         int // keys; 0: each write is a new row
}{{"resources", 800, resident}, {"versions", 800, 0}, {"audit", 400, 0}, {"audit_heads", 200, 1}, {"digests", 900, 1}}

const sqlSameRows = `INSERT INTO same_rows (collection, key, value) SELECT unnest($1::text[]), unnest($2::bytea[]), unnest($3::bytea[])
ON CONFLICT (collection, key) DO UPDATE SET value = excluded.value`

// sameRows writes the rows of so many edits, the first of which has the number n, with one statement: what any store over PostgreSQL pays that keeps them.
func (f floorOfProjects) sameRows(n, edits int) error {
	cols, keys, values := rowsOfEdits(n, edits)
	_, err := f.pool.Exec(f.ctx, sqlSameRows, cols, keys, values)
	return err
}

// oneRow writes the same of the edit n as one new row, whatever reading it would take then: no layout of tables keeps those bytes for less.
func (f floorOfProjects) oneRow(n int) error {
	cols, keys, values := rowsOfEdits(n, 1)
	_, err := f.pool.Exec(f.ctx, "INSERT INTO one_row VALUES ($1, $2, $3, $4)", n, cols, keys, values)
	return err
}

func rowsOfEdits(n, edits int) (cols []string, keys, values [][]byte) {
	for _, r := range editRows {
		for e := n; e < n+edits; e++ {
			key := e
			if r.of > 0 {
				if key = e * 7919 % r.of; r.of == 1 && e > n { // one row that all of them change
					break
				}
			}
			cols, keys, values = append(cols, r.collection), append(keys, rowKey(key)), append(values, make([]byte, r.bytes))
		}
	}
	return cols, keys, values
}

// rawLeases makes a table of so many rows to be looked up by key, as long as a lease is.
func rawLeases(ctx context.Context, pool *pgxpool.Pool, n int) error {
	if _, err := pool.Exec(ctx, "CREATE TABLE leases (id text PRIMARY KEY, value bytea NOT NULL)"); err != nil {
		return err
	}
	_, err := pool.CopyFrom(ctx, pgx.Identifier{"leases"}, []string{"id", "value"}, pgx.CopyFromSlice(n, func(i int) ([]any, error) {
		return []any{string(rowKey(i)), make([]byte, 600)}, nil
	}))
	return err
}

func (f floorOfProjects) lease(i, of int) error {
	var v []byte
	return f.pool.QueryRow(f.ctx, "SELECT value FROM leases WHERE id = $1", string(rowKey(i*7919%of))).Scan(&v)
}
