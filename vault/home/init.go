package home

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// InitOptions say what Init makes.
type InitOptions struct {
	Dir Dir
	// MakeVault makes the vault's file at path, stores header in it and closes it. It must not keep k. Where Dir is away, it makes the vault there, after it wrote beside path what leads to it; its
	// error says by ErrStands that the vault may be there all the same.
	MakeVault func(ctx context.Context, path string, k *keyring.Keyring, header []byte) error
	Clock     func() time.Time // default time.Now
	Extra     []Extra          // recipients besides the identity that Init makes
	// Source is where the key will come from: FromFile (default), FromPassphrase or FromKeyring.
	Source     string
	Passphrase secret.Secret // with FromPassphrase: the vault's; the caller wipes it
	// Keep puts an identity (a line AGE-SECRET-KEY-…) where a daemon will find it, with FromKeyring; undo takes it away.
	Keep func(ctx context.Context, vaultID string, identity secret.Secret) (undo func(), err error)

	sync func(folder string) error // makes the names in it durable; default syncFolder
}

// Extra is one more recipient of a new vault.
type Extra struct {
	Recipient age.Recipient
	Label     string
}

// Made says what Init made.
type Made struct {
	Recipient string // public half of the identity (age1…); "" of a passphrase
	VaultID   string
}

// staleAfter is how old a half-made folder of a crashed Init is when the next one removes it, or, where it leads to a database, may put it aside.
const staleAfter = time.Hour

// Init makes the home: folder, identity, configuration, vault. It builds them in a folder beside, and one rename makes them all appear. Where the vault is made elsewhere that comes first, for
// an identity without a vault is nothing lost, and a vault without its identity is lost: what the rename lacks then, Finish does.
// Errors: fault already_initialized (nothing was changed), what MakeVault gives, and those that wrap ErrStands.
func Init(ctx context.Context, o InitOptions) (Made, error) {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.sync == nil {
		o.sync = syncFolder
	}
	if err := o.Dir.CheckFresh(); err != nil {
		return Made{}, err
	}
	root, tmp, err := beside(o.Dir, o.Clock())
	if err != nil {
		return Made{}, err
	}
	m, undo, err := o.build(ctx, tmp)
	made := o.Dir.away && err == nil
	if err == nil {
		err = publish(tmp, root, o.sync)
	}
	switch {
	case err == nil:
		return m, nil
	case errors.Is(err, ErrStands):
		return m, err
	case made:
		return m, stands(tmp, root, err)
	}
	undo()
	return Made{}, errors.Join(err, os.RemoveAll(tmp))
}

func (o InitOptions) build(ctx context.Context, tmp string) (m Made, undo func(), err error) {
	undo = func() {}
	at, err := At(tmp)
	if err != nil {
		return m, undo, err
	}
	identity, to, err := o.key()
	if err != nil {
		return m, undo, err
	}
	k, header, err := keyring.Create([]age.Recipient{to})
	if err != nil {
		return m, undo, err
	}
	defer k.Close()
	for _, x := range o.Extra {
		if header, _, err = k.AddSlot(header, x.Recipient, x.Label, o.Clock()); err != nil {
			return m, undo, err
		}
	}
	m.VaultID = k.VaultID()
	if identity != nil {
		m.Recipient = identity.Recipient().String()
	}
	if undo, err = o.keep(ctx, at, k.VaultID(), identity); err != nil {
		return m, undo, err
	}
	if err := writeNew(at.Config(), []byte(configFrom(cmp.Or(o.Source, FromFile)))); err != nil {
		return m, undo, cannotMake(err)
	}
	if o.Dir.away {
		if err := o.sync(filepath.Dir(tmp)); err != nil { // a loss of power here, and not there, would leave a vault without its identity
			return m, undo, cannotMake(err)
		}
		return m, undo, o.MakeVault(ctx, at.Vault(), k, header) // who interrupts it after this interrupts nothing
	}
	if err := o.MakeVault(ctx, at.Vault(), k, header); err != nil {
		return m, undo, err
	}
	if err := os.Chmod(at.Vault(), 0o600); err != nil {
		return m, undo, cannotMake(err)
	}
	return m, undo, ctx.Err()
}

// key makes what the vault is opened by: an identity, or of a passphrase the recipient alone.
func (o InitOptions) key() (*age.X25519Identity, age.Recipient, error) {
	if o.Source == FromPassphrase {
		to, err := keyring.PassphraseRecipient(o.Passphrase)
		return nil, to, err
	}
	i, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, nil, fmt.Errorf("home: make an identity: %w", err)
	}
	return i, i.Recipient(), nil
}

// keep puts the identity where a daemon will look for it.
func (o InitOptions) keep(ctx context.Context, at Dir, vaultID string, i *age.X25519Identity) (undo func(), err error) {
	undo = func() {}
	switch {
	case i == nil:
		return undo, nil
	case o.Source == FromKeyring:
		line := secret.New([]byte(i.String()))
		defer line.Wipe()
		taken, err := o.Keep(ctx, vaultID, line)
		if err != nil {
			return undo, err
		}
		return taken, nil
	}
	text := identityText(i, o.Clock())
	defer clear(text)
	if err := writeNew(at.Identity(), text); err != nil {
		return undo, cannotMake(err)
	}
	return undo, nil
}

// writeNew writes a file that must not be there, and makes it durable.
func writeNew(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

// publish makes tmp the home. Of two at the same moment the second finds the folder filled, and fails. Errors that wrap ErrStands: tmp is the home all the same.
func publish(tmp, root string, sync func(string) error) error {
	if err := sync(tmp); err != nil {
		return cannotMake(err)
	}
	err := os.Rename(tmp, root)
	if err != nil && os.Remove(root) == nil { // an empty folder, which some systems do not rename over
		err = os.Rename(tmp, root)
	}
	switch {
	case err == nil:
		return placed(root, sync(filepath.Dir(root)))
	case errors.Is(err, syscall.EBUSY):
		return fault.New(fault.InvalidArgument, "the home folder is a mount point", "set "+EnvHome+" to a folder below it").Because(err)
	case errors.Is(err, fs.ErrExist) || errors.Is(err, syscall.ENOTEMPTY):
		return fault.New(fault.AlreadyInitialized, "another init made a vault here meanwhile", "use it").Because(err)
	}
	return cannotMake(err)
}

func cannotMake(err error) error {
	return fault.New(fault.NotPermitted, "the home folder cannot be made", "check its parent folder's rights and the disk's space, or choose another with "+EnvHome).Because(err)
}

func tempPrefix(root string) string { return "." + filepath.Base(root) + "-init-" }

// sweep removes what an Init that crashed left: it holds an identity that nothing was sealed for.
func sweep(root string, now time.Time) {
	for left := range leftovers(root) {
		if _, err := os.Lstat(left.Store()); errors.Is(err, fs.ErrNotExist) && left.Stale(now) { // what leads elsewhere: see Unfinished
			_ = os.RemoveAll(left.root)
		}
	}
}
