package postgres_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/zavhoz/zavhoz/run/postgres"
	"github.com/zavhoz/zavhoz/run/postgres/postgrestest"
	"github.com/zavhoz/zavhoz/run/redact"
	"github.com/zavhoz/zavhoz/vault/secret"
)

var server *postgrestest.Server

func TestMain(m *testing.M) {
	var err error
	if server, err = postgrestest.New(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	server.Close()
	os.Exit(code)
}

const placeholder = "Pl4ceh0lderOfTheResourceCalledDb"

// fixture is a front in front of the test's server, as a run has it.
type fixture struct {
	*postgres.Front
	addr string
	url  string
	wire *wire // all that went to children

	mu     sync.Mutex
	events []postgres.Event
	fail   error // of Record
}

// wire keeps a copy of every byte that the front writes.
type wire struct {
	net.Listener
	mu  sync.Mutex
	all bytes.Buffer
}

func (w *wire) Accept() (net.Conn, error) {
	c, err := w.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &tapped{c.(*net.TCPConn), w}, nil
}

func (w *wire) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.all.String()
}

type tapped struct {
	*net.TCPConn
	w *wire
}

func (c *tapped) Write(p []byte) (int, error) {
	c.w.mu.Lock()
	if c.w.all.Len() < 4<<20 {
		c.w.all.Write(p)
	}
	c.w.mu.Unlock()
	return c.TCPConn.Write(p)
}

func open(url string) func() (secret.Secret, error) {
	return func() (secret.Secret, error) { return secret.FromString(url), nil }
}

// masker masks the values by stars.
func masker(t testing.TB, values ...string) func(io.Writer) io.WriteCloser {
	set := redact.NewSet(redact.Options{Fill: '*'})
	for _, v := range values {
		if err := set.Add("db.password", secret.FromString(v)); err != nil {
			t.Fatal(err)
		}
	}
	m := set.Compile()
	return func(dst io.Writer) io.WriteCloser { return m.Stream(dst) }
}

func dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return (&net.Dialer{}).DialContext(ctx, network, addr)
}

// front serves url; change may be nil.
func front(t testing.TB, url string, change func(*postgres.Options)) *fixture {
	t.Helper()
	x := &fixture{}
	o := postgres.Options{
		Handle: "shop_db", URL: open(url), Placeholder: placeholder, Dial: dial, Mask: masker(t, server.Password),
		Record: func(e postgres.Event) error {
			x.mu.Lock()
			defer x.mu.Unlock()
			x.events = append(x.events, e)
			return x.fail
		},
	}
	if change != nil {
		change(&o)
	}
	f, err := postgres.New(o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	x.Front, x.addr, x.wire = f, l.Addr().String(), &wire{Listener: l}
	x.url = f.URL(x.addr)
	served := make(chan error, 1)
	go func() { served <- f.Serve(x.wire) }()
	t.Cleanup(func() {
		_ = f.Close()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
		for _, s := range []string{server.Password, server.AdminPassword} {
			if strings.Contains(x.wire.text(), s) {
				t.Error("a true password went to the child")
			}
		}
	})
	return x
}

// event gives one of the events so far.
func (x *fixture) event(i int) postgres.Event {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.events[i]
}

// kinds lists the events so far.
func (x *fixture) kinds() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	var all []string
	for _, e := range x.events {
		all = append(all, strings.TrimSuffix(string(e.Kind)+":"+string(e.Code), ":"))
	}
	return strings.Join(all, " ")
}

// awaitKinds waits for the record of what ends in the background.
func (x *fixture) awaitKinds(t testing.TB, want string) {
	t.Helper()
	for range 500 {
		if x.kinds() == want {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("recorded: %s; want %s", x.kinds(), want)
}

func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// refused wants a connection to fail with the SQLSTATE and the words, and with a next step.
func refused(t testing.TB, url, state string, words ...string) *pgconn.PgError {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	if err == nil {
		_ = c.Close(t.Context())
		t.Fatalf("%s was let in", url)
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		t.Fatalf("no answer of the protocol: %v", err)
	}
	if pg.Code != state || pg.Severity != "FATAL" {
		t.Errorf("%s %s: %s (%s)", pg.Severity, pg.Code, pg.Message, pg.Hint)
	}
	for _, w := range words {
		if !strings.Contains(pg.Message+" | "+pg.Hint, w) {
			t.Errorf("%q is not in: %s | %s", w, pg.Message, pg.Hint)
		}
	}
	return pg
}

func roots(t testing.TB, pem []byte) *x509.CertPool {
	t.Helper()
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(pem) {
		t.Fatal("no certificate")
	}
	return p
}

func TestWhatTheChildGets(t *testing.T) {
	x := front(t, server.URL("sslmode=prefer&application_name=x&pool_max_conns=4&sslrootcert=system&target_session_attrs=any&schema=public&password_file=y"), nil)
	if want := "postgres://app:" + placeholder + "@" + x.addr + "/shop?sslmode=disable&pool_max_conns=4&schema=public"; x.url != want {
		t.Errorf("%s", x.url)
	}
	for in, want := range map[string]string{
		"postgresql+asyncpg://app:canary-pw-1@h/shop":           "postgresql+asyncpg://app:P@a:1/shop?ssl=disable",
		"postgresql+pg8000://app:canary-pw-1@h/shop":            "postgresql+pg8000://app:P@a:1/shop",
		"postgres://a%20b:canary-pw-1@h/canary-pw-1":            "postgres://app:P@a:1/db?sslmode=disable",
		"postgres://app:canary-pw-1@h?pool_timeout=canary-pw-1": "postgres://app:P@a:1/app?sslmode=disable",
	} {
		f := front(t, in, nil)
		if got := strings.ReplaceAll(f.URL("a:1"), placeholder, "P"); got != want {
			t.Errorf("%s gives %s", in, got)
		}
	}
}

func TestOptionsThatAreMissing(t *testing.T) {
	whole := postgres.Options{Handle: "h", URL: open(server.URL("")), Placeholder: placeholder, Dial: dial, Mask: masker(t), Record: func(postgres.Event) error { return nil }}
	if f, err := postgres.New(whole); err != nil {
		t.Fatal(err)
	} else if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*postgres.Options){
		"handle": func(o *postgres.Options) { o.Handle = "" }, "url": func(o *postgres.Options) { o.URL = nil }, "dial": func(o *postgres.Options) { o.Dial = nil },
		"mask": func(o *postgres.Options) { o.Mask = nil }, "record": func(o *postgres.Options) { o.Record = nil },
		"short placeholder": func(o *postgres.Options) { o.Placeholder = "short" }, "odd placeholder": func(o *postgres.Options) { o.Placeholder = placeholder + "@evil" },
	} {
		o := whole
		spoil(&o)
		if _, err := postgres.New(o); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
