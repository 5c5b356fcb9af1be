package keyring

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/plugin"
	"golang.org/x/crypto/ssh"

	"github.com/zavhoz/zavhoz/vault/fault"
)

// glass stands for plugins: what it gives wraps with a key that it keeps, as a plugin would.
type glass struct{ key *age.X25519Identity }

func (g glass) Recipient(string) (age.Recipient, error) { return g.key.Recipient(), nil }
func (g glass) Identity(string) (age.Identity, error)   { return g.key, nil }

// sshPair makes a key as ssh-keygen does: the private file, and a line of the public one.
func sshPair(t testing.TB, key any, word string) (private []byte, public string) {
	t.Helper()
	var block *pem.Block
	var err error
	if word == "" {
		block, err = ssh.MarshalPrivateKey(key, "comment")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "comment", []byte(word))
	}
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(block), strings.TrimSpace(string(ssh.MarshalAuthorizedKey(s.PublicKey()))) + " me@example.org"
}

func edKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func rsaKey(t testing.TB, bits int) *rsa.PrivateKey {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Each kind of recipient has a slot of its own, by its text, and its identity opens the vault from a file.
func TestEveryKindOfRecipient(t *testing.T) {
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	x := x25519(t)
	ed, edPub := sshPair(t, edKey(t), "")
	rs, rsPub := sshPair(t, rsaKey(t, 2048), "")
	plug := plugin.EncodeRecipient("glass", []byte("0123456789abcdef"))
	for _, c := range []struct {
		name, text, identity, typ string
		pq                        bool
	}{
		{"x25519", " " + x.Recipient().String() + "\n", x.String(), "X25519", false},
		{"hybrid", hybrid.Recipient().String(), hybrid.String(), "mlkem768x25519", true},
		{"ed25519", edPub, string(ed), "ssh-ed25519", false},
		{"rsa", rsPub, string(rs), "ssh-rsa", false},
		{"plugin", plug, plugin.EncodeIdentity("glass", []byte("0123456789abcdef")), "X25519", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := glass{x}
			to, err := ParseRecipient(c.text, p)
			if err != nil {
				t.Fatal(err)
			}
			k, h, err := Create([]age.Recipient{x25519(t).Recipient(), to})
			if err != nil {
				t.Fatal(err)
			}
			defer k.Close()
			slots, err := Slots(h)
			if err != nil {
				t.Fatal(err)
			}
			s := slots[1]
			want := strings.TrimSuffix(strings.TrimSpace(c.text), " me@example.org")
			if s.Type != c.typ || s.PostQuantum != c.pq || s.Recipient != want || s.AddedAt.IsZero() || s.ID == "" {
				t.Errorf("%+v", s)
			}
			ids, err := ParseIdentities([]byte("# a comment\n\n"+c.identity), IdentityOptions{Plugins: p})
			if strings.Contains(c.identity, "BEGIN") {
				ids, err = ParseIdentities([]byte(c.identity), IdentityOptions{})
			}
			if err != nil {
				t.Fatal(err)
			}
			if c.name == "plugin" {
				return // its stand-in wraps as X25519, and no plugin is asked about those
			}
			if err := Prove(to, ids); err != nil {
				t.Error(err)
			}
			if err := Prove(x25519(t).Recipient(), ids); fault.CodeOf(err) != fault.WrongIdentity {
				t.Errorf("another's: %v", err)
			}
			u, err := Unlock(h, ids)
			if err != nil {
				t.Fatal(err)
			}
			if u.Slot() != s.ID {
				t.Errorf("opened by the slot %s, not %s", u.Slot(), s.ID)
			}
			u.Close()
			if found, err := Opens(h, ids); err != nil || len(found) != 1 || found[0] != s.ID {
				t.Errorf("%v %v", found, err)
			}
		})
	}
}

// What is no recipient is refused by a code that says why, and never repeated: it may be an identity in the wrong place.
func TestRecipientsThatAreNone(t *testing.T) {
	private, _ := sshPair(t, edKey(t), "")
	_, short := sshPair(t, rsaKey(t, 1024), "")
	x := x25519(t)
	for name, c := range map[string]struct {
		text string
		code fault.Code
	}{
		"an identity":           {x.String(), fault.SecretInArgv},
		"in lower case":         {strings.ToLower(x.String()), fault.SecretInArgv},
		"within a line":         {"key: " + x.String(), fault.SecretInArgv},
		"a plugin's identity":   {plugin.EncodeIdentity("glass", []byte("x")), fault.SecretInArgv},
		"an SSH private key":    {string(private), fault.SecretInArgv},
		"nothing":               {"", fault.InvalidArgument},
		"a word":                {"hunter2-hunter2", fault.InvalidArgument},
		"one letter changed":    {strings.Replace(x.Recipient().String(), "age1", "age1q", 1), fault.InvalidArgument},
		"two lines":             {x.Recipient().String() + "\n" + x.Recipient().String(), fault.InvalidArgument},
		"endless":               {"age1" + strings.Repeat("q", 1<<20), fault.InvalidArgument},
		"a plugin without data": {"age1glass1", fault.InvalidArgument},
		"a plugin's path":       {"age1../x1qqqq", fault.InvalidArgument},
		"an ecdsa key":          {"ecdsa-sha2-nistp256 AAAAE2VjZHNh", fault.InvalidArgument},
		"a short RSA key":       {short, fault.InvalidArgument},
		"with options":          {"no-pty ssh-ed25519 AAAA", fault.InvalidArgument},
		"a plugin where none":   {plugin.EncodeRecipient("glass", []byte("x")), fault.NotSupported},
	} {
		_, err := ParseRecipient(c.text, nil)
		if fault.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && len(c.text) > 8 && strings.Contains(fmt.Sprint(err), c.text[len(c.text)-8:]) {
			t.Errorf("%s: the error repeats what was given: %v", name, err)
		}
	}
}

func FuzzParseRecipient(f *testing.F) {
	i, err := age.ParseX25519Identity(goldenIdentity)
	if err != nil {
		f.Fatal(err)
	}
	_, pub := sshPair(f, edKey(f), "")
	for _, s := range []string{i.Recipient().String(), i.String(), pub, plugin.EncodeRecipient("glass", []byte("0123")), "age1pq1", "ssh-rsa AAAA", "age1tag1qq", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRecipient(text, glass{i})
		if err != nil {
			if f := fault.Of(err); f.Code == fault.Internal || len(text) > 12 && strings.Contains(f.Error(), text) {
				t.Errorf("%v", err)
			}
			return
		}
		again, err := ParseRecipient(textOf(r), glass{i})
		if err != nil || textOf(again) != textOf(r) {
			t.Errorf("its own text %q is none: %v", textOf(r), err)
		}
	})
}
