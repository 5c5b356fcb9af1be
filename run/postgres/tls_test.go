package postgres_test

import (
	"context"
	"encoding/pem"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/zavhoz/zavhoz/run/postgres"
	"github.com/zavhoz/zavhoz/run/postgres/postgrestest"
)

func TestAttack56_NoLoginThatShowsThePassword(t *testing.T) {
	ask := map[string]pgproto3.BackendMessage{"clear text": &pgproto3.AuthenticationCleartextPassword{}, "md5": &pgproto3.AuthenticationMD5Password{Salt: [4]byte{1, 2, 3, 4}}, "nothing": &pgproto3.AuthenticationOk{}}
	for name, m := range ask {
		heard := make(chan []byte, 8)
		x := front(t, fake(t, func(c net.Conn, b *pgproto3.Backend) {
			b.Send(m)
			_ = b.Flush()
			_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
			got, _ := io.ReadAll(io.LimitReader(c, 1<<10))
			heard <- got
		}), nil)
		refused(t, x.url, "28000", "remote_auth_failed", "verify-full")
		if got := <-heard; len(got) > 0 {
			t.Errorf("%s: the front answers by %d bytes", name, len(got))
		}
	}
	// The real server: without its certificate verified the password does not go, with it it may; a person may say otherwise in the URL.
	plain := func(query string) string { return server.URLOf(postgrestest.Plain, server.Password, query) }
	refused(t, front(t, plain("sslmode=require"), nil).url, "28000", "verify-full")
	refused(t, front(t, server.URLOf(postgrestest.Trusted, server.Password, "sslmode=require"), nil).url, "28000", "remote_auth_failed")
	for name, c := range map[string]struct {
		url    string
		verify bool
	}{
		"verified": {plain("sslmode=verify-full"), true}, "allowed": {plain("sslmode=disable&require_auth=password"), false},
		"no password": {"postgres://" + postgrestest.Trusted + "@" + server.Addr() + "/shop?sslmode=require", false},
	} {
		x := front(t, c.url, func(o *postgres.Options) {
			if c.verify {
				o.Roots = roots(t, server.CA)
			}
		})
		if err := connect(t, x.url).Ping(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCertificates(t *testing.T) {
	ca := func(o *postgres.Options) { o.Roots = roots(t, server.CA) }
	byName := func(query string) string { return strings.Replace(server.URL(query), "127.0.0.1", "localhost", 1) }
	wrongName := func(query string) string { return strings.Replace(server.URL(query), "127.0.0.1", "127.0.0.2", 1) }
	to := func(o *postgres.Options) {
		o.Roots = roots(t, server.CA)
		o.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dial(ctx, network, server.Addr())
		}
	}
	for name, c := range map[string]struct {
		url    string
		change func(*postgres.Options)
		ok     bool
		tls    string
	}{
		"verify-full by address":  {server.URL("sslmode=verify-full"), ca, true, "t"},
		"verify-full by name":     {byName("sslmode=verify-full"), ca, true, "t"},
		"verify-full, other name": {wrongName("sslmode=verify-full"), to, false, ""},
		"verify-ca, other name":   {wrongName("sslmode=verify-ca"), to, true, "t"},
		"require verifies":        {server.URL("sslmode=require"), func(o *postgres.Options) { o.Roots = roots(t, otherCA(t)) }, false, ""},
		"given means verify":      {server.URL(""), func(o *postgres.Options) { o.Roots = roots(t, otherCA(t)) }, false, ""},
		"given and right":         {server.URL(""), ca, true, "t"},
		"unknown authority":       {server.URL("sslmode=verify-full"), nil, false, ""},
		"system's roots":          {server.URL("sslmode=require&sslrootcert=system"), nil, false, ""},
		"require":                 {server.URL("sslmode=require"), nil, true, "t"},
		"asyncpg's word":          {server.URL("ssl=require"), nil, true, "t"},
		"prefer":                  {server.URL(""), nil, true, "t"},
		"disable":                 {server.URL("sslmode=disable"), nil, true, "f"},
		"allow":                   {server.URLOf(postgrestest.TLSOnly, server.Password, "sslmode=allow"), nil, true, "t"},
		"channel binding":         {server.URL("sslmode=verify-full&channel_binding=require"), ca, true, "t"},
		"binding without TLS":     {server.URL("sslmode=disable&channel_binding=require"), nil, false, ""},
	} {
		x := front(t, c.url, c.change)
		conn, err := pgx.Connect(t.Context(), x.url)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err != nil {
			continue
		}
		var encrypted string
		if err := conn.QueryRow(t.Context(), "SELECT left(ssl::text, 1) FROM pg_stat_ssl WHERE pid = pg_backend_pid()").Scan(&encrypted); err != nil || encrypted != c.tls {
			t.Errorf("%s: encrypted is %q, %v", name, encrypted, err)
		}
		_ = conn.Close(t.Context())
	}
	refused(t, front(t, server.URL("sslmode=verify-full"), nil).url, "08001", "certificate does not verify", "--upstream-ca")
	noTLS := strings.Replace(liar(t, "FATAL", "XX000", "x"), "prefer", "require", 1)
	refused(t, front(t, noTLS, nil).url, "08001", "does not speak TLS")
}

// otherCA is an authority that has nothing to do with the server.
func otherCA(t *testing.T) []byte {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}
