// Package postgrestest gives tests a real PostgreSQL server: a cluster of its own in a temporary folder, on loopback and a free port, with SCRAM, and
// TLS by an authority of its own.
//
// It fails a test where PostgreSQL is not installed; it never skips: a test that CI needs must not pass by not running. No service of the machine is
// touched, and PostgreSQL refuses to be run by root, so for root it runs as an ordinary user.
package postgrestest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Names that every server has.
const (
	Admin    = "postgres"  // superuser; its password is Server.AdminPassword
	User     = "app"       // may log in by SCRAM; owns Database
	Plain    = "app_plain" // the server asks for its password in clear text; same password as User
	Trusted  = "app_trust" // the server asks for nothing
	TLSOnly  = "app_tls"   // the server takes it with TLS only; same password as User
	Database = "shop"
)

// Server is a running PostgreSQL.
type Server struct {
	Host          string // 127.0.0.1
	Port          int
	Password      string // of User, Plain and TLSOnly
	AdminPassword string
	CA            []byte // PEM; its server certificate is for localhost and 127.0.0.1

	dir     string
	bin     string
	durable bool
	cmd     *exec.Cmd
	done    chan struct{}
	log     locked
}

// locked is a buffer for several writers.
type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Start starts a server that ends with the test.
func Start(t testing.TB) *Server {
	t.Helper()
	s, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// New starts a server for several tests; Close it.
func New() (*Server, error) { return begin(false) }

func begin(durable bool) (*Server, error) {
	bin, err := find()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "zavhoz-pgtest-")
	if err != nil {
		return nil, err
	}
	s := &Server{Host: "127.0.0.1", Password: random(), AdminPassword: random(), dir: dir, bin: bin, durable: durable, done: make(chan struct{})}
	if err := s.start(); err != nil {
		s.Close()
		return nil, fmt.Errorf("postgrestest: %w\n%s", err, s.log.String())
	}
	return s, nil
}

// find looks for a folder with initdb and postgres in it: Debian keeps them out of PATH, and a postgres in PATH may be a link to there.
func find() (string, error) {
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	slices.SortFunc(dirs, func(a, b string) int { return version(b) - version(a) })
	if out, err := exec.Command("pg_config", "--bindir").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(out)))
	}
	for _, name := range []string{"initdb", "postgres"} {
		if p, err := exec.LookPath(name); err == nil {
			if p, err = filepath.EvalSymlinks(p); err == nil {
				dirs = append(dirs, filepath.Dir(p))
			}
		}
	}
	dirs = append(dirs, "/opt/homebrew/bin", "/usr/local/pgsql/bin")
	for _, d := range dirs {
		if executable(filepath.Join(d, "initdb")) && executable(filepath.Join(d, "postgres")) {
			return d, nil
		}
	}
	return "", fmt.Errorf("these tests need a real PostgreSQL server: run testdata/needs/install, or install it (apt-get install postgresql); the service need not run")
}

func version(dir string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
	return n
}

func executable(p string) bool {
	i, err := os.Stat(p)
	return err == nil && i.Mode().IsRegular() && i.Mode()&0o111 != 0
}

func random() string {
	var b [12]byte
	_, _ = rand.Read(b[:])
	return "pw-" + hex.EncodeToString(b[:])
}

const hba = `hostnossl all app_tls all reject
host all app_plain all password
host all app_trust all trust
host all all all scram-sha-256
`

func (s *Server) start() error {
	data := filepath.Join(s.dir, "data")
	pw := filepath.Join(s.dir, "pw")
	if err := os.WriteFile(pw, []byte(s.AdminPassword+"\n"), 0o600); err != nil {
		return err
	}
	if err := s.certificates(); err != nil {
		return err
	}
	if err := s.own(); err != nil {
		return err
	}
	initdb := s.command("initdb", "-D", data, "-U", Admin, "--pwfile", pw, "-A", "scram-sha-256", "-E", "UTF8", "--locale", "C", "--no-sync")
	if err := initdb.Run(); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(data, "pg_hba.conf"), []byte(hba), 0o644); err != nil {
		return err
	}
	if err := s.listen(data); err != nil {
		return err
	}
	return s.fill()
}

