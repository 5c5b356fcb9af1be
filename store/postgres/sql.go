package postgres

import "strings"

// statements are what is asked of the server, over one schema. Each is prepared once for a connection.
type statements struct {
	moment   string // → seq, batch
	commits  string // seq → seq, batch, collections, keys, from it on
	changed  string // seq → collection, key, value (null: none, or long), seq, of what the commits after it changed
	named    string // seq → batch of that commit
	lock     string // → seq, batch, locked until the transaction's end
	get      string // collection, key → seq, batch, value, seq of the record
	gets     string // collections, keys → seq, batch, number of the key from 1, value, seq of the record
	up, down string // collection, lo, hi, limit → seq, batch, key, value (null: long), long
	commit   string // see commit.go
	addition string // the same, with records that nobody looked for
	trim     string // seq: forgets commits before it that are old
	all      string // → every collection
	listen   string
	notify   string // channel, seq
	channel  string
}

// The record's part is joined to the moment, so that one statement, which sees one moment, says which.
const (
	sqlGet = `SELECT m.seq, m.batch, r.value, r.seq FROM {schema}.moment m LEFT JOIN {schema}.records r ON r.collection = $1 AND r.key = $2`

	sqlGets = `SELECT m.seq, m.batch, u.n, r.value, r.seq FROM {schema}.moment m CROSS JOIN unnest($1::text[], $2::bytea[]) WITH ORDINALITY AS u(c, k, n)
LEFT JOIN {schema}.records r ON r.collection = u.c AND r.key = u.k`

	sqlChanged = `SELECT u.c, u.k, CASE WHEN octet_length(r.value) <= 32768 THEN r.value END, r.seq
FROM (SELECT collections, keys FROM {schema}.commits WHERE seq > $1 ORDER BY seq LIMIT 64) c CROSS JOIN LATERAL unnest(c.collections, c.keys) AS u(c, k)
LEFT JOIN {schema}.records r ON r.collection = u.c AND r.key = u.k WHERE c.keys IS NOT NULL LIMIT 1024`

	sqlScan = `SELECT m.seq, m.batch, r.key, CASE WHEN octet_length(r.value) <= 32768 THEN r.value END, octet_length(r.value) > 32768
FROM {schema}.moment m LEFT JOIN LATERAL (
	SELECT key, value FROM {schema}.records WHERE collection = $1 AND key >= $2 AND key < $3 ORDER BY key {way} LIMIT $4
) r ON true ORDER BY r.key {way}`

	// $1, $2: the moment that this commit builds on; $3: its name. Where the row is not at that moment (any more: it waits for who moves it), "moved" is empty, and nothing
	// is written.
	sqlCommit = `WITH moved AS (
	UPDATE {schema}.moment SET seq = seq + 1, batch = $3 WHERE one AND seq = $1 AND batch = $2 RETURNING seq
), written AS (
	INSERT INTO {schema}.records (collection, key, value, seq)
	SELECT u.c, u.k, u.v, moved.seq FROM moved, unnest($4::text[], $5::bytea[], $6::bytea[]) AS u(c, k, v)
	ON CONFLICT (collection, key) DO UPDATE SET value = excluded.value, seq = excluded.seq
), {added}removed AS (
	DELETE FROM {schema}.records r USING moved, unnest($7::text[], $8::bytea[]) AS u(c, k) WHERE r.collection = u.c AND r.key = u.k
), noted AS (
	INSERT INTO {schema}.commits (seq, batch, collections, keys) SELECT moved.seq, $3, $9::text[], $10::bytea[] FROM moved
)
SELECT seq FROM moved`

	// What nobody looked for. One that is there ends the statement, and with it all of the commit.
	sqlAdded = `added AS (
	INSERT INTO {schema}.records (collection, key, value, seq) SELECT u.c, u.k, u.v, moved.seq FROM moved, unnest($11::text[], $12::bytea[], $13::bytea[]) AS u(c, k, v)
), `
)

func statementsOf(schema string) statements {
	in := func(sql string) string { return strings.ReplaceAll(sql, "{schema}", schema) }
	way := func(w string) string { return strings.ReplaceAll(in(sqlScan), "{way}", w) }
	commit := func(added string) string { return in(strings.ReplaceAll(sqlCommit, "{added}", added)) }
	channel := "zavhoz_" + strings.Trim(schema, `"`)
	return statements{
		moment:  in("SELECT seq, batch FROM {schema}.moment"),
		commits: in("SELECT seq, batch, collections, keys FROM {schema}.commits WHERE seq >= $1 ORDER BY seq"),
		changed: in(sqlChanged),
		named:   in("SELECT batch FROM {schema}.commits WHERE seq = $1"),
		lock:    in("SELECT seq, batch FROM {schema}.moment FOR UPDATE"),
		get:     in(sqlGet), gets: in(sqlGets), up: way("ASC"), down: way("DESC"), commit: commit(""), addition: commit(sqlAdded),
		trim:   in("DELETE FROM {schema}.commits WHERE seq < $1 AND at < clock_timestamp() - interval '5 minutes'"),
		all:    in("SELECT DISTINCT collection FROM {schema}.records"),
		listen: `LISTEN "` + channel + `"`, notify: "SELECT pg_catalog.pg_notify($1, $2)", channel: channel,
	}
}
