package postgres

import (
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// target is where the resource's URL leads.
type target struct {
	scheme         string
	user, database string
	password       []byte
	hosts          []hostPort
	params         map[string]string // of the query; names in lower case
}

type hostPort struct {
	host string
	port uint16
}

func (t *target) wipe() { clear(t.password) }

// readTarget takes the URL apart and refuses what cannot be served. It wipes the URL; the caller wipes the target.
func readTarget(handle string, u secret.Secret) (*target, error) {
	defer u.Wipe()
	p, ok := kind.ParseDatabaseURL(u.Reveal())
	if !ok || p.Engine != "postgres" || p.Fragment {
		clear(p.Password)
		return nil, badURL(handle, "it is no postgres://USER:PASSWORD@HOST:PORT/NAME")
	}
	t := &target{scheme: p.Scheme, user: p.User, password: p.Password}
	if err := t.read(handle, p); err != nil {
		t.wipe()
		return nil, err
	}
	return t, nil
}

func (t *target) read(handle string, p kind.DatabaseURL) error {
	var err error
	if t.database, err = url.PathUnescape(p.Database()); err != nil || strings.ContainsRune(t.database+t.user+string(t.password), 0) {
		return badURL(handle, "a part of it is not percent-encoded as it should be")
	}
	if t.user == "" {
		return badURL(handle, "it names no user")
	}
	if t.database == "" {
		t.database = t.user // as the server would
	}
	for _, h := range p.Hosts {
		hp, ok := splitHost(h)
		if !ok {
			return badURL(handle, "a host in it is none")
		}
		t.hosts = append(t.hosts, hp)
	}
	if t.params, err = readQuery(p.Query); err != nil {
		return badURL(handle, "its parameters are not NAME=VALUE, joined by &")
	}
	return t.checkParams(handle)
}

func splitHost(s string) (hostPort, bool) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		host, port = strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"), "5432"
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return hostPort{host, uint16(n)}, err == nil && n > 0 && host != "" && !strings.ContainsAny(host, `/\`)
}

// readQuery decodes the parameters; the last of a name counts, as in libpq.
func readQuery(q string) (map[string]string, error) {
	m := map[string]string{}
	for pair := range strings.SplitSeq(q, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, err := url.PathUnescape(name)
		if err != nil {
			return nil, err
		}
		if value, err = url.PathUnescape(value); err != nil {
			return nil, err
		}
		if strings.ContainsRune(name+value, 0) {
			return nil, strconv.ErrSyntax
		}
		m[strings.ToLower(name)] = value
	}
	return m, nil
}

// elsewhere are parameters by which libpq would go to another place, or as another, than the URL's own parts say; kind never looked at them.
var elsewhere = []string{"host", "hostaddr", "port", "user", "password", "dbname", "service", "servicefile", "passfile", "replication", "sslpassword"}

// files are parameters that name files. The daemon reads none: whoever can write there would choose whom it trusts.
var files = []string{"sslcert", "sslkey", "sslcrl", "sslcrldir"}

var sslModes = []string{"", "disable", "allow", "prefer", "require", "verify-ca", "verify-full"}

func (t *target) checkParams(handle string) error {
	for _, name := range elsewhere {
		if _, there := t.params[name]; there {
			return badURL(handle, "what stands in the parameter "+name+" belongs before the `?`, or nowhere")
		}
	}
	for _, name := range files {
		if t.params[name] != "" {
			return fault.New(fault.NotSupported, handle+": its URL names a file in "+name+", and zavhoz logs in to databases by password only", "a person takes "+name+" out of the URL: zavhoz resource edit "+handle)
		}
	}
	if r := t.params["sslrootcert"]; r != "" && r != "system" {
		return fault.New(fault.NotSupported, handle+": its URL names a file in sslrootcert, and the daemon reads no certificates from files that others may write",
			"a person puts them into the policy: zavhoz resource policy "+handle+" --upstream-ca @FILE, and leaves sslrootcert out of the URL")
	}
	if !slices.Contains(sslModes, t.sslMode()) || !slices.Contains([]string{"", "postgres", "direct"}, t.params["sslnegotiation"]) {
		return badURL(handle, "sslmode is disable, allow, prefer, require, verify-ca or verify-full; sslnegotiation is postgres or direct")
	}
	if !slices.Contains([]string{"", "disable", "prefer", "require"}, t.params["channel_binding"]) || !validAuth(t.params["require_auth"]) {
		return badURL(handle, "channel_binding is disable, prefer or require; require_auth is a list of scram-sha-256, md5, password and none")
	}
	if t.params["gssencmode"] == "require" {
		return fault.New(fault.NotSupported, handle+": its URL demands GSSAPI, which zavhoz does not speak", "a person takes gssencmode out of the URL")
	}
	if _, ok := sessionAttrs[t.params["target_session_attrs"]]; !ok {
		return badURL(handle, "target_session_attrs is any, read-write, read-only, primary, standby or prefer-standby")
	}
	return nil
}

func validAuth(list string) bool {
	for word := range strings.SplitSeq(list, ",") {
		if list != "" && !slices.Contains([]string{"scram-sha-256", "md5", "password", "none"}, word) {
			return false
		}
	}
	return true
}

// sslMode is the URL's, or what drivers for asyncio and Java call ssl.
func (t *target) sslMode() string {
	if t.params["sslrootcert"] == "system" {
		return "verify-full"
	}
	if m := t.params["sslmode"]; m != "" {
		return m
	}
	switch m := t.params["ssl"]; m {
	case "true", "1", "on":
		return "require"
	case "false", "0", "off":
		return "disable"
	default:
		return m
	}
}

func badURL(handle, why string) *fault.Error {
	return fault.New(fault.SecretInvalid, handle+": its URL cannot be used: "+why, "a person gives another: zavhoz resource edit "+handle+" --secret url=-").With("field", "url")
}

// shown is what of the URL a child may see.
type shown struct{ scheme, user, database, query string }

// driverParams are settings of drivers and pools that a child may need and that say nothing.
var driverParams = []string{
	"connect_timeout", "connection_limit", "pool_timeout", "pool_size", "max_overflow", "pool_max_conns", "pool_min_conns", "pool_max_conn_lifetime", "pool_max_conn_idle_time",
	"schema", "currentschema", "pgbouncer", "statement_cache_size", "statement_cache_capacity", "prepared_statement_cache_size", "default_query_exec_mode",
	"description_cache_capacity", "prepare_threshold", "binary_parameters",
}

// plainValue tells whether a driver's setting is 1 to 64 letters, digits, "_", "." or "-": nothing that ends a parameter and begins another.
func plainValue(v string) bool {
	odd := func(r rune) bool {
		return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' && r != '.' && r != '-'
	}
	return v != "" && len(v) <= 64 && strings.IndexFunc(v, odd) < 0
}

// shown takes what is plain; a user or database with another name gets a stand-in too.
func (t *target) shown() shown {
	s := shown{scheme: t.scheme, user: t.plain(t.user, "app"), database: t.plain(t.database, "db")}
	var q []string
	switch {
	case strings.HasSuffix(t.scheme, "+asyncpg"):
		q = append(q, "ssl=disable") // it takes no sslmode
	case strings.HasSuffix(t.scheme, "+pg8000"): // takes neither, and encrypts only if told
	default:
		q = append(q, "sslmode=disable")
	}
	for _, name := range driverParams {
		if v := t.params[name]; t.plain(v, "") != "" && plainValue(v) {
			q = append(q, name+"="+v)
		}
	}
	s.query = strings.Join(q, "&")
	return s
}

// plain gives s where it may be shown, else instead.
func (t *target) plain(s, instead string) string {
	if _, looks := kind.LooksSecret(s); looks || !kind.PlainName(s) || (len(t.password) > 0 && strings.Contains(s, string(t.password))) {
		return instead
	}
	return s
}

// url is the child's.
func (s shown) url(addr, placeholder string) string {
	u := s.scheme + "://" + s.user + ":" + placeholder + "@" + addr + "/" + s.database
	if s.query != "" {
		u += "?" + s.query
	}
	return u
}
