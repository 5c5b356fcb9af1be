package sopshome_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/sync/sopshome"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/open"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/vault/sops"
	"github.com/zavhoz/zavhoz/vault/sops/sopstest"
	"github.com/zavhoz/zavhoz/vault/vaulttest"
)

func TestMain(m *testing.M) { sopstest.Main(m) }

var (
	ctx            = context.Background()
	operator       = vault.OperatorActor()
	must, wantCode = vaulttest.Must, vaulttest.WantCode
)

const keyA, keyB = "sk-abcdefghijklmnopqrstuvwx", "sk-zyxwvutsrqponmlkjihgfedc"

// frail is a store that can be full.
type frail struct {
	store.Store
	full atomic.Bool
}

func (f *frail) Update(ctx context.Context, fn func(store.Tx) error) error {
	if f.full.Load() {
		return store.ErrFull
	}
	return f.Store.Update(ctx, fn)
}

// house is a vault with files of secrets, and the person whose files they are.
type house struct {
	*sopshome.Home
	t      testing.TB
	p      *sopstest.Person
	v      *vault.Vault
	st     *frail
	opener *open.Opener
	o      sopshome.Options
	locked atomic.Bool
	clock  atomic.Int64 // seconds that the clock is ahead
}

func newHouse(t testing.TB, p *sopstest.Person, names ...string) *house {
	t.Helper()
	h := &house{t: t, p: p}
	made := vaulttest.New(t, vaulttest.Options{Lossy: true, Wrap: func(st store.Store) store.Store { h.st = &frail{Store: st}; return h.st }}, p.Identity.Recipient())
	h.v, h.opener = made.Vault, made.Opener
	h.o = sopshome.Options{
		Vault: h.v, Codec: sops.New(sops.Options{Helper: sopstest.Helper(t)}), Opener: h.opener, Locked: h.locked.Load,
		Identities: func(context.Context) ([]age.Identity, error) { return []age.Identity{p.Identity}, nil },
		Now:        func() time.Time { return time.Now().Add(time.Duration(h.clock.Load()) * time.Second) },
	}
	for _, n := range names {
		h.o.Files = append(h.o.Files, sops.FileSpec{Path: filepath.Join(p.Dir, n), Project: "shop"})
	}
	h.restart()
	return h
}

// restart is a daemon that starts anew over the same vault.
func (h *house) restart() {
	if h.Home != nil {
		h.Forget()
	}
	h.Home = sopshome.New(h.o)
	h.t.Cleanup(h.Forget)
	h.Settle(ctx)
}

// file encrypts text with the real sops.
func file(t testing.TB, p *sopstest.Person, name, text string) string {
	t.Helper()
	path := filepath.Join(p.Dir, name)
	must(t, os.WriteFile(path, []byte(text), 0o600))
	p.Sops(p.Dir, "encrypt", "--in-place", "--age", p.Recipient(), name)
	return path
}

func (h *house) get(ref string) vault.Resource {
	h.t.Helper()
	r, err := h.v.Resource(ctx, ref)
	must(h.t, err)
	return r
}

// value is what a run would get.
func (h *house) value(ref, field string) string {
	h.t.Helper()
	r := h.get(ref)
	s, err := h.opener.Open(r.FieldRef(field), r.Sealed[field].Value)
	must(h.t, err)
	defer s.Wipe()
	return string(s.Reveal())
}

// has reads a value as sops does.
func (h *house) has(name, path string) string {
	h.t.Helper()
	return h.p.Sops(h.p.Dir, "decrypt", "--extract", path, name)
}

func (h *house) err(name string) fault.Code {
	for _, s := range h.States() {
		if s.Name == name && s.Err != nil {
			return s.Err.Code
		}
	}
	return ""
}

// recorded gives the records of an action, oldest first, as handle, outcome and code.
func (h *house) recorded(a audit.Action) (out []string) {
	h.t.Helper()
	log, st := h.v.Audit()
	must(h.t, st.View(ctx, func(tx store.Tx) error {
		rs, _, err := log.List(tx, audit.Filter{Action: a, Limit: 200})
		for _, r := range rs {
			out = append(out, strings.TrimSpace(r.Handle+" "+string(r.Outcome)+" "+r.Code+" "+r.Detail["phase"]))
		}
		return err
	}))
	slices.Reverse(out)
	return out
}

// live runs the home until the test ends.
func (h *house) live() {
	c, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { h.Run(c) })
	h.t.Cleanup(func() { stop(); wg.Wait() })
}

func (h *house) until(what string, ok func() bool) {
	h.t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			h.t.Fatalf("%s does not come: %+v", what, h.States())
		}
	}
}

func one(name, value string) map[string]secret.Secret {
	return map[string]secret.Secret{name: secret.FromString(value)}
}

func noHelper(p *sopstest.Person) *sops.Codec {
	return sops.New(sops.Options{Helper: filepath.Join(p.Dir, "no-such-program")})
}
