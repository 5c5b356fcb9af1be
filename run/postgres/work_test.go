package postgres_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/zavhoz/zavhoz/run/postgres/postgrestest"
)

func psql(t testing.TB, stdin string, args ...string) (string, error) {
	t.Helper()
	c := exec.CommandContext(t.Context(), "psql", append([]string{"-X", "-v", "ON_ERROR_STOP=1"}, args...)...)
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "LC_ALL=C"}
	c.Stdin = strings.NewReader(stdin)
	out, err := c.CombinedOutput()
	return string(out), err
}

func TestPsql(t *testing.T) {
	x := front(t, server.URL("sslmode=require"), nil)
	out, err := psql(t, "", x.url, "-Atc", "SELECT current_user, current_database(), 6*7")
	if err != nil || out != "app|shop|42\n" {
		t.Fatalf("%v: %s", err, out)
	}
	// What a person types at psql: notices, errors, \copy, \d.
	script := "CREATE TEMP TABLE t(a int primary key, b text);\n\\copy t from stdin\n1\tone\n2\ttwo\n\\.\nDO $$ BEGIN RAISE NOTICE 'a notice'; END $$;\n" +
		"\\copy t to stdout\n\\d t\nSELECT count(*) FROM t;\n\\conninfo\n"
	out, err = psql(t, script, x.url, "-At")
	for _, want := range []string{"COPY 2", "a notice", "1\tone", "a|integer", "\n2\n", `database "shop" as user "app"`} {
		if err != nil || !strings.Contains(out, want) {
			t.Errorf("%v: %q is not in %s", err, want, out)
		}
	}
	if out, err = psql(t, "", x.url, "-c", "SELECT nothing_of_that_name"); err == nil || !strings.Contains(out, `column "nothing_of_that_name" does not exist`) {
		t.Errorf("%v: %s", err, out)
	}
	x.awaitKinds(t, "opened closed opened closed opened closed")
	if e := x.event(1); e.Sent == 0 || e.Received == 0 || e.Handle != "shop_db" || e.Conn != 1 || x.event(2).Conn != 2 {
		t.Errorf("%+v", e)
	}
	// The true names are taken too; and a client that asks for encryption if it can be had.
	if out, err = psql(t, "", strings.Replace(x.url, "sslmode=disable", "sslmode=prefer&gssencmode=prefer", 1), "-Atc", "SELECT 1"); err != nil || out != "1\n" {
		t.Errorf("%v: %s", err, out)
	}
}

func TestAProgramInGo(t *testing.T) {
	x := front(t, server.URL("sslmode=disable"), nil)
	c := connect(t, x.url)
	ctx := t.Context()
	var sum int64
	if err := c.QueryRow(ctx, "SELECT sum(n) FROM generate_series(1, $1::int) n", 100000).Scan(&sum); err != nil || sum != 5000050000 {
		t.Fatal(sum, err)
	}
	rows, err := c.Query(ctx, "SELECT n, repeat('x', 100), NULL::text, '\\xdeadbeef'::bytea FROM generate_series(1, 20000) n")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for rows.Next() {
		n++
	}
	if rows.Err() != nil || n != 20000 {
		t.Errorf("%d rows, %v", n, rows.Err())
	}
	// One value far longer than a buffer.
	var long string
	if err := c.QueryRow(ctx, "SELECT repeat('0123456789', 1000000)").Scan(&long); err != nil || len(long) != 10000000 || strings.Trim(long, "0123456789") != "" {
		t.Errorf("%d bytes, %v", len(long), err)
	}
	b := &pgx.Batch{}
	for i := range 50 {
		b.Queue("SELECT $1::int + 1", i)
	}
	results := c.SendBatch(ctx, b)
	for i := range 50 {
		var got int
		if err := results.QueryRow().Scan(&got); err != nil || got != i+1 {
			t.Fatal(i, got, err)
		}
	}
	if err := results.Close(); err != nil {
		t.Fatal(err)
	}
	var pg *pgconn.PgError
	if _, err := c.Exec(ctx, "SELECT 1/0"); !errors.As(err, &pg) || pg.Code != "22012" {
		t.Errorf("the server's error does not come through: %v", err)
	}
	if err := c.Ping(ctx); err != nil {
		t.Errorf("after an error the connection is no more: %v", err)
	}
}

