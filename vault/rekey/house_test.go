package rekey_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/bolt"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/open"
	"github.com/zavhoz/zavhoz/vault/rekey"
	"github.com/zavhoz/zavhoz/vault/secret"
)

var (
	ctx      = context.Background()
	operator = vault.OperatorActor()
)

const srv = "srv_aaaaaaaaaaaaaaaaaaaaaaaaaa"

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t testing.TB, err error, code fault.Code) {
	t.Helper()
	if fault.CodeOf(err) != code {
		t.Fatalf("got %v, want code %q", err, code)
	}
}

// disk is a store whose commits can fail, from one on or for a while.
type disk struct {
	store.Store
	left atomic.Int64 // commits that succeed yet; negative: all
	full atomic.Bool
	deaf atomic.Int64 // commits whose word is lost: they happen and give an error
	dark atomic.Int64 // views that fail
}

func (d *disk) Update(ctx context.Context, fn func(store.Tx) error) error {
	if d.full.Load() {
		return store.ErrFull
	}
	if d.left.Load() >= 0 && d.left.Add(-1) < 0 {
		d.left.Store(0)
		return store.ErrFull
	}
	err := d.Store.Update(ctx, fn)
	if d.deaf.Add(-1) >= 0 && err == nil {
		err = context.Canceled
	}
	return err
}

func (d *disk) View(ctx context.Context, fn func(store.Tx) error) error {
	if d.dark.Load() > 0 && d.deaf.Load() <= 0 && d.dark.Add(-1) >= 0 {
		return store.ErrClosed
	}
	return d.Store.View(ctx, fn)
}

// house is a vault in a file, and who keeps its keys.
type house struct {
	*vault.Vault
	*rekey.Keeper
	t      testing.TB
	path   string
	ident  *age.X25519Identity
	disk   *disk
	k      *keyring.Keyring
	opener *open.Opener
	close  func()
	rows   int
}

func newHouse(t testing.TB) *house {
	t.Helper()
	ident, err := age.GenerateX25519Identity()
	must(t, err)
	k, header, err := keyring.Create([]age.Recipient{ident.Recipient()})
	must(t, err)
	h := &house{t: t, path: filepath.Join(t.TempDir(), "vault.db"), ident: ident, rows: 8}
	st, err := bolt.Create(ctx, bolt.Options{Path: h.path})
	must(t, err)
	must(t, vault.PutHeader(ctx, st, header))
	v, err := vault.Open(ctx, vault.Options{Store: st, Keyring: k})
	must(t, err)
	must(t, v.Setup(ctx))
	must(t, v.Close(ctx))
	must(t, st.Close())
	k.Close()
	h.start()
	t.Cleanup(func() { h.close() })
	return h
}

// start opens the file as a daemon does, with its identity alone.
func (h *house) start() {
	h.t.Helper()
	st, err := bolt.Open(ctx, bolt.Options{Path: h.path})
	must(h.t, err)
	header, err := vault.Header(ctx, st)
	must(h.t, err)
	h.k, err = keyring.Unlock(header, []age.Identity{h.ident})
	must(h.t, err)
	h.disk = &disk{Store: st}
	h.disk.left.Store(-1)
	h.opener = open.New(h.k)
	h.Vault, err = vault.Open(ctx, vault.Options{Store: h.disk, Keyring: h.k, Opener: h.opener, Verify: true})
	must(h.t, err)
	h.Keeper = rekey.New(rekey.Options{Vault: h.Vault, Keyring: h.k, Opener: h.opener, Rows: h.rows, Linger: time.Millisecond})
	v, k := h.Vault, h.k
	h.close = func() {
		_ = v.Close(ctx) // of a full disk the queue is lost
		must(h.t, st.Close())
		k.Close()
	}
}

func (h *house) restart() {
	h.t.Helper()
	h.close()
	h.start()
}

// runs starts the keeper's job; the function given ends it.
func (h *house) runs() (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.Run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// settle waits for the end of a rotation.
func (h *house) settle() {
	h.t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(time.Millisecond) {
		p, err := h.Progress(ctx)
		must(h.t, err)
		if !p.Running {
			return
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("the rotation does not end: %+v %v", p, p.Problem)
		}
	}
}

func (h *house) add(handle, value string) vault.Resource {
	h.t.Helper()
	r, err := h.AddResource(ctx, operator, vault.NewResource{Kind: "generic", Handle: handle, Secrets: map[string]secret.Secret{"value": secret.FromString(value)}})
	must(h.t, err)
	return r
}

func (h *house) edit(handle, value string) {
	h.t.Helper()
	_, err := h.EditResource(ctx, operator, handle, vault.Edit{Secrets: map[string]secret.Secret{"value": secret.FromString(value)}})
	must(h.t, err)
}

// furnish fills the vault with a bit of everything: resources with versions, a provider's server, an adopted one, a lease.
func (h *house) furnish(n int) {
	h.t.Helper()
	for i := range n {
		handle := fmt.Sprintf("box_%03d", i)
		h.add(handle, "first-"+handle)
		if i%3 == 0 {
			h.edit(handle, "second-"+handle)
		}
	}
	addr := secret.FromString("203.0.113.9")
	s := vault.Server{ID: srv, ProviderID: "1", Status: "discovered", Intent: "auto", Prints: map[string]string{"ip": h.ServerPrint("ip", addr)}}
	must(h.t, h.ApplyServers(ctx, "time4vps", func([]vault.Server, json.RawMessage) (vault.ServerOutcome, error) {
		return vault.ServerOutcome{State: json.RawMessage(`{}`), Changes: []vault.ServerChange{{Server: s, Seal: map[string]secret.Secret{"ip": addr}}}}, nil
	}))
	_, err := h.AdoptServer(ctx, operator, srv, vault.NewResource{Handle: "vps", Attrs: map[string]string{"user": "deploy"}, Secrets: map[string]secret.Secret{"password": secret.FromString("correct horse battery")}})
	must(h.t, err)
}

// values opens every sealed field of the vault.
func (h *house) values() map[keyring.Ref]string {
	h.t.Helper()
	out := map[keyring.Ref]string{}
	must(h.t, h.EachSeal(ctx, func(ref keyring.Ref, sealed string) error {
		s, err := h.opener.Open(ref, sealed)
		if err != nil {
			return fmt.Errorf("%+v: %w", ref, err)
		}
		if was, twice := out[ref]; twice && was != string(s.Reveal()) {
			h.t.Errorf("%+v is %q and %q", ref, was, s.Reveal())
		}
		out[ref] = string(s.Reveal())
		return nil
	}))
	return out
}

// header is the file's.
func (h *house) header() []byte {
	h.t.Helper()
	b, err := vault.Header(ctx, h.disk)
	must(h.t, err)
	return b
}

// copyFile gives the file's bytes: between transactions a copy is a backup of that moment.
func (h *house) copyFile() []byte {
	h.t.Helper()
	b, err := os.ReadFile(h.path)
	must(h.t, err)
	return b
}
