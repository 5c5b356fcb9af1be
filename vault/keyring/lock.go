package keyring

import (
	"errors"

	"golang.org/x/crypto/ssh"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/internal/keys"
)

// Locked makes the keyring of a vault that nobody has unlocked yet: it knows the vault's id and no key. Everything that is built over it works once it takes over the
// keys of an unlocked one. Errors: vault_corrupt, vault_format.
func Locked(header []byte) (*Keyring, error) {
	h, err := parseHeader(header)
	if err != nil {
		return nil, err
	}
	return &Keyring{vault: h.VaultID, ring: keys.NewClosed()}, nil
}

// TakeOver takes the keys of from, which is locked afterwards, whatever comes of it: k is unlocked, and so is everything that holds it. Error: fault internal where k
// is not locked, or is another vault's.
func (k *Keyring) TakeOver(from *Keyring) error {
	if from.vault != k.vault {
		from.Close()
		return fault.New(fault.Internal, "the keys are those of another vault", "")
	}
	if err := k.ring.TakeOver(from.ring); err != nil {
		return fault.New(fault.Internal, "the vault is not locked", "").Because(err)
	}
	k.slot.set(from.Slot())
	k.unheed()
	return nil
}

// Encrypted tells whether an identity file wants a passphrase before it is of use: one that age -p made, or an SSH key with a passphrase.
func Encrypted(b []byte) bool {
	if _, ok := encrypted(b); ok {
		return true
	}
	var missing *ssh.PassphraseMissingError
	_, err := ssh.ParseRawPrivateKey(b)
	return errors.As(err, &missing)
}

// ErrLocked is the one answer of a locked vault: fault vault_locked.
func ErrLocked() error { return Fault(keys.ErrClosed) }
