// Package unlock finds what opens a vault: it goes through the sources of identities that the configuration names, in their order, and unlocks with the first
// that fits.
//
// Promise: a source that cannot be used gives an error in our words, which holds nothing of what it read; one that others can read is an error of the whole, however
// many come after it. Nobody is asked where nobody is there: then the vault stays locked, and that is told apart from a vault that cannot be opened at all. A
// passphrase comes from a terminal or a descriptor, never from the command line or the environment.
//
// Attacks stopped: a key file left open to others (threat-model.md 66); a passphrase in ps or /proc/PID/environ (19).
//
// What each source is worth. A file, a credential and the system's keyring (once its owner has logged in) are open to every program of the same user: they keep a
// stolen disk or a copy of vault.db closed, not an agent that has the operator's own uid (docs/unlocking.md). A passphrase is in nobody's files; who guesses needs
// half a second and 256 MiB a guess.
package unlock

import (
	"context"
	"errors"
	"path/filepath"
	"slices"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// Credential is the name of systemd's credential: LoadCredentialEncrypted=zavhoz-identity:FILE.
const Credential = "zavhoz-identity"

// Keyring is the system's keyring: the Secret Service, macOS's Keychain, Windows's Credential Manager. An account is a vault's id.
type Keyring interface {
	// Get gives what is kept. Errors: fault secret_missing (nothing is), not_supported, timed_out.
	Get(ctx context.Context, account string) (secret.Secret, error)
}

// Options are the sources and what they need.
type Options struct {
	Order       []string                                 // of home.Sources
	File        string                                   // the identity file
	Credentials string                                   // systemd's folder of credentials; "": none were passed
	Keyring     Keyring                                  // nil: there is none
	Plugins     keyring.Plugins                          // nil: identities of plugins are refused
	Ask         func(what string) (secret.Secret, error) // asks a person; nil: nobody is there
}

// passing are the failures of a source after which the next is tried.
var passing = []fault.Code{fault.NotInitialized, fault.WrongIdentity, fault.SecretMissing, fault.NotSupported, fault.TimedOut}

// errNobody says that a person is needed and none is there.
var errNobody = errors.New("unlock: nobody to ask")

// Unlock opens the data keys of a header, and tells by which source. Errors: vault_locked where only a person can unlock it and none is there; key_file_exposed; of the
// sources' own errors the first.
func (o Options) Unlock(ctx context.Context, header []byte) (k *keyring.Keyring, by string, err error) {
	look, err := keyring.Look(header)
	if err != nil {
		return nil, "", err
	}
	var first error
	person := false
	for _, source := range o.Order {
		ids, err := o.identities(ctx, source, look.VaultID)
		if err == nil {
			if k, err = keyring.Unlock(header, ids); err == nil {
				return k, source, nil
			}
		}
		switch {
		case ctx.Err() != nil:
			return nil, "", err
		case errors.Is(err, errNobody), errors.Is(err, keyring.ErrAsks):
			person = true
			continue
		case !slices.Contains(passing, fault.CodeOf(err)):
			return nil, "", err // exposed, damaged, of another version: not a matter of another source
		case fault.CodeOf(err) == fault.TimedOut: // a plugin waits for a touch
			person = true
		}
		if first == nil {
			first = err
		}
	}
	if person {
		return nil, "", nobody(first)
	}
	return nil, "", first
}

func (o Options) identities(ctx context.Context, source, vaultID string) ([]age.Identity, error) {
	asks := keyring.IdentityOptions{Ask: o.ask, Plugins: o.Plugins}
	switch source {
	case home.FromFile:
		return home.LoadIdentitiesWith(o.File, asks)
	case home.FromCredential:
		if o.Credentials == "" {
			return nil, fault.New(fault.NotInitialized, "systemd passed no credentials", "name one in the unit: LoadCredentialEncrypted="+Credential+":FILE")
		}
		return home.LoadCredential(filepath.Join(o.Credentials, Credential), asks)
	case home.FromKeyring:
		if o.Keyring == nil {
			return nil, fault.New(fault.NotSupported, "there is no keyring of the system here", "")
		}
		line, err := o.Keyring.Get(ctx, vaultID)
		if err != nil {
			return nil, err
		}
		defer line.Wipe()
		return keyring.ParseIdentities(line.Reveal(), asks)
	case home.FromPassphrase:
		word, err := o.ask("the vault")
		if err != nil {
			return nil, err
		}
		defer word.Wipe()
		i, err := keyring.PassphraseIdentity(word)
		return []age.Identity{i}, err
	}
	return nil, fault.New(fault.InvalidArgument, "there is no such source of keys", "see unlock: in config.yaml")
}

// nobody says that the vault waits for a person.
func nobody(cause error) error {
	return fault.New(fault.VaultLocked, "the vault is locked", "a person unlocks it: `zavhoz unlock`").Because(cause)
}

func (o Options) ask(what string) (secret.Secret, error) {
	if o.Ask == nil {
		return secret.Secret{}, nobody(errNobody)
	}
	return o.Ask(what)
}

// Given is what a person brings to unlock a vault: one of the three. Its owner wipes it.
type Given struct {
	Passphrase secret.Secret   // of a slot
	Identity   secret.Secret   // what an identity file holds
	Word       secret.Secret   // that the identity is encrypted with; may be zero
	Slot       string          // that a plugin opened at the person's terminal
	FileKeys   []secret.Secret // what it opened it to (keyring.Unwrap)
}

// IsZero tells whether nothing was brought.
func (g Given) IsZero() bool {
	return g.Passphrase.IsZero() && g.Identity.IsZero() && len(g.FileKeys) == 0
}

// Unlock opens the data keys of a header with what a person brought. Errors: wrong_identity, secret_missing, not_supported, vault_corrupt.
func (g Given) Unlock(header []byte, p keyring.Plugins) (*keyring.Keyring, error) {
	if len(g.FileKeys) > 0 {
		return keyring.UnlockRelayed(header, g.Slot, g.FileKeys)
	}
	var ids []age.Identity
	if !g.Passphrase.IsZero() {
		i, err := keyring.PassphraseIdentity(g.Passphrase)
		if err != nil {
			return nil, err
		}
		ids = []age.Identity{i}
	} else {
		var err error
		ask := func(string) (secret.Secret, error) {
			if g.Word.IsZero() {
				return secret.Secret{}, fault.New(fault.SecretMissing, "the identity is encrypted with a passphrase", "run `zavhoz unlock` on a terminal, where it is asked for")
			}
			return g.Word.Clone(), nil
		}
		if ids, err = keyring.ParseIdentities(g.Identity.Reveal(), keyring.IdentityOptions{Ask: ask, Plugins: p}); err != nil {
			return nil, err
		}
	}
	k, err := keyring.Unlock(header, ids)
	if fault.CodeOf(err) == fault.WrongIdentity && !g.Passphrase.IsZero() {
		return nil, fault.New(fault.WrongIdentity, "that passphrase opens no slot of this vault", "try again; `zavhoz key list` names the slots of an unlocked vault").Because(err)
	}
	return k, err
}
