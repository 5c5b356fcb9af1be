package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/web/api"
)

// presenceAccount is where the system's keyring keeps the key that proves presence at a vault.
func presenceAccount(vaultID string) string { return "presence " + vaultID }

// answer lets a person's key open a challenge, and gives its answer in base64: never what a file held, whoever sent it. errNobody where no terminal is there: nobody is asked to touch a key for a program
// that they do not see.
func (a *app) answer(ctx context.Context, ch api.Challenge, to keyring.Purpose) (secret.Secret, error) {
	_, done, ok := a.terminal()
	if !ok {
		return secret.Secret{}, errNobody
	}
	done()
	text := []byte(ch.Identity)
	if ch.By == keyring.ByKeyring {
		a.hint("Your system's keyring is asked for the key that proves your presence.")
		kept, err := systemKeyring{person: true}.Get(ctx, presenceAccount(ch.VaultID))
		if err != nil {
			return kept, err
		}
		defer kept.Wipe()
		text = bytes.Clone(kept.Reveal())
		defer clear(text)
	} else {
		a.hint("Your key is asked for by its plugin: touch it.")
	}
	ids, err := keyring.ParseIdentities(text, keyring.IdentityOptions{Plugins: a.plugins(ctx)})
	if err != nil {
		return secret.Secret{}, err
	}
	return keyring.Answer(ch.File, ch.VaultID, to, ids)
}

// challengeOf is the challenge that a refusal brought; false: none.
func challengeOf(err error) (ch api.Challenge, ok bool) {
	f := fault.Of(err)
	if f.Code != fault.PresenceRequired {
		return ch, false
	}
	text, _ := f.Details["challenge"].(string)
	ch.By, _ = f.Details["by"].(string)
	ch.Identity, _ = f.Details["identity"].(string)
	ch.VaultID, _ = f.Details["vault_id"].(string)
	ch.File, err = base64.StdEncoding.DecodeString(text)
	return ch, err == nil && len(ch.File) > 0
}

// setPresenceKey makes a key prove presence: one in the system's keyring, made here, or a plugin's. The key answers a challenge first.
func (a *app) setPresenceKey(ctx context.Context, by, file, recipient string) error {
	cl, err := a.client()
	if err != nil {
		return err
	}
	in := api.Presence{By: by, Recipient: recipient}
	var undo func()
	switch by {
	case keyring.ByPlugin:
		in.Identity, err = pluginLine(file)
	case keyring.ByKeyring:
		var s api.Status
		if err := cl.call(ctx, "GET", path("status"), nil, &s); err != nil {
			return err
		}
		if s.PresenceBy == keyring.ByKeyring {
			return fault.New(fault.NameTaken, "a key in the keyring proves presence already", "set a passphrase first: `zavhoz presence set`")
		}
		in.Recipient, undo, err = keepPresenceKey(ctx, s.VaultID)
	default:
		err = fault.New(fault.InvalidArgument, "presence is proven by a passphrase, a plugin or the keyring", "choose --by passphrase, plugin or keyring")
	}
	if err != nil {
		return err
	}
	if err = a.offerKey(ctx, cl, in); err != nil && undo != nil {
		undo()
	}
	return err
}

// offerKey sends the key and its answer.
func (a *app) offerKey(ctx context.Context, cl *client, in api.Presence) error {
	out := map[string]any{"by": in.By, "recipient": in.Recipient, "identity": in.Identity}
	err := cl.plain(ctx, "PUT", path("presence"), out, nil)
	if _, ok := challengeOf(err); err != nil && !ok { // presence by what is set now comes first
		err = cl.call(ctx, "PUT", path("presence"), out, nil)
	}
	ch, ok := challengeOf(err)
	if !ok {
		return err
	}
	s, aerr := a.answer(ctx, ch, keyring.ToSet)
	if errors.Is(aerr, errNobody) {
		return fault.New(fault.PresenceRequired, "the key is to answer first, and nobody is there to use it", "run this on a terminal of your own")
	}
	if aerr != nil {
		return aerr
	}
	defer s.Wipe()
	quoted := api.Quote(s)
	defer clear(quoted)
	out["answer"] = quoted
	return cl.plain(ctx, "PUT", path("presence"), out, nil)
}

// pluginLine reads the identity that a plugin made.
func pluginLine(file string) (string, error) {
	if file == "" {
		return "", fault.New(fault.InvalidArgument, "a plugin's key needs its identity", "give --identity FILE and --recipient age1…, as the plugin made them")
	}
	b, err := home.ReadIdentity(file)
	if err != nil {
		return "", err
	}
	defer clear(b)
	for line := range bytes.Lines(b) {
		if line = bytes.TrimSpace(line); bytes.HasPrefix(line, []byte("AGE-PLUGIN-")) {
			return string(line), nil
		}
	}
	return "", fault.New(fault.InvalidArgument, "the file holds no identity of a plugin", "only a key that its plugin keeps to itself proves presence")
}

// keepPresenceKey makes a key and puts it into the system's keyring.
func keepPresenceKey(ctx context.Context, vaultID string) (recipient string, undo func(), err error) {
	i, err := age.GenerateX25519Identity()
	if err != nil {
		return "", nil, fmt.Errorf("make a key: %w", err)
	}
	line := secret.New([]byte(i.String()))
	defer line.Wipe()
	ring := systemKeyring{person: true}
	if err := ring.Set(ctx, presenceAccount(vaultID), line); err != nil {
		return "", nil, err
	}
	return i.Recipient().String(), func() { _ = ring.Delete(context.WithoutCancel(ctx), presenceAccount(vaultID)) }, nil
}
