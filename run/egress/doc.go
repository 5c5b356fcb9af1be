// Package egress is the only way out of a run: a proxy that puts the true credential in the place of its placeholder, on the way to the hosts that
// the resource allows, and takes it out of what comes back.
//
// Promise: the command never holds a credential. One leaves this package in one place only: the header, the half of a basic login or the path segment that
// the kind names (Swap), in a request whose host, method and path the resource's own rules allow, over TLS to an address that was checked when it
// was dialled. A placeholder elsewhere in the header or the address is refused; in a body it
// stays the meaningless text that it is, and the command's author is told. A request without a placeholder gets no credential: the
// placeholder is what tells two resources for one host apart, and a client that did not ask for a login must not be given one. What comes back passes
// the redactor at its own length: headers, trailers, bodies, WebSocket messages; a range is asked for with a margin on both sides, so that no piece is too short
// to be known. Every request is one record; with the first that cannot be written everything under way is cut, and nothing goes out any more.
//
// Attacks stopped (threat-model.md): the placeholder sent to another host (34), redirects (35), Host and SNI fronting (36), an API that echoes the
// token (37), the placeholder in a body or a query (39), key endpoints and TRACE (40), plain http (41, 56), bodies that cannot be scanned (42),
// WebSocket compression and split frames (43), request smuggling (44: every request is parsed and written anew), DNS rebinding and private addresses (45,
// 54), the run's authority used elsewhere (46: name-constrained, for as long as the run may last, its key never leaves the memory), paths and hosts that can be read in two
// ways (55), matches that are split, at a length of their own or in "binary" (58, 59), exhaustion (67).
//
// Limits. An allowed API that gives the token back in an encoding that the redactor does not know, or in pieces (messages of their own, a text that a model
// writes word by word), cannot be stopped: trust in the allowed host is the boundary (38). Where what is allowed depends on the method, bodies of forms and
// JSON are looked through for a field that names another one (_method); a body of another type, or a field of a framework that nobody knows, is not. What is compressed
// inside a body (an archive) is not seen, up or down. A reply under way is searched for what was known when it began; what it becomes in the run's output, for what is known then. A tunnel to a host that the operator passes through is not
// read: what its TLS holds, and which site behind the same address it means, is between the command and that host. A header that Go has made a string
// of cannot be wiped from memory. A header's name loses its case: one that holds a value of the vault that was not sent in this run is known only where that
// has no capital letters, or where the case happens to be the same.
//
// Connections to a host are kept for the run and the resource that opened them, never shared: whatever state a server ties to one (a login, a reply out
// of step) stays with who caused it. Only TLS sessions to hosts that the system's roots vouch for are resumed across runs.
package egress
