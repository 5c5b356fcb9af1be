package postgres

import (
	"context"
	"errors"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// ErrExposed says that others could be on the way to the server: it leaves this machine, and is not encrypted, or ends at whoever shows any certificate.
var ErrExposed = errors.New("postgres: the way to the server leaves this machine, and its certificate is not verified")

// Exposure says what of the way to the server others could read, "" where nothing: for a warning where Options take it all the same.
func (o Options) Exposure() (warning string, err error) {
	pool, err := o.config()
	if err != nil {
		return "", err
	}
	return exposure(pool.ConnConfig), nil
}

// ways are all addresses that may be dialled, in order.
func ways(c *pgx.ConnConfig) []*pgconn.FallbackConfig {
	return append([]*pgconn.FallbackConfig{{Host: c.Host, TLSConfig: c.TLSConfig}}, c.Fallbacks...)
}

func exposure(c *pgx.ConnConfig) string {
	for _, w := range ways(c) {
		switch {
		case local(w.Host):
		case w.TLSConfig == nil: // sslmode=prefer, which is libpq's default, among them
			return "the way to the database is not always encrypted: who is on it sees names, and could answer in its place. Say sslmode=verify-full in its address"
		case w.TLSConfig.InsecureSkipVerify && (w.TLSConfig.VerifyPeerCertificate == nil || w.TLSConfig.RootCAs == nil): // verify-ca by the system's authorities takes anybody's certificate
			return "the database's certificate is not verified: who is on the way could answer in its place. Say sslmode=verify-full in its address"
		}
	}
	return ""
}

// Guarded reads the address of a database that is no store of ours, and holds it to the same rule: a way off this machine is encrypted and ends at a verified certificate, or a person says in the
// address that it is safe all the same (zavhoz_insecure=yes); there only SCRAM proves the password. Errors, which hold nothing of the address: ErrExposed, and that it cannot be read.
func Guarded(address string) (*pgx.ConnConfig, error) {
	o, err := Address(address)
	if err != nil {
		return nil, err
	}
	c, err := pgx.ParseConfig(o.URL)
	if err != nil {
		return nil, errAddress
	}
	demand(c, o.URL)
	return c, nil
}

// demand lets nobody off this machine ask for the password itself, or for a hash of it that can be guessed at: SCRAM alone, bound to the connection where that is
// encrypted. What the address or the environment says of either counts instead.
func demand(c *pgx.ConnConfig, address string) {
	away, encrypted := false, true
	for _, w := range ways(c) {
		away = away || !local(w.Host)
		encrypted = encrypted && w.TLSConfig != nil
	}
	if !away || c.RequireAuth != "" {
		return
	}
	c.RequireAuth = "scram-sha-256"
	u, err := url.Parse(address)
	said := err != nil || u.Query().Has("channel_binding") || strings.Contains(address, "channel_binding") || os.Getenv("PGCHANNELBINDING") != ""
	if encrypted && !said {
		c.ChannelBinding = "require"
	}
}

// Public tells whether every role of the server may connect to the database, and so take the locks by which daemons tell of each other.
func (s *Store) Public(ctx context.Context) (open bool, err error) {
	err = s.pool.QueryRow(ctx, "SELECT pg_catalog.has_database_privilege('public', pg_catalog.current_database(), 'CONNECT')").Scan(&open)
	return open, failure(ctx, err)
}

// local tells whether a host is this machine.
func local(host string) bool {
	if host == "localhost" || strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}
