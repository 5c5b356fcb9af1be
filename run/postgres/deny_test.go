package postgres_test

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/zavhoz/zavhoz/run/egress"
	"github.com/zavhoz/zavhoz/run/postgres"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

func pgQuery(sql string) *pgproto3.Query { return &pgproto3.Query{String: sql} }

func limit(n int) func(*postgres.Options) { return func(o *postgres.Options) { o.MaxConns = n } }

func TestAttack34_TheWrongPlaceholderIsNoPlaceholder(t *testing.T) {
	x := front(t, server.URL("sslmode=disable"), nil)
	for _, wrong := range []string{"", "x", placeholder[:31], placeholder + "x", strings.ToLower(placeholder), server.Password} {
		refused(t, strings.Replace(x.url, placeholder, wrong, 1), "28P01", "unauthenticated", "shop_db")
	}
	if strings.Contains(x.kinds(), "opened") {
		t.Error("the upstream was asked")
	}
}

func TestOneUserAndOneDatabase(t *testing.T) {
	x := front(t, server.URL("sslmode=disable"), nil)
	refused(t, strings.Replace(x.url, "//app:", "//postgres:", 1), "28000", "own user")
	refused(t, strings.Replace(x.url, "/shop?", "/postgres?", 1), "3D000", "one database")
	refused(t, strings.Replace(x.url, "/shop?", "/?", 1), "3D000", "one database")
	refused(t, x.url+"&replication=database", "0A000", "replication")
	refused(t, x.url+"&session_preload_libraries=evil", "22023", "not on the list", "search_path")
	refused(t, x.url+"&options=-c%20ignore_system_indexes%3Don", "22023", "not on the list")
	refused(t, x.url+"&options=-p%205433", "22023", "-c NAME=VALUE")
	refused(t, x.url+"&search_path=a%20b", "08001", "settings")
	x.awaitKinds(t, "denied:not_permitted denied:not_permitted denied:not_permitted denied:not_supported denied:not_permitted denied:not_permitted denied:invalid_argument denied:connection_failed")
	c := connect(t, x.url+"&search_path=a,b&options=-c%20application_name%3Dmy%5C%20app%20-csearch_path%3Dz%20--statement-timeout%3D7777&TimeZone=Asia/Tokyo")
	for setting, want := range map[string]string{"application_name": "my app", "search_path": "a,b", "statement_timeout": "7777ms", "timezone": "Asia/Tokyo"} {
		var got string
		if err := c.QueryRow(t.Context(), "SELECT current_setting($1)", setting).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %q, %v", setting, got, err)
		}
	}
}

// The settings of the URL hold, and the child's win.
func TestSettingsOfTheURL(t *testing.T) {
	x := front(t, server.URL("sslmode=disable&application_name=vault&options=-c%20work_mem%3D8MB&lock_timeout=5555"), nil)
	c := connect(t, x.url+"&application_name=child")
	for setting, want := range map[string]string{"application_name": "child", "work_mem": "8MB", "lock_timeout": "5555ms"} {
		var got string
		if err := c.QueryRow(t.Context(), "SELECT current_setting($1)", setting).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %q, %v", setting, got, err)
		}
	}
}

func TestAttack65_RefusalsHoldNothingOfTheServer(t *testing.T) {
	const host, user, password = "db-canary-host.invalid", "canary_user_name", "canary-password-1"
	for name, c := range map[string]struct {
		url, state string
		words      []string
	}{
		"wrong password": {server.URLOf("app", password, "sslmode=disable"), "28000", []string{"remote_auth_failed", "--secret url=-"}},
		"no such user":   {server.URLOf(user, password, "sslmode=require"), "28000", []string{"remote_auth_failed"}},
		"no such name":   {"postgres://" + user + ":" + password + "@" + host + "/d", "08001", []string{"connection_failed", "resolved"}},
		"nobody there":   {"postgres://" + user + ":" + password + "@127.0.0.1:1/d", "08001", []string{"refuses connections"}},
		"no such db":     {strings.Replace(server.URL("sslmode=disable"), "/shop", "/canary_database", 1), "08001", []string{"does not exist"}},
		"a lie":          {liar(t, "FATAL", "28P01", "password of "+user+" at "+host+" is "+password), "28000", nil},
		"another lie":    {liar(t, "ERROR", "ZZZZZ", "password of "+user+" at "+host+" is "+password), "08001", []string{"ended the login"}},
	} {
		x := front(t, c.url, nil)
		pg := refused(t, x.url, c.state, c.words...)
		for _, leak := range []string{host, user, password, server.Addr(), "127.0.0.1", "canary"} {
			if strings.Contains(pg.Message+pg.Hint+pg.Detail, leak) {
				t.Errorf("%s: %s holds %s", name, pg.Message, leak)
			}
			if leak != "127.0.0.1" && strings.Contains(strings.ReplaceAll(x.wire.text(), x.addr, ""), leak) && leak != user {
				t.Errorf("%s: the child was sent %s", name, leak)
			}
		}
		if !strings.HasPrefix(x.kinds(), "denied:") {
			t.Errorf("%s: recorded %s", name, x.kinds())
		}
	}
}

