package keyring

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"time"

	"filippo.io/age"
	"filippo.io/age/plugin"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// challengeSize is how many random bytes a challenge has; before them are challengeMark and the vault's id.
const challengeSize = 32

// The marks of a challenge. A key opens any age file that is made for it: of what a challenge held only a MAC is given back, and nothing of a file that bears no mark,
// so that who stands at the other end of the socket cannot have a file of theirs opened, nor a wrapped key.
const (
	challengeMark = "zavhoz presence 1\x00"
	answerLabel   = "zavhoz presence answer 1\x00"
)

// Purpose is what a challenge is for. An answer to one is none to another: a person who sets a key proves nothing else by it.
type Purpose string

// The purposes.
const (
	ToProve   Purpose = "prove"
	ToSet     Purpose = "set"
	ToUnlock  Purpose = "unlock"
	ToOffline Purpose = "offline" // at a vault that no daemon holds: restore, migrate, compact
)

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

// Key names the key that proves presence, so that a challenge is held to the one it was made for.
func (p Presence) Key() string { return p.By + "\x00" + p.Recipient + "\x00" + p.Identity }

// Challenge gives an age file for the key, with fresh random bytes, and the answer that only who opened it can give. Each is for one answer.
func (p Presence) Challenge(pl Plugins, vaultID string, to Purpose) (file []byte, want secret.Secret, err error) {
	if p.Format != 1 || p.KDF != "age" || p.By == "" {
		return nil, want, fault.New(fault.InvalidArgument, "presence is proven by a passphrase here", "")
	}
	key, err := ParseRecipient(p.Recipient, pl)
	if err != nil {
		return nil, want, err
	}
	head := challengeMark + vaultID
	raw := append([]byte(head), make([]byte, challengeSize)...)
	defer clear(raw)
	_, _ = rand.Read(raw[len(head):])
	var b bytes.Buffer
	w, err := age.Encrypt(&b, key)
	if err == nil {
		_, err = w.Write(raw)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, want, fault.Of(err)
	}
	return b.Bytes(), secret.New(answerTo(raw[len(head):], to)), nil
}

func answerTo(raw []byte, to Purpose) []byte {
	m := hmac.New(sha256.New, raw)
	m.Write([]byte(answerLabel + string(to)))
	return m.Sum(nil)
}

// Answer opens a challenge of a vault with identities, and gives the answer for its purpose in base64; nothing of what the file held. Errors: wrong_identity, also for a
// file that is no challenge of that vault, and what a plugin says.
func Answer(file []byte, vaultID string, to Purpose, ids []age.Identity) (secret.Secret, error) {
	head := []byte(challengeMark + vaultID)
	r, err := age.Decrypt(bytes.NewReader(file), ids...)
	if err == nil {
		var raw []byte
		if raw, err = io.ReadAll(io.LimitReader(r, int64(len(head))+challengeSize+1)); err == nil {
			defer clear(raw)
			if len(raw) == len(head)+challengeSize && bytes.HasPrefix(raw, head) {
				return secret.New(base64.StdEncoding.AppendEncode(nil, answerTo(raw[len(head):], to))), nil
			}
		}
	}
	if f := fault.Of(err); err != nil && f.Code != fault.Internal {
		return secret.Secret{}, f
	}
	return secret.Secret{}, fault.New(fault.WrongIdentity, "that key is not the one that proves presence, or was given no challenge of this vault", "use the one it was set with").Because(err)
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
