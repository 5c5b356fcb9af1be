package postgres_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/zavhoz/zavhoz/run/postgres"
)

// A row, an error, a notice, a column's name, a setting and a COPY may hold the true password: the child gets as many stars. Each connection of these tests
// is also read byte by byte for it when the test ends: see front.
func TestAttack37_ThePasswordInRepliesIsMasked(t *testing.T) {
	server.Exec(t, "CREATE TABLE IF NOT EXISTS leaks(id serial, pw text, j jsonb, b bytea)")
	server.Exec(t, "DELETE FROM leaks")
	server.Exec(t, "INSERT INTO leaks(pw, j, b) SELECT $1::text, jsonb_build_object('k', $1::text), convert_to($1::text, 'UTF8') FROM generate_series(1, 1000)", server.Password)
	x := front(t, server.URL("sslmode=disable"), nil)
	c := connect(t, x.url)
	stars := strings.Repeat("*", len(server.Password))
	for name, m := range map[string]pgx.QueryExecMode{"text": pgx.QueryExecModeSimpleProtocol, "binary": pgx.QueryExecModeDescribeExec} {
		column := "b"
		if name == "text" {
			column = "convert_from(b, 'UTF8')" // written as hex it is masked too, but stars are no hex to the client
		}
		rows, err := c.Query(t.Context(), "SELECT id, pw, j::text, "+column+", 'before '||pw||' after' FROM leaks", m)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for rows.Next() {
			var id int
			var pw, j, around string
			var b []byte
			if err := rows.Scan(&id, &pw, &j, &b, &around); err != nil {
				t.Fatal(name, err)
			}
			if n++; pw != stars || j != `{"k": "`+stars+`"}` || string(b) != stars || around != "before "+stars+" after" {
				t.Fatalf("%s: %q %q %q %q", name, pw, j, b, around)
			}
		}
		if n != 1000 || rows.Err() != nil {
			t.Errorf("%s: %d rows, %v", name, n, rows.Err())
		}
	}
	for _, sql := range []string{
		"DO $$ BEGIN RAISE NOTICE '%', (SELECT pw FROM leaks LIMIT 1); END $$", "DO $$ BEGIN RAISE EXCEPTION '%', (SELECT pw FROM leaks LIMIT 1); END $$",
		"SELECT 1 AS \"" + server.Password + "\"", "SET application_name = '" + server.Password + "'", "SELECT '" + server.Password + "'::int",
	} {
		_, err := c.PgConn().Exec(t.Context(), sql).ReadAll()
		var pg *pgconn.PgError
		if err != nil && !errors.As(err, &pg) {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	var out bytes.Buffer
	if _, err := c.PgConn().CopyTo(t.Context(), &out, "COPY leaks(pw) TO STDOUT"); err != nil || out.String() != strings.Repeat(stars+"\n", 1000) {
		t.Errorf("COPY: %v, %d bytes", err, out.Len())
	}
	var name string
	if err := c.QueryRow(t.Context(), "SHOW application_name").Scan(&name); err != nil || name != stars || c.PgConn().ParameterStatus("application_name") != stars {
		t.Errorf("a setting: %q", name)
	}
}

// Values longer than a buffer are masked as they stream by, wherever in them the password is.
func TestLongValuesAreMasked(t *testing.T) {
	server.Exec(t, "CREATE TABLE IF NOT EXISTS long_leaks(v text)")
	server.Exec(t, "DELETE FROM long_leaks")
	server.Exec(t, "INSERT INTO long_leaks SELECT repeat('x', 65500 + n) || $1::text || repeat('y', 70000) || $1::text FROM generate_series(1, 60) n", server.Password)
	x := front(t, server.URL("sslmode=disable"), nil)
	c := connect(t, x.url)
	rows, err := c.Query(t.Context(), "SELECT length(v), v, NULL::text, '' AS e, v FROM long_leaks")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for rows.Next() {
		var length int
		var a, b, empty string
		var null *string
		if err := rows.Scan(&length, &a, &null, &empty, &b); err != nil {
			t.Fatal(err)
		}
		if n++; a != b || len(a) != length || strings.Count(a, "*") != 2*len(server.Password) || strings.Contains(a, server.Password) || null != nil || empty != "" {
			t.Fatalf("row %d has %d stars in %d bytes", n, strings.Count(a, "*"), len(a))
		}
	}
	if rows.Err() != nil || n != 60 {
		t.Errorf("%d rows, %v", n, rows.Err())
	}
	var pg *pgconn.PgError
	if _, err := c.Exec(t.Context(), "DO $$ BEGIN RAISE EXCEPTION '%', (SELECT v FROM long_leaks LIMIT 1); END $$"); !errors.As(err, &pg) || strings.Count(pg.Message, "*") != 2*len(server.Password) {
		t.Errorf("a long error is not masked: %v", err != nil)
	}
}

// spoiled is a mask that fails, or changes lengths.
type spoiled struct {
	dst  io.Writer
	fail string
}

var errGagged = errors.New("gagged")

func (s *spoiled) Write(p []byte) (int, error) {
	if !bytes.Contains(p, []byte("trigger")) {
		return s.dst.Write(p)
	}
	switch s.fail {
	case "write":
		return 0, errGagged
	case "longer":
		_, err := s.dst.Write(append([]byte("more"), p...))
		return len(p), err
	case "shorter":
		_, err := s.dst.Write(p[1:])
		return len(p), err
	default:
		return s.dst.Write(p)
	}
}

func (s *spoiled) Close() error {
	if s.fail == "close" {
		return errGagged
	}
	return nil
}

// A mask that fails withholds the reply: the connection ends, and what was to be masked did not go.
func TestAttack60_AMaskThatFailsWithholds(t *testing.T) {
	for _, fail := range []string{"write", "longer", "shorter"} {
		for size := range 2 {
			x := front(t, server.URL("sslmode=disable"), func(o *postgres.Options) {
				o.Mask = func(dst io.Writer) io.WriteCloser { return &spoiled{dst, fail} }
			})
			c := connect(t, x.url)
			_, err := c.PgConn().Exec(t.Context(), fmt.Sprintf("SELECT 'trig' || 'ger' || repeat('x', %d)", size*200000)).ReadAll()
			if err == nil || strings.Contains(x.wire.text(), "trigger") && fail != "longer" && size == 0 {
				t.Errorf("%s, size %d: %v", fail, size, err)
			}
			want := map[string]string{"write": "opened closed:output_withheld", "longer": "opened closed:internal", "shorter": "opened closed:internal"}[fail]
			x.awaitKinds(t, want)
		}
	}
	x := front(t, server.URL("sslmode=disable"), func(o *postgres.Options) {
		o.Mask = func(dst io.Writer) io.WriteCloser { return &spoiled{dst, "close"} }
	})
	if _, err := pgx.Connect(t.Context(), x.url); err == nil || !strings.Contains(err.Error(), "output_withheld") {
		t.Errorf("the start is not withheld: %v", err)
	}
}

// A server that does not keep to the protocol ends its connection; nothing that it declares is allocated or waited for.
func TestAttack67_AHostileServer(t *testing.T) {
	for name, after := range map[string][]byte{
		"a length below four": {'D', 0, 0, 0, 3}, "a length of two gigabytes": {'D', 0x7f, 0xff, 0xff, 0xff, 0, 1}, "a row shorter than its columns": {'D', 0, 0, 0, 10, 0, 2, 0xff, 0xff, 0xff, 0xff},
		"a column longer than its row": {'D', 0, 0, 0, 11, 0, 1, 0, 0, 0, 9, 'x'}, "a negative column": {'D', 0, 0, 0, 10, 0, 1, 0xff, 0xff, 0xff, 0xf0}, "a row with a rest": {'D', 0, 0, 0, 8, 0, 0, 1, 2},
		"an error without end": {'E', 0, 0, 0, 7, 'S', 'x', 'y'}, "columns without names": {'T', 0, 0, 0, 8, 0, 1, 'a', 'b'}, "a notification without process": {'A', 0, 0, 0, 5, 1},
		"a long row, shorter than its columns": append([]byte{'D', 0, 2, 0, 4, 0, 1, 0xff, 0xff, 0xff, 0xff}, make([]byte, 2<<16-6)...),
	} {
		url := fakeLogin(t, after)
		x := front(t, url, nil)
		c := connect(t, x.url)
		_, err := c.PgConn().Exec(t.Context(), "SELECT 1").ReadAll()
		if err == nil {
			t.Errorf("%s: taken", name)
		}
		x.awaitKinds(t, "opened closed:connection_failed")
	}
}

// fakeLogin is a server that takes every login (a URL without a password), answers the first query by the given bytes, and waits.
func fakeLogin(t *testing.T, after []byte) string {
	t.Helper()
	url := fake(t, func(c net.Conn, b *pgproto3.Backend) {
		b.Send(&pgproto3.AuthenticationOk{})
		b.Send(&pgproto3.BackendKeyData{ProcessID: 7, SecretKey: []byte{1, 2, 3, 4}})
		b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
		_ = b.Flush()
		if _, err := b.Receive(); err != nil {
			return
		}
		_, _ = c.Write(after)
		_, _ = io.Copy(io.Discard, c)
	})
	return strings.Replace(url, ":canary-password-1@", "@", 1)
}
