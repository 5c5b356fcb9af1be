package keyring

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"filippo.io/age/plugin"
	"golang.org/x/crypto/ssh"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/internal/keys"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// maxText is the longest text of a recipient, in bytes: an RSA key of 16384 bits fits.
const maxText = 4 << 10

// MaxWork bounds the cost of a passphrase in a header: 2^18 takes half a second and 256 MiB. What we write costs as much; a header that asks for more was
// made to stop us.
const MaxWork = 18

// Plugins runs age's plugin programs (age-plugin-NAME). What a plugin is given: a file key of 128 bits, which wraps one copy of a data key.
type Plugins interface {
	// Recipient and Identity give what wraps and unwraps by the plugin that a text names. They may take long (a person touches a token), and fail where the
	// program is missing or asks and nobody is there.
	Recipient(text string) (age.Recipient, error)
	Identity(text string) (age.Identity, error)
}

// ErrAsks is beneath the error of a plugin that asks something (a PIN, a yes) where nobody is there to answer.
var ErrAsks = errors.New("keyring: the plugin asks a person")

func invalid(message, next string) *fault.Error {
	return fault.New(fault.InvalidArgument, message, next)
}

// ParseRecipient reads a recipient's public text: age1… (X25519, post-quantum, or a plugin's), or an SSH public key (ed25519, RSA). p may be nil: then
// plugins are refused. Errors: invalid_argument, not_supported; secret_in_argv for an identity in its place. None repeats what was given.
func ParseRecipient(text string, p Plugins) (age.Recipient, error) {
	text = strings.TrimSpace(text)
	if isIdentity(text) {
		return nil, fault.New(fault.SecretInArgv, "that is an identity, which is secret; a recipient is its public half", "give the text that begins with age1 or ssh-; if this was typed on a command line, the identity is in the shell's history: make another")
	}
	if len(text) > maxText || strings.ContainsAny(text, "\r\n") {
		return nil, noRecipient()
	}
	r, err := parseRecipient(text, p)
	if err != nil {
		if f := fault.Of(err); f.Code != fault.Internal {
			return nil, f
		}
		return nil, noRecipient()
	}
	return r, nil
}

func noRecipient() *fault.Error {
	return invalid("that is no recipient that zavhoz knows", "a recipient begins with age1, ssh-ed25519 or ssh-rsa; `age-keygen -y IDENTITY` shows that of an identity")
}

// isIdentity knows secret texts by how they begin, in any case.
func isIdentity(text string) bool {
	up := strings.ToUpper(text)
	return strings.Contains(up, "AGE-SECRET-KEY-") || strings.Contains(up, "AGE-PLUGIN-") || strings.Contains(up, "PRIVATE KEY") || strings.Contains(up, "AGE ENCRYPTED FILE")
}

func parseRecipient(text string, p Plugins) (age.Recipient, error) {
	switch {
	case strings.HasPrefix(text, "age1pq1"):
		return age.ParseHybridRecipient(text)
	case strings.HasPrefix(text, "age1") && strings.LastIndexByte(text, '1') > 3: // a name lies between: bech32 data holds no 1
		return pluginRecipient(text, p)
	case strings.HasPrefix(text, "age1"):
		return age.ParseX25519Recipient(text)
	case strings.HasPrefix(text, "ssh-"):
		return sshRecipient(text)
	}
	return nil, noRecipient()
}

func pluginRecipient(text string, p Plugins) (age.Recipient, error) {
	if _, _, err := plugin.ParseRecipient(text); err != nil {
		return nil, err
	}
	if p == nil {
		return nil, fault.New(fault.NotSupported, "plugins are not run here", "")
	}
	r, err := p.Recipient(text)
	if err != nil {
		return nil, err
	}
	return named{r, text}, nil
}

// sshRecipient takes a key as in an .pub file; its comment is left out.
func sshRecipient(text string) (age.Recipient, error) {
	key, _, options, _, err := ssh.ParseAuthorizedKey([]byte(text))
	if err != nil || len(options) > 0 {
		return nil, noRecipient()
	}
	bare := key.Type() + " " + base64.StdEncoding.EncodeToString(key.Marshal())
	r, err := agessh.ParseRecipient(bare)
	if err != nil {
		return nil, invalid("of SSH keys only ed25519 and RSA of 2048 bits or more can be recipients", "make one with ssh-keygen -t ed25519").Because(err)
	}
	return named{r, bare}, nil
}

// named gives a recipient its text, where the library's type has none.
type named struct {
	age.Recipient
	text string
}

// String is the recipient's public text.
func (n named) String() string { return n.text }

// WrapWithLabels passes the labels on, where the recipient has any.
func (n named) WrapWithLabels(fileKey []byte) ([]*age.Stanza, []string, error) {
	if r, ok := n.Recipient.(age.RecipientWithLabels); ok {
		return r.WrapWithLabels(fileKey)
	}
	st, err := n.Wrap(fileKey)
	return st, nil, err
}

// textOf is a recipient's public text; "" where it has none.
func textOf(r age.Recipient) string {
	if t, ok := r.(fmt.Stringer); ok && (strings.HasPrefix(t.String(), "age1") || strings.HasPrefix(t.String(), "ssh-")) {
		return t.String()
	}
	return ""
}

// PassphraseRecipient makes a recipient of a passphrase. age keeps a copy, which nobody wipes. Error: secret_invalid.
func PassphraseRecipient(s secret.Secret) (age.Recipient, error) {
	if s.Len() < MinPassphrase || s.Len() > MaxPassphrase {
		return nil, fault.Newf(fault.SecretInvalid, "a passphrase has between %d and %d bytes", MinPassphrase, MaxPassphrase)
	}
	r, err := age.NewScryptRecipient(string(s.Reveal()))
	if err != nil {
		return nil, err
	}
	r.SetWorkFactor(MaxWork)
	return r, nil
}

// PassphraseIdentity makes an identity of a passphrase, which takes on no more than MaxWork. Error: secret_missing.
func PassphraseIdentity(s secret.Secret) (age.Identity, error) {
	i, err := age.NewScryptIdentity(string(s.Reveal()))
	if err != nil {
		return nil, fault.New(fault.SecretMissing, "the passphrase is empty", "")
	}
	i.SetMaxWorkFactor(MaxWork)
	return i, nil
}

// Prove wraps random bytes for a recipient and unwraps them with ids: that they belong together is seen, not believed. Error: wrong_identity.
func Prove(to age.Recipient, ids []age.Identity) error {
	raw := make([]byte, keys.KeySize)
	_, _ = rand.Read(raw)
	s, err := wrap(raw, to)
	if err != nil {
		if f := fault.Of(err); f.Code != fault.Internal {
			return f
		}
		return fault.New(fault.NotSupported, "nothing can be wrapped for this recipient", "see whether `age -r` takes it").Because(err)
	}
	back, err := s.open(ids)
	defer clear(back)
	if f := fault.Of(err); err != nil && f.Code != fault.Internal {
		return f
	}
	if err != nil || !bytes.Equal(back, raw) {
		return fault.New(fault.WrongIdentity, "the identity does not open what is wrapped for this recipient", "give the identity whose public half it is").Because(err)
	}
	return nil
}
