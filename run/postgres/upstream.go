package postgres

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"maps"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgproto3"
)

// maxLoginMessage is how long a message of the upstream may be before it took the login, in bytes: the longest lists of parameters are far shorter.
const maxLoginMessage = 64 << 10

// upstream is a connection that the server took.
type upstream struct {
	conn   net.Conn
	pg     *pgconn.PgConn // only to cancel
	status map[string]string
}

// login connects to the first of the target's hosts that answers as it should. params are the child's, already filtered.
func (f *Front) login(ctx context.Context, t *target, params map[string]string) (*upstream, error) {
	c, err := f.config(t, params)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, f.o.ConnectTimeout)
	defer cancel()
	pg, err := pgconn.ConnectConfig(ctx, c)
	c.Password = "" // the connection keeps its configuration
	if err != nil {
		return nil, err
	}
	if err := pg.SyncConn(ctx); err != nil {
		_ = pg.Close(ctx)
		return nil, err
	}
	h, err := pg.Hijack()
	if err != nil {
		_ = pg.Close(ctx)
		return nil, err
	}
	_ = h.Conn.SetDeadline(time.Time{})
	return &upstream{conn: h.Conn, pg: pg, status: h.ParameterStatuses}, nil
}

// config makes the library's configuration out of the target alone.
func (f *Front) config(t *target, params map[string]string) (*pgconn.Config, error) {
	c, err := blank()
	if err != nil {
		return nil, err
	}
	c.User, c.Password, c.Database = t.user, string(t.password), t.database
	c.DialFunc = f.o.Dial
	c.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil } // Dial resolves, and decides
	c.MaxProtocolMessageBodyLen = maxLoginMessage
	c.SSLNegotiation = t.params["sslnegotiation"]
	c.ChannelBinding = t.params["channel_binding"]
	c.ValidateConnect = sessionAttrs[t.params["target_session_attrs"]]
	c.ConnectTimeout = f.perHost(t)
	c.RuntimeParams = t.startParams()
	maps.Copy(c.RuntimeParams, params)
	mode := t.sslMode()
	if mode == "" && f.o.Roots != nil {
		mode = "verify-full" // who gives certificates wants them to be looked at
	}
	c.RequireAuth = t.requireAuth(mode)
	var all []*pgconn.FallbackConfig
	for _, h := range t.hosts {
		for _, tc := range tlsConfigs(mode, h.host, f.o.Roots) {
			all = append(all, &pgconn.FallbackConfig{Host: h.host, Port: h.port, TLSConfig: tc})
		}
	}
	c.Host, c.Port, c.TLSConfig, c.Fallbacks = all[0].Host, all[0].Port, all[0].TLSConfig, all[1:]
	return c, nil
}

// perHost is how long one host may take: one that says nothing must not use up the time of the next.
func (f *Front) perHost(t *target) time.Duration {
	each := f.o.ConnectTimeout / time.Duration(len(t.hosts))
	if s, err := strconv.Atoi(t.params["connect_timeout"]); err == nil && s > 0 && s < int(each/time.Second) {
		return time.Duration(s) * time.Second
	}
	return each
}

// requireAuth says which logins are taken. Where anybody may sit between us and the server only SCRAM is: it shows the password to nobody, and
// makes the server prove that it knows it. The URL may say otherwise: a person wrote it.
func (t *target) requireAuth(mode string) string {
	switch {
	case t.params["require_auth"] != "":
		return t.params["require_auth"]
	case len(t.password) == 0:
		return "none"
	case mode == "verify-ca" || mode == "verify-full":
		return "scram-sha-256,md5,password"
	default:
		return "scram-sha-256"
	}
}

// startParams are the settings in the URL that the server is told at the start.
func (t *target) startParams() map[string]string {
	m := map[string]string{}
	for name, value := range t.params {
		if allowedSetting(name) || name == "options" {
			m[name] = value
		}
	}
	return m
}

