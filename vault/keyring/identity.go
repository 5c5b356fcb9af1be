package keyring

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"filippo.io/age/armor"
	"filippo.io/age/plugin"
	"golang.org/x/crypto/ssh"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/internal/keys"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// Limits of an identity file.
const (
	MaxIdentities = 64 << 10 // bytes
	maxIdentities = 64       // identities of one file
	// maxFileWork bounds the cost of a file's passphrase: its owner made it, with age -p or with another program that spends more.
	maxFileWork = 20
)

// IdentityOptions are whom and what ParseIdentities may ask.
type IdentityOptions struct {
	// Ask asks a person for a passphrase, without echo; what says for what. nil: nobody is there.
	Ask     func(what string) (secret.Secret, error)
	Plugins Plugins // nil: identities of plugins are refused
}

// ParseIdentities reads an identity file: age identities, one a line, as age-keygen and plugins write them; an SSH private key; or either, encrypted with a
// passphrase. An SSH key's passphrase is asked for when it fits a slot, a file's at once. The caller wipes b. Errors: wrong_identity, not_supported, secret_missing;
// none says what the file holds.
func ParseIdentities(b []byte, o IdentityOptions) ([]age.Identity, error) {
	if len(b) > MaxIdentities {
		return nil, fault.New(fault.WrongIdentity, "the identity file is too large", "")
	}
	if in, ok := encrypted(b); ok {
		plain, err := o.decrypt(in)
		if err != nil {
			return nil, err
		}
		defer clear(plain)
		b = plain
	}
	if bytes.HasPrefix(bytes.TrimSpace(b), []byte("-----BEGIN")) {
		i, err := o.sshIdentity(bytes.Clone(b)) // kept until it is unlocked: the caller wipes b
		return []age.Identity{i}, err
	}
	return o.lines(b)
}

// encrypted tells whether b is an age file, and gives it without armor.
func encrypted(b []byte) (io.Reader, bool) {
	switch {
	case bytes.HasPrefix(b, []byte("age-encryption.org/")):
		return bytes.NewReader(b), true
	case bytes.HasPrefix(bytes.TrimSpace(b), []byte(armor.Header)):
		return armor.NewReader(bytes.NewReader(b)), true
	}
	return nil, false
}

func (o IdentityOptions) decrypt(in io.Reader) ([]byte, error) {
	if o.Ask == nil {
		return nil, fault.New(fault.NotSupported, "the identity file is encrypted with a passphrase, and there is nobody to ask for it", "run this on a terminal, or decrypt the file with `age -d`, into a file of mode 600")
	}
	word, err := o.Ask("the identity file")
	if err != nil {
		return nil, err
	}
	defer word.Wipe()
	i, err := age.NewScryptIdentity(string(word.Reveal()))
	if err != nil {
		return nil, fault.New(fault.SecretMissing, "the passphrase is empty", "")
	}
	i.SetMaxWorkFactor(maxFileWork)
	file, err := io.ReadAll(in)
	if err != nil {
		return nil, damagedFile(err)
	}
	out, err := decryptFile(file, i)
	switch {
	case errors.Is(err, keys.ErrKey):
		return nil, damagedFile(err)
	case err != nil:
		return nil, fault.New(fault.WrongIdentity, "the identity file does not open with that passphrase, or is encrypted in another way", "try again; only passphrases that age -p sets are asked for").Because(err)
	}
	return out, nil
}

func damagedFile(cause error) error {
	return fault.New(fault.WrongIdentity, "the identity file is damaged or too large", "restore it from a copy").Because(cause)
}

func (o IdentityOptions) lines(b []byte) (ids []age.Identity, err error) {
	for n, line := range bytes.Split(b, []byte("\n")) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		i, err := o.line(string(line))
		var f *fault.Error
		if errors.As(err, &f) {
			return nil, f
		}
		if err != nil || len(ids) == maxIdentities {
			return nil, fault.Newf(fault.WrongIdentity, "line %d of the identity file is not an age identity", n+1).WithNext("check the file; `age-keygen` makes one")
		}
		ids = append(ids, i)
	}
	if len(ids) == 0 {
		return nil, fault.New(fault.WrongIdentity, "the identity file holds no identity", "restore it from a copy")
	}
	return ids, nil
}

func (o IdentityOptions) line(text string) (age.Identity, error) {
	if !strings.HasPrefix(text, "AGE-PLUGIN-") {
		if strings.HasPrefix(text, "AGE-SECRET-KEY-PQ-1") { // each by itself: what reads a whole file keeps it in a buffer that nobody could wipe
			return age.ParseHybridIdentity(text)
		}
		return age.ParseX25519Identity(text)
	}
	if _, _, err := plugin.ParseIdentity(text); err != nil {
		return nil, err
	}
	if o.Plugins == nil {
		return nil, fault.New(fault.NotSupported, "the identity is a plugin's, and plugins are not run here", "")
	}
	i, err := o.Plugins.Identity(text)
	if err != nil {
		return nil, err
	}
	return foreign{i}, nil
}

// foreign is a plugin's identity: its program is not started for what another identity opens.
type foreign struct{ age.Identity }

// native are the stanzas that no plugin is asked about.
var native = map[string]bool{"X25519": true, typeScrypt: true, typeHybrid: true, "ssh-ed25519": true, "ssh-rsa": true}

// Unwrap implements age.Identity.
func (f foreign) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	for _, s := range stanzas {
		if !native[s.Type] {
			return f.Identity.Unwrap(stanzas)
		}
	}
	return nil, age.ErrIncorrectIdentity
}

// sshIdentity takes an SSH private key. One with a passphrase asks for it when a slot is for that key.
func (o IdentityOptions) sshIdentity(pem []byte) (age.Identity, error) {
	i, err := agessh.ParseIdentity(pem)
	var locked *ssh.PassphraseMissingError
	switch {
	case err == nil:
		clear(pem)
		return i, nil
	case !errors.As(err, &locked):
		return nil, fault.New(fault.WrongIdentity, "the identity file is not an SSH key of ed25519 or RSA", "check the file")
	case locked.PublicKey == nil:
		return nil, fault.New(fault.NotSupported, "the SSH key has a passphrase and an old form, which does not tell its public half", "give it the present form with `ssh-keygen -p -f FILE`")
	case o.Ask == nil:
		return nil, fault.New(fault.NotSupported, "the SSH key has a passphrase, and there is nobody to ask for it", "run this on a terminal")
	}
	key, err := agessh.NewEncryptedSSHIdentity(locked.PublicKey, pem, func() ([]byte, error) {
		word, err := o.Ask("the SSH key")
		if err != nil {
			return nil, err
		}
		return word.Reveal(), nil
	})
	if err != nil {
		return nil, fault.New(fault.WrongIdentity, "the identity file is not an SSH key of ed25519 or RSA", "check the file")
	}
	return key, nil
}
