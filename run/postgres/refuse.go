package postgres

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// The sentinels of this package.
var (
	errOption        = errors.New("postgres: a required option is missing")
	errStartup       = errors.New("postgres: the first packet is too short or too long")
	errFraming       = errors.New("postgres: the server does not keep to the protocol")
	errMaskLength    = errors.New("postgres: a mask gave back another number of bytes than it took")
	errNoCertificate = errors.New("postgres: the server shows no certificate")
	errServiceFile   = errors.New("postgres: the environment's PGSERVICE cannot be put aside")
	errMask          = errors.New("postgres: the reply could not be masked")
	errNoKey         = errors.New("postgres: no free number for a connection")
)

// SQLSTATEs of our own refusals, as clients know them.
const (
	stateUnreachable = "08001"
	stateProtocol    = "08P01"
	stateUnsupported = "0A000"
	stateParameter   = "22023"
	stateLogin       = "28000"
	statePassword    = "28P01"
	stateDatabase    = "3D000"
	stateTooMany     = "53300"
	stateShutdown    = "57P01"
	stateInternal    = "58000"
)

// refusal is what a child is told when its connection ends.
type refusal struct {
	state string
	why   *fault.Error
}

func refuse(state string, code fault.Code, message, next string) *refusal {
	return &refusal{state, fault.New(code, message, next)}
}

// encode makes the protocol's message of it.
func (r *refusal) encode() []byte {
	b, err := (&pgproto3.ErrorResponse{
		Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: r.state, Message: "zavhoz: " + string(r.why.Code) + ": " + r.why.Message, Hint: r.why.Next,
	}).Encode(nil)
	if err != nil {
		return nil
	}
	return b
}

// Class says why the upstream could not be had, without saying where it is. Frozen: it stands in Details["class"].
type Class string

// The classes.
const (
	DNS         Class = "dns"
	Refused     Class = "refused"
	TimedOut    Class = "timeout"
	Unreachable Class = "unreachable"
	Address     Class = "address"
	Certificate Class = "certificate"
	NoTLS       Class = "tls"
	Full        Class = "full"
	Starting    Class = "starting"
	NoDatabase  Class = "database"
	Setting     Class = "setting"
	Protocol    Class = "protocol"
)

var sentences = map[Class]string{
	DNS:         "the database server's name could not be resolved",
	Refused:     "the database server refuses connections on its port",
	TimedOut:    "the database server did not answer in time",
	Unreachable: "there is no way to the database server's network",
	Address:     "the policy does not allow the address of the database server",
	Certificate: "the database server's certificate does not verify; nothing was sent",
	NoTLS:       "the database server does not speak TLS, and the URL demands it",
	Full:        "the database server takes no more connections",
	Starting:    "the database server is starting up or shutting down",
	NoDatabase:  "the database in the URL does not exist, or the user may not connect to it",
	Setting:     "the database server does not take one of the settings with which the connection starts",
	Protocol:    "the database server ended the login",
}

var nextSteps = map[Class]string{
	Address:     "a person may allow it: zavhoz resource policy HANDLE --allow-private",
	Certificate: "a person checks the server, and gives its certificates: zavhoz resource policy HANDLE --upstream-ca @FILE",
	NoTLS:       "a person checks sslmode in the URL: zavhoz resource edit HANDLE --secret url=-",
	Setting:     "leave settings out of the connection's URL or options, and SET them once connected",
	NoDatabase:  "a person checks the URL: zavhoz resource edit HANDLE --secret url=-",
}

// sqlstate tells whether a text has the form of PostgreSQL's codes, five digits or capitals, which may be shown whoever sent them.
func sqlstate(code string) bool {
	return len(code) == 5 && strings.IndexFunc(code, func(r rune) bool { return (r < '0' || r > '9') && (r < 'A' || r > 'Z') }) < 0
}

// explain turns a failed login into a refusal. No text of the library or the server goes into it: they name hosts and users.
func (f *Front) explain(err error) *refusal {
	handle := f.o.Handle
	var pg *pgconn.PgError
	isPg := errors.As(err, &pg)
	own := fault.CodeOf(err)
	switch {
	case isPg && (pg.Code == "28P01" || pg.Code == "28000"):
		return &refusal{stateLogin, fault.New(fault.RemoteAuthFailed, handle+": the database server refused the login that is in the vault",
			"a person checks user and password: zavhoz resource edit "+handle+" --secret url=-").Because(err)}
	case strings.Contains(err.Error(), "require_auth check failed"), strings.Contains(err.Error(), "channel binding"): // the library has no type for it
		return &refusal{stateLogin, fault.New(fault.RemoteAuthFailed, handle+": the database server asks for a login by which others could learn the password; it was not sent",
			"a person makes the server ask for scram-sha-256, or has its certificate verified: sslmode=verify-full in the URL").Because(err)}
	case errors.Is(err, errServiceFile):
		return &refusal{stateInternal, fault.Of(err)}
	}
	c := classify(err, pg, own)
	next := strings.ReplaceAll(nextSteps[c], "HANDLE", handle)
	if next == "" {
		next = "try again later; `zavhoz resource show " + handle + "` tells a person more"
	}
	why := fault.New(fault.ConnectionFailed, handle+": "+sentences[c], next).With("class", string(c)).Because(err)
	if isPg && sqlstate(pg.Code) {
		why = why.With("sqlstate", pg.Code)
	}
	return &refusal{stateUnreachable, why}
}

func classify(err error, pg *pgconn.PgError, own fault.Code) Class {
	var dns *net.DNSError
	var timeout net.Error
	var certificate *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	switch {
	case own == fault.NotPermitted:
		return Address
	case pg != nil && (pg.Code == "3D000" || pg.Code == "42501"):
		return NoDatabase
	case pg != nil && (pg.Code == "22023" || pg.Code == "42704"):
		return Setting
	case pg != nil && pg.Code == "53300":
		return Full
	case pg != nil && pg.Code == "57P03":
		return Starting
	case errors.As(err, &certificate), errors.As(err, &authority), errors.As(err, &name), errors.Is(err, errNoCertificate):
		return Certificate
	case pg == nil && strings.Contains(err.Error(), "server refused TLS connection"): // the library has no type for it
		return NoTLS
	case errors.As(err, &dns):
		return DNS
	case errors.Is(err, syscall.ECONNREFUSED):
		return Refused
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return Unreachable
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout(), pgconn.Timeout(err):
		return TimedOut
	default:
		return Protocol
	}
}
