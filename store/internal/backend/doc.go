// Package backend is what the backends of package store share: the writes of a transaction that is not durable yet, laid over what a backend reads, and the notices of what
// became durable.
//
// Promise: a transaction sees its own writes, and those of the batches before it that are on their way to the disk, in the order of keys; what a function wrote that failed
// is taken back, and nobody else's; a slow watcher never keeps a writer waiting, and loses no notice. A backend adds what it reads (Reader) and how a batch
// becomes durable; what a transaction means is said once, here.
//
// It knows no secret: values come sealed (threat-model.md 57), and its errors hold neither keys nor values.
package backend
