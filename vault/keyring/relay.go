package keyring

import (
	"bytes"
	"encoding/base64"
	"errors"
	"slices"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// A plugin that asks for a PIN or a touch asks whoever sits at its terminal, and a daemon has none. So what a slot asks a plugin goes to the person's own command, which runs the
// plugin there, and what comes back is the file key that the slot's age file is sealed with: it opens that wrapping and nothing else, and the header's MAC is checked as always.

// fileKeySize is the size of an age file's key, in bytes.
const fileKeySize = 16

// Wrapping is one data key of a header, wrapped for a plugin's recipient. It is no secret: the vault's file holds it.
type Wrapping struct {
	Key     string        `json:"key"`
	Slot    string        `json:"slot"` // the same for all keys
	Stanzas []*age.Stanza `json:"stanzas"`
}

// Wrappings gives what plugins would be asked to open the header, by key, then by slot. Errors: vault_corrupt, vault_format.
func Wrappings(b []byte) (out []Wrapping, err error) {
	h, err := parseHeader(b)
	if err != nil {
		return nil, err
	}
	for _, k := range h.upgraded().Keys {
		for _, s := range k.Slots {
			if native[s.Type] {
				continue
			}
			st, err := s.stanzas()
			if err != nil {
				return nil, err
			}
			out = append(out, Wrapping{Key: k.ID, Slot: s.ID, Stanzas: st})
		}
	}
	return out, nil
}

// stanzas are what the slot's age file is wrapped in.
func (s Slot) stanzas() ([]*age.Stanza, error) {
	file, err := base64.StdEncoding.Strict().DecodeString(s.Wrapped)
	if err != nil {
		return nil, corrupt("a slot").Because(err)
	}
	var see seer
	if _, err = age.Decrypt(bytes.NewReader(file), &see); len(see) == 0 {
		return nil, corrupt("a slot").Because(err)
	}
	return see, nil
}

// seer opens nothing and keeps what it was asked.
type seer []*age.Stanza

// Unwrap implements age.Identity.
func (s *seer) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	*s = stanzas
	return nil, age.ErrIncorrectIdentity
}

// OfPlugins tells whether one of the identities is a plugin's.
func OfPlugins(ids []age.Identity) bool {
	return slices.ContainsFunc(ids, func(i age.Identity) bool { _, is := i.(foreign); return is })
}

// Unwrap has identities open wrappings, where their plugins may ask: the slot that one of them fits, and its file keys in the order of the header's keys. The caller wipes them. Errors:
// wrong_identity where none fits, and what a plugin says.
func Unwrap(all []Wrapping, ids []age.Identity) (slot string, fileKeys []secret.Secret, err error) {
	defer func() {
		if err != nil {
			wipeAll(fileKeys)
			fileKeys = nil
		}
	}()
	for _, w := range all {
		if slot != "" && w.Slot != slot {
			continue
		}
		key, err := unwrapOne(w.Stanzas, ids)
		switch {
		case err == nil:
			slot, fileKeys = w.Slot, append(fileKeys, secret.New(key))
		case slot != "" || !errors.Is(err, age.ErrIncorrectIdentity):
			return "", fileKeys, err
		}
	}
	if slot == "" {
		return "", nil, fault.New(fault.WrongIdentity, "no slot of this vault is for that plugin's identity", "`zavhoz key list` names the slots of an unlocked vault")
	}
	return slot, fileKeys, nil
}

func unwrapOne(stanzas []*age.Stanza, ids []age.Identity) ([]byte, error) {
	for _, i := range ids {
		if _, is := i.(foreign); !is {
			continue
		}
		key, err := i.Unwrap(stanzas)
		if err == nil || !errors.Is(err, age.ErrIncorrectIdentity) {
			return key, err
		}
	}
	return nil, age.ErrIncorrectIdentity
}

func wipeAll(all []secret.Secret) {
	for _, s := range all {
		s.Wipe()
	}
}

// UnlockRelayed opens the data keys of a header by the file keys that Unwrap gave elsewhere. The caller wipes them. Errors: wrong_identity where they are not the slot's, or are of another time.
func UnlockRelayed(b []byte, slot string, fileKeys []secret.Secret) (*Keyring, error) {
	stale := fault.New(fault.WrongIdentity, "what the plugin gave opens no slot of this vault", "try again")
	all, err := Wrappings(b)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(w Wrapping) bool { return w.Slot != slot })
	if len(all) == 0 || len(all) != len(fileKeys) {
		return nil, stale
	}
	var r relayed
	for n, w := range all {
		if fileKeys[n].Len() != fileKeySize {
			return nil, stale
		}
		r = append(r, answer{w.Stanzas, fileKeys[n]})
	}
	k, err := Unlock(b, []age.Identity{r})
	if err != nil && fault.CodeOf(err) == fault.VaultCorrupt { // a file key that does not fit looks like damage to age
		return nil, stale.Because(err)
	}
	return k, err
}

// relayed is an identity by answers that were given elsewhere.
type relayed []answer

type answer struct {
	stanzas []*age.Stanza
	fileKey secret.Secret
}

// Unwrap implements age.Identity.
func (r relayed) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	for _, a := range r {
		if slices.EqualFunc(a.stanzas, stanzas, sameStanza) {
			return bytes.Clone(a.fileKey.Reveal()), nil
		}
	}
	return nil, age.ErrIncorrectIdentity
}

func sameStanza(a, b *age.Stanza) bool {
	return a.Type == b.Type && slices.Equal(a.Args, b.Args) && bytes.Equal(a.Body, b.Body)
}
