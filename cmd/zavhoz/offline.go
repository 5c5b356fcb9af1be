package main

import (
	"bytes"
	"context"
	"errors"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// identities are identity files, each with what it holds. They are for acts that need no daemon: a vault that lies in a backup, or is being moved.
type identities struct {
	files  []identityFile
	opened string // the file that unlocked the vault
}

type identityFile struct {
	name string
	ids  []age.Identity
}

// loadKeys reads identity files of every kind; a person is asked where one wants a passphrase.
func (a *app) loadKeys(ctx context.Context, names []string) (out identities, err error) {
	for _, name := range names {
		ids, err := a.identities(ctx, name)
		if err != nil {
			return out, err
		}
		out.files = append(out.files, identityFile{name, ids})
	}
	return out, nil
}

func (i identities) all() (ids []age.Identity) {
	for _, f := range i.files {
		ids = append(ids, f.ids...)
	}
	return ids
}

// unlock opens a vault's keys with the first file that fits, and remembers which it was.
func (i *identities) unlock(header []byte) (k *keyring.Keyring, err error) {
	err = fault.New(fault.WrongIdentity, "no identity given opens this vault", "give --identity FILE")
	for _, f := range i.files {
		if k, err = keyring.Unlock(header, f.ids); err == nil {
			i.opened = f.name
			return k, nil
		}
		if fault.CodeOf(err) != fault.WrongIdentity {
			return nil, err
		}
	}
	return nil, err
}

// present asks for the operator's passphrase where the vault has one: there is no daemon here that remembers a ticket.
func (a *app) present(ctx context.Context, v *vault.Vault, from string) error {
	set, err := v.HasPresence(ctx)
	if err != nil || !set {
		return err
	}
	if from != "" {
		b, err := a.readFrom(from)
		if err != nil {
			return err
		}
		s := secret.New(bytes.TrimRight(b, "\r\n"))
		defer s.Wipe()
		return v.CheckPresence(ctx, vault.OperatorActor(), s)
	}
	tty, done, ok := a.terminal()
	if !ok {
		return fault.New(fault.PresenceRequired, "this needs the operator's passphrase of the vault", "run the command on a terminal of your own, or give it with --passphrase-from")
	}
	defer done()
	for try := 1; ; try++ {
		s, err := a.askSecret(ctx, tty, "Operator passphrase: ")
		if err != nil {
			return err
		}
		err = v.CheckPresence(ctx, vault.OperatorActor(), s)
		s.Wipe()
		if fault.CodeOf(err) != fault.PresenceRequired || try == 3 {
			return err
		}
		a.hint("That is not it.")
	}
}

// written says of a failure that has no words of its own what it is: a vault that is being written met a disk that takes no more. left says what is there now.
func written(err error, left string) error {
	var f *fault.Error
	if err == nil || errors.As(err, &f) {
		return err
	}
	return fault.New(fault.Internal, "the vault cannot be written there: the disk is full, or fails", "free some space, or choose another place; "+left).Because(err)
}
