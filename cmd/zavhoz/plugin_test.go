package main

import (
	"crypto/subtle"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"filippo.io/age"
	"filippo.io/age/plugin"
)

// mirrorPlugin is a real age plugin for tests, age-plugin-mirror: recipient and identity hold the same 16 bytes, which a file key is XORed with. With a first byte of
// ff it asks for a value first; with fe, for a PIN before it unwraps, as a token does. It refuses to work in an environment that is not its own.
func mirrorPlugin() {
	p, err := plugin.New("mirror")
	if err != nil {
		os.Exit(1)
	}
	keygen := flag.Bool("keygen", false, "print an identity and its recipient")
	pin := flag.Bool("pin", false, "with -keygen: one that wants a PIN")
	p.RegisterFlags(nil)
	flag.Parse()
	if *keygen {
		key := []byte("0123456789abcdef")
		if *pin {
			key[0] = 0xfe
		}
		fmt.Printf("# public key: %s\n%s\n", plugin.EncodeRecipient("mirror", key), plugin.EncodeIdentity("mirror", key))
		os.Exit(0)
	}
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, "ZAVHOZ_") || strings.HasPrefix(name, "AGEDEBUG") || strings.HasPrefix(name, "SECRET_") {
			os.Exit(3)
		}
	}
	p.HandleRecipient(func(data []byte) (age.Recipient, error) { return mirror{p, data}, nil })
	p.HandleIdentity(func(data []byte) (age.Identity, error) { return mirror{p, data}, nil })
	os.Exit(p.Main())
}

type mirror struct {
	p   *plugin.Plugin
	key []byte
}

func (m mirror) ask() error {
	if len(m.key) != 16 {
		return errors.New("not a key")
	}
	if m.key[0] == 0xff {
		_, err := m.p.RequestValue("touch the mirror", true)
		return err
	}
	return nil
}

// mirrorPIN is what the mirror wants where it wants a PIN.
const mirrorPIN = "pin-271828"

func (m mirror) askPIN() error {
	if m.key[0] != 0xfe {
		return nil
	}
	pin, err := m.p.RequestValue("PIN of the mirror:", true)
	if err == nil && pin != mirrorPIN {
		err = errors.New("wrong PIN")
	}
	return err
}

func (m mirror) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	if err := m.ask(); err != nil {
		return nil, err
	}
	body := make([]byte, 16)
	subtle.XORBytes(body, fileKey, m.key)
	return []*age.Stanza{{Type: "mirror", Args: []string{"1"}, Body: body}}, nil
}

func (m mirror) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	for _, s := range stanzas {
		if s.Type != "mirror" || len(s.Body) != 16 {
			continue
		}
		if err := m.ask(); err != nil {
			return nil, err
		}
		if err := m.askPIN(); err != nil {
			return nil, err
		}
		fileKey := make([]byte, 16)
		subtle.XORBytes(fileKey, s.Body, m.key)
		return fileKey, nil
	}
	return nil, age.ErrIncorrectIdentity
}
