//go:build unix

package unlock_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"filippo.io/age"
	"filippo.io/age/plugin"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/vault/unlock"
)

const phrase = "open sesame, said the person"

// house is a vault's header with a slot for a key and one for a passphrase, and a folder for sources.
type house struct {
	t      *testing.T
	header []byte
	key    string // the identity's text
	dir    string
}

func newHouse(t *testing.T) house {
	t.Helper()
	i, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	word, err := age.NewScryptRecipient(phrase)
	if err != nil {
		t.Fatal(err)
	}
	word.SetWorkFactor(10) // what a passphrase costs is keyring's to test
	k, header, err := keyring.Create([]age.Recipient{i.Recipient(), word})
	if err != nil {
		t.Fatal(err)
	}
	k.Close()
	return house{t, header, i.String(), t.TempDir()}
}

func (h house) write(name, text string, mode os.FileMode) string {
	h.t.Helper()
	full := filepath.Join(h.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o700), os.WriteFile(full, []byte(text), 0o600), os.Chmod(full, mode)); err != nil {
		h.t.Fatal(err)
	}
	return full
}

// kept is a keyring of the system with one line, or the error that it gives.
type kept struct {
	line string
	err  error
}

func (k kept) Get(context.Context, string) (secret.Secret, error) {
	if k.err != nil {
		return secret.Secret{}, k.err
	}
	return secret.FromString(k.line), nil
}

// asking is a plugin that wants a person.
type asking struct{ err error }

func (a asking) Recipient(string) (age.Recipient, error)      { return nil, a.err }
func (a asking) Identity(string) (age.Identity, error)        { return a, nil }
func (a asking) Unwrap(stanzas []*age.Stanza) ([]byte, error) { return nil, a.err }

func TestSourcesInTheirOrder(t *testing.T) {
	h := newHouse(t)
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	file := h.write("identity.txt", h.key+"\n", 0o600)
	strange := h.write("strange.txt", other.String()+"\n", 0o600)
	open := h.write("open.txt", h.key+"\n", 0o644)
	h.write("creds/"+unlock.Credential, h.key+"\n", 0o400)
	creds := filepath.Join(h.dir, "creds")
	h.write("odd/"+unlock.Credential, h.key+"\n", 0o444)
	says := func(word string) func(string) (secret.Secret, error) {
		return func(string) (secret.Secret, error) { return secret.FromString(word), nil }
	}
	missing := kept{err: fault.New(fault.SecretMissing, "nothing is kept", "")}
	for name, c := range map[string]struct {
		o    unlock.Options
		by   string
		code fault.Code
	}{
		"a file":                           {o: unlock.Options{Order: []string{home.FromFile}, File: file}, by: home.FromFile},
		"a credential":                     {o: unlock.Options{Order: []string{home.FromCredential}, Credentials: creds}, by: home.FromCredential},
		"the keyring":                      {o: unlock.Options{Order: []string{home.FromKeyring}, Keyring: kept{line: h.key}}, by: home.FromKeyring},
		"a passphrase":                     {o: unlock.Options{Order: []string{home.FromPassphrase}, Ask: says(phrase)}, by: home.FromPassphrase},
		"the first that fits":              {o: unlock.Options{Order: []string{home.FromCredential, home.FromFile}, File: file, Credentials: creds}, by: home.FromCredential},
		"no credential, then a file":       {o: unlock.Options{Order: []string{home.FromCredential, home.FromFile}, File: file}, by: home.FromFile},
		"an empty folder, then a file":     {o: unlock.Options{Order: []string{home.FromCredential, home.FromFile}, File: file, Credentials: t.TempDir()}, by: home.FromFile},
		"no file, then the keyring":        {o: unlock.Options{Order: []string{home.FromFile, home.FromKeyring}, File: file + ".gone", Keyring: kept{line: h.key}}, by: home.FromKeyring},
		"another's file, then a word":      {o: unlock.Options{Order: []string{home.FromFile, home.FromPassphrase}, File: strange, Ask: says(phrase)}, by: home.FromPassphrase},
		"another's file":                   {o: unlock.Options{Order: []string{home.FromFile}, File: strange}, code: fault.WrongIdentity},
		"a wrong word":                     {o: unlock.Options{Order: []string{home.FromPassphrase}, Ask: says("not it at all")}, code: fault.WrongIdentity},
		"an open file stops all":           {o: unlock.Options{Order: []string{home.FromFile, home.FromCredential}, File: open, Credentials: creds}, code: fault.KeyFileExposed},
		"an open credential stops all":     {o: unlock.Options{Order: []string{home.FromCredential, home.FromFile}, File: file, Credentials: filepath.Join(h.dir, "odd")}, code: fault.KeyFileExposed},
		"nobody to ask":                    {o: unlock.Options{Order: []string{home.FromPassphrase}}, code: fault.VaultLocked},
		"no file, and nobody to ask":       {o: unlock.Options{Order: []string{home.FromFile, home.FromPassphrase}, File: file + ".gone"}, code: fault.VaultLocked},
		"nothing at all":                   {o: unlock.Options{Order: []string{home.FromKeyring}, Keyring: missing}, code: fault.SecretMissing},
		"no keyring here":                  {o: unlock.Options{Order: []string{home.FromKeyring}}, code: fault.NotSupported},
		"a source that there is not":       {o: unlock.Options{Order: []string{"somewhere"}}, code: fault.InvalidArgument},
		"the first error is told":          {o: unlock.Options{Order: []string{home.FromKeyring, home.FromFile}, Keyring: missing, File: strange}, code: fault.SecretMissing},
		"a keyring that waits is a person": {o: unlock.Options{Order: []string{home.FromKeyring}, Keyring: kept{err: fault.New(fault.TimedOut, "no answer", "")}}, code: fault.VaultLocked},
	} {
		k, by, err := c.o.Unlock(t.Context(), h.header)
		if by != c.by || fault.CodeOf(err) != c.code || (k != nil) != (c.code == "") {
			t.Errorf("%s: by %q, %v", name, by, err)
		}
		if k != nil {
			k.Close()
		}
	}
}

