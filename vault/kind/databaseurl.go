package kind

import (
	"bytes"
	"net/url"
	"slices"
	"strings"

	"github.com/zavhoz/zavhoz/vault/internal/lazyregexp"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// engines by scheme; a driver after "+" is left out. TLS and srv forms are schemes of their own.
var engines = map[string]string{
	"postgres": "postgres", "postgresql": "postgres", "mysql": "mysql", "mariadb": "mysql", "mongodb": "mongodb", "redis": "redis", "rediss": "redis", "valkey": "redis", "valkeys": "redis",
}

// drivers are what may follow "+" in a scheme.
var drivers = []string{"asyncpg", "psycopg", "psycopg2", "pg8000", "pymysql", "mysqldb", "aiomysql", "asyncmy", "mysqlconnector", "srv"}

// DatabaseURL is a database URL taken apart: the one reading of it, for the check and for whoever connects.
type DatabaseURL struct {
	Scheme   string   // as written, with a driver: "postgresql+asyncpg"
	Engine   string   // postgres, mysql, mongodb or redis
	User     string   // decoded
	Password []byte   // decoded; the caller's to clear
	Hosts    []string // as written, ports included
	Path     string   // as written, from the first "/" on, not decoded; may be empty
	Query    string   // as written, without the "?"
	Fragment bool     // there was a "#"
}

// ParseDatabaseURL takes v apart; false where it is no database URL. net/url is not asked: it knows no lists of hosts, and its errors hold the URL.
func ParseDatabaseURL(v []byte) (p DatabaseURL, ok bool) {
	scheme, rest, found := bytes.Cut(v, []byte("://"))
	name, driver, hasDriver := strings.Cut(string(scheme), "+")
	p.Scheme = string(scheme)
	if p.Engine = engines[name]; !found || p.Engine == "" || (hasDriver && !slices.Contains(drivers, driver)) || bytes.ContainsAny(v, " <>\"`|\\") {
		return DatabaseURL{}, false
	}
	end := bytes.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, tail := rest[:end], rest[end:]
	if bytes.ContainsAny(tail, "@") || bytes.Count(authority, []byte("@")) > 1 {
		return DatabaseURL{}, false // a password with an unwritten "/", "?", "#" or "@": the host would be a piece of it
	}
	if !p.takeAuthority(authority) {
		return DatabaseURL{}, false
	}
	p.takeTail(string(tail))
	return p, true
}

func (p *DatabaseURL) takeAuthority(authority []byte) bool {
	user, hosts, hasUser := bytes.Cut(authority, []byte("@"))
	if !hasUser {
		user, hosts = nil, authority
	}
	user, password, _ := bytes.Cut(user, []byte(":"))
	if bytes.IndexByte(password, ':') >= 0 {
		return false
	}
	name, err := url.PathUnescape(string(user))
	if err != nil {
		return false
	}
	decoded, err := url.PathUnescape(string(password))
	if err != nil {
		return false
	}
	p.User, p.Password = name, []byte(decoded)
	for _, h := range strings.Split(string(hosts), ",") {
		if !validHostPort(h) {
			return false
		}
		p.Hosts = append(p.Hosts, h)
	}
	return true
}

func (p *DatabaseURL) takeTail(tail string) {
	tail, _, p.Fragment = strings.Cut(tail, "#")
	p.Path, p.Query, _ = strings.Cut(tail, "?")
}

// PlainName tells whether a user or a database has a name that may be shown: at most 64 letters, digits, "_", "-" and ".".
func PlainName(name string) bool {
	return name != "" && len(name) <= 64 && strings.Trim(name, alphanumeric+"_-.") == ""
}

// Database is the name in the path, as written.
func (p *DatabaseURL) Database() string { return strings.TrimPrefix(p.Path, "/") }

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

// hasSecretParameter tells whether the query carries a password of its own: it would be neither sealed nor masked by itself.
func (p *DatabaseURL) hasSecretParameter() bool {
	for pair := range strings.SplitSeq(p.Query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.PathUnescape(name)
		if err != nil || (value != "" && secretParameter.MatchString(name)) {
			return true
		}
	}
	return false
}

// secretParameter is how drivers name a password among the parameters: password, sslpassword, tlsCertificateKeyFilePassword.
var secretParameter = lazyregexp.New(`(?i)(^pass|passw(or)?d|pwd|passphrase|secret|token)$`)
