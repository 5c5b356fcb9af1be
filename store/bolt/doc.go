// Package bolt keeps the store in one file, by go.etcd.io/bbolt, and while it is in use in a journal beside it.
//
// Promise: an Update that returned nil is on the disk; one that did not changed nothing. Whatever happens to the file, at rest or
// while it is open, a call gives the right bytes or an error: no other bytes by our doing, no crash, no hang, no silent step back.
//
// Three things stand between that promise and bbolt as it comes:
//
//   - bbolt falls back to the previous transaction, silently, when the newest meta page is damaged, and panics or recurses without
//     end on a damaged tree. So the file is checked before bbolt sees it (check.go): both meta pages, and every page, element and
//     key that can be reached. Damage is store.ErrCorrupt.
//   - bbolt reads by pointers out of a mapping, unchecked. So reads go through a reader of our own, which holds every offset to its
//     page and every page to the file (page.go, tree.go), and a write is let through to bbolt only when the pages it will touch
//     pass the same check again (commit.go). bbolt is left with what it does well: copy-on-write commits.
//   - a mapped file that is cut, or a disk that cannot be read, faults in the middle of a load. So every touch of mapped memory is
//     guarded (guard.go): the fault becomes store.ErrCorrupt, and from then on the store refuses writes.
//
// What is not found here: a flipped byte inside a value, inside a key that stays in order, or in the number of a page, bent so that
// it names an older copy of that page or a part of the tree. Records carry a MAC and collections a keyed count and digest
// (vault/record); those find it. A whole older file put in place of this one is found by neither.
//
// Writes: functions run one at a time, each once, in the goroutine that called Update, against an overlay of buffered writes; one that fails takes
// back its own writes and nobody else's. Updates that arrive while a commit is being made durable run meanwhile, over the overlay of that
// commit's batch, and go together into the next one, without a timer (writer.go). If the commit fails, they fail with it, whatever
// they found: what they read never was.
//
// The journal: a small batch is acknowledged when it is in the journal (journal.go, frame.go), and lies over the file until a checkpoint brings it there (filing.go). The file names
// the one generation of frames that may be replayed onto it (replay.go); after a clean end there is no journal. What cannot be told there: a damaged last frame from one
// that was torn and never acknowledged, and an earlier state of the same generation.
//
// fn must not call Update, View or Close on the same store: it would wait for itself. A View should not wait for an Update either.
//
// Reads: between two commits all readers share one read transaction of bbolt (snapshot.go). bbolt shows a transaction before the disk has its meta page; a View or a
// backup that begins in that moment waits for the disk's word, so nobody acts on what a crash could take back.
//
// One gap is known: bbolt's Open walks the file once more, in a goroutine that we cannot guard. A file that is cut in the milliseconds
// between our check and the end of that walk ends the process. So does one that is cut while a commit that found the disk full is rolled back (tripwire.go).
//
// Power loss: bbolt makes the data pages durable before it writes the meta page (80 bytes, within one sector), so a torn meta page
// needs a disk that tears a sector. kill -9 cannot tear it. Should it happen, Options.AcceptOlderMeta opens the transaction before.
//
// Attacks stopped: a file edited or swapped in part (threat-model.md 57, 66, 72), input that exhausts the process (67).
package bolt