var sessionAttrs = map[string]pgconn.ValidateConnectFunc{
	"": nil, "any": nil,
	"read-write":     pgconn.ValidateConnectTargetSessionAttrsReadWrite,
	"read-only":      pgconn.ValidateConnectTargetSessionAttrsReadOnly,
	"primary":        pgconn.ValidateConnectTargetSessionAttrsPrimary,
	"standby":        pgconn.ValidateConnectTargetSessionAttrsStandby,
	"prefer-standby": pgconn.ValidateConnectTargetSessionAttrsPreferStandby,
}

// tlsConfigs gives what is tried in turn, as libpq does; nil is an unencrypted connection.
func tlsConfigs(mode, host string, roots *x509.CertPool) []*tls.Config {
	unverified := &tls.Config{ServerName: host, InsecureSkipVerify: true, MinVersion: tls.VersionTLS12, NextProtos: []string{"postgresql"}}
	if mode == "require" && roots != nil {
		mode = "verify-ca"
	}
	switch mode {
	case "disable":
		return []*tls.Config{nil}
	case "allow":
		return []*tls.Config{nil, unverified}
	case "require":
		return []*tls.Config{unverified}
	case "verify-ca":
		c := unverified.Clone()
		c.VerifyConnection = func(s tls.ConnectionState) error { return verifyChain(s, roots) }
		return []*tls.Config{c}
	case "verify-full":
		c := unverified.Clone()
		c.InsecureSkipVerify, c.RootCAs = false, roots
		return []*tls.Config{c}
	default: // prefer
		return []*tls.Config{unverified, nil}
	}
}

// verifyChain is all of the usual check but the name.
func verifyChain(s tls.ConnectionState, roots *x509.CertPool) error {
	if len(s.PeerCertificates) == 0 {
		return errNoCertificate
	}
	o := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
	for _, c := range s.PeerCertificates[1:] {
		o.Intermediates.AddCert(c)
	}
	if _, err := s.PeerCertificates[0].Verify(o); err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: s.PeerCertificates, Err: err}
	}
	return nil
}

// blank gives a configuration in which nothing is set. The library takes only what its ParseConfig made, and that asks the environment and the
// home folder: it is called once, with everything it asks for given, and then all that it found is erased.
func blank() (*pgconn.Config, error) {
	parsed, err := parsedOnce()
	if err != nil {
		return nil, err
	}
	c := parsed.Copy()
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		if field := v.Field(i); field.CanSet() {
			field.SetZero()
		}
	}
	c.BuildFrontend = pgproto3.NewFrontend
	c.BuildContextWatcherHandler = func(pg *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.DeadlineContextWatcherHandler{Conn: pg.Conn()}
	}
	return c, nil
}

var parsedOnce = sync.OnceValues(parseNothing)

// everything names all that ParseConfig would look up elsewhere. The host is a socket's folder: for one no certificate is read.
const everything = `host=/nonexistent port=1 user=x password=x dbname=x sslmode=disable sslcertmode=disable sslrootcert='' sslcert='' sslkey='' sslpassword='' sslsni=0 ` +
	`sslnegotiation=postgres channel_binding=disable require_auth='' target_session_attrs=any connect_timeout=1 passfile=/nonexistent options='' application_name='' ` +
	`timezone='' min_protocol_version=3.0 max_protocol_version=3.0`

func parseNothing() (*pgconn.Config, error) {
	if os.Getenv("PGSERVICE") == "" {
		return pgconn.ParseConfig(everything)
	}
	// A service that is named is read, and only another name gets in front of it: one that says nothing.
	dir, err := os.MkdirTemp("", "zavhoz-pg-")
	if err != nil {
		return nil, errors.Join(errServiceFile, err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "service")
	if err := os.WriteFile(file, []byte("[zavhoz]\n"), 0o600); err != nil {
		return nil, errors.Join(errServiceFile, err)
	}
	return pgconn.ParseConfig(everything + " service=zavhoz servicefile='" + file + "'")
}
