package keyring

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// locked encrypts an identity file as age -p does.
func locked(t testing.TB, plain, word string, work int, armored bool) []byte {
	t.Helper()
	r, err := age.NewScryptRecipient(word)
	if err != nil {
		t.Fatal(err)
	}
	r.SetWorkFactor(work)
	var b bytes.Buffer
	w, err := age.Encrypt(&b, r)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(plain)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if !armored {
		return b.Bytes()
	}
	var a bytes.Buffer
	aw := armor.NewWriter(&a)
	if _, err := aw.Write(b.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := aw.Close(); err != nil {
		t.Fatal(err)
	}
	return a.Bytes()
}

// saying answers a question, and remembers what for.
func saying(word string, asked *[]string) func(string) (secret.Secret, error) {
	return func(what string) (secret.Secret, error) {
		*asked = append(*asked, what)
		return secret.FromString(word), nil
	}
}

// An encrypted identity file opens with its passphrase; an SSH key's is asked for when, and only when, a slot is for that key.
func TestIdentitiesWithAPassphrase(t *testing.T) {
	x := x25519(t)
	for _, armored := range []bool{false, true} {
		file := locked(t, "# mine\n"+x.String()+"\n", "correct horse", 10, armored)
		var asked []string
		ids, err := ParseIdentities(file, IdentityOptions{Ask: saying("correct horse", &asked)})
		if err != nil || len(ids) != 1 || len(asked) != 1 || Prove(x.Recipient(), ids) != nil {
			t.Errorf("armored %v: %v, asked %q", armored, err, asked)
		}
		if _, err := ParseIdentities(file, IdentityOptions{Ask: saying("another", &asked)}); fault.CodeOf(err) != fault.WrongIdentity {
			t.Errorf("a wrong passphrase: %v", err)
		}
		if _, err := ParseIdentities(file, IdentityOptions{}); fault.CodeOf(err) != fault.NotSupported {
			t.Errorf("nobody to ask: %v", err)
		}
		for n := 0; n < len(file); n += 7 {
			if _, err := ParseIdentities(file[:n], IdentityOptions{Ask: saying("correct horse", &asked)}); err == nil {
				t.Fatalf("cut to %d it is read", n)
			}
		}
	}

	private, public := sshPair(t, edKey(t), "battery staple")
	to, err := ParseRecipient(public, nil)
	if err != nil {
		t.Fatal(err)
	}
	var asked []string
	ids, err := ParseIdentities(bytes.Clone(private), IdentityOptions{Ask: saying("battery staple", &asked)})
	if err != nil || len(asked) != 0 {
		t.Fatalf("%v, asked %q", err, asked)
	}
	if err := Prove(x.Recipient(), ids); fault.CodeOf(err) != fault.WrongIdentity || len(asked) != 0 {
		t.Errorf("another's slot: %v, asked %q", err, asked)
	}
	if err := Prove(to, ids); err != nil || len(asked) != 1 {
		t.Errorf("%v, asked %q", err, asked)
	}
	ids, err = ParseIdentities(bytes.Clone(private), IdentityOptions{Ask: saying("wrong", &asked)})
	if err != nil {
		t.Fatal(err)
	}
	if err := Prove(to, ids); fault.CodeOf(err) != fault.WrongIdentity {
		t.Errorf("a wrong passphrase: %v", err)
	}
	if _, err := ParseIdentities(bytes.Clone(private), IdentityOptions{}); fault.CodeOf(err) != fault.NotSupported {
		t.Errorf("nobody to ask: %v", err)
	}
}

// A file that asks for more work than a person's would is refused before the work is done.
func TestAFileCannotCostMinutes(t *testing.T) {
	file := locked(t, x25519(t).String(), "correct horse", 10, false)
	dear := bytes.Replace(file, []byte(" 10\n"), []byte(" 28\n"), 1) // half an hour and 256 GiB
	if bytes.Equal(dear, file) {
		t.Fatal("the file has another shape")
	}
	var asked []string
	if _, err := ParseIdentities(dear, IdentityOptions{Ask: saying("correct horse", &asked)}); fault.CodeOf(err) != fault.WrongIdentity {
		t.Errorf("%v", err)
	}
}

func TestIdentitiesThatAreNone(t *testing.T) {
	x := x25519(t)
	for name, b := range map[string]string{
		"nothing": "", "a comment": "# only\n", "a word": "hunter2-hunter2", "a recipient": x.Recipient().String(), "cut": x.String()[:40],
		"one line of two": x.String() + "\nhunter2-hunter2\n", "too many": strings.Repeat(x.String()+"\n", maxIdentities+1), "a plugin's": "AGE-PLUGIN-GLASS-1XXXX",
		"an SSH key of rubbish": "-----BEGIN OPENSSH PRIVATE KEY-----\naGVsbG8=\n-----END OPENSSH PRIVATE KEY-----\n", "huge": strings.Repeat("#", MaxIdentities+1),
	} {
		_, err := ParseIdentities([]byte(b), IdentityOptions{})
		if fault.CodeOf(err) != fault.WrongIdentity {
			t.Errorf("%s: %v", name, err)
		}
		for _, part := range []string{"hunter2", x.String()[20:30]} {
			if strings.Contains(fmt.Sprint(err), part) {
				t.Errorf("%s: the error holds a piece of the file: %v", name, err)
			}
		}
	}
}
