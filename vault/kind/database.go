package kind

import (
	"errors"
	"strings"

	"github.com/zavhoz/zavhoz/vault/policy"
)

var (
	errDatabaseURL   = errors.New("a database URL is postgres://USER:PASSWORD@HOST:PORT/NAME, or the same with mysql, mongodb or redis; in the user and the password, `/ ? # @ :` are written as %2F %3F %23 %40 %3A")
	errDatabaseQuery = errors.New("a database URL has its password before the host, USER:PASSWORD@HOST, and none among the parameters after `?`: there it could not be masked")
)

var _ = register(Kind{
	Name:    "database",
	Summary: "a database: its URL, with user and password",
	Fields: []Field{
		{Name: "url", Class: Secret, Required: true, Help: "postgres://USER:PASSWORD@HOST:PORT/NAME, or mysql, mongodb, redis", Aliases: []string{"dsn", "value", "database_url"}, Check: checkDatabaseURL},
		{Name: "env", Class: Public, Default: "DATABASE_URL", Help: "variable that gets the URL", Steers: true, Check: checkEnvName},
		{Name: "engine", Class: Public, Derived: true, Help: "postgres, mysql, mongodb or redis"},
		{Name: "database", Class: Public, Derived: true, Help: "name of the database in the URL"},
		{Name: "user", Class: Public, Derived: true, Help: "user in the URL"},
		{Name: "host", Class: Hidden, Derived: true, Help: "host in the URL"},
		{Name: "password", Class: Secret, Derived: true, Help: "password in the URL, decoded"},
	},
	Check: checkDatabase,
	Env:   func(attrs map[string]string) []EnvVar { return []EnvVar{{Name: attrs["env"], Field: "url"}} },
	Uses: func(attrs map[string]string) string {
		where := "the " + attrs["engine"] + named(" database ", attrs["database"], "server")
		if frontOf(attrs) == "" {
			return "pinned commands on " + where + ", its URL in " + attrs["env"]
		}
		return "any command on " + where + named(" as ", attrs["user"], "its user") + ": the URL in " + attrs["env"] + ` works for psql and every driver: psql "$` + attrs["env"] + `" -c 'SELECT 1'`
	},
	Unsupported: func(attrs map[string]string) string {
		if frontOf(attrs) != "" {
			return ""
		}
		return "the protocol of " + attrs["engine"] + " is not spoken by zavhoz, so no placeholder can stand in for the URL: pin a command that may hold it"
	},
	Front:       frontOf,
	Placeholder: databasePlaceholder,
	Deliveries:  []policy.Delivery{policy.Broker, policy.Env, policy.File},
	StandIn:     []policy.Delivery{policy.Broker},
})

// frontOf names the front by the engine: only PostgreSQL's protocol is spoken.
func frontOf(attrs map[string]string) string {
	if attrs["engine"] == "postgres" {
		return "postgres"
	}
	return ""
}

// databasePlaceholder: where a front serves, the password's goes into a URL of the front's making. The length says nothing about the true one.
func databasePlaceholder(attrs map[string]string, field string) Shape {
	if field == "url" {
		return Shape{Prefix: attrs["engine"] + "://"}
	}
	return Shape{Length: 32}
}

func checkDatabaseURL(v []byte) error {
	p, ok := ParseDatabaseURL(v)
	clear(p.Password)
	if !ok {
		return errDatabaseURL
	}
	if p.hasSecretParameter() {
		return errDatabaseQuery
	}
	return nil
}

// checkDatabase takes the parts out: the password and the host must be known by themselves, so that they are redacted where they are printed without
// the rest of the URL.
func checkDatabase(d *Draft) error {
	if d.Secrets["url"].IsZero() {
		return nil // complete says so
	}
	p, ok := ParseDatabaseURL(d.Secrets["url"].Reveal())
	if !ok {
		return Field{Name: "url", Class: Secret}.bad(errDatabaseURL.Error())
	}
	d.Attrs["engine"] = p.Engine
	d.Set("host", []byte(strings.Join(p.Hosts, ",")))
	switch n := len(p.Password); {
	case n == 0:
		d.Warn("the URL has no password")
	case n < minSecret:
		clear(p.Password)
		return Field{Name: "url", Class: Secret}.bad("its password is shorter than 8 bytes, and what is so short cannot be kept out of a command's output reliably")
	default:
		d.Set("password", p.Password)
	}
	show(d, "database", p.Database())
	show(d, "user", p.User)
	return nil
}

// show makes a name public where it is plain and holds nothing that is sealed: some services have a token for a user.
func show(d *Draft, attr, name string) {
	if _, secret := LooksSecret(name); secret || !PlainName(name) {
		return
	}
	for _, s := range d.Secrets {
		if holdsValue(name, s) {
			return
		}
	}
	d.Attrs[attr] = name
}