func TestPipelines(t *testing.T) {
	x := front(t, server.URL("sslmode=disable"), nil)
	c := connect(t, x.url).PgConn()
	p := c.StartPipeline(t.Context())
	p.SendPrepare("two", "SELECT $1::int * 2", nil)
	for range 500 {
		p.SendQueryPrepared("two", [][]byte{[]byte("21")}, nil, nil)
	}
	p.SendFlushRequest() // no Sync: nothing says "ready", and still all must come
	if err := p.Flush(); err != nil {
		t.Fatal(err)
	}
	for i := range 501 {
		r, err := p.GetResults()
		if err != nil {
			t.Fatal(err)
		}
		if rr, ok := r.(*pgconn.ResultReader); ok {
			if got := rr.Read(); got.Err != nil || string(got.Rows[0][0]) != "42" {
				t.Fatal(i, got.Err)
			}
		}
	}
	if err := p.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

func TestNotifications(t *testing.T) {
	x := front(t, server.URL("sslmode=disable"), nil)
	a, b := connect(t, x.url), connect(t, x.url)
	if _, err := a.Exec(t.Context(), "LISTEN news"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Exec(t.Context(), "SELECT pg_notify('news', $1)", "password "+server.Password); err != nil {
		t.Fatal(err)
	}
	n, err := a.WaitForNotification(t.Context())
	if err != nil || n.Channel != "news" || n.PID != b.PgConn().PID() || n.Payload != "password "+strings.Repeat("*", len(server.Password)) {
		t.Errorf("%+v %v", n, err)
	}
}

// stripes is size bytes of COPY text.
type stripes struct{ left int }

func (s *stripes) Read(p []byte) (int, error) {
	const line = "12345\tthe quick brown fox jumps over the lazy dog, again and again and again and again\n"
	if s.left <= 0 {
		return 0, io.EOF
	}
	n := 0
	for n+len(line) <= len(p) && s.left > 0 {
		n += copy(p[n:], line)
		s.left -= len(line)
	}
	return n, nil
}

func TestCopy50MB(t *testing.T) {
	x := front(t, server.URL("sslmode=disable"), nil)
	c := connect(t, x.url).PgConn()
	if _, err := c.Exec(t.Context(), "CREATE TEMP TABLE bulk(n int, t text)").ReadAll(); err != nil {
		t.Fatal(err)
	}
	const size = 50 << 20
	in, out := sha256.New(), sha256.New()
	tag, err := c.CopyFrom(t.Context(), io.TeeReader(&stripes{size}, in), "COPY bulk FROM STDIN")
	if err != nil {
		t.Fatal(err)
	}
	back, err := c.CopyTo(t.Context(), out, "COPY bulk TO STDOUT")
	if err != nil || back.RowsAffected() != tag.RowsAffected() || !bytes.Equal(in.Sum(nil), out.Sum(nil)) {
		t.Errorf("%v: %s in, %s out", err, tag, back)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	x.awaitKinds(t, "opened closed")
	if e := x.event(1); e.Sent < size || e.Received < size {
		t.Errorf("%d bytes up and %d down are recorded", e.Sent, e.Received)
	}
}

func TestCancelByTheProtocol(t *testing.T) {
	for _, mode := range []string{"disable", "require"} {
		x := front(t, server.URL("sslmode="+mode), nil)
		c := connect(t, x.url).PgConn()
		var pg *pgconn.PgError
		done := make(chan error, 1)
		go func() { done <- c.Exec(t.Context(), "SELECT pg_sleep(300)").Close() }()
		awaitQuery(t, c.PID())
		if err := c.CancelRequest(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-done; !errors.As(err, &pg) || pg.Code != "57014" {
			t.Errorf("%s: %v", mode, err)
		}
		if x.kinds() != "opened canceled" {
			t.Errorf("%s: recorded %s", mode, x.kinds())
		}
	}
}

// awaitQuery waits until the server runs a query for pid.
func awaitQuery(t testing.TB, pid uint32) {
	t.Helper()
	for range 1000 {
		if server.AdminQuery(t, "SELECT state FROM pg_stat_activity WHERE pid = $1 AND query LIKE '%pg_sleep%'", pid) == "active" {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("the query does not start")
}

// awaitNone waits until the server runs no query of the tests' user.
func awaitNone(t testing.TB, mark string) {
	t.Helper()
	for range 1000 {
		if server.AdminQuery(t, "SELECT count(*)::text FROM pg_stat_activity WHERE usename = 'app' AND query LIKE $1 AND state = 'active'", "%"+mark+"%") == "0" {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%s runs on", mark)
}

func TestCancelByCtrlC(t *testing.T) {
	x := front(t, server.URL("sslmode=disable"), nil)
	var out bytes.Buffer
	c := exec.CommandContext(t.Context(), "psql", "-X", x.url, "-c", "SELECT pg_sleep(301)")
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "LC_ALL=C"}
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		if server.AdminQuery(t, "SELECT count(*)::text FROM pg_stat_activity WHERE query LIKE '%pg_sleep(301)%' AND state = 'active' AND usename = 'app'") == "1" {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err == nil || !strings.Contains(out.String(), "canceling statement due to user request") {
		t.Errorf("%v: %s", err, out.String())
	}
}

// A query of a run that is over ends; so does one whose client was killed.
func TestNothingRunsOn(t *testing.T) {
	x := front(t, server.URL("sslmode=disable"), nil)
	a := connect(t, x.url).PgConn()
	a.Frontend().SendQuery(pgQuery("SELECT pg_sleep(302)"))
	if err := a.Frontend().Flush(); err != nil {
		t.Fatal(err)
	}
	awaitQuery(t, a.PID())
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	awaitNone(t, "pg_sleep(302)")

	y := front(t, server.URL("sslmode=disable"), nil)
	b := connect(t, y.url).PgConn()
	b.Frontend().SendQuery(pgQuery("SELECT pg_sleep(303)"))
	if err := b.Frontend().Flush(); err != nil {
		t.Fatal(err)
	}
	awaitQuery(t, b.PID())
	_ = b.Conn().Close()
	awaitNone(t, "pg_sleep(303)")
}

// What a client sent last arrives, though it does not wait for the answer.
func TestLastWordsArrive(t *testing.T) {
	server.Exec(t, "CREATE TABLE IF NOT EXISTS last_words(n int)")
	x := front(t, server.URL("sslmode=disable"), nil)
	for i := range 20 {
		c, err := pgx.Connect(t.Context(), x.url)
		if err != nil {
			t.Fatal(err)
		}
		c.PgConn().Frontend().SendQuery(pgQuery(fmt.Sprintf("INSERT INTO last_words VALUES (%d)", i)))
		if err := c.PgConn().Frontend().Flush(); err != nil {
			t.Fatal(err)
		}
		if err := c.PgConn().Conn().Close(); err != nil {
			t.Fatal(err)
		}
	}
	for range 500 {
		if server.AdminQuery(t, "SELECT count(*)::text FROM last_words") == "20" {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%s of 20 rows arrived", server.AdminQuery(t, "SELECT count(*)::text FROM last_words"))
}

func TestConnectionsAreCounted(t *testing.T) {
	x := front(t, server.URL("sslmode=disable"), limit(2))
	a, _ := connect(t, x.url), connect(t, x.url)
	refused(t, x.url, "53300", "busy", "pool")
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 500 { // the place is free when the end was recorded
		c, err := pgx.Connect(t.Context(), x.url)
		if err == nil {
			_ = c.Close(t.Context())
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("a place does not become free")
}

func TestSeveralHosts(t *testing.T) {
	dead := postgrestest.Server{Host: "127.0.0.1", Port: 1}
	url := strings.Replace(server.URL("sslmode=prefer&target_session_attrs=read-write&connect_timeout=5"), "@", "@"+dead.Addr()+",", 1)
	x := front(t, url, nil)
	if err := connect(t, x.url).Ping(context.Background()); err != nil {
		t.Error(err)
	}
	refused(t, front(t, server.URL("target_session_attrs=standby"), nil).url, "08001", "connection_failed")
}
