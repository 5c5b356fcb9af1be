package rotate

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/run/ssh/sshtest"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/vault/vaulttest"
)

var (
	operator       = vault.OperatorActor()
	must, wantCode = vaulttest.Must, vaulttest.WantCode
)

// house is a vault in a folder, which can be left in the middle of anything and opened again.
type house struct {
	*vaulttest.House
	t    testing.TB
	dir  string
	r    *Rotator
	mu   sync.Mutex
	late time.Duration // how far the clock was put forward
	dial func(r vault.Resource) (Dial, error)
}

// newHouse makes a vault.
func newHouse(t testing.TB) *house {
	t.Helper()
	return newHouseOn(t, vaulttest.Options{})
}

// newHouseOn is newHouse on a file that may be somebody else's.
func newHouseOn(t testing.TB, o vaulttest.Options) *house {
	t.Helper()
	h := &house{t: t}
	ident, err := age.GenerateX25519Identity()
	must(t, err)
	o.Clock, o.Verify = h.clock, true
	h.House = vaulttest.New(t, o, ident.Recipient())
	h.dir = filepath.Dir(h.Path)
	must(t, os.WriteFile(filepath.Join(h.dir, "identity"), []byte(ident.String()), 0o600))
	h.serve()
	return h
}

// houseIn is the vault in the folder of another process's house.
func houseIn(t testing.TB, dir string) *house {
	h := &house{t: t, dir: dir}
	h.House = vaulttest.At(t, filepath.Join(dir, "vault.db"), vaulttest.Options{Clock: h.clock, Verify: true})
	h.enter()
	return h
}

// enter opens the vault as a daemon does at its start, and checks every record.
func (h *house) enter() {
	h.t.Helper()
	text, err := os.ReadFile(filepath.Join(h.dir, "identity"))
	must(h.t, err)
	ident, err := age.ParseX25519Identity(string(text))
	must(h.t, err)
	h.Enter(ident)
	h.serve()
}

func (h *house) serve() {
	h.r = New(Options{Vault: h.Vault, Opener: h.Opener, Clock: h.clock, Dialer: h.dial})
}

func (h *house) clock() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Now().Add(h.late)
}

func (h *house) pass(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.late += d
}

// errStopped is what a stop is seen by.
var errStopped = errors.New("stopped")

// stopAt runs do, which stands still for ever at a point, as far as the vault and the servers can tell, and opens the vault anew. It tells whether the point was reached.
func (h *house) stopAt(point string, do func() error) (reached bool) {
	h.t.Helper()
	h.r.at = func(p string) {
		if p == point {
			panic(errStopped)
		}
	}
	func() {
		defer func() {
			if p := recover(); p != nil {
				if p != errStopped {
					panic(p)
				}
				reached = true
			}
		}()
		if err := do(); err != nil {
			h.t.Fatalf("before %s: %v", point, err)
		}
	}()
	h.Leave()
	h.enter()
	return reached
}

func (h *house) add(n vault.NewResource) vault.Resource {
	h.t.Helper()
	r, err := h.Vault.AddResource(context.Background(), operator, n)
	must(h.t, err)
	return r
}

func (h *house) addServer(s *sshtest.Server) vault.Resource {
	return h.add(vault.NewResource{Kind: "server", Handle: "vps", Attrs: map[string]string{"user": s.User, "port": strconv.Itoa(s.Port), "host_key": s.HostKey},
		Secrets: map[string]secret.Secret{"host": secret.FromString(s.Host), "ssh_key": secret.New([]byte(string(s.Key)))}})
}

func (h *house) resource(ref string) vault.Resource {
	h.t.Helper()
	r, err := h.Vault.Resource(context.Background(), ref)
	must(h.t, err)
	return r
}

// value is a field of the resource as it is now.
func (h *house) value(ref, field string) string {
	h.t.Helper()
	r := h.resource(ref)
	s, err := h.Opener.Open(r.FieldRef(field), r.Sealed[field].Value)
	must(h.t, err)
	return string(s.Reveal())
}

// known is every value that a redactor would know.
func (h *house) known() string {
	h.t.Helper()
	var all strings.Builder
	must(h.t, h.Vault.EachSealed(context.Background(), func(_ string, ref keyring.Ref, sealed string) error {
		s, err := h.Opener.Open(ref, sealed)
		if err == nil {
			all.WriteString(string(s.Reveal()) + "\x00")
		}
		return err
	}))
	return all.String()
}

func (h *house) rotation(ref string) *vault.Rotation {
	h.t.Helper()
	_, x, err := h.Vault.Rotation(context.Background(), ref)
	must(h.t, err)
	return x
}

// private is a policy that reaches servers of the test.
var private = policy.Policy{Private: true}

func portOf(s *sshtest.Server) string { return strconv.Itoa(s.Port) }
