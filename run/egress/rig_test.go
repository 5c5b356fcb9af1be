package egress_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/netip"
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

	"github.com/zavhoz/zavhoz/run/egress"
	"github.com/zavhoz/zavhoz/run/redact"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// The credential of most tests and what stands for it.
const (
	truth   = "ghp_Q7rT2vXw9zLk4mNp8sBd1fGh3jKa5cVe6uYo"
	standIn = "ghp_ZAVHOZstandin00000000000000000000abc"
	host    = "api.test"
)

// upstream is a real TLS server with an authority of its own, that keeps what it saw.
type upstream struct {
	port  int
	roots *x509.CertPool
	cert  tls.Certificate

	mu   sync.Mutex
	seen []*http.Request
}

// newUpstream serves handler for names, over h1 and h2.
func newUpstream(t testing.TB, handler http.HandlerFunc, names ...string) *upstream {
	t.Helper()
	u := &upstream{roots: x509.NewCertPool()}
	u.cert = certify(t, u.roots, append(names, host)...)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u.port = l.Addr().(*net.TCPAddr).Port
	s := &http.Server{ErrorLog: log.New(io.Discard, "", 0), TLSConfig: &tls.Config{Certificates: []tls.Certificate{u.cert}}, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.mu.Lock()
		u.seen = append(u.seen, r.Clone(context.Background()))
		u.mu.Unlock()
		handler(w, r)
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.ServeTLS(l, "", "") }()
	t.Cleanup(func() { _ = s.Close(); <-done })
	return u
}

func certify(t testing.TB, roots *x509.CertPool, names ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "upstream"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: names,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// last is the last request that arrived; nil for none.
func (u *upstream) last() *http.Request {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.seen) == 0 {
		return nil
	}
	return u.seen[len(u.seen)-1]
}

func (u *upstream) count() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.seen)
}

// forget empties what was seen.
func (u *upstream) forget() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.seen = nil
}

// resource reaches the upstream by name, with the credential as a bearer, as GitHub takes it, and in the path.
func (u *upstream) resource(names ...string) egress.Resource {
	r := egress.Resource{Handle: "forge", ID: "res_1", Private: true, Roots: u.roots, Resolve: map[string]netip.Addr{}}
	for _, name := range append(names, host) {
		r.Rules = append(r.Rules, policy.HostRule{Host: name, Port: u.port, Deny: []string{"/keys/*", "POST:/tokens"}})
		r.Resolve[name] = netip.MustParseAddr("127.0.0.1")
	}
	for _, s := range []egress.Swap{
		{Header: "Authorization", Template: "Bearer {value}"}, {Header: "Authorization", Template: "token {value}"}, {Header: "Authorization", Template: "*:{value}", Basic: true},
		{Header: "Authorization", Template: "{value}:*", Basic: true}, {Header: "X-Api-Key", Template: "{value}"}, {Path: "/bot{value}/"},
	} {
		s.Placeholder, s.Value = standIn, value(truth)
		r.Swaps = append(r.Swaps, s)
	}
	return r
}

func value(s string) func() (secret.Secret, error) {
	return func() (secret.Secret, error) { return secret.FromString(s), nil }
}

// rig is a proxy with its listeners.
type rig struct {
	*egress.Proxy
	proxy       string // address of the explicit entry
	transparent string // of the transparent one
	trust       *x509.CertPool
	bundle      string // path of the run's authority

	mu     sync.Mutex
	events []egress.Event
	fail   error // what Record gives
	counts int
}

func (r *rig) record(e egress.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
	return r.fail
}

// wait gives the events once there are n.
func (r *rig) wait(t testing.TB, n int) []egress.Event {
	t.Helper()
	for range 500 {
		r.mu.Lock()
		all := slices.Clone(r.events)
		r.mu.Unlock()
		if len(all) >= n {
			return all
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("fewer than %d events: %+v", n, r.events)
	return nil
}

// newRig opens a proxy for the upstream's port with o completed.
func newRig(t testing.TB, port int, o egress.Options) *rig {
	t.Helper()
	r := &rig{}
	if o.Record == nil {
		o.Record = r.record
	}
	if o.Counted == nil {
		o.Counted = func(n int) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.counts += n
			return nil
		}
	}
	o.RunID = "run_test"
	p, err := egress.New(o)
	if err != nil {
		t.Fatal(err)
	}
	r.Proxy = p
	r.trust = x509.NewCertPool()
	if !r.trust.AppendCertsFromPEM(p.CA()) {
		t.Fatal("no authority")
	}
	r.bundle = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(r.bundle, p.CA(), 0o644); err != nil {
		t.Fatal(err)
	}
	r.proxy = r.listen(t, p.Explicit)
	r.transparent = r.listen(t, func(l net.Listener) error { return p.Transparent(l, port) })
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *rig) listen(t testing.TB, serve func(net.Listener) error) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- serve(l) }()
	t.Cleanup(func() {
		_ = l.Close()
		if err := <-done; err != nil && !errors.Is(err, net.ErrClosed) {
			t.Errorf("a listener ended: %v", err)
		}
	})
	return l.Addr().String()
}

// client is a Go client of the run: explicit or transparent, h1 or h2.
func (r *rig) client(t testing.TB, transparent, h2 bool) *http.Client {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: r.trust}, DisableCompression: true, Protocols: new(http.Protocols)}
	tr.Protocols.SetHTTP1(!h2)
	tr.Protocols.SetHTTP2(h2)
	if transparent {
		tr.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, r.transparent)
		}
	} else {
		tr.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: r.proxy})
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// eachWay runs f for every entry and protocol.
func (r *rig) eachWay(t *testing.T, f func(t *testing.T, c *http.Client)) {
	t.Helper()
	for _, transparent := range []bool{false, true} {
		for _, h2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("transparent=%t,h2=%t", transparent, h2), func(t *testing.T) { f(t, r.client(t, transparent, h2)) })
		}
	}
}

func (u *upstream) url(path string) string {
	return "https://" + host + ":" + strconv.Itoa(u.port) + path
}

// matcher knows the values given.
func matcher(t testing.TB, values ...string) func() []*redact.Matcher {
	t.Helper()
	set := redact.NewSet(redact.Options{})
	for i, v := range values {
		if err := set.Add("value"+strconv.Itoa(i), secret.FromString(v)); err != nil {
			t.Fatal(err)
		}
	}
	all := []*redact.Matcher{set.Compile()}
	return func() []*redact.Matcher { return all }
}

// program runs a real program as a run would: with the variables of Environment and nothing of our own environment but the path.
func (r *rig) program(t *testing.T, name string, args ...string) string {
	t.Helper()
	c := exec.Command(name, args...)
	c.Dir = t.TempDir()
	c.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.Dir, "TOKEN=" + standIn, "GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_NOSYSTEM=1"}, egress.Environment("http://"+r.proxy, r.bundle)...)
	out, err := c.CombinedOutput()
	if err != nil {
		return string(out) + "\n[" + err.Error() + "]"
	}
	return string(out)
}

func contains(s string, all ...string) bool {
	return !slices.ContainsFunc(all, func(x string) bool { return !strings.Contains(s, x) })
}