// liar is a server that answers the StartupMessage by an error of its own choice; it gives a URL.
func liar(t *testing.T, severity, state, text string) string {
	return fake(t, func(c net.Conn, b *pgproto3.Backend) {
		b.Send(&pgproto3.ErrorResponse{Severity: severity, SeverityUnlocalized: severity, Code: state, Message: text, Detail: text, Hint: text})
		_ = b.Flush()
	})
}

// fake is a hostile server; say gets each connection after its StartupMessage.
func fake(t *testing.T, say func(net.Conn, *pgproto3.Backend)) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b := pgproto3.NewBackend(c, c)
			for {
				m, err := b.ReceiveStartupMessage()
				if _, ssl := m.(*pgproto3.SSLRequest); ssl && err == nil {
					_, _ = c.Write([]byte{'N'})
					continue
				}
				if err == nil {
					say(c, b)
				}
				break
			}
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return "postgres://app:canary-password-1@" + l.Addr().String() + "/shop?sslmode=prefer"
}

func TestAttack45_ThePolicyDecidesWhereTo(t *testing.T) {
	asked := make(chan string, 4)
	x := front(t, "postgres://app:canary-password-1@metadata.internal:5432/shop?sslmode=disable", func(o *postgres.Options) {
		o.Dial = func(_ context.Context, _, addr string) (net.Conn, error) {
			asked <- addr
			return nil, fault.New(fault.NotPermitted, "metadata.internal is 169.254.169.254", "no way")
		}
	})
	pg := refused(t, x.url, "08001", "policy does not allow", "--allow-private")
	if strings.Contains(pg.Message+pg.Hint, "metadata") || <-asked != "metadata.internal:5432" {
		t.Errorf("%s", pg.Message)
	}
}

