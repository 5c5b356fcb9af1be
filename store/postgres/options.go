package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/zavhoz/zavhoz/store"
)

// DefaultSchema is where the tables are where Options name no other.
const DefaultSchema = "zavhoz"

// Options say which database, and how.
type Options struct {
	URL      string        // postgres://… or key=value words, as libpq takes them; PG… variables and a password file fill what it leaves out
	Schema   string        // ^[a-z_][a-z0-9_]{0,47}$; "" means DefaultSchema
	ReadOnly bool          // Update gives store.ErrReadOnly
	Patience time.Duration // how long a call waits for a database that is away; 0 means 30 s
	Log      *slog.Logger  // nil: nothing is logged

	// Exclusive opens the store for this process alone: store.ErrBusy where another has it open, and for those who come. For acts on a whole vault.
	Exclusive bool

	// Insecure takes a way to the server that others could read or answer on: a person has said that it is safe. Without it such an address gives ErrExposed.
	Insecure bool

	// Mark is what Store.Mark gave before: Open gives store.ErrRewound where the database has gone back behind it. "": nothing is known.
	Mark string

	parsed *pgxpool.Config // of URL, by Address
}

// schemaWord is the word of an address that names the schema; it is ours, and not sent.
const schemaWord = "zavhoz_schema"

// insecureWord is the word by which a person says that the way to the server is safe though it does not look so; it is ours, too.
const insecureWord = "zavhoz_insecure"

// Address reads an address at once: of the environment and of files that it names, nothing is asked later. A query of it may name the schema: zavhoz_schema=NAME; and
// take a way that others could read or answer on: zavhoz_insecure=yes. Errors, which hold nothing of the address: ErrExposed, and that it cannot be read.
func Address(address string) (o Options, err error) {
	o.URL = address
	if u, err := url.Parse(address); err == nil && (u.Scheme == "postgres" || u.Scheme == "postgresql") {
		q := u.Query()
		o.Schema = q.Get(schemaWord)
		o.Insecure = q.Get(insecureWord) == "yes"
		q.Del(schemaWord)
		q.Del(insecureWord)
		u.RawQuery = q.Encode()
		o.URL = u.String()
	}
	if _, err := o.schema(); err != nil {
		return o, err
	}
	o.parsed, err = o.config()
	return o, err
}

// HasPassword tells whether the address itself holds a password, which has no place on a command line.
func HasPassword(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return true
	}
	_, set := u.User.Password()
	return set || u.Query().Has("password") || !strings.Contains(address, "://") && strings.Contains(address, "password")
}

// Times of a session, in milliseconds where PostgreSQL is told them.
const (
	patience       = 30 * time.Second
	connectTimeout = 5 * time.Second
	askTimeout     = 35 * time.Second // for one statement, beyond what the server grants it

	statementTimeout = "30000"
	lockTimeout      = "10000"
	idleTimeout      = "600000" // in a transaction: a View whose function waits for a person
)

// Bounds of what one process takes of the server.
const (
	maxConns     = 16
	maxSnapshots = 8 // connections that Views hold, each at its own moment
)

// applicationName is what the sessions call themselves among the server's.
const applicationName = "zavhoz"

var errAddress = errors.New("postgres: the address is not one of PostgreSQL, or names a file that cannot be read")

