package run_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/zavhoz/zavhoz/run"
	"github.com/zavhoz/zavhoz/run/sandbox"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

func TestMain(m *testing.M) {
	sandbox.Main() // this program is also the launcher
	if url := os.Getenv("GO_CLIENT_URL"); url != "" {
		goClient(url)
	}
	_ = os.Setenv("GORACE", hasty+os.Getenv("GORACE"))
	os.Exit(m.Run())
}

// hasty: the race detector lets every process sleep a second at its end.
const hasty = "atexit_sleep_ms=10 "

// someone is the ordinary user that tests of root's play.
const someone = 65534

// eachUser runs f as whoever runs the tests and, where that is root, once more as an ordinary user, in a process of its own.
func eachUser(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Run("user", f)
		return
	}
	t.Run("root", f)
	t.Run("user", func(t *testing.T) {
		dir, err := os.MkdirTemp("", "zvu")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		self := filepath.Join(dir, "run.test")
		if err := copyFile(self, "/proc/self/exe"); err != nil {
			t.Fatal(err)
		}
		tmp := filepath.Join(dir, "t")
		for _, err := range []error{os.Chmod(dir, 0o755), os.Mkdir(tmp, 0o700), os.Chown(tmp, someone, someone)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		top, _, _ := strings.Cut(t.Name(), "/")
		cmd := exec.CommandContext(t.Context(), self, "-test.run", "^"+top+"$", "-test.v", "-test.timeout", "5m")
		cmd.Env = append(os.Environ(), "TMPDIR="+tmp, "HOME="+tmp, "USER=someone")
		cmd.Dir = tmp
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: someone, Gid: someone}}
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS: "+top+"/user") {
			t.Fatalf("as uid %d: %v\n%s", someone, err, out)
		}
	})
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Close()
}

// realHouse is a house whose kinds and rules are the real ones, and whose walls stand.
func realHouse(t *testing.T, edit func(*run.Options)) (*house, *run.Engine) {
	t.Helper()
	h := newHouse()
	walls, err := sandbox.New(sandbox.Options{TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := walls.Close(); err != nil {
			t.Error(err)
		}
	})
	e := newEngine(t, h, func(o *run.Options) {
		o.Rules, o.Sandbox = run.DefaultRules{}, walls
		if edit != nil {
			edit(o)
		}
	})
	return h, e
}

// keep puts a resource of a real kind in.
func (h *house) keep(kind, handle string, attrs, secrets map[string]string, p policy.Policy) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := vault.Resource{ID: "res_" + handle, Handle: handle, Kind: kind, Attrs: attrs, Sealed: map[string]vault.Sealed{}, Policy: p, Version: 1, Status: vault.Active, Project: "default"}
	for f, v := range secrets {
		r.Sealed[f] = vault.Sealed{Value: "sealed:" + hex.EncodeToString([]byte(v)), Version: 1}
	}
	h.resources[handle] = r
}

// upstream is a real TLS server that remembers what it saw.
type upstream struct {
	port int
	ca   string // PEM

	mu   sync.Mutex
	seen []http.Header
	urls []string
}

const upstreamHost = "api.acme.example"

// newUpstream serves handler over h1 and h2 on the loopback, under its own authority.
func newUpstream(t *testing.T, handler http.HandlerFunc) *upstream {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{upstreamHost, "*." + upstreamHost, "api.telegram.org", "github.com", "api.github.com"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &upstream{port: l.Addr().(*net.TCPAddr).Port, ca: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}
	srv := &http.Server{
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			u.mu.Lock()
			u.seen, u.urls = append(u.seen, r.Header.Clone()), append(u.urls, r.URL.String())
			u.mu.Unlock()
			handler(w, r)
		}),
	}
	go func() { _ = srv.ServeTLS(l, "", "") }()
	t.Cleanup(func() { _ = srv.Close() })
	return u
}

// saw tells whether a request came with the header value.
func (u *upstream) saw(name, value string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, h := range u.seen {
		if h.Get(name) == value {
			return true
		}
	}
	return false
}

// since gives the headers of the requests after the first n.
func (u *upstream) since(n int) []http.Header {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.seen[n:]
}

func (u *upstream) policy() policy.Policy {
	return policy.Policy{Private: true, UpstreamCA: u.ca, Resolve: []string{upstreamHost + "=127.0.0.1"}, Hosts: []policy.HostRule{{Host: upstreamHost, Port: u.port}}}
}

func (u *upstream) url(path string) string {
	return "https://" + upstreamHost + ":" + strconv.Itoa(u.port) + path
}

const acmeKey = "acme-canary-9Zk3PqL0vT7xW2mR5yB8"

// acme is an API of one's own, with its key.
func (h *house) acme(u *upstream) {
	h.keep("api_key", "acme", map[string]string{"env": "ACME_KEY", "hosts": upstreamHost + ":" + strconv.Itoa(u.port)}, map[string]string{"key": acmeKey}, u.policy())
}

// clean fails if anything that a model reads of a run holds the value.
func clean(t *testing.T, res run.Result, value string) {
	t.Helper()
	if all := res.Stdout + res.Stderr; strings.Contains(all, value) {
		t.Fatalf("the value came out: %s", all)
	}
}
