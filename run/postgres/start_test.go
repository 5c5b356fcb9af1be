package postgres

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/zavhoz/zavhoz/vault/secret"
)

// What the environment and the home folder say must not show in a configuration: each variable that PostgreSQL's clients know, each file.
func TestTheEnvironmentHasNoSay(t *testing.T) {
	home := t.TempDir()
	for name, text := range map[string]string{
		".pgpass": "*:*:*:*:canary-pgpass", ".pg_service.conf": "[canary]\nhost=canary.example\npassword=canary-service\nsslmode=disable\n",
		".postgresql/root.crt": "canary", ".postgresql/postgresql.crt": "canary", ".postgresql/postgresql.key": "canary",
	} {
		p := filepath.Join(home, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o700), os.WriteFile(p, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	want := config(t, "postgres://app@db.example/shop")
	for _, v := range []string{"HOME", "USERPROFILE"} {
		t.Setenv(v, home)
	}
	for _, v := range []string{
		"HOST", "HOSTADDR", "PORT", "DATABASE", "USER", "PASSWORD", "PASSFILE", "APPNAME", "CONNECT_TIMEOUT", "SSLMODE", "SSLKEY", "SSLCERT", "SSLCERTMODE", "SSLSNI", "SSLROOTCERT",
		"SSLPASSWORD", "SSLNEGOTIATION", "TARGETSESSIONATTRS", "TZ", "OPTIONS", "MINPROTOCOLVERSION", "MAXPROTOCOLVERSION", "CHANNELBINDING", "REQUIREAUTH", "KRBSRVNAME", "GSSENCMODE",
	} {
		t.Setenv("PG"+v, "canary")
	}
	for _, service := range []string{"", "canary", "nowhere"} {
		t.Setenv("PGSERVICE", service)
		t.Setenv("PGSERVICEFILE", map[bool]string{true: filepath.Join(home, ".pg_service.conf"), false: "/nonexistent"}[service == "canary"])
		got := config(t, "postgres://app@db.example/shop")
		for name := range want {
			if !reflect.DeepEqual(want[name], got[name]) {
				t.Errorf("PGSERVICE=%s: %s is %v, and was %v", service, name, got[name], want[name])
			}
		}
	}
}

// config is the configuration for a URL, by the names of its fields, made without what an earlier test found; functions are only there or not.
func config(t *testing.T, url string) map[string]any {
	t.Helper()
	parsed, err := parseNothing()
	if err != nil {
		t.Fatal(err)
	}
	before := parsedOnce
	parsedOnce = func() (*pgconn.Config, error) { return parsed, nil }
	defer func() { parsedOnce = before }()
	f := &Front{o: Options{Handle: "db", ConnectTimeout: 30e9}}
	tg, err := readTarget("db", secret.FromString(url))
	if err != nil {
		t.Fatal(err)
	}
	c, err := f.config(tg, map[string]string{"application_name": "child"})
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]any{}
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; v.Field(i).CanSet() {
			if v.Field(i).Kind() == reflect.Func {
				fields[name] = !v.Field(i).IsNil()
			} else {
				fields[name] = v.Field(i).Interface()
			}
		}
	}
	if c.Password != "" || c.User != "app" || c.Database != "shop" || c.Host != "db.example" || c.Port != 5432 || c.TLSConfig == nil || len(c.Fallbacks) != 1 || c.RequireAuth != "none" ||
		!maps.Equal(c.RuntimeParams, map[string]string{"application_name": "child"}) || c.TLSConfig.RootCAs != nil || len(c.TLSConfig.Certificates) > 0 {
		t.Errorf("%+v", fields)
	}
	return fields
}

func pairs(p ...string) []byte { return []byte(strings.Join(append(p, ""), "\x00") + "\x00") }

func TestStartIsRead(t *testing.T) {
	s, r := parseStart(3<<16, pairs("user", "app", "database", "shop", "DateStyle", "ISO", "options", `-c TimeZone=UTC --lock-timeout=5 -cdatestyle=x -c application_name=a\ b\\c`))
	if r != nil || s.user != "app" || s.database != "shop" || s.minor != 0 ||
		!maps.Equal(s.params, map[string]string{"datestyle": "ISO", "timezone": "UTC", "lock_timeout": "5", "application_name": `a b\c`}) {
		t.Errorf("%+v %+v", s, r)
	}
	for name, c := range map[string]struct {
		body  []byte
		state string
	}{
		"empty": {nil, stateProtocol}, "no end": {[]byte("user\x00app\x00"), stateProtocol}, "more after the end": {append(pairs("user", "app"), 'x'), stateProtocol},
		"name only": {[]byte("user\x00"), stateProtocol}, "no user": {pairs("database", "shop"), stateLogin}, "twice": {pairs("user", "a", "user", "b"), stateProtocol},
		"twice, by case": {pairs("user", "a", "datestyle", "b", "DateStyle", "c"), stateProtocol}, "replication": {pairs("user", "a", "replication", "false"), stateUnsupported},
		"Replication": {pairs("user", "a", "Replication", "1"), stateUnsupported}, "session_authorization": {pairs("user", "a", "session_authorization", "b"), stateParameter},
		"role": {pairs("user", "a", "role", "b"), stateParameter}, "USER": {pairs("USER", "a"), stateParameter}, "option by word": {pairs("user", "a", "options", "-E"), stateParameter},
		"option without value": {pairs("user", "a", "options", "-c"), stateParameter}, "option without name": {pairs("user", "a", "options", "-c =x"), stateParameter},
		"option not listed": {pairs("user", "a", "options", "--role=b"), stateParameter}, "option in disguise": {pairs("user", "a", "options", `-c session_auth\orization=b`), stateParameter},
	} {
		if s, r := parseStart(3<<16, c.body); r == nil || r.state != c.state {
			t.Errorf("%s: %+v %+v", name, s, r)
		}
	}
}

