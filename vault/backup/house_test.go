package backup_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/backup"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/vault/vaulttest"
)

var (
	ctx            = context.Background()
	operator       = vault.OperatorActor()
	must, wantCode = vaulttest.Must, vaulttest.WantCode
	moment         = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
)

const canary = "canary-4b7d1e-the-value"

// house is a vault on a real file, with who can open it.
type house struct {
	*vault.Vault
	st       store.Store
	k        *keyring.Keyring
	owner    *age.X25519Identity
	recovery *age.HybridIdentity
}

func newHouse(t testing.TB, secrets int) *house {
	t.Helper()
	h := &house{}
	var err error
	h.owner, err = age.GenerateX25519Identity()
	must(t, err)
	h.recovery, err = age.GenerateHybridIdentity()
	must(t, err)
	made := vaulttest.New(t, vaulttest.Options{}, h.owner.Recipient(), h.recovery.Recipient())
	h.Vault, h.st, h.k = made.Vault, made.Store, made.Keyring
	for i := range secrets {
		h.add(t, fmt.Sprintf("g%d", i))
	}
	return h
}

// add adds a resource and changes it once, so that it has a version.
func (h *house) add(t testing.TB, handle string) {
	t.Helper()
	values := func() map[string]secret.Secret {
		return map[string]secret.Secret{"value": secret.FromString(canary + handle)}
	}
	_, err := h.AddResource(ctx, operator, vault.NewResource{Kind: "generic", Handle: handle, Attrs: map[string]string{"env": "G"}, Secrets: values()})
	must(t, err)
	_, err = h.EditResource(ctx, operator, handle, vault.Edit{Secrets: values()})
	must(t, err)
}

func (h *house) source() backup.Source {
	return backup.Source{Store: h.st, Keyring: h.k, Config: []byte("format: 1\n"), Program: "test", Clock: func() time.Time { return moment }}
}

// recipients are those of the vault's slots.
func (h *house) recipients(t testing.TB) []age.Recipient {
	t.Helper()
	header, err := vault.Header(ctx, h.st)
	must(t, err)
	slots, err := keyring.Slots(header)
	must(t, err)
	texts, left := backup.Recipients(slots)
	if len(texts) != 2 || len(left) != 0 {
		t.Fatalf("recipients %v, left out %v", texts, left)
	}
	to, err := backup.Parse(texts)
	must(t, err)
	return to
}

// backup gives the bytes of one.
func (h *house) backup(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	rep, err := backup.Write(ctx, &b, h.source(), h.recipients(t))
	must(t, err)
	if int(rep.Size) != b.Len() || rep.VaultID != h.k.VaultID() {
		t.Errorf("the report: %+v", rep)
	}
	return b.Bytes()
}

// opened opens a backup and authenticates it, as a restore does.
func opened(b []byte, ids ...age.Identity) (*backup.File, error) {
	f, err := backup.Open(ctx, bytes.NewReader(b), int64(len(b)), ids)
	if err != nil {
		return nil, err
	}
	header, err := vault.Header(ctx, f)
	if err != nil {
		return nil, err
	}
	k, err := keyring.Unlock(header, ids)
	if err != nil {
		return nil, err
	}
	defer k.Close()
	return f, f.Authenticate(k, header)
}

// inside gives what is below the encryption.
func inside(t testing.TB, b []byte, id age.Identity) []byte {
	t.Helper()
	r, err := age.Decrypt(bytes.NewReader(b), id)
	must(t, err)
	plain, err := io.ReadAll(r)
	must(t, err)
	return plain
}

// wrapped encrypts what anybody can who knows a recipient.
func wrapped(t testing.TB, plain []byte, to age.Recipient) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := age.Encrypt(&b, to)
	must(t, err)
	_, err = w.Write(plain)
	must(t, err)
	must(t, w.Close())
	return b.Bytes()
}
