package postgres_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/run/postgres/postgrestest"
	"github.com/zavhoz/zavhoz/store/postgres"
)

// Rights go to the one role that was named, never to everybody, and where there is none of the name that is said and nothing was made.
func TestOnlyARoleGetsRights(t *testing.T) {
	for _, role := range []string{"public", "none", "nobody_of_that_name", "PUBLIC", postgrestest.Plain + "\x00", postgrestest.Plain + "\n", strings.Repeat("r", 64), `x" , "` + postgrestest.Plain} {
		o := fresh(server)
		if _, err := postgres.Prepare(t.Context(), o, role); !errors.Is(err, postgres.ErrRole) {
			t.Errorf("%q: %v", role, err)
		}
		if n := server.AdminQuery(t, "SELECT count(*)::text FROM pg_namespace WHERE nspname = $1", o.Schema); n != "0" {
			t.Errorf("%q: a schema was made", role)
		}
	}
	o := fresh(server)
	for range 2 { // to one that has them already, too
		if _, err := postgres.Prepare(t.Context(), o, postgrestest.Plain); err != nil {
			t.Fatal(err)
		}
	}
	if got := server.AdminQuery(t, "SELECT string_agg(DISTINCT a.grantee::regrole::text, ',') FROM pg_class c, aclexplode(c.relacl) a WHERE c.relnamespace = $1::regnamespace AND a.grantee <> c.relowner", o.Schema); got != postgrestest.Plain {
		t.Errorf("rights are with %s", got)
	}
}

// A server is refused by its own number, not by what it, or a pooler before it, says in words; what is no number is no server that anything is known of.
func TestAnOldServerIsRefused(t *testing.T) {
	for number, old := range map[string]bool{
		"90624": true, "120000": true, "120022": true, "129999": true, "130000": false, "130019": false, "150018": false, "180004": false, "": true, "13.4": true, "PostgreSQL 16": true, "-130000": true,
	} {
		if err := postgres.Recent(number); (err != nil) != old || err != nil && !errors.Is(err, postgres.ErrOld) {
			t.Errorf("%q: %v", number, err)
		}
	}
	s := create(t, fresh(server))
	does, err := s.Stalls(t.Context())
	if want := server.AdminQuery(t, "SELECT (current_setting('server_version_num')::int / 10000 < 14)::text"); err != nil || fmt.Sprint(does) != want {
		t.Errorf("%v %v, want %s", does, err, want)
	}
}
