package keyring

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"io"
	"time"

	"filippo.io/age"
	"filippo.io/age/plugin"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// challengeSize is how many random bytes a challenge has.
const challengeSize = 32

// PresenceByKey makes the Presence of a key. By a plugin, identity is what the plugin is to be given; it must be a plugin's, for a key that lies in text would be kept
// here in the clear. Error: invalid_argument, not_supported.
func PresenceByKey(by, recipient, identity string, p Plugins, now time.Time) (Presence, error) {
	if by != ByPlugin && by != ByKeyring {
		return Presence{}, invalid("presence is proven by a passphrase, a plugin or the keyring", "")
	}
	if _, _, err := plugin.ParseIdentity(identity); (by == ByPlugin) != (err == nil) {
		return Presence{}, invalid("that is no identity of a plugin", "give the line AGE-PLUGIN-… that the plugin made")
	}
	if _, err := ParseRecipient(recipient, p); err != nil {
		return Presence{}, err
	}
	return Presence{Format: 1, KDF: "age", By: by, Recipient: recipient, Identity: identity, SetAt: now.UTC()}, nil
}

// Challenge gives an age file of fresh random bytes for the key, and the bytes: whoever gives them back has just used it. Each is for one answer.
func (p Presence) Challenge(pl Plugins) (file []byte, want secret.Secret, err error) {
	if p.Format != 1 || p.KDF != "age" || p.By == "" {
		return nil, want, fault.New(fault.InvalidArgument, "presence is proven by a passphrase here", "")
	}
	to, err := ParseRecipient(p.Recipient, pl)
	if err != nil {
		return nil, want, err
	}
	raw := make([]byte, challengeSize)
	_, _ = rand.Read(raw)
	var b bytes.Buffer
	w, err := age.Encrypt(&b, to)
	if err == nil {
		_, err = w.Write(raw)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, want, fault.Of(err)
	}
	return b.Bytes(), secret.New(raw), nil
}

// Answer opens a challenge with identities, and gives what it held in base64. Errors: wrong_identity, and what a plugin says.
func Answer(file []byte, ids []age.Identity) (secret.Secret, error) {
	r, err := age.Decrypt(bytes.NewReader(file), ids...)
	if err == nil {
		var raw []byte
		if raw, err = io.ReadAll(io.LimitReader(r, challengeSize+1)); err == nil && len(raw) == challengeSize {
			defer clear(raw)
			return secret.New(base64.StdEncoding.AppendEncode(nil, raw)), nil
		}
	}
	if f := fault.Of(err); err != nil && f.Code != fault.Internal {
		return secret.Secret{}, f
	}
	return secret.Secret{}, fault.New(fault.WrongIdentity, "that key is not the one that proves presence", "use the one it was set with").Because(err)
}

// Answers tells whether text is want in base64, in constant time.
func Answers(text, want secret.Secret) bool {
	if text.Len() != base64.StdEncoding.EncodedLen(want.Len()) || want.IsZero() {
		return false
	}
	coded := secret.New(base64.StdEncoding.AppendEncode(nil, want.Reveal()))
	defer coded.Wipe()
	return coded.Equal(text)
}