// The egress proxy's look at addresses serves a front too, its cancel requests included.
func TestAttack54_AddressesAsTheEgressHasThem(t *testing.T) {
	allow := func(r egress.Resource) func(*postgres.Options) {
		return func(o *postgres.Options) { o.Dial = r.Dialer() }
	}
	for _, host := range []string{"127.0.0.1", "[::1]", "[fd00::1]", "169.254.169.254", "localhost", "10.0.0.1"} {
		x := front(t, "postgres://app:canary-password-1@"+host+":1/shop?sslmode=disable", allow(egress.Resource{}))
		refused(t, x.url, "08001", "policy does not allow", "--allow-private")
	}
	x := front(t, server.URL("sslmode=disable"), allow(egress.Resource{Private: true}))
	y := front(t, strings.Replace(server.URL("sslmode=require"), "127.0.0.1", "db.internal", 1),
		allow(egress.Resource{Resolve: map[string]netip.Addr{"db.internal": netip.MustParseAddr("127.0.0.1")}}))
	for _, url := range []string{x.url, y.url} {
		c := connect(t, url).PgConn()
		done := make(chan error, 1)
		go func() { done <- c.Exec(t.Context(), "SELECT pg_sleep(30)").Close() }()
		awaitQuery(t, c.PID())
		if err := c.CancelRequest(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err == nil || !strings.Contains(err.Error(), "57014") {
			t.Errorf("cancelled: %v", err)
		}
	}
}

func TestNothingHappensUnrecorded(t *testing.T) {
	x := front(t, server.URL("sslmode=disable"), nil)
	x.mu.Lock()
	x.fail = errors.New("the disk is full")
	x.mu.Unlock()
	refused(t, x.url, "58000", "audit_unavailable")
	x.mu.Lock()
	x.fail = nil
	x.mu.Unlock()
	refused(t, x.url, "58000", "audit_unavailable") // a gap in the record is not forgotten
	if err := x.Close(); err == nil {
		t.Error("Close does not tell")
	}
}

func TestWhereTheURLCannotBeServed(t *testing.T) {
	for query, want := range map[string]string{
		"host=evil": "parameter host", "port=1": "parameter port", "user=x": "parameter user", "dbname=x": "parameter dbname", "service=x": "parameter service",
		"servicefile=x": "parameter servicefile", "passfile=x": "parameter passfile", "hostaddr=1": "parameter hostaddr", "HOST=evil": "parameter host", "replication=1": "parameter replication",
		"sslcert=/a": "sslcert", "sslkey=/a": "sslkey", "sslrootcert=/a": "--upstream-ca", "sslmode=x": "sslmode", "sslnegotiation=x": "sslnegotiation",
		"channel_binding=x": "channel_binding", "require_auth=gss": "require_auth", "require_auth=password,": "require_auth",
		"gssencmode=require": "GSSAPI", "target_session_attrs=x": "target_session_attrs", "a=%zz": "NAME=VALUE", "a=%00": "NAME=VALUE",
	} {
		_, err := postgres.New(postgres.Options{Handle: "db", URL: open(server.URL(query)), Placeholder: placeholder, Dial: dial, Mask: masker(t), Record: func(postgres.Event) error { return nil }})
		if code := fault.CodeOf(err); (code != fault.SecretInvalid && code != fault.NotSupported) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), server.Password) {
			t.Errorf("%s: %v", query, err)
		}
	}
	for _, url := range []string{"", "mysql://app:canary-password-1@h/d", "postgres://h/d", "postgres://app:canary-password-1@h/d#x", "postgres://a%00:canary-password-1@h/d", "postgres://app:canary-password-1@h/%00"} {
		_, err := postgres.New(postgres.Options{Handle: "db", URL: open(url), Placeholder: placeholder, Dial: dial, Mask: masker(t), Record: func(postgres.Event) error { return nil }})
		if fault.CodeOf(err) != fault.SecretInvalid || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %v", url, err)
		}
	}
	locked := fault.New(fault.VaultLocked, "the vault is locked", "zavhoz unlock")
	var closed atomic.Bool
	x := front(t, server.URL("sslmode=disable"), func(o *postgres.Options) {
		o.URL = func() (secret.Secret, error) {
			if closed.Load() {
				return secret.Secret{}, locked
			}
			return secret.FromString(server.URL("sslmode=disable")), nil
		}
	})
	closed.Store(true)
	refused(t, x.url, "58000", "vault_locked", "zavhoz unlock")
}

