package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/zavhoz/zavhoz/store/postgres"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// table is the earlier system's, on a connection of its own.
type table struct {
	conn   *pgx.Conn
	name   string
	id     pgx.Identifier
	column string // json or jsonb
	titled bool
}

// dial connects, and looks at the table's shape. No error of the database is passed on: its text may hold what it was given.
func dial(ctx context.Context, database secret.Secret, name string) (*table, error) {
	if name == "" {
		name = DefaultTable
	}
	id, ok := identifier(name)
	if !ok {
		return nil, fault.New(fault.InvalidArgument, "a table is named by lower-case letters, digits and `_`, with its schema and a dot before it or without", "")
	}
	c, err := guarded(database)
	switch {
	case errors.Is(err, postgres.ErrExposed): // the password, and every value's name, would go to whoever answers
		return nil, errExposed
	case err != nil:
		return nil, fault.New(fault.InvalidArgument, "that is no address of a PostgreSQL database", "give postgres://user:password@host/database")
	}
	c.ConnectTimeout, c.Tracer = mirrorTime, nil
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return nil, errAway.Because(err)
	}
	t := &table{conn: conn, name: name, id: id}
	if err := t.look(ctx); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

// guarded reads an address, which may have come from a file that ends with a line end.
func guarded(database secret.Secret) (*pgx.ConnConfig, error) {
	return postgres.Guarded(strings.TrimSpace(string(database.Reveal())))
}

// place says which database an address names, without who comes to it.
func place(database secret.Secret) string {
	c, err := guarded(database)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%s:%d/%s", c.Host, c.Port, c.Database)
}

func (t *table) close() { _ = t.conn.Close(context.Background()) }

// look asks for the types of the columns.
func (t *table) look(ctx context.Context) error {
	rows, err := t.conn.Query(ctx, `SELECT attname::text, format_type(atttypid, NULL) FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped`, t.id.Sanitize())
	if err != nil {
		return errAway.Because(err)
	}
	types := map[string]string{}
	var name, typ string
	if _, err = pgx.ForEachRow(rows, []any{&name, &typ}, func() error { types[name] = typ; return nil }); err != nil {
		return errAway.Because(err)
	}
	t.column, t.titled = types["config"], types["title"] != ""
	if t.column != "json" && t.column != "jsonb" || types["id"] == "" || types["slug"] == "" {
		return fault.New(fault.InvalidArgument, "the table is not the earlier system's: it has not id, slug and a config of type json or jsonb", "name it with --table")
	}
	return nil
}

// rows reads every project, in one moment. One whose config cannot be read is odd, and keeps nobody from the others.
func (t *table) rows(ctx context.Context) (out []row, err error) {
	title := "''"
	if t.titled {
		title = "coalesce(title::text, '')"
	}
	rows, err := t.conn.Query(ctx, `SELECT lower(id::text), coalesce(slug::text, ''), `+title+`, coalesce(config::text, '{}') FROM `+t.id.Sanitize()+` ORDER BY slug, id LIMIT $1`, maxRows+1)
	if err != nil {
		return nil, errAway.Because(err)
	}
	var r row
	var config string
	_, err = pgx.ForEachRow(rows, []any{&r.id, &r.slug, &r.title, &config}, func() error {
		x := r
		x.odd = len(config) > 16<<20 || x.parse([]byte(config)) != nil
		out = append(out, x)
		return nil
	})
	switch {
	case err != nil:
		return nil, errAway.Because(err)
	case len(out) > maxRows:
		return nil, fault.Newf(fault.TooLarge, "the table has more than %d projects", maxRows)
	}
	return out, nil
}

// change locks a project's row, and writes what overlay makes of its secrets. A row that is gone is nobody's any more.
func (t *table) change(ctx context.Context, id string, overlay func(map[string]string) error) error {
	tx, err := t.conn.Begin(ctx)
	if err != nil {
		return errAway.Because(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }() // after a commit it does nothing
	var config string
	err = tx.QueryRow(ctx, `SELECT coalesce(config::text, '{}') FROM `+t.id.Sanitize()+` WHERE lower(id::text) = $1 FOR UPDATE`, id).Scan(&config)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return errAway.Because(err)
	}
	next, same, err := changed([]byte(config), overlay)
	if err != nil || same {
		return err
	}
	if _, err = tx.Exec(ctx, `UPDATE `+t.id.Sanitize()+` SET config = $2::`+t.column+` WHERE lower(id::text) = $1`, id, string(next)); err == nil {
		err = tx.Commit(ctx)
	}
	if err != nil {
		return errAway.Because(err)
	}
	return nil
}

// changed gives a config with other secrets; everything else of it stays as it was.
func changed(config []byte, overlay func(map[string]string) error) (next []byte, same bool, err error) {
	all, secrets, texts := map[string]json.RawMessage{}, map[string]json.RawMessage{}, map[string]string{}
	if json.Unmarshal(config, &all) != nil || len(all["secrets"]) > 0 && json.Unmarshal(all["secrets"], &secrets) != nil {
		return nil, false, errAway
	}
	if secrets == nil { // null
		secrets = map[string]json.RawMessage{}
	}
	for name, raw := range secrets {
		var s string
		if json.Unmarshal(raw, &s) == nil {
			texts[name] = s
		}
	}
	was := maps.Clone(texts)
	if err := overlay(texts); err != nil {
		return nil, false, err
	}
	for name, s := range texts {
		if secrets[name], err = json.Marshal(s); err != nil {
			return nil, false, err
		}
	}
	if all["secrets"], err = json.Marshal(secrets); err != nil {
		return nil, false, err
	}
	next, err = json.Marshal(all)
	return next, maps.Equal(was, texts), err
}
