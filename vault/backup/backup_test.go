package backup_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"golang.org/x/crypto/ssh"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/backup"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/migrate"
	"github.com/zavhoz/zavhoz/vault/open"
	"github.com/zavhoz/zavhoz/vault/vaulttest"
)

// dump is every row of the collections that a backup has.
func dump(t testing.TB, st store.Store, m backup.Manifest) string {
	t.Helper()
	var all strings.Builder
	must(t, st.View(ctx, func(tx store.Tx) error {
		for _, c := range m.Collections {
			err := tx.Scan(c.Name, "", "", func(key string, v []byte) (bool, error) {
				fmt.Fprintf(&all, "%s %s %x\n", c.Name, key, v)
				return true, nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	}))
	return all.String()
}

// A backup is the vault, for each of its recipients, and its values stay sealed.
func TestABackupIsTheVault(t *testing.T) {
	h := newHouse(t, 20)
	b := h.backup(t)
	for name, id := range map[string]age.Identity{"the owner": h.owner, "the recovery identity": h.recovery} {
		f, err := opened(b, id)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if f.Head.VaultID != h.k.VaultID() || !f.Head.CreatedAt.Equal(moment) || f.Head.Program != "test" || string(f.Config) != "format: 1\n" {
			t.Errorf("%s: the head is %+v", name, f.Head)
		}
		if got, want := dump(t, f, f.Manifest), dump(t, h.st, f.Manifest); got != want || strings.Count(got, "\n") != int(f.Manifest.Rows()) || !strings.Contains(got, "resources res_") {
			t.Errorf("%s: other rows", name)
		}
		header, err := vault.Header(ctx, f)
		must(t, err)
		k, err := keyring.Unlock(header, []age.Identity{id})
		must(t, err)
		n, err := migrate.Check(ctx, f, k, open.New(k))
		if err != nil || n.Seals != 40 || n.Audit != 41 {
			t.Errorf("%s: %+v %v", name, n, err)
		}
		k.Close()
	}
	if plain := inside(t, b, h.owner); bytes.Contains(plain, []byte("canary")) || !bytes.Contains(plain, []byte("zvh1:")) {
		t.Error("below the encryption a value is readable, or nothing is sealed")
	}
	if bytes.Contains(b, []byte("generic")) {
		t.Error("the file tells what is in it")
	}
	stranger, err := age.GenerateX25519Identity()
	must(t, err)
	_, err = opened(b, stranger)
	wantCode(t, err, fault.WrongIdentity)
	_, err = opened(b)
	wantCode(t, err, fault.WrongIdentity)
}

// Other recipients open the file, and what is in it still needs a key of the vault.
func TestOtherRecipients(t *testing.T) {
	h := newHouse(t, 1)
	pub, key, err := ed25519.GenerateKey(nil)
	must(t, err)
	line, err := ssh.NewPublicKey(pub)
	must(t, err)
	id, err := agessh.NewEd25519Identity(key)
	must(t, err)
	to, err := backup.Parse([]string{strings.TrimSpace(string(ssh.MarshalAuthorizedKey(line))), h.recovery.Recipient().String()})
	must(t, err)
	var b bytes.Buffer
	_, err = backup.Write(ctx, &b, h.source(), to)
	must(t, err)
	if _, err := opened(b.Bytes(), id, h.owner); err != nil {
		t.Errorf("with the vault's own: %v", err)
	}
	_, err = opened(b.Bytes(), id)
	wantCode(t, err, fault.WrongIdentity)
	for name, bad := range map[string][]string{"none": {}, "a word": {"hello"}, "an empty one": {""}, "a plugin's": {"age1yubikey1qwerty"}} {
		if _, err := backup.Parse(bad); fault.CodeOf(err) != fault.InvalidArgument && fault.CodeOf(err) != fault.NotSupported {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err = backup.Parse([]string{h.owner.String()})
	if err == nil || strings.Contains(err.Error(), h.owner.String()[20:]) {
		t.Errorf("an identity in the place of a recipient: %v", err)
	}
}

// Nothing can be encrypted to a passphrase without it: its slot is named.
func TestSlotsOfPassphrasesAreLeftOut(t *testing.T) {
	word, err := age.NewScryptRecipient("correct horse")
	must(t, err)
	word.SetWorkFactor(10)
	owner, err := age.GenerateX25519Identity()
	must(t, err)
	k, header, err := keyring.Create([]age.Recipient{word, owner.Recipient()})
	must(t, err)
	defer k.Close()
	slots, err := keyring.Slots(header)
	must(t, err)
	to, left := backup.Recipients(slots)
	if len(to) != 1 || to[0] != owner.Recipient().String() || len(left) != 1 || left[0] != slots[0].Name()+" (scrypt)" {
		t.Errorf("to %v, left out %v", to, left)
	}
}

// While a backup is taken the vault goes on, and the backup holds one moment of it.
func TestABackupIsOneMoment(t *testing.T) {
	h := newHouse(t, 5)
	stop, begun := make(chan struct{}), make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := 0; ; i++ {
			h.add(t, fmt.Sprintf("while%d", i))
			if i == 0 {
				close(begun)
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	<-begun
	for range 5 {
		f, err := opened(h.backup(t), h.owner)
		must(t, err)
		header, err := vault.Header(ctx, f)
		must(t, err)
		k, err := keyring.Unlock(header, []age.Identity{h.owner})
		must(t, err)
		if _, err := migrate.Check(ctx, f, k, open.New(k)); err != nil {
			t.Error(err)
		}
		k.Close()
	}
	close(stop)
	writer.Wait()
}

// fullAfter takes n bytes.
type fullAfter struct{ n int }

var errFull = errors.New("the disk is full")

func (f *fullAfter) Write(b []byte) (int, error) {
	if f.n -= len(b); f.n < 0 {
		return 0, errFull
	}
	return len(b), nil
}

// Whatever byte the disk stops at, the backup says that it failed; and it fails when it is cancelled, and when the vault is locked.
func TestABackupThatFailsSaysSo(t *testing.T) {
	h := newHouse(t, 60)
	whole := len(h.backup(t))
	to := h.recipients(t)
	for n := 0; n < whole; n += max(1, whole/20) {
		if _, err := backup.Write(ctx, &fullAfter{n}, h.source(), to); !errors.Is(err, errFull) {
			t.Fatalf("full after %d of %d bytes: %v", n, whole, err)
		}
	}
	if _, err := backup.Write(ctx, &fullAfter{whole - 1}, h.source(), to); !errors.Is(err, errFull) {
		t.Errorf("full at the last byte: %v", err)
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := backup.Write(gone, &fullAfter{1 << 30}, h.source(), to); fault.CodeOf(err) != fault.Canceled {
		t.Errorf("cancelled: %v", err)
	}
	s := h.source()
	s.Config = make([]byte, backup.MaxConfig+1)
	_, err := backup.Write(ctx, &fullAfter{1 << 30}, s, to)
	wantCode(t, err, fault.TooLarge)
	_, err = backup.Write(ctx, &fullAfter{1 << 30}, h.source(), nil)
	wantCode(t, err, fault.InvalidArgument)
	h.k.Close()
	_, err = backup.Write(ctx, &fullAfter{1 << 30}, h.source(), to)
	wantCode(t, err, fault.VaultLocked)
}

const goldenIdentity = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX" // for tests alone, as of keyring's golden header

// The committed backup of format 1 opens for ever, and is written again as the same bytes below the encryption. To make the vector anew, remove the file.
func TestGoldenBackup(t *testing.T) {
	const golden = "../../testdata/formats/backup.golden"
	id, err := age.ParseX25519Identity(goldenIdentity)
	must(t, err)
	b, err := os.ReadFile(golden)
	if os.IsNotExist(err) {
		b = makeGolden(t, id)
		must(t, os.WriteFile(golden, b, 0o644))
		t.Error("the golden backup was missing and is written now: commit it")
	}
	f, err := opened(b, id)
	must(t, err)
	header, err := vault.Header(ctx, f)
	must(t, err)
	k, err := keyring.Unlock(header, []age.Identity{id})
	must(t, err)
	defer k.Close()
	n, err := migrate.Check(ctx, f, k, open.New(k))
	if err != nil || n.Seals != 4 || n.Audit != 5 || !f.Head.CreatedAt.Equal(moment) {
		t.Errorf("%+v %+v %v", f.Head, n, err)
	}
	var again bytes.Buffer
	s := (&house{st: f, k: k}).source()
	_, err = backup.Write(ctx, &again, s, []age.Recipient{id.Recipient()})
	must(t, err)
	if !bytes.Equal(inside(t, again.Bytes(), id), inside(t, b, id)) {
		t.Error("written again it is another: a change of the format?")
	}
}

func makeGolden(t *testing.T, id *age.X25519Identity) []byte {
	made := vaulttest.New(t, vaulttest.Options{}, id.Recipient())
	g := &house{Vault: made.Vault, st: made.Store, k: made.Keyring}
	g.add(t, "g0")
	g.add(t, "g1")
	must(t, g.Close(ctx))
	var b bytes.Buffer
	_, err := backup.Write(ctx, &b, g.source(), []age.Recipient{id.Recipient()})
	must(t, err)
	return b.Bytes()
}
