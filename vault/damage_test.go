package vault_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/store/bolt"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/open"
)

// damaged is a vault file with known contents, to be broken.
type damaged struct {
	image []byte
	ident *age.X25519Identity
	want  map[string]string // handle → token
}

func makeImage(t *testing.T) damaged {
	t.Helper()
	ident, err := age.GenerateX25519Identity()
	must(t, err)
	k, header, err := keyring.Create([]age.Recipient{ident.Recipient()})
	must(t, err)
	defer k.Close()
	file := filepath.Join(t.TempDir(), "vault.db")
	st, err := bolt.Create(ctx, bolt.Options{Path: file})
	must(t, err)
	must(t, vault.PutHeader(ctx, st, header))
	v, err := vault.Open(ctx, vault.Options{Store: st, Keyring: k, Opener: open.New(k)})
	must(t, err)
	must(t, v.Setup(ctx))
	d := damaged{ident: ident, want: map[string]string{}}
	for i := range 12 {
		handle, token := fmt.Sprintf("bot_%02d", i), fmt.Sprintf("1234567%02d:AAF4nQzx7Lq0mYcVtR2sWbE8uKpJdH1oGiXv%d", i, i%10)
		_, err := v.AddResource(ctx, operator, vault.NewResource{Kind: "telegram_bot", Handle: handle, Attrs: map[string]string{"username": "@x_bot"}, Secrets: values("token", token)})
		must(t, err)
		d.want[handle] = token
	}
	must(t, v.Close(ctx))
	must(t, st.Close())
	d.image, err = os.ReadFile(file)
	must(t, err)
	return d
}

// read opens an image as a daemon does at its start and reads everything back. An error at any stage is a clear answer; a difference is not.
func (d damaged) read(t *testing.T, image []byte) (err error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "vault.db")
	must(t, os.WriteFile(file, image, 0o600))
	st, err := bolt.Open(ctx, bolt.Options{Path: file})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	header, err := vault.Header(ctx, st)
	if err != nil {
		return err
	}
	k, err := keyring.Unlock(header, []age.Identity{d.ident})
	if err != nil {
		return err
	}
	defer k.Close()
	opener := open.New(k)
	v, err := vault.Open(ctx, vault.Options{Store: st, Keyring: k, Opener: opener, Verify: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close(ctx)) }()
	log, _ := v.Audit()
	if rep, err := log.Verify(ctx, st); err != nil {
		return err
	} else if rep.Records != uint64(len(d.want))+1 {
		t.Errorf("%d audit records without an error", rep.Records)
	}
	rs, _, err := v.ListResources(ctx, vault.Filter{Limit: 500})
	if err != nil {
		return err
	}
	got := map[string]string{}
	for _, r := range rs {
		s, err := opener.Open(r.FieldRef("token"), r.Sealed["token"].Value)
		if err != nil {
			return err
		}
		got[r.Handle] = string(s.Reveal())
	}
	if len(got) != len(d.want) {
		t.Errorf("%d of %d resources without an error", len(got), len(d.want))
	}
	for h, token := range d.want {
		if got[h] != token {
			t.Errorf("%s came back different, without an error", h)
		}
	}
	return nil
}

// After any flipped or cut byte in the file: the right values, or a clear error; never a wrong value, a silent loss or a crash.
func TestDamageIsNeverSilent(t *testing.T) {
	d := makeImage(t)
	must(t, d.read(t, d.image))
	rounds, seed := 200, uint64(time.Now().UnixNano())
	if os.Getenv("ZAVHOZ_LONG") != "" {
		rounds = 20_000
	}
	t.Logf("seed %d, %d bytes", seed, len(d.image))
	rnd := rand.New(rand.NewPCG(seed, 1))
	used := lastUsed(d.image)
	refused := 0
	for i := range rounds {
		image := append([]byte(nil), d.image...)
		at := rnd.IntN(used)
		bit := byte(1) << rnd.IntN(8)
		image[at] ^= bit
		if i%10 == 0 {
			image = d.image[:rnd.IntN(used)]
		}
		if err := d.read(t, image); err != nil {
			refused++
		}
		if t.Failed() {
			t.Fatalf("round %d: byte %d bit %#x, or cut to %d", i, at, bit, len(image))
		}
	}
	if refused == 0 {
		t.Error("no damage was found at all: the test proves nothing")
	}
	t.Logf("%d of %d refused", refused, rounds)
}

// lastUsed is the end of what is written; the file's tail is zeros that belong to nothing.
func lastUsed(b []byte) int {
	n := len(b)
	for n > 0 && b[n-1] == 0 {
		n--
	}
	return n
}
