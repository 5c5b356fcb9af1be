// Package redact keeps known secret values out of what leaves Zavhoz: the output of a run, a proxied reply, a page, a log.
//
// Promise: a value that was added to a Set does not pass, neither raw nor in any of the encodings that ordinary tools write (see
// variants.go): base64 at its three shifts, base32, hex, percent, JSON, HTML, shell, UTF-16, reversed; wrapped into lines or spaced; for a
// multi-line value also each of its lines. The output depends on the bytes alone, never on how they were cut into writes or on
// time, and nothing is exempt: not binary, not the hundredth finding. Held back is only what may still become a match.
//
// Attacks stopped: threat-model.md 1, 2, 50, 58, 59; 60 is counted by the Report. Row 3 (split, rot13, codes …) is the business of the
// Detector, an alarm that withholds instead of masking.
//
// What it does not do: XOR, a cipher, compression, an oracle of one bit a run pass every redactor. Redaction is the net, never the wall
// (docs/design.md §1): a command that a model chose freely never holds a true value.
//
// How it works. All patterns sit in one sorted list, found through an index of q-grams of which only every stride-th text position is
// looked up (index.go). The text is read through two views: without line breaks and the indentation after them (wrap.go), and, where
// a stretch looks like spaced hex, as bare lower-case digits (hexview.go). A Matcher is immutable and shared by any number of Streams.
package redact
