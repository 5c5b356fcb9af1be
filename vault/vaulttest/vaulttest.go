// Package vaulttest makes real vaults for the tests of what works on one: each in a file of its own, with keys of its own, opened as a daemon opens it.
//
// Promise: nothing is faked. The file is the store's, its header is made and unlocked by the keyring, and the vault that opens it is the product's; a test
// can leave it in the middle of anything and enter it anew, also from another process, with the file and an identity alone.
//
// Attack stopped: none by itself; it keeps the tests of backups, migrations, rotations and rekeying on the one way in that the product has
// (threat-model.md 22, 66).
//
// Limits: no operator's passphrase and no home folder. Those are tested where they live (vault/unlock, cmd/zavhoz).
package vaulttest

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/bolt"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/open"
)

// Must ends the test on an error.
func Must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// WantCode ends the test where err is no fault of that code.
func WantCode(t testing.TB, err error, code fault.Code) {
	t.Helper()
	if fault.CodeOf(err) != code {
		t.Fatalf("%v (%s), want %s", err, fault.CodeOf(err), code)
	}
}

// Options say how a vault is opened.
type Options struct {
	// Wrap stands between the vault and its file, at each opening; nil where nothing does.
	Wrap func(store.Store) store.Store
	// Clock is the vault's; nil means the real one.
	Clock func() time.Time
	// Verify checks every record at the start, as a daemon does.
	Verify bool
	// Lossy means that the file may refuse what the vault writes at its end: that is then lost.
	Lossy bool
}

// House is a vault in a file. Between Enter and Leave it is open.
type House struct {
	// Path is the file.
	Path string
	// Store is the file as the vault has it: wrapped.
	Store store.Store
	// Keyring is unlocked while the vault is open.
	Keyring *keyring.Keyring
	// Opener opens what the keyring sealed.
	Opener *open.Opener
	// Vault is the vault.
	Vault *vault.Vault

	t    testing.TB
	o    Options
	file store.Store // nil: not open
}

// New makes a vault whose slots are for these recipients, and leaves it open. It is closed with the test.
func New(t testing.TB, o Options, to ...age.Recipient) *House {
	t.Helper()
	h := At(t, filepath.Join(t.TempDir(), "vault.db"), o)
	ring, header, err := keyring.Create(to)
	Must(t, err)
	st, err := bolt.Create(context.Background(), bolt.Options{Path: h.Path})
	Must(t, err)
	Must(t, vault.PutHeader(context.Background(), st, header))
	h.move(st, ring)
	Must(t, h.Vault.Setup(context.Background()))
	t.Cleanup(h.Leave)
	return h
}

// At is the vault in a file that is there, not yet open.
func At(t testing.TB, path string, o Options) *House { return &House{Path: path, t: t, o: o} }

// Enter opens the file with identities alone.
func (h *House) Enter(by ...age.Identity) {
	h.t.Helper()
	st, err := bolt.Open(context.Background(), bolt.Options{Path: h.Path, LockTimeout: 10 * time.Second})
	Must(h.t, err)
	header, err := vault.Header(context.Background(), st)
	Must(h.t, err)
	ring, err := keyring.Unlock(header, by)
	Must(h.t, err)
	h.move(st, ring)
}

func (h *House) move(st store.Store, ring *keyring.Keyring) {
	h.t.Helper()
	h.file, h.Store, h.Keyring, h.Opener = st, st, ring, open.New(ring)
	if h.o.Wrap != nil {
		h.Store = h.o.Wrap(st)
	}
	var err error
	h.Vault, err = vault.Open(context.Background(), vault.Options{Store: h.Store, Keyring: ring, Opener: h.Opener, Clock: h.o.Clock, Verify: h.o.Verify})
	Must(h.t, err)
}

// Leave closes vault, file and keyring, where they are open.
func (h *House) Leave() {
	h.t.Helper()
	if h.file == nil {
		return
	}
	if err := h.Vault.Close(context.Background()); !h.o.Lossy {
		Must(h.t, err)
	}
	Must(h.t, h.file.Close())
	h.Keyring.Close()
	h.file = nil
}

// Empty is a new file with nothing in it. It is closed with the test.
func Empty(t testing.TB) *bolt.Store {
	t.Helper()
	st, err := bolt.Create(context.Background(), bolt.Options{Path: filepath.Join(t.TempDir(), "vault.db")})
	Must(t, err)
	t.Cleanup(func() { Must(t, st.Close()) })
	return st
}
