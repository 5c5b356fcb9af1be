package home

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
)

// maxIdentity is the largest identity file, in bytes.
const maxIdentity = keyring.MaxIdentities

// LoadIdentities reads an age identity file as age-keygen writes them. A file that others can read, that another user owns, a link or
// anything but a file is refused. Errors: fault not_initialized, key_file_exposed, wrong_identity; none says what the file holds.
func LoadIdentities(path string) ([]age.Identity, error) {
	return LoadIdentitiesWith(path, keyring.IdentityOptions{})
}

// LoadIdentitiesWith is LoadIdentities for a file that may want a person (a passphrase) or a plugin.
func LoadIdentitiesWith(path string, o keyring.IdentityOptions) ([]age.Identity, error) {
	b, err := readPrivate(path)
	if err != nil {
		return nil, err
	}
	defer clear(b)
	ids, err := keyring.ParseIdentities(b, o)
	if f := fault.Of(err); err != nil && f.Code == fault.WrongIdentity {
		return nil, f.WithNext("check %s; `age-keygen` makes one, and a copy restores it", Quote(path))
	}
	return ids, err
}

// maxCredential is the mode that a credential may have at most: systemd gives one to a service's user by an access list, whose mask shows as the group's rights.
const maxCredential = 0o440

// LoadCredential reads an identity file that systemd passed to this service: root's or this user's, and for nobody else. Errors: fault not_initialized,
// key_file_exposed, wrong_identity.
func LoadCredential(path string, o keyring.IdentityOptions) ([]age.Identity, error) {
	b, err := readCredential(path)
	if err != nil {
		return nil, err
	}
	defer clear(b)
	return keyring.ParseIdentities(b, o)
}

func readCredential(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|openFlags, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.NotInitialized, "systemd passed no credential "+Quote(filepath.Base(path)), "name it in the unit: LoadCredentialEncrypted="+filepath.Base(path)+":FILE").Because(err)
	}
	if err != nil {
		return nil, fault.New(fault.NotPermitted, "the credential cannot be read", "look at the unit's LoadCredential lines").Because(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() || !isOwn(st) || st.Mode().Perm()&^maxCredential != 0 {
		return nil, exposed("the credential "+Quote(filepath.Base(path))+" is not this service's alone", "let systemd pass it: LoadCredential= or LoadCredentialEncrypted=")
	}
	b, err := io.ReadAll(io.LimitReader(f, maxIdentity+1))
	if err != nil || len(b) > maxIdentity {
		clear(b)
		return nil, fault.New(fault.WrongIdentity, "the credential is not readable, or too large", "").Because(err)
	}
	return b, nil
}

// ReadIdentity reads an identity file as LoadIdentities does, without looking at what it holds. The caller wipes it.
func ReadIdentity(path string) ([]byte, error) { return readPrivate(path) }

// readPrivate reads a small file that is its owner's alone. What is checked is what was opened.
func readPrivate(path string) ([]byte, error) {
	link, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.NotInitialized, "there is no identity file at "+Quote(path), missing(path)).Because(err)
	}
	if err != nil {
		return nil, fault.New(fault.NotPermitted, "the identity file cannot be reached", "check "+Quote(path)).Because(err)
	}
	if !link.Mode().IsRegular() {
		return nil, exposed("the identity file "+Quote(path)+" is a link or not a file", "put the file itself there, and chmod 600 "+Quote(path))
	}
	if err := closed(path, link, "identity file", "600"); err != nil { // before opening: what cannot be read is best mended all the same
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|openFlags, 0)
	if err != nil {
		return nil, fault.New(fault.NotPermitted, "the identity file cannot be read", "chmod 600 "+Quote(path)).Because(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() || !os.SameFile(link, st) {
		return nil, exposed("the identity file "+Quote(path)+" changed while it was opened", "try again")
	}
	if err := closed(path, st, "identity file", "600"); err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxIdentity+1))
	if err != nil || len(b) > maxIdentity {
		clear(b)
		return nil, fault.New(fault.WrongIdentity, "the identity file is not readable, or too large", "check "+Quote(path)).Because(err)
	}
	return b, nil
}

// missing says what to do without an identity file: beside a vault, a new one opens nothing.
func missing(path string) string {
	if _, err := os.Lstat(filepath.Join(filepath.Dir(path), "vault.db")); err != nil {
		return "run `zavhoz init`, or restore the file from a copy"
	}
	return "restore the file from a copy, or unlock with the recovery identity: `zavhoz unlock --identity FILE` (docs/unlocking.md)"
}

// identityText is an identity file as age-keygen writes it.
func identityText(i *age.X25519Identity, now time.Time) []byte {
	return fmt.Appendf(nil, "# created: %s\n# public key: %s\n%s\n", now.Format(time.RFC3339), i.Recipient(), i)
}
