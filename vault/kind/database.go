package kind

import (
	"bytes"
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/zavhoz/zavhoz/vault/policy"
)

var errDatabaseURL = errors.New("a database URL is postgres://USER:PASSWORD@HOST:PORT/NAME, or the same with mysql, mongodb or redis; in the user and the password, `/ ? # @ :` are written as %2F %3F %23 %40 %3A")

// engines by scheme; a driver after "+" is left out. TLS and srv forms are schemes of their own.
var engines = map[string]string{
	"postgres": "postgres", "postgresql": "postgres", "mysql": "mysql", "mariadb": "mysql", "mongodb": "mongodb", "redis": "redis", "rediss": "redis", "valkey": "redis", "valkeys": "redis",
}

// drivers are what may follow "+" in a scheme.
var drivers = []string{"asyncpg", "psycopg", "psycopg2", "pg8000", "pymysql", "mysqldb", "aiomysql", "asyncmy", "mysqlconnector", "srv"}

var _ = register(Kind{
	Name:    "database",
	Summary: "a database: its URL, with user and password",
	Fields: []Field{
		{Name: "url", Class: Secret, Required: true, Help: "postgres://USER:PASSWORD@HOST:PORT/NAME, or mysql, mongodb, redis", Aliases: []string{"dsn", "value", "database_url"}, Check: checkDatabaseURL},
		{Name: "env", Class: Public, Default: "DATABASE_URL", Help: "variable that gets the URL", Steers: true, Check: checkEnvName},
		{Name: "engine", Class: Public, Derived: true, Help: "postgres, mysql, mongodb or redis"},
		{Name: "database", Class: Public, Derived: true, Help: "name of the database in the URL"},
		{Name: "host", Class: Hidden, Derived: true, Help: "host in the URL"},
		{Name: "password", Class: Secret, Derived: true, Help: "password in the URL, decoded"},
	},
	Check: checkDatabase,
	Env:   func(attrs map[string]string) []EnvVar { return []EnvVar{{Name: attrs["env"], Field: "url"}} },
	Uses: func(attrs map[string]string) string {
		return "pinned commands on the " + attrs["engine"] + named(" database ", attrs["database"], "server") + ", its URL in " + attrs["env"]
	},
	Unsupported: func(map[string]string) string {
		return "database protocols are not spoken by the proxy yet, so no placeholder can stand in for the URL: pin a command that may hold it"
	},
	Placeholder: func(attrs map[string]string, _ string) Shape { return Shape{Prefix: attrs["engine"] + "://"} },
	Deliveries:  []policy.Delivery{policy.Env, policy.File},
})

// parts is a database URL taken apart. net/url is not asked to parse it: it knows no lists of hosts, and its errors hold the URL.
type parts struct {
	engine, database string
	hosts            []string // as written, ports included
	password         []byte   // decoded
}

func parseDatabaseURL(v []byte) (p parts, ok bool) {
	scheme, rest, found := bytes.Cut(v, []byte("://"))
	name, driver, hasDriver := strings.Cut(string(scheme), "+")
	if p.engine = engines[name]; !found || p.engine == "" || (hasDriver && !slices.Contains(drivers, driver)) || bytes.ContainsAny(v, " <>\"`|\\") {
		return parts{}, false
	}
	end := bytes.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, tail := rest[:end], rest[end:]
	if bytes.ContainsAny(tail, "@") || bytes.Count(authority, []byte("@")) > 1 {
		return parts{}, false // a password with an unwritten "/", "?", "#" or "@": the host would be a piece of it
	}
	user, hosts, hasUser := bytes.Cut(authority, []byte("@"))
	if !hasUser {
		user, hosts = nil, authority
	}
	_, password, _ := bytes.Cut(user, []byte(":"))
	decoded, err := url.PathUnescape(string(password))
	if err != nil || bytes.IndexByte(password, ':') >= 0 {
		return parts{}, false
	}
	p.password = []byte(decoded)
	for _, h := range strings.Split(string(hosts), ",") {
		if !validHostPort(h) {
			return parts{}, false
		}
		p.hosts = append(p.hosts, h)
	}
	p.database = databaseName(string(tail))
	return p, true
}

func validHostPort(h string) bool {
	host := h
	if i := strings.LastIndexByte(h, ':'); i >= 0 && !strings.HasSuffix(h, "]") {
		if checkPort([]byte(h[i+1:])) != nil {
			return false
		}
		host = h[:i]
	}
	_, err := policy.CanonicalHost(host)
	return err == nil
}

// databaseName is the first segment of the path where it is a plain name; it becomes public.
func databaseName(tail string) string {
	name := strings.TrimPrefix(tail, "/")
	if i := strings.IndexAny(name, "/?#"); i >= 0 {
		name = name[:i]
	}
	if len(name) > 64 || strings.Trim(name, alphanumeric+"_-") != "" {
		return ""
	}
	return name
}

func checkDatabaseURL(v []byte) error {
	if _, ok := parseDatabaseURL(v); !ok {
		return errDatabaseURL
	}
	return nil
}

// checkDatabase takes the parts out: the password and the host must be known by themselves, so that they are redacted where they are printed without
// the rest of the URL.
func checkDatabase(d *Draft) error {
	if d.Secrets["url"].IsZero() {
		return nil // complete says so
	}
	p, ok := parseDatabaseURL(d.Secrets["url"].Reveal())
	if !ok {
		return Field{Name: "url", Class: Secret}.bad(errDatabaseURL.Error())
	}
	d.Attrs["engine"] = p.engine
	if p.database != "" && p.database != string(p.password) {
		d.Attrs["database"] = p.database
	}
	d.Set("host", []byte(strings.Join(p.hosts, ",")))
	switch n := len(p.password); {
	case n == 0:
		d.Warn("the URL has no password")
	case n < minSecret:
		clear(p.password)
		return Field{Name: "url", Class: Secret}.bad("its password is shorter than 8 bytes, and what is so short cannot be kept out of a command's output reliably")
	default:
		d.Set("password", p.password)
	}
	return nil
}
