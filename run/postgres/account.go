package postgres

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// accountTimeout bounds one visit of zavhoz's own: the login and one statement.
const accountTimeout = 30 * time.Second

// scramRounds is PostgreSQL's own number. What it protects here is a password of more than 190 random bits, or one that the server keeps by as many.
const scramRounds = 4096

var errNotASCII = errors.New("postgres: the password is no ASCII text")

// Account is a login of zavhoz's own, outside of any run: to change a password, and to see that one works. It connects as a run's front would: the same look at
// the URL, the certificate, the kind of login and the address.
type Account struct {
	Handle string
	// URL opens the resource's URL, once a visit. It is wiped.
	URL   func() (secret.Secret, error)
	Roots *x509.CertPool // as Options.Roots
	Dial  func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Try logs in and out again. Errors: as a front explains them: remote_auth_failed, connection_failed, secret_invalid, not_supported.
func (a Account) Try(ctx context.Context) error {
	return a.visit(ctx, func(context.Context, *pgconn.PgConn) error { return nil })
}

// SetPassword gives the account's own role another password. The server gets a SCRAM verifier that is made here: neither its log nor who reads its statements
// learns the password. It takes effect at once, and the former password ends with it. Errors: as Try, and not_permitted where the server refuses the change.
func (a Account) SetPassword(ctx context.Context, password secret.Secret) error {
	v, err := verifier(password)
	if err != nil {
		return fault.New(fault.NotSupported, a.Handle+": its password has other characters than ASCII's, which zavhoz does not set", "a person sets it on the database server").Because(err)
	}
	return a.visit(ctx, func(ctx context.Context, pg *pgconn.PgConn) error {
		_, err := pg.Exec(ctx, "ALTER ROLE SESSION_USER PASSWORD '"+v+"'").ReadAll() // base64, digits, "$" and ":": nothing that could end the text
		var said *pgconn.PgError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &said) && sqlstate(said.Code):
			return fault.New(fault.NotPermitted, a.Handle+": the database server does not let the user change its own password", "a person changes it there, and gives the new URL").With("sqlstate", said.Code)
		}
		return fault.New(fault.ConnectionFailed, a.Handle+": the connection broke while the password was changed; it may be changed or not", "go on with the rotation: it looks which of the two works").
			With("class", string(Protocol)).Because(err)
	})
}

func (a Account) visit(ctx context.Context, do func(context.Context, *pgconn.PgConn) error) error {
	ctx, cancel := context.WithTimeout(ctx, accountTimeout)
	defer cancel()
	u, err := a.URL()
	if err != nil {
		return err
	}
	t, err := readTarget(a.Handle, u)
	if err != nil {
		return err
	}
	defer t.wipe()
	f := &Front{o: Options{Handle: a.Handle, Roots: a.Roots, Dial: a.Dial, ConnectTimeout: accountTimeout}}
	c, err := f.config(t, map[string]string{"application_name": "zavhoz"})
	if err != nil {
		return f.explain(err).why
	}
	pg, err := pgconn.ConnectConfig(ctx, c)
	c.Password = "" // the connection keeps its configuration
	if err != nil {
		return f.explain(err).why
	}
	defer func() { _ = pg.Close(context.WithoutCancel(ctx)) }()
	return do(ctx, pg)
}

// verifier is what PostgreSQL keeps of a password (RFC 5802, 7677), as ALTER ROLE takes it. ASCII text is its own SASLprep.
func verifier(password secret.Secret) (string, error) {
	p := password.Reveal()
	for _, c := range p {
		if c < 0x20 || c > 0x7e {
			return "", errNotASCII
		}
	}
	var salt [16]byte
	if _, err := rand.Read(salt[:]); err != nil {
		return "", err
	}
	salted, err := pbkdf2.Key(sha256.New, string(p), salt[:], scramRounds, sha256.Size) // the library wants a string; it cannot be wiped
	if err != nil {
		return "", err
	}
	defer clear(salted)
	client := sha256.Sum256(sum(salted, "Client Key"))
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%s:%s$%s:%s", strconv.Itoa(scramRounds), b64(salt[:]), b64(client[:]), b64(sum(salted, "Server Key"))), nil
}

func sum(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}
