package rekey_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/open"
	"github.com/zavhoz/zavhoz/vault/rekey"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/vault/vaulttest"
)

var (
	ctx            = context.Background()
	operator       = vault.OperatorActor()
	must, wantCode = vaulttest.Must, vaulttest.WantCode
)

const srv = "srv_aaaaaaaaaaaaaaaaaaaaaaaaaa"

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
	in     *vaulttest.House
	ident  *age.X25519Identity
	disk   *disk
	k      *keyring.Keyring
	opener *open.Opener
	rows   int
}

func newHouse(t testing.TB) *house {
	t.Helper()
	ident, err := age.GenerateX25519Identity()
	must(t, err)
	h := &house{t: t, ident: ident, rows: 8}
	h.in = vaulttest.New(t, h.options(), ident.Recipient())
	h.restart()
	return h
}

// houseIn is the vault in a copy of h's file.
func (h *house) houseIn(path string) *house {
	h.t.Helper()
	other := &house{t: h.t, ident: h.ident, rows: h.rows}
	other.in = vaulttest.At(h.t, path, other.options())
	other.restart()
	return other
}

func (h *house) options() vaulttest.Options {
	return vaulttest.Options{Verify: true, Lossy: true, Wrap: func(st store.Store) store.Store {
		h.disk = &disk{Store: st}
		h.disk.left.Store(-1)
		return h.disk
	}}
}

// restart opens the file as a daemon does, with its identity alone.
func (h *house) restart() {
	h.t.Helper()
	h.in.Leave()
	h.in.Enter(h.ident)
	h.Vault, h.k, h.opener = h.in.Vault, h.in.Keyring, h.in.Opener
	h.Keeper = rekey.New(rekey.Options{Vault: h.Vault, Keyring: h.k, Opener: h.opener, Rows: h.rows, Linger: time.Millisecond})
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
	for _, v := range []string{"first-of-project", "second-of-project"} {
		_, err := h.MergeProjectSecrets(ctx, operator, vault.DefaultProject, vault.SecretMerge{Secrets: map[string]vault.SecretChange{"API_KEY": {Value: secret.FromString(v)}}})
		must(h.t, err)
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

// copyFiles copies the file, and the journal where it has one: between transactions the two are a backup of that moment.
func (h *house) copyFiles(to string) {
	h.t.Helper()
	for _, ending := range []string{"", ".journal"} {
		b, err := os.ReadFile(h.in.Path + ending)
		if ending != "" && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		must(h.t, err)
		must(h.t, os.WriteFile(to+ending, b, 0o600))
	}
}
