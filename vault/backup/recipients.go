package backup

import (
	"cmp"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
)

// maxRecipients bounds how many recipients one backup has.
const maxRecipients = 64

// Recipients gives the recipients of a vault's slots, by their text, and the names and kinds of the slots that nothing can be encrypted to without their owner:
// passphrases, plugins.
func Recipients(slots []keyring.Slot) (to []string, left []string) {
	for _, s := range slots {
		if _, err := keyring.ParseRecipient(s.Recipient, nil); err != nil {
			left = append(left, s.Name()+" ("+cmp.Or(s.Recipient, s.Type)+")")
			continue
		}
		to = append(to, s.Recipient)
	}
	return to, left
}

// Parse reads recipients, as keyring.ParseRecipient does without plugins. Errors: fault invalid_argument, not_supported, secret_in_argv; none repeats the text.
func Parse(texts []string) ([]age.Recipient, error) {
	if len(texts) == 0 || len(texts) > maxRecipients {
		return nil, fault.Newf(fault.InvalidArgument, "a backup has between 1 and %d recipients", maxRecipients)
	}
	out := make([]age.Recipient, len(texts))
	for i, text := range texts {
		r, err := keyring.ParseRecipient(text, nil)
		if err != nil {
			return nil, err
		}
		out[i] = r
	}
	return out, nil
}

// unlabelled is a recipient that may stand beside any other in one file. age keeps post-quantum recipients apart, for one that is not makes the file only as
// strong as itself; a vault's slots are mixed already, and each of them opens it.
type unlabelled struct{ r age.Recipient }

// Wrap wraps the file's key.
func (u unlabelled) Wrap(fileKey []byte) ([]*age.Stanza, error) { return u.r.Wrap(fileKey) }

func mixed(rs []age.Recipient) []age.Recipient {
	out := make([]age.Recipient, len(rs))
	for i, r := range rs {
		out[i] = unlabelled{r}
	}
	return out
}
