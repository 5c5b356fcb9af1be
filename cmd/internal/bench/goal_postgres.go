package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/zavhoz/zavhoz/run/postgres/postgrestest"
	"github.com/zavhoz/zavhoz/store/postgres"
)

// overPostgres is goal 9: a secret read and opened, and a value replaced, sealed, audited and its version before kept, through a vault in PostgreSQL; beside raw pgx, that reads
// one value of a project's jsonb, and sets one. The server waits for its disk. The floor's table has as many rows as the vault has resources.
func overPostgres(ctx context.Context, b *bench) ([]Row, error) {
	server, err := postgrestest.NewDurable()
	if err != nil {
		return nil, err
	}
	defer server.Close()
	st, err := postgres.Create(ctx, postgres.Options{URL: server.URL("sslmode=disable")})
	if err != nil {
		return nil, err
	}
	h, err := houseIn(ctx, st, resident)
	if err != nil {
		return nil, err
	}
	raw, err := rawProjects(ctx, server.URL("sslmode=disable&pool_max_conns=40"))
	if err != nil {
		return nil, err
	}
	defer raw.Close()
	f := floorOfProjects{ctx, raw}
	for i := range resident { // every resource has a version before: what is measured is the second edit and those after it
		if err := h.edit(ctx, h.ids[i]); err != nil {
			return nil, err
		}
	}
	rows, err := onePostgres(ctx, b, h, f)
	if err != nil {
		return nil, err
	}
	many, err := manyPostgres(ctx, b, h, f)
	return append(rows, many...), errors.Join(err, h.close(ctx))
}

// open reads a resource and opens its value.
func (h *house) open(ctx context.Context, i int) error {
	r, err := h.Resource(ctx, h.ids[i%resident])
	if err != nil {
		return err
	}
	s, err := h.opener.Open(r.FieldRef("value"), r.Sealed["value"].Value)
	s.Wipe()
	return err
}

func onePostgres(ctx context.Context, b *bench, h *house, f floorOfProjects) ([]Row, error) {
	n := 0
	got, err := turns(b.rounds(1500),
		micros(func() error { n++; return f.read(n) }),
		micros(func() error { return h.open(ctx, n) }),
		micros(func() error { return f.set(n) }),
		micros(func() error { return h.edit(ctx, h.ids[n%resident]) }),
		micros(func() error { _, err := h.add(ctx, fmt.Sprintf("pg_%d", n)); return err }))
	if err != nil {
		return nil, err
	}
	return []Row{
		Row{What: "a secret read and opened, 1 caller, beside raw pgx that reads one of a jsonb", Floor: got[0], Ours: got[1], Unit: "µs"}.times(1.3),
		Row{What: "a value replaced: sealed, audited, its version before kept; 1 caller, beside raw pgx's jsonb_set", Floor: got[2], Ours: got[3], Unit: "µs"}.times(1.3),
		Row{What: "a resource added: sealed, audited; 1 caller, beside raw pgx's jsonb_set", Floor: got[2], Ours: got[4], Unit: "µs"}.ratio(1, "×"),
	}, nil
}

func manyPostgres(ctx context.Context, b *bench, h *house, f floorOfProjects) ([]Row, error) {
	got, err := turns(b.rounds(15),
		func() (float64, error) { return rate(32, f.read) },
		func() (float64, error) { return rate(32, func(i int) error { return h.open(ctx, i) }) },
		func() (float64, error) { return rate(32, f.set) },
		func() (float64, error) { return rate(32, func(i int) error { return h.edit(ctx, h.ids[i%resident]) }) })
	if err != nil {
		return nil, err
	}
	return []Row{
		Row{What: "secrets read and opened, 32 callers, beside raw pgx", Floor: got[0], Ours: got[1], Unit: "/s"}.share(75),
		Row{What: "values replaced, 32 callers, beside raw pgx's jsonb_set", Floor: got[2], Ours: got[3], Unit: "/s"}.share(75),
	}, nil
}

// floorOfProjects is a table as the earlier system has it: a project's secrets in one jsonb, in clear.
type floorOfProjects struct {
	ctx  context.Context
	pool *pgxpool.Pool
}

func rawProjects(ctx context.Context, url string) (*pgxpool.Pool, error) {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return nil, err
	}
	for _, q := range []string{
		"CREATE TABLE projects (id integer PRIMARY KEY, config jsonb NOT NULL)",
		`INSERT INTO projects SELECT i, jsonb_build_object('secrets', (SELECT jsonb_object_agg('KEY_' || k, repeat(md5(i::text || k), 3)) FROM generate_series(0, 9) k))
FROM generate_series(0, ` + fmt.Sprint(resident-1) + `) i`,
	} {
		if _, err := pool.Exec(ctx, q); err != nil {
			pool.Close()
			return nil, err
		}
	}
	return pool, nil
}

func (f floorOfProjects) read(i int) error {
	var v string
	return f.pool.QueryRow(f.ctx, "SELECT config->'secrets'->>$2 FROM projects WHERE id = $1", i%resident, fmt.Sprint("KEY_", i%10)).Scan(&v)
}

func (f floorOfProjects) set(i int) error {
	_, err := f.pool.Exec(f.ctx, "UPDATE projects SET config = jsonb_set(config, ARRAY['secrets', $2], to_jsonb($3::text)) WHERE id = $1", i%resident, fmt.Sprint("KEY_", i%10), newSecret())
	return err
}
