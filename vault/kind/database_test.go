package kind_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/policy"
)

func TestDatabaseStandsIn(t *testing.T) {
	k := get(t, "database")
	for engine, url := range map[string]string{
		"postgres": "postgresql+asyncpg://app:canary-pw-1@h/db", "mysql": "mysql://app:canary-pw-1@h/db", "mongodb": "mongodb://app:canary-pw-1@h/db", "redis": "redis://:canary-pw-1@h/0",
	} {
		n, err := k.Validate(nil, sealed("url", url))
		if err != nil {
			t.Fatalf("%s: %v", engine, err)
		}
		standIn, why := k.StandIns(n.Attrs)
		front := k.FrontOf(n.Attrs)
		uses := k.Uses(n.Attrs)
		if engine == "postgres" {
			if front != "postgres" || why != "" || !slices.Equal(standIn, []policy.Delivery{policy.Broker}) || !strings.Contains(uses, `psql "$DATABASE_URL"`) || !strings.Contains(uses, "as app") {
				t.Errorf("%s: front %q, %v, %q; %s", engine, front, standIn, why, uses)
			}
			continue
		}
		if front != "" || !strings.Contains(why, engine) || !strings.Contains(why, "pin") || len(standIn) > 0 || !strings.Contains(uses, "pinned") {
			t.Errorf("%s: front %q, %v, %q; %s", engine, front, standIn, why, uses)
		}
	}
	if get(t, "generic").FrontOf(nil) != "" {
		t.Error("a kind without a front has one")
	}
	for _, length := range []int{9, 90} {
		p, err := k.ShapeOf(attrs("engine", "postgres"), "password").Make(bytes.NewReader(bytes.Repeat([]byte("placeholder randomness "), 64)), length)
		if err != nil || len(p) != 32 {
			t.Errorf("the placeholder of a password of %d bytes has %d: it says how long the true one is", length, len(p))
		}
	}
}

// A derived attribute is public: it shows no name that is a secret, or odd.
func TestDatabaseNamesThatAreShown(t *testing.T) {
	for url, want := range map[string][2]string{
		"postgres://app:canary-pw-1@h/shop":                              {"app", "shop"},
		"postgres://postgres.abcdefgh:canary-pw-1@h/postgres?x=1":        {"postgres.abcdefgh", "postgres"},
		"postgres://canary-pw-1:canary-pw-1@h/canary-pw-1":               {"", ""},
		"postgres://a-canary-pw-1-b:canary-pw-1@h/":                      {"", ""},
		"postgres://ghp_0123456789abcdefghijklmnop:canary-pw-1@h/a/b":    {"", ""},
		"postgres://a%20b:canary-pw-1@h/a%2Fb":                           {"", ""},
		"postgres://db.internal.example:canary-pw-1@db.internal.example": {"", ""},
		"postgres://h":                      {"", ""},
		"redis://:canary-pw-1@h/0#fragment": {"", "0"},
	} {
		n, err := get(t, "database").Validate(nil, sealed("url", url))
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if got := [2]string{n.Attrs["user"], n.Attrs["database"]}; got != want {
			t.Errorf("%s shows %q", url, got)
		}
	}
}

func TestDatabaseURLTakenApart(t *testing.T) {
	p, ok := kind.ParseDatabaseURL([]byte("postgresql+psycopg://a%40b:c%3Ad-secret@h1:5433,[2001:db8::1]/my%20db?sslmode=require&options=-c%20a%3Db"))
	if !ok || p.Scheme != "postgresql+psycopg" || p.Engine != "postgres" || p.User != "a@b" || string(p.Password) != "c:d-secret" ||
		!slices.Equal(p.Hosts, []string{"h1:5433", "[2001:db8::1]"}) || p.Database() != "my%20db" || p.Query != "sslmode=require&options=-c%20a%3Db" || p.Fragment {
		t.Errorf("%+v %v", p, ok)
	}
	for _, bad := range []string{"", "postgres", "postgres://", "postgres://a%zz:pw@h/d", "postgres://a:b:c@h/d", "postgres://a@b@h/d", "postgres://u:p@h/d@e", "oracle://h/d", "postgres+x://h/d", "postgres://u:p@/d", "postgres://u:p@h,,g/d"} {
		if p, ok := kind.ParseDatabaseURL([]byte(bad)); ok {
			t.Errorf("%q is %+v", bad, p)
		}
	}
}

func FuzzDatabaseURL(f *testing.F) {
	for _, s := range []string{"postgres://app:canary%2Fpw9@db1.internal:5432/shop?sslmode=require", "mongodb+srv://u:p@a,b:1/x#y", "redis://", "postgres://%zz@h"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		p, ok := kind.ParseDatabaseURL(in)
		if !ok {
			return
		}
		if p.Engine == "" || len(p.Hosts) == 0 {
			t.Errorf("%q has no engine or host", in)
		}
		for _, h := range p.Hosts {
			if h == "" || strings.ContainsAny(h, "@/?# ") {
				t.Errorf("%q goes to the host %q", in, h)
			}
		}
	})
}
