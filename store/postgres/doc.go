// Package postgres keeps the store in PostgreSQL, for many processes at once.
//
// Promise: that of store.Store, between processes too. Updates of all replicas are serial; a View is of the newest moment that any of them made durable; an Update
// that returned nil is committed, one that failed is not. Where a connection breaks while a commit is on its way, its outcome is found out, never guessed.
//
// One row (moment) names the newest commit: its number, and a random name. A commit is one statement that moves this row from the moment that its functions read to the
// next, and writes only if that row was still so (commit.go). So it happens once or not at all, however often it is sent: who lost the connection sends it again, and
// either it happens now, or the row bears its name, or somebody else's, and then it never will. The name also tells histories apart that have the same numbers: after a
// failover that lost commits, or a restore, nothing is read or written until a person has looked at it (rewound.go).
//
// As every write of a vault changes the same accounts (docs/decisions/0007), writers would collide at one row in any case. So each process puts the functions that wait
// into one commit (writer.go), runs them against the overlay of what they wrote, over that of the commit under way, and asks nobody first as long as it is alone; where the
// commit before comes to nothing they run again. Who was overtaken takes the row's lock, in which PostgreSQL queues who waits, and runs its functions under it. No replica
// starves and none waits for a timer (docs/decisions/0015).
//
// What was read is kept in memory, with the number of the commit that made it so (cache.go). It is used only where the database has just said which moment it is: a View
// asks that with the begin of its own transaction, in one round trip, and shares the question with others that came before it was sent (moment.go, snapshot.go). A lease that
// another replica revoked is not seen in use for even a moment. What many Views lack at once they ask for together (gather.go), and
// what an Update is going to read its caller may ask for before its turn, in which all others would wait for the answer (warm.go).
//
// Limits: a primary that acknowledges before its standby has the commit can lose it by a failover; no commit leaves synchronous_commit off, what the standby
// confirms is the operator's to choose (docs/postgresql.md). A pooler that gives each transaction another connection breaks LISTEN and the leader: connect directly. PostgreSQL
// 13 or later.
//
// History goes one way: who knew a moment, or was given the mark of one (rewound.go), refuses a database that is behind it or has another commit in its place, for good.
//
// Attacks stopped: a server that is not the one (way.go); an earlier state of the tables under a replica that runs (threat-model.md 72); a dump or a replica that is read holds names and ciphertexts only, one that is edited gives errors (threat-model.md 57, 66, 72), for records come
// sealed; a table or function that somebody puts before ours: names are qualified, search_path holds the system's catalog alone. No error and no log of this package holds the address,
// the password or what PostgreSQL says of a row: its SQLSTATE only (threat-model.md 19).
package postgres