// config reads the address. What libpq's words could say of a password is not passed on.
func (o Options) config() (*pgxpool.Config, error) {
	if o.parsed != nil {
		return o.parsed.Copy(), nil
	}
	c, err := pgxpool.ParseConfig(o.URL)
	if err != nil {
		return nil, errAddress
	}
	if !o.Insecure && exposure(c.ConnConfig) != "" {
		return nil, ErrExposed
	}
	demand(c.ConnConfig, o.URL)
	c.MaxConns, c.MinConns, c.MaxConnIdleTime, c.MaxConnLifetime = maxConns, 0, 5*time.Minute, time.Hour
	c.HealthCheckPeriod = time.Minute
	cc := c.ConnConfig
	cc.ConnectTimeout = connectTimeout
	cc.DefaultQueryExecMode = pgx.QueryExecModeCacheStatement
	cc.DialFunc = (&net.Dialer{Timeout: connectTimeout, KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3}}).DialContext
	cc.OnNotice = func(*pgconn.PgConn, *pgconn.Notice) {}
	for k, v := range map[string]string{
		"application_name": applicationName, "search_path": "pg_catalog", "default_transaction_isolation": "read committed",
		"statement_timeout": statementTimeout, "lock_timeout": lockTimeout, "idle_in_transaction_session_timeout": idleTimeout,
		"tcp_keepalives_idle": "5", "tcp_keepalives_interval": "2", "tcp_keepalives_count": "3", "tcp_user_timeout": "10000", "client_encoding": "UTF8",
		"plan_cache_mode": "force_generic_plan",                            // every statement here goes by a key: to plan a commit anew for its arrays' lengths took as long as to make it
		"enable_seqscan":  "off", "enable_bitmapscan": "off", "jit": "off", // such a plan knows no lengths: it took the last three commits for a third of all, and sorted them
	} {
		cc.RuntimeParams[k] = v
	}
	c.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		quickArrays(conn)
		return fit(ctx, conn)
	}
	return c, nil
}

// fit refuses a server that is too old, and a session that would acknowledge what a crash could take back.
func fit(ctx context.Context, c *pgx.Conn) error {
	var number, how string
	if err := c.QueryRow(ctx, "SELECT pg_catalog.current_setting('server_version_num'), pg_catalog.current_setting('synchronous_commit')").Scan(&number, &how); err != nil {
		return err
	}
	if err := newEnough(number); err != nil || how != "off" {
		return err
	}
	_, err := c.Exec(ctx, "SET synchronous_commit = on")
	return err
}

// Leasts of server_version_num: nothing works below the first, and from the second on a server ends the session of a leader that stands still.
const (
	leastVersion  = 130000
	idlingVersion = 140000
)

// newEnough refuses a server that is older than PostgreSQL 13, or does not say, by its server_version_num: what it says to clients when they connect, a pooler between may have made up.
func newEnough(number string) error {
	if n, err := strconv.Atoi(number); err != nil || n < leastVersion {
		return ErrOld
	}
	return nil
}

// Stalls tells whether the server is older than PostgreSQL 14: it does not end the session of a leader that stands still, and the others wait for that one.
func (s *Store) Stalls(ctx context.Context) (does bool, err error) {
	err = s.pool.QueryRow(ctx, "SELECT pg_catalog.current_setting('server_version_num')::int4 < $1", idlingVersion).Scan(&does)
	return does, failure(ctx, err)
}

// ErrOld says that the server is older than PostgreSQL 13, or does not say: a store.ErrTooOld.
var ErrOld = fmt.Errorf("postgres: older than PostgreSQL 13, or does not say: %w", store.ErrTooOld)

// schema gives the quoted name of the schema.
func (o Options) schema() (string, error) {
	name := o.Schema
	if name == "" {
		name = DefaultSchema
	}
	if len(name) > 48 {
		return "", errSchema
	}
	for i := range len(name) {
		if b := name[i]; (b < 'a' || b > 'z') && b != '_' && (i == 0 || b < '0' || b > '9') {
			return "", errSchema
		}
	}
	return `"` + name + `"`, nil
}

var errSchema = errors.New("postgres: a schema's name has 1–48 lower-case letters, digits or `_`, and begins with a letter")

// Place names the store for people: server, port, database and schema, never a user or a password.
func (o Options) Place() string {
	pool, err := o.config()
	if err != nil {
		return "postgres"
	}
	c, schema := pool.ConnConfig, o.Schema
	if schema == "" {
		schema = DefaultSchema
	}
	return fmt.Sprintf("postgres %s/%s, schema %s", net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port))), c.Database, schema)
}
