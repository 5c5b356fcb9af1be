package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"os"
	"slices"
	"unicode/utf8"

	"filippo.io/age"
	"filippo.io/age/armor"
	"golang.org/x/term"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/web/api"
)

// Unlocking gives what plugins would be asked to unlock the vault; nothing once it is unlocked.
func (v vaultLock) Unlocking(ctx context.Context) (out api.Unlocking, err error) {
	out = api.Unlocking{Locked: v.d.lock.gate.IsShut(), Wrappings: []api.Wrapping{}}
	if !out.Locked {
		return out, nil
	}
	header, err := vault.Header(ctx, v.d.lock.raw)
	if err != nil {
		return out, err
	}
	all, err := keyring.Wrappings(header)
	for _, w := range all {
		x := api.Wrapping{Key: w.Key, Slot: w.Slot}
		for _, s := range w.Stanzas {
			x.Stanzas = append(x.Stanzas, api.Stanza{Type: s.Type, Args: s.Args, Body: s.Body})
		}
		out.Wrappings = append(out.Wrappings, x)
	}
	return out, err
}

// fileKeys are what a plugin opened elsewhere, out of a request. The caller wipes them.
func fileKeys(in []api.Value) (out []secret.Secret) {
	for _, v := range in {
		raw := make([]byte, base64.StdEncoding.DecodedLen(v.Len()))
		n, _ := base64.StdEncoding.Decode(raw, v.Reveal()) // what is none is of no length that a key has
		out = append(out, secret.New(raw[:n]))
	}
	return out
}

// look finds what only a person at this terminal can use: a plugin's identity, which may ask for a PIN or a touch that nobody would see a daemon ask for, and an identity file with a
// passphrase where the daemon would look for one. What cannot be read here is the daemon's to refuse.
func (u *unlocker) look(file string) error {
	own := file == ""
	if own {
		file = u.a.ownIdentity()
	}
	if _, done, ok := u.a.terminal(); !ok || file == "" {
		return nil
	} else {
		done()
	}
	b, err := home.ReadIdentity(file)
	if err != nil {
		return nil
	}
	defer clear(b)
	closed := keyring.Encrypted(b)
	if !closed && !bytes.Contains(b, []byte("AGE-PLUGIN-")) {
		return nil
	}
	if closed && u.word.IsZero() {
		if u.word, err = u.ask("Passphrase of the identity file: "); err != nil {
			return err
		}
	}
	if own && closed {
		if u.identity, err = asText(bytes.Clone(b)); err != nil {
			return err
		}
	}
	ids, err := keyring.ParseIdentities(b, keyring.IdentityOptions{Ask: func(string) (secret.Secret, error) { return u.word.Clone(), nil }, Plugins: u.a.plugins(u.ctx)})
	if err == nil && keyring.OfPlugins(ids) {
		return u.relay(ids)
	}
	return nil
}

// ownIdentity is the identity file that the daemon would read; "" where it reads none.
func (a *app) ownIdentity() string {
	dir, err := a.dir()
	if err != nil {
		return ""
	}
	cfg, err := home.LoadConfig(dir.Config())
	if err != nil || !slices.Contains(cfg.Unlock.Sources, home.FromFile) {
		return ""
	}
	return dir.Identity()
}

// relay has the plugin open its slot here, where it can ask, and keeps what it opened for the daemon.
func (u *unlocker) relay(ids []age.Identity) error {
	all := make([]keyring.Wrapping, len(u.wrappings))
	for n, w := range u.wrappings {
		all[n] = keyring.Wrapping{Key: w.Key, Slot: w.Slot}
		for _, s := range w.Stanzas {
			all[n].Stanzas = append(all[n].Stanzas, &age.Stanza{Type: s.Type, Args: s.Args, Body: s.Body})
		}
	}
	slot, keys, err := keyring.Unwrap(all, ids)
	if fault.CodeOf(err) == fault.WrongIdentity && !u.identity.IsZero() {
		return nil // the file may hold another identity, of age's own, that opens it
	}
	u.slot, u.fileKeys = slot, keys
	return err
}

// asText gives an identity file as a request can carry it: age -p writes binary, which armor makes text. It takes b.
func asText(b []byte) (secret.Secret, error) {
	if utf8.Valid(b) {
		return secret.New(b), nil
	}
	var out bytes.Buffer
	w := armor.NewWriter(&out)
	_, err := w.Write(b)
	if err = errors.Join(err, w.Close()); err != nil {
		return secret.Secret{}, err
	}
	return secret.New(out.Bytes()), nil
}

// quotedKeys are the file keys as a request takes them. The caller wipes them.
func (u *unlocker) quotedKeys() (out []any, wipe func()) {
	var quoted [][]byte
	for _, k := range u.fileKeys {
		text := secret.New(base64.StdEncoding.AppendEncode(make([]byte, 0, base64.StdEncoding.EncodedLen(k.Len())), k.Reveal()))
		q := api.Quote(text)
		text.Wipe()
		out, quoted = append(out, q), append(quoted, q)
	}
	return out, func() {
		for _, q := range quoted {
			clear(q)
		}
	}
}

// keepTerminal remembers how the terminal is set, for a child that may be ended while it reads a PIN without echo. What it gives sets it so again.
func keepTerminal() (restore func()) {
	f, err := os.OpenFile(console, os.O_RDWR, 0)
	if err != nil {
		return func() {}
	}
	was, err := term.GetState(int(f.Fd()))
	return func() {
		if err == nil {
			_ = term.Restore(int(f.Fd()), was)
		}
		f.Close()
	}
}