// A plugin that asks, where nobody is there, leaves the vault locked for a person to unlock; one that fails is an error.
func TestAPluginThatAsksWaitsForAPerson(t *testing.T) {
	h := newHouse(t)
	k, header, err := keyring.Create([]age.Recipient{stanza{}})
	if err != nil {
		t.Fatal(err)
	}
	k.Close()
	file := h.write("identity.txt", plugin.EncodeIdentity("mirror", []byte{1})+"\n", 0o600)
	for name, c := range map[string]struct {
		err  error
		code fault.Code
	}{
		"it asks":  {fault.New(fault.NotSupported, "it asks", "").Because(keyring.ErrAsks), fault.VaultLocked},
		"it waits": {fault.New(fault.TimedOut, "it waits", ""), fault.VaultLocked},
		"it fails": {fault.New(fault.NotSupported, "it fails", ""), fault.NotSupported},
	} {
		o := unlock.Options{Order: []string{home.FromFile}, File: file, Plugins: asking{c.err}}
		if _, _, err := o.Unlock(t.Context(), header); fault.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// stanza is a recipient whose slot only a plugin opens.
type stanza struct{}

func (stanza) Wrap(key []byte) ([]*age.Stanza, error) {
	return []*age.Stanza{{Type: "mirror", Body: key}}, nil
}

// TestAttack66_OnlySystemdsOwnCredential: a credential that another user owns or may read, a link and a folder are refused; what systemd makes, by mode or by a list of access, is taken.
func TestAttack66_OnlySystemdsOwnCredential(t *testing.T) {
	h := newHouse(t)
	for name, c := range map[string]struct {
		lay  func(at string)
		code fault.Code
	}{
		"0400":               {func(at string) { h.write("x", h.key, 0o400) }, ""},
		"0440, a list's":     {func(at string) { h.write("x", h.key, 0o440) }, ""},
		"for all":            {func(at string) { h.write("x", h.key, 0o404) }, fault.KeyFileExposed},
		"the group's to set": {func(at string) { h.write("x", h.key, 0o460) }, fault.KeyFileExposed},
		"executable":         {func(at string) { h.write("x", h.key, 0o500) }, fault.KeyFileExposed},
		"a link": {func(at string) {
			h.must(os.Symlink(h.write("elsewhere", h.key, 0o400), at))
		}, fault.NotPermitted},
		"a folder":  {func(at string) { h.must(os.Mkdir(at, 0o500)) }, fault.KeyFileExposed},
		"not there": {func(string) {}, fault.NotInitialized},
		"no key":    {func(string) { h.write("x", "not a key", 0o400) }, fault.WrongIdentity},
		"too large": {func(string) { h.write("x", string(make([]byte, keyring.MaxIdentities+1)), 0o400) }, fault.WrongIdentity},
	} {
		at := filepath.Join(h.dir, unlock.Credential)
		h.must(os.RemoveAll(at))
		h.must(os.RemoveAll(filepath.Join(h.dir, "x")))
		c.lay(at)
		if _, err := os.Lstat(filepath.Join(h.dir, "x")); err == nil {
			h.must(os.Rename(filepath.Join(h.dir, "x"), at))
		}
		o := unlock.Options{Order: []string{home.FromCredential}, Credentials: h.dir}
		if k, _, err := o.Unlock(t.Context(), h.header); fault.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		} else if k != nil {
			k.Close()
		}
	}
}

func (h house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// What a person gives is tried as it is, and its refusals name what they are about.
func TestWhatAPersonGives(t *testing.T) {
	h := newHouse(t)
	for name, c := range map[string]struct {
		g    unlock.Given
		code fault.Code
	}{
		"the passphrase": {unlock.Given{Passphrase: secret.FromString(phrase)}, ""},
		"the identity":   {unlock.Given{Identity: secret.FromString(h.key)}, ""},
		"another word":   {unlock.Given{Passphrase: secret.FromString("not it at all")}, fault.WrongIdentity},
		"no identity":    {unlock.Given{Identity: secret.FromString("words")}, fault.WrongIdentity},
		"a plugin's":     {unlock.Given{Identity: secret.FromString(plugin.EncodeIdentity("mirror", []byte{1}))}, fault.NotSupported},
		"file keys":      {unlock.Given{Slot: "00000000", FileKeys: []secret.Secret{secret.FromString("0123456789abcdef")}}, fault.WrongIdentity},
	} {
		if k, err := c.g.Unlock(h.header, nil); fault.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		} else if k != nil {
			k.Close()
		}
		if c.g.IsZero() {
			t.Errorf("%s is nothing", name)
		}
	}
	if !(unlock.Given{}).IsZero() {
		t.Error("nothing is something")
	}
}
