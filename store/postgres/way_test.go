package postgres_test

import (
	"encoding/pem"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/run/postgres/postgrestest"
	"github.com/zavhoz/zavhoz/store/postgres"
)

// An address whose way leaves the machine is refused unless the server's certificate is verified; libpq's default is not enough. Who answers off this machine gets a
// proof by SCRAM and never the password.
func TestAttack72_AWayThatOthersCouldAnswerOnIsRefused(t *testing.T) {
	for _, v := range []string{"PGSSLMODE", "PGSSLROOTCERT", "PGCHANNELBINDING", "PGREQUIREAUTH", "PGHOST"} {
		t.Setenv(v, "")
	}
	own := httptest.NewTLSServer(nil)
	defer own.Close()
	authority := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: own.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		address       string
		exposed       bool
		auth, binding string
	}{
		{address: "postgres://u@db.example/d", exposed: true},
		{address: "postgres://u@db.example/d?sslmode=disable", exposed: true},
		{address: "postgres://u@db.example/d?sslmode=allow", exposed: true},
		{address: "postgres://u@db.example/d?sslmode=prefer", exposed: true},
		{address: "postgres://u@db.example/d?sslmode=require", exposed: true},
		{address: "postgres://u@192.0.2.1/d", exposed: true},
		{address: "postgres://u@localhost,db.example/d?sslmode=disable", exposed: true},
		{address: "postgres://u@db.example/d?zavhoz_insecure=no", exposed: true},
		{address: "postgres://u@db.example/d?sslmode=verify-full", auth: "scram-sha-256", binding: "require"},
		{address: "postgres://u@db.example/d?sslmode=verify-ca", exposed: true}, // whoever has some certificate of some authority
		{address: "postgres://u@db.example/d?sslmode=verify-ca&sslrootcert=" + authority, auth: "scram-sha-256", binding: "require"},
		{address: "postgres://u@db.example/d?sslmode=verify-full&channel_binding=prefer", auth: "scram-sha-256", binding: "prefer"},
		{address: "postgres://u@db.example/d?sslmode=verify-full&require_auth=none", auth: "none", binding: "prefer"},
		{address: "postgres://u@db.example/d?sslmode=disable&zavhoz_insecure=yes", auth: "scram-sha-256", binding: "prefer"},
		{address: "postgres://u@localhost/d", binding: "prefer"},
		{address: "postgres://u@127.0.0.1/d", binding: "prefer"},
		{address: "postgres://u@[::1]/d", binding: "prefer"},
		{address: "postgres:///d?host=/run/postgresql", binding: "prefer"},
	} {
		o, err := postgres.Address(c.address)
		if errors.Is(err, postgres.ErrExposed) != c.exposed || !c.exposed && err != nil {
			t.Errorf("%s: %v", c.address, err)
			continue
		}
		if c.exposed {
			if _, err := postgres.Open(t.Context(), postgres.Options{URL: c.address}); !errors.Is(err, postgres.ErrExposed) {
				t.Errorf("%s is opened: %v", c.address, err)
			}
			continue
		}
		if auth, binding := postgres.Demands(o); auth != c.auth || binding != c.binding {
			t.Errorf("%s: require_auth %q, channel_binding %q", c.address, auth, binding)
		}
	}
}

// That every role may connect, as PostgreSQL has it from the start, is seen, and that it was taken back, too.
func TestPublicConnectionsAreSeen(t *testing.T) {
	s := create(t, fresh(server))
	for _, c := range []struct {
		sql  string
		open bool
	}{{"GRANT CONNECT ON DATABASE $ TO PUBLIC, " + postgrestest.User, true}, {"REVOKE CONNECT ON DATABASE $ FROM PUBLIC", false}, {"GRANT CONNECT ON DATABASE $ TO PUBLIC", true}} {
		server.AdminExec(t, postgrestest.Database, strings.ReplaceAll(c.sql, "$", postgrestest.Database))
		if open, err := s.Public(t.Context()); err != nil || open != c.open {
			t.Errorf("after %s: %v %v", c.sql, open, err)
		}
	}
}