// raw speaks the protocol by hand.
func raw(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

func TestAttack67_TheStartIsBounded(t *testing.T) {
	x := front(t, server.URL("sslmode=disable"), func(o *postgres.Options) { o.StartupTimeout = 300 * time.Millisecond; o.MaxConns = 1 })
	for name, first := range map[string][]byte{
		"nothing": nil, "half a head": {0, 0, 0}, "too long": {0x7f, 0xff, 0xff, 0xff, 0, 3, 0, 0}, "too short": {0, 0, 0, 4, 0, 3, 0, 0}, "a promise": {0, 0, 0x20, 0, 0, 3, 0, 0, 'u'},
		"TLS at once": {0x16, 3, 1, 2, 0, 1, 0, 1}, "cancel without key": {0, 0, 0, 8, 4, 210, 22, 46}, "cancel of nobody": {0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0, 1, 0, 0, 0, 1},
	} {
		c := raw(t, x.addr)
		_, _ = c.Write(first)
		if got, _ := io.ReadAll(c); len(got) > 0 {
			t.Errorf("%s: answered by %q", name, got)
		}
	}
	c := raw(t, x.addr)
	for range 3 { // encryption is asked for without end
		_, _ = c.Write([]byte{0, 0, 0, 8, 4, 210, 22, 47})
	}
	if got, _ := io.ReadAll(c); string(got) != "NNN" {
		t.Errorf("answered by %q", got)
	}
	// Sockets that say nothing do not add up: the front holds so many, and takes new ones when those are gone.
	for range 40 {
		raw(t, x.addr)
	}
	for range 100 {
		if c, err := pgx.Connect(t.Context(), x.url); err == nil {
			_ = c.Close(t.Context())
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Error("after a crowd of silent ones nobody gets in")
}

// startup makes a StartupMessage.
func startup(version uint32, pairs ...string) []byte {
	b := binary.BigEndian.AppendUint32(nil, 0)
	b = binary.BigEndian.AppendUint32(b, version)
	for _, p := range pairs {
		b = append(append(b, p...), 0)
	}
	b = append(b, 0)
	binary.BigEndian.PutUint32(b, uint32(len(b)))
	return b
}

func TestVersionsAreNegotiated(t *testing.T) {
	x := front(t, server.URL("sslmode=disable"), nil)
	c := raw(t, x.addr)
	_, _ = c.Write(startup(3<<16|2, "user", "app", "database", "shop", "_pq_.novelty", "1"))
	f := pgproto3.NewFrontend(c, c)
	m, err := f.Receive()
	n, ok := m.(*pgproto3.NegotiateProtocolVersion)
	if !ok || n.NewestMinorProtocol != 3<<16 || len(n.UnrecognizedOptions) != 1 || n.UnrecognizedOptions[0] != "_pq_.novelty" {
		t.Fatalf("%#v %v", m, err)
	}
	if m, err = f.Receive(); err != nil {
		t.Fatal(err)
	} else if _, ok := m.(*pgproto3.AuthenticationCleartextPassword); !ok {
		t.Fatalf("%#v", m)
	}
	f.Send(&pgproto3.PasswordMessage{Password: placeholder})
	_ = f.Flush()
	for {
		m, err := f.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if _, ready := m.(*pgproto3.ReadyForQuery); ready {
			break
		}
	}
	for version, want := range map[uint32]string{2 << 16: "0A000", 4 << 16: "0A000"} {
		c := raw(t, x.addr)
		_, _ = c.Write(startup(version, "user", "app"))
		if m, err := pgproto3.NewFrontend(c, c).Receive(); err != nil || m.(*pgproto3.ErrorResponse).Code != want {
			t.Errorf("version %d: %#v %v", version>>16, m, err)
		}
	}
	// TLS is not to be had, and a client that insists is told so by the protocol.
	tc := raw(t, x.addr)
	_, _ = tc.Write([]byte{0, 0, 0, 8, 4, 210, 22, 47})
	var answer [1]byte
	if _, err := io.ReadFull(tc, answer[:]); err != nil || answer[0] != 'N' {
		t.Errorf("%q %v", answer, err)
	}
	if err := tls.Client(tc, &tls.Config{InsecureSkipVerify: true}).Handshake(); err == nil {
		t.Error("a handshake all the same")
	}
}

// A cancel request needs the key of this front's own making.
func TestAttack64_NobodyCancelsAnothersQuery(t *testing.T) {
	x, y := front(t, server.URL("sslmode=disable"), nil), front(t, server.URL("sslmode=disable"), nil)
	a := connect(t, x.url).PgConn()
	done := make(chan error, 1)
	go func() { done <- a.Exec(t.Context(), "SELECT pg_sleep(2)").Close() }()
	awaitQuery(t, a.PID())
	request := func(addr string, key []byte) {
		c := raw(t, addr)
		b := append([]byte{0, 0, 0, 16, 4, 210, 22, 46}, binary.BigEndian.AppendUint32(nil, a.PID())...)
		_, _ = c.Write(append(b, key...))
		_, _ = io.ReadAll(c)
	}
	request(x.addr, []byte{1, 2, 3, 4})
	request(y.addr, a.SecretKey())
	request(server.Addr(), a.SecretKey()) // the server knows another key
	if err := <-done; err != nil {
		t.Errorf("cancelled: %v", err)
	}
	if strings.Contains(x.kinds()+y.kinds(), "canceled") {
		t.Errorf("recorded: %s; %s", x.kinds(), y.kinds())
	}
}
