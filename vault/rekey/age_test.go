package rekey_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"filippo.io/age"
	"golang.org/x/crypto/ssh"

	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/rekey"
	"github.com/zavhoz/zavhoz/vault/sops/sopstest"
)

// What a slot holds is an age file like any other: the real age program opens it with the slot's identity, before and after a rotation, to one key of 32 bytes.
func TestTheAgeProgramOpensEverySlot(t *testing.T) {
	program := sopstest.Program(t, "age")
	h := newHouse(t)
	x, err := age.GenerateX25519Identity()
	must(t, err)
	hybrid, err := age.GenerateHybridIdentity()
	must(t, err)
	_, key, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	block, err := ssh.MarshalPrivateKey(key, "")
	must(t, err)
	signer, err := ssh.NewSignerFromKey(key)
	must(t, err)
	files := map[string][]byte{"x25519": []byte(x.String() + "\n"), "hybrid": []byte(hybrid.String() + "\n"), "ssh": pem.EncodeToMemory(block)}
	for label, text := range map[string]string{"x25519": x.Recipient().String(), "hybrid": hybrid.Recipient().String(), "ssh": string(ssh.MarshalAuthorizedKey(signer.PublicKey()))} {
		_, err := h.Add(ctx, operator, rekey.NewSlot{Recipient: text, Label: label})
		must(t, err)
	}
	dir := t.TempDir()
	open := func() (key []byte) {
		slots, err := keyring.Slots(h.header())
		must(t, err)
		opened := 0
		for _, s := range slots {
			identity, ok := files[s.Label]
			if !ok {
				continue
			}
			file := filepath.Join(dir, s.Label)
			must(t, os.WriteFile(file, identity, 0o600))
			wrapped, err := base64.StdEncoding.DecodeString(s.Wrapped)
			must(t, err)
			c := exec.Command(program, "-d", "-i", file)
			c.Stdin = bytes.NewReader(wrapped)
			raw, err := c.Output()
			if err != nil || len(raw) != 32 || key != nil && !bytes.Equal(raw, key) {
				t.Fatalf("%s: %d bytes, %v", s.Label, len(raw), err)
			}
			key = raw
			opened++
		}
		if opened != len(files) {
			t.Fatalf("%d slots", opened)
		}
		return key
	}
	before := open()
	defer h.runs()()
	_, err = h.Rotate(ctx, operator, nil)
	must(t, err)
	h.settle()
	if bytes.Equal(open(), before) {
		t.Error("the key did not change")
	}
}
