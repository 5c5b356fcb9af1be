package postgres

import (
	"fmt"
	"strings"

	"github.com/zavhoz/zavhoz/store"
)

// statements are what is asked of the server, over one schema. Each is prepared once for a connection.
type statements struct {
	moment   string    // → seq, batch
	commits  string    // seq → seq, batch, collections, keys, from it on
	changed  string    // seq → collection, key, value (null: none, or long), seq, of what the commits after it changed
	named    string    // seq → batch of that commit
	lock     string    // → seq, batch, locked until the transaction's end
	get      string    // collection, key → seq, batch, value (null: none, or longer than any that is put), seq of the record
	gets     string    // collections, keys → seq, batch, number of the key from 1, value (as get's), seq of the record
	up, down string    // collection, lo, hi, limit → seq, batch, key, value (null: long), long
	commit   [8]string // by what there is to do; see commit.go
	trim     string    // seq: forgets commits before it that are old
	all      string    // → every collection
	listen   string
	notify   string // channel, seq
	channel  string
}

// The record's part is joined to the moment, so that one statement, which sees one moment, says which. A value longer than any that is put is not sent: somebody else wrote
// it, and it may be a gigabyte.
const (
	sqlGet = `SELECT m.seq, m.batch, {value}, r.seq FROM {schema}.moment m LEFT JOIN {schema}.records r ON r.collection = $1 AND r.key = $2`

	sqlGets = `SELECT m.seq, m.batch, u.n, {value}, r.seq FROM {schema}.moment m CROSS JOIN unnest($1::text[], $2::bytea[]) WITH ORDINALITY AS u(c, k, n)
LEFT JOIN {schema}.records r ON r.collection = u.c AND r.key = u.k`

	sqlChanged = `SELECT u.c, u.k, CASE WHEN octet_length(r.value) <= 32768 THEN r.value END, r.seq
FROM (SELECT collections, keys FROM {schema}.commits WHERE seq > $1 ORDER BY seq LIMIT 64) c CROSS JOIN LATERAL unnest(c.collections, c.keys) AS u(c, k)
LEFT JOIN {schema}.records r ON r.collection = u.c AND r.key = u.k WHERE c.keys IS NOT NULL LIMIT 1024`

	sqlScan = `SELECT m.seq, m.batch, r.key, CASE WHEN octet_length(r.value) <= 32768 THEN r.value END, octet_length(r.value) > 32768
FROM {schema}.moment m LEFT JOIN LATERAL (
	SELECT key, value FROM {schema}.records WHERE collection = $1 AND key >= $2 AND key < $3 ORDER BY key {way} LIMIT $4
) r ON true ORDER BY r.key {way}`

	// $1, $2: the moment that this commit builds on; $3: its name; $4, $5: what it notes of itself. Where the row is not at that moment (any more: it waits for who moves it),
	// "moved" is empty, and nothing is written. Arrays are unnested where rows are made of them: each in a FROM was first put away as a whole, in memory that the server took from the system and gave back
	// for every commit, a fifth of what a small one costs.
	sqlCommit = `WITH moved AS (
	UPDATE {schema}.moment SET seq = seq + 1, batch = $3 WHERE one AND seq = $1 AND batch = $2 RETURNING seq
), {parts}noted AS (
	INSERT INTO {schema}.commits (seq, batch, collections, keys) SELECT moved.seq, $3, $4::text[], $5::bytea[] FROM moved
)
SELECT seq FROM moved`

	sqlWritten = `written AS (
	INSERT INTO {schema}.records (collection, key, value, seq) SELECT unnest({1}::text[]), unnest({2}::bytea[]), unnest({3}::bytea[]), moved.seq FROM moved
	ON CONFLICT (collection, key) DO UPDATE SET value = excluded.value, seq = excluded.seq
), `
	// What nobody looked for. One that is there ends the statement, and with it all of the commit.
	sqlAdded = `added AS (
	INSERT INTO {schema}.records (collection, key, value, seq) SELECT unnest({1}::text[]), unnest({2}::bytea[]), unnest({3}::bytea[]), moved.seq FROM moved
), `
	sqlRemoved = `removed AS (
	DELETE FROM {schema}.records r USING (SELECT unnest({1}::text[]), unnest({2}::bytea[]) FROM moved) AS u(c, k) WHERE r.collection = u.c AND r.key = u.k
), `
)

// What a commit has to do: the bits of an index into statements.commit. A part that has nothing to do costs the server a third of what all of a small commit does.
const (
	writes = 1 << iota
	adds
	removes
)

// sqlCommitOf gives the statement that does what is asked of it. Its arguments follow in this order.
func sqlCommitOf(what int) string {
	parts, n := "", 5
	for _, p := range []struct {
		bit, args int
		sql       string
	}{{writes, 3, sqlWritten}, {adds, 3, sqlAdded}, {removes, 2, sqlRemoved}} {
		if what&p.bit == 0 {
			continue
		}
		for i := range p.args {
			n++
			p.sql = strings.ReplaceAll(p.sql, fmt.Sprintf("{%d}", i+1), fmt.Sprint("$", n))
		}
		parts += p.sql
	}
	return strings.ReplaceAll(sqlCommit, "{parts}", parts)
}

func statementsOf(schema string) statements {
	in := func(sql string) string {
		return strings.NewReplacer("{schema}", schema, "{value}", fmt.Sprintf("CASE WHEN octet_length(r.value) <= %d THEN r.value END", store.MaxValue)).Replace(sql)
	}
	way := func(w string) string { return strings.ReplaceAll(in(sqlScan), "{way}", w) }
	channel := "zavhoz_" + strings.Trim(schema, `"`)
	st := statements{
		moment:  in("SELECT seq, batch FROM {schema}.moment"),
		commits: in("SELECT seq, batch, collections, keys FROM {schema}.commits WHERE seq >= $1 ORDER BY seq"),
		changed: in(sqlChanged),
		named:   in("SELECT batch FROM {schema}.commits WHERE seq = $1"),
		lock:    in("SELECT seq, batch FROM {schema}.moment FOR UPDATE"),
		get:     in(sqlGet), gets: in(sqlGets), up: way("ASC"), down: way("DESC"),
		trim:   in("DELETE FROM {schema}.commits WHERE seq < $1 AND at < clock_timestamp() - interval '5 minutes'"),
		all:    in("SELECT DISTINCT collection FROM {schema}.records"),
		listen: `LISTEN "` + channel + `"`, notify: "SELECT pg_catalog.set_config('synchronous_commit', 'off', true), pg_catalog.pg_notify($1, $2)", channel: channel,
	}
	for what := range st.commit {
		st.commit[what] = in(sqlCommitOf(what))
	}
	return st
}
