// Package postgres lets a command speak to a PostgreSQL server whose password it never holds.
//
// A Front stands in a run's own network for one database resource. It answers the start of the wire protocol itself: the child shows a placeholder,
// the front logs in to the true server with the true password (SCRAM, TLS), and from then on hands messages to and fro.
//
// Promise: the password goes into the upstream handshake and nowhere else, and that handshake does not show it to whoever listens: without a verified
// certificate only SCRAM is spoken. A child reaches the one server, as the one user and in the one database of the resource, or nothing. What the
// upstream says about a failed login never reaches the child: it gets a sentence of ours. Known values in replies are masked by as many bytes, so that
// lengths stay right, and only within the fields that hold text: no message is held back when it is complete, so nobody waits for anybody. Nothing in
// the daemon's environment or home folder (PGPASSWORD, PGSERVICEFILE, .pgpass, root.crt) has a say in where the connection goes. What cannot be recorded
// does not happen.
//
// Attacks stopped: reading the password (threat-model.md 1 to 5), taking the placeholder to another host (34: it means nothing there), dialling private
// addresses by a name in the URL (45, 54: Options.Dial decides), a downgrade to a login in clear text (56), values echoed by an
// allowed service (37, 68: masked), starts that exhaust the daemon (67: sizes, times and counts are bounded, and how often a child may be refused), host and
// user in error texts (65), another run's query cancelled (64: cancel keys are the front's own).
//
// Decisions. The child's side is neither encrypted nor does it use SCRAM: the listener is on the loopback of the run's own network, which nobody else
// reaches, and the placeholder is worth nothing elsewhere; the URL that the child gets says so, and SSLRequest is answered by N. The child still
// must show the placeholder: a program that was given another resource's URL fails here instead of writing to the wrong database.
//
// Limits: the database is the boundary. What the user may do there, the child may do: read, write, ALTER ROLE … PASSWORD, COPY … TO PROGRAM, dblink. A run
// that should do less gets a resource whose user may do less. The password cannot be read back, for PostgreSQL keeps a verifier only; but a row that
// holds it is masked by what the redactor knows, and a query can write it in a way that no redactor knows (38). Host and user in the upstream's own
// messages and functions (inet_server_addr(), current_user) are masked as far as Options.Mask knows them. The upstream library wants the password
// as a Go string, which lives until it is collected and cannot be wiped. Stars within bytea that is written as hex are no hex to the client. A client that
// insists on TLS fails; so do replication, \connect to another database, and client certificates.
package postgres

import (
	"context"
	"crypto/x509"
	"io"
	"net"
	"time"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// Options of a Front. Handle, URL, Placeholder, Dial, Mask and Record are required: none has a default that would be safe.
type Options struct {
	Handle string // of the resource; the one name in messages
	// URL opens the resource's URL, late: once in New, once a connection. The front wipes it.
	URL func() (secret.Secret, error)
	// Placeholder is the password that the child must show: at least 20 letters and digits.
	Placeholder string
	// Roots verify the server's certificate under sslmode verify-ca, verify-full, and require (which then verifies). Nil: the system's for the first two.
	Roots *x509.CertPool
	// Dial connects to host:port as the resource's policy allows. It resolves names itself, and is asked for ip:port of an upstream again to cancel a query.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Mask gives a redacting writer in front of dst that puts as many bytes as it takes. It is asked for one a batch of messages.
	Mask func(dst io.Writer) io.WriteCloser
	// Record keeps an event. An error refuses the connection that it tells of.
	Record func(Event) error

	MaxConns       int           // at once; 0: 64
	StartupTimeout time.Duration // for the child to say who it is; 0: 10 s
	ConnectTimeout time.Duration // for the upstream's login; 0: 30 s
	Random         io.Reader     // of cancel keys; nil: crypto/rand
}

// EventKind says what happened.
type EventKind string

// The kinds of events.
const (
	Opened   EventKind = "opened"   // the upstream took the login; recorded before the child hears of it
	Closed   EventKind = "closed"   // with the bytes that went to and fro
	Denied   EventKind = "denied"   // with the code of the refusal
	Canceled EventKind = "canceled" // the child had a query cancelled
)

// Event is what is told of a connection. It holds no value of a resource but its handle.
type Event struct {
	Kind     EventKind
	Handle   string
	Conn     uint64     // number of the connection within the front, from 1
	Code     fault.Code // of Denied, and of a Closed that broke; else ""
	Sent     int64      // bytes from the child, after the login
	Received int64      // bytes to the child, after the login
}
