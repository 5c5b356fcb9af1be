package keyring_test

import (
	"crypto/subtle"
	"errors"
	"testing"
	"time"

	"filippo.io/age"
	"filippo.io/age/plugin"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// mirror stands for a plugin: its stanza is the file key, XORed with a key of its own. It counts how often it is asked, and refuses where nobody is there.
type mirror struct {
	key   byte
	asked int
	alone bool
}

var errAsks = fault.New(fault.NotSupported, "the plugin asks", "").Because(keyring.ErrAsks)

func (m *mirror) Recipient(string) (age.Recipient, error) { return m, nil }
func (m *mirror) Identity(string) (age.Identity, error)   { return m, nil }

func (m *mirror) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	return []*age.Stanza{{Type: "mirror", Args: []string{string('a' + rune(m.key))}, Body: m.flip(fileKey)}}, nil
}

func (m *mirror) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	if stanzas[0].Type != "mirror" || stanzas[0].Args[0] != string('a'+rune(m.key)) {
		return nil, age.ErrIncorrectIdentity
	}
	if m.asked++; m.alone {
		return nil, errAsks
	}
	return m.flip(stanzas[0].Body), nil
}

func (m *mirror) flip(b []byte) []byte {
	out, k := make([]byte, len(b)), make([]byte, len(b))
	for i := range k {
		k[i] = m.key
	}
	subtle.XORBytes(out, b, k)
	return out
}

// identities parses a plugin's line, so that what comes is what an identity file gives.
func (m *mirror) identities(t *testing.T) []age.Identity {
	t.Helper()
	ids, err := keyring.ParseIdentities([]byte(plugin.EncodeIdentity("mirror", []byte{m.key})), keyring.IdentityOptions{Plugins: m})
	if err != nil || !keyring.OfPlugins(ids) {
		t.Fatalf("%v %v", ids, err)
	}
	return ids
}

func TestAPluginsAnswerIsRelayed(t *testing.T) {
	native, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	mine, other := &mirror{key: 3}, &mirror{key: 5}
	k, header, err := keyring.Create([]age.Recipient{native.Recipient(), other, mine})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	if !keyring.OfPlugins(mine.identities(t)) || keyring.OfPlugins([]age.Identity{native}) {
		t.Error("which identity is a plugin's is not seen")
	}
	all, err := keyring.Wrappings(header)
	if err != nil || len(all) != 2 { // the native slot is nobody's to ask about
		t.Fatalf("%d wrappings, %v", len(all), err)
	}
	slot, keys, err := keyring.Unwrap(all, append([]age.Identity{native}, mine.identities(t)...))
	if err != nil || slot != all[1].Slot || len(keys) != 1 || mine.asked != 1 {
		t.Fatalf("%s of %+v, %d keys, asked %d times: %v", slot, all, len(keys), mine.asked, err)
	}
	mine.asked = 0
	if found, err := keyring.Opens(header, mine.identities(t)); err != nil || len(found) != 1 || found[0] != slot || mine.asked != 1 {
		t.Errorf("a check opens %v, %v, asked %d times", found, err, mine.asked)
	}
	opened, err := keyring.UnlockRelayed(header, slot, keys)
	if err != nil {
		t.Fatal(err)
	}
	if opened.Slot() != slot || opened.VaultID() != k.VaultID() || opened.Current() != k.Current() {
		t.Errorf("opened by %s", opened.Slot())
	}
	opened.Close()

	// during a rotation each data key has a file key of its own, by the same slot
	turned, _, err := k.BeginRotation(header, time.Now(), func(s keyring.Slot) (age.Recipient, error) {
		if s.Recipient != "" {
			return native.Recipient(), nil
		}
		if s.ID == slot {
			return mine, nil
		}
		return other, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if all, err = keyring.Wrappings(turned); err != nil || len(all) != 4 {
		t.Fatalf("%d wrappings in a rotation, %v", len(all), err)
	}
	again, both, err := keyring.Unwrap(all, mine.identities(t))
	if err != nil || again != slot || len(both) != 2 {
		t.Fatalf("%s, %d keys: %v", again, len(both), err)
	}
	if opened, err = keyring.UnlockRelayed(turned, slot, both); err != nil {
		t.Fatal(err)
	}
	opened.Close()

	// whatever does not fit is refused as what it is: a wrong key, never damage
	flipped := secret.New(append([]byte(nil), make([]byte, 16)...))
	for name, c := range map[string]struct {
		header []byte
		slot   string
		keys   []secret.Secret
	}{
		"of another slot":       {header, all[0].Slot, keys},
		"of no slot":            {header, "ffffffff", keys},
		"no slot's name":        {header, "", keys},
		"another key":           {header, slot, []secret.Secret{flipped}},
		"a short key":           {header, slot, []secret.Secret{secret.FromString("short")}},
		"none":                  {header, slot, nil},
		"one too many":          {header, slot, both},
		"of before a rotation":  {turned, slot, keys},
		"in the other order":    {turned, slot, []secret.Secret{both[1], both[0]}},
		"the same for both":     {turned, slot, []secret.Secret{both[0], both[0]}},
		"of after the rotation": {header, slot, both[1:]},
	} {
		if opened, err := keyring.UnlockRelayed(c.header, c.slot, c.keys); fault.CodeOf(err) != fault.WrongIdentity {
			t.Errorf("%s: %v, %v", name, opened, err)
		}
	}
	// a header that somebody changed opens by nothing
	forged := append([]byte(nil), header...)
	forged[len(forged)/2] ^= 1
	if _, err := keyring.UnlockRelayed(forged, slot, keys); err == nil {
		t.Error("a changed header opened")
	}
}

func TestAPluginThatIsNotOfTheVault(t *testing.T) {
	mine, stranger := &mirror{key: 3}, &mirror{key: 9}
	k, header, err := keyring.Create([]age.Recipient{mine})
	if err != nil {
		t.Fatal(err)
	}
	k.Close()
	all, err := keyring.Wrappings(header)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := keyring.Unwrap(all, stranger.identities(t)); fault.CodeOf(err) != fault.WrongIdentity {
		t.Errorf("a stranger's: %v", err)
	}
	mine.alone = true
	if _, _, err := keyring.Unwrap(all, mine.identities(t)); !errors.Is(err, keyring.ErrAsks) {
		t.Errorf("nobody answers it: %v", err)
	}
	if _, _, err := keyring.Unwrap(nil, mine.identities(t)); fault.CodeOf(err) != fault.WrongIdentity {
		t.Errorf("no plugin's slot: %v", err)
	}
}