// listen starts the server on a free port; another program may take that first, so it is tried more than once.
func (s *Server) listen(data string) error {
	var err error
	for range 5 {
		if s.Port, err = freePort(); err != nil {
			return err
		}
		if err = s.run(data); err == nil {
			return nil
		}
	}
	return err
}

// run starts the server at its port and waits until it answers.
func (s *Server) run(data string) error {
	args := []string{"-D", data, "-h", s.Host, "-p", strconv.Itoa(s.Port), "-k", "", "-c", "max_connections=200", "-c", "ssl=on",
		"-c", "ssl_cert_file=" + filepath.Join(s.dir, "server.crt"), "-c", "ssl_key_file=" + filepath.Join(s.dir, "server.key"), "-c", "log_min_messages=warning"}
	if !s.durable {
		args = append(args, "-F")
	}
	s.cmd = s.command("postgres", args...)
	if err := s.cmd.Start(); err != nil {
		s.cmd = nil
		return err
	}
	done := make(chan struct{})
	go func(c *exec.Cmd) { _ = c.Wait(); close(done) }(s.cmd)
	s.done = done
	err := s.await(done)
	if err != nil {
		s.Stop()
	}
	return err
}

func (s *Server) await(done <-chan struct{}) error {
	deadline := time.Now().Add(60 * time.Second)
	var err error
	for time.Now().Before(deadline) {
		select {
		case <-done:
			return fmt.Errorf("the server ended")
		case <-time.After(50 * time.Millisecond):
		}
		var c *pgx.Conn
		if c, err = s.connect(Admin, s.AdminPassword, "postgres"); err == nil {
			return c.Close(context.Background())
		}
	}
	return err
}

func (s *Server) connect(user, password, database string) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return pgx.Connect(ctx, s.url(user, password, database, "sslmode=disable"))
}

// fill makes the users and the database.
func (s *Server) fill() error {
	c, err := s.connect(Admin, s.AdminPassword, "postgres")
	if err != nil {
		return err
	}
	defer c.Close(context.Background())
	for _, q := range []string{
		"CREATE ROLE " + User + " LOGIN PASSWORD '" + s.Password + "'",
		"CREATE ROLE " + Plain + " LOGIN PASSWORD '" + s.Password + "'",
		"CREATE ROLE " + TLSOnly + " LOGIN PASSWORD '" + s.Password + "'",
		"CREATE ROLE " + Trusted + " LOGIN",
		"CREATE DATABASE " + Database + " OWNER " + User,
	} {
		if _, err := c.Exec(context.Background(), q); err != nil {
			return err
		}
	}
	return nil
}

// Addr is host:port.
func (s *Server) Addr() string { return net.JoinHostPort(s.Host, strconv.Itoa(s.Port)) }

// URL is User's, with the true password; query is "sslmode=disable", say.
func (s *Server) URL(query string) string { return s.url(User, s.Password, Database, query) }

// URLOf is another user's.
func (s *Server) URLOf(user, password, query string) string {
	return s.url(user, password, Database, query)
}

func (s *Server) url(user, password, database, query string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(user, password), Host: s.Addr(), Path: "/" + database, RawQuery: query}
	return u.String()
}

// Exec runs a statement as User, by a connection of its own.
func (s *Server) Exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	c, err := s.connect(User, s.Password, Database)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	if _, err := c.Exec(context.Background(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

// AdminQuery gives the first column of the first row, as the superuser sees it; "" where there is no row.
func (s *Server) AdminQuery(t testing.TB, sql string, args ...any) string {
	t.Helper()
	c, err := s.connect(Admin, s.AdminPassword, Database)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	var v string
	if err := c.QueryRow(context.Background(), sql, args...).Scan(&v); err != nil && err != pgx.ErrNoRows {
		t.Fatal(err)
	}
	return v
}

// Log is what the server wrote so far.
func (s *Server) Log() string { return s.log.String() }

// Stop ends the server at once, and keeps its data.
func (s *Server) Stop() {
	if s.cmd == nil || s.cmd.Process == nil {
		return
	}
	_ = s.cmd.Process.Signal(os.Interrupt) // its "fast" shutdown; on a kill its children would outlive it
	select {
	case <-s.done:
	case <-time.After(20 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.done
	}
	s.cmd = nil
}

// Close ends the server and removes its data.
func (s *Server) Close() {
	s.Stop()
	_ = os.RemoveAll(s.dir)
}

func freePort() (int, error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