// FuzzStart: whatever a child sends first, it is read within bounds, and nothing that is not on the list goes up.
func FuzzStart(f *testing.F) {
	f.Add(append([]byte{0, 0, 0, 40, 0, 3, 0, 0}, pairs("user", "app", "options", `-c a=b\ c`)...))
	f.Add([]byte{0, 0, 0, 8, 4, 210, 22, 47})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0, 3, 0, 0})
	f.Fuzz(func(t *testing.T, in []byte) {
		code, body, err := readPacket(bytes.NewReader(in))
		if err != nil {
			return
		}
		if len(body) > maxStartup {
			t.Fatalf("%d bytes", len(body))
		}
		s, r := parseStart(code, body)
		if (s == nil) == (r == nil) {
			t.Fatal("neither taken nor refused, or both")
		}
		if r != nil {
			if len(r.encode()) == 0 {
				t.Fatal("a refusal that cannot be said")
			}
			return
		}
		for name, value := range s.params {
			if !slices.Contains(settings, name) || strings.ContainsRune(name+value, 0) || s.user == "" {
				t.Fatalf("%q=%q goes up", name, value)
			}
		}
	})
}

// stars masks the word "password" and keeps lengths. It holds back until Close, as a redactor may.
type stars struct {
	dst io.Writer
	all []byte
}

func (s *stars) Write(p []byte) (int, error) { s.all = append(s.all, p...); return len(p), nil }
func (s *stars) Close() error {
	_, err := s.dst.Write(bytes.ReplaceAll(s.all, []byte("password"), []byte("********")))
	return err
}

// relayed runs a server's bytes through a relay.
func relayed(src io.Reader) ([]byte, error) {
	var out bytes.Buffer
	r := &relay{src: bufio.NewReaderSize(src, bufferLen), dst: &out, mask: func(w io.Writer) io.WriteCloser { return &stars{dst: w} }, received: &atomic.Int64{}}
	err := r.run()
	return out.Bytes(), err
}

// FuzzRelay: what comes out has the length and the heads of what went in, as far as that kept to the protocol, and does not depend on how it was cut.
func FuzzRelay(f *testing.F) {
	row, err := (&pgproto3.DataRow{Values: [][]byte{[]byte("a password"), nil, {}, []byte("pass"), []byte("word")}}).Encode(nil)
	if err != nil {
		f.Fatal(err)
	}
	notice, err := (&pgproto3.NoticeResponse{Severity: "NOTICE", Message: "password"}).Encode(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append(append(row, notice...), 'Z', 0, 0, 0, 5, 'I'))
	f.Add([]byte{'D', 0, 0, 0, 3})
	f.Fuzz(func(t *testing.T, in []byte) {
		whole, err := relayed(bytes.NewReader(in))
		if err == nil || len(whole) > len(in) {
			t.Fatalf("%d of %d bytes, %v", len(whole), len(in), err)
		}
		slow, _ := relayed(iotest.OneByteReader(bytes.NewReader(in)))
		if !bytes.Equal(whole, slow) {
			t.Fatal("what comes out depends on how it was cut")
		}
		for at := 0; at < len(whole); {
			n := 5
			if len(whole)-at >= 5 {
				n = 1 + int(binary.BigEndian.Uint32(whole[at+1:]))
			}
			cut := at+n > len(whole) && n <= bufferLen // a long one streams, and may end when its server does
			if !bytes.Equal(whole[at:at+5], in[at:at+5]) || n < 5 || cut {
				t.Fatalf("the head at %d is another", at)
			}
			at += n
		}
	})
}

// A message of any kind and size goes through; texts are masked in it, and what is next to them is not.
func TestRelayKeepsMessages(t *testing.T) {
	for _, pad := range []int{0, 100, bufferLen - 60, bufferLen, 3 * bufferLen} {
		long := strings.Repeat("x", pad)
		var in, want []byte
		for _, masked := range []bool{false, true} {
			word := "password"
			if masked {
				word = "********"
			}
			var b []byte
			for _, m := range []pgproto3.BackendMessage{
				&pgproto3.DataRow{Values: [][]byte{[]byte(long + word), nil, {}, []byte("pass"), []byte("word"), []byte(word + long)}},
				&pgproto3.ErrorResponse{Severity: "ERROR", Code: "XX000", Message: long + word, Hint: word}, &pgproto3.CopyData{Data: []byte(word + long + word)},
				&pgproto3.NotificationResponse{PID: 1, Channel: word, Payload: long + word}, &pgproto3.ParameterStatus{Name: "n", Value: word}, &pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")},
				&pgproto3.RowDescription{Fields: []pgproto3.FieldDescription{{Name: []byte(word), DataTypeOID: 25}, {Name: []byte("n")}}}, &pgproto3.ParameterDescription{ParameterOIDs: []uint32{25}},
				&pgproto3.FunctionCallResponse{Result: []byte(word)}, &pgproto3.ParseComplete{}, &pgproto3.BindComplete{}, &pgproto3.PortalSuspended{}, &pgproto3.ReadyForQuery{TxStatus: 'T'},
			} {
				var err error
				if b, err = m.Encode(b); err != nil {
					t.Fatal(err)
				}
			}
			if masked {
				want = b
			} else {
				in = b
			}
		}
		got, err := relayed(bytes.NewReader(in))
		if !errors.Is(err, io.EOF) || !bytes.Equal(got, want) {
			t.Errorf("pad %d: %v, %d bytes of %d, equal up to %d", pad, err, len(got), len(want), commonPrefix(got, want))
		}
	}
}

func commonPrefix(a, b []byte) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}
