package main

import (
	"context"
	"errors"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/web/api"
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

// present asks for what proves the operator's presence where the vault has it: there is no daemon here that remembers a ticket.
func (a *app) present(ctx context.Context, v *vault.Vault, from string) error {
	p, err := v.Presence(ctx)
	switch {
	case err != nil || p.Format == 0:
		return err
	case p.By != "":
		return a.presentByKey(ctx, v, p)
	}
	if from != "" {
		s, err := a.passphrase(from, a.askPassphrase(ctx, "Operator passphrase: "))
		if err != nil {
			return err
		}
		defer s.Wipe()
		return v.CheckPresence(ctx, vault.OperatorActor(), s)
	}
	tty, done, ok := a.terminal()
	if !ok {
		return fault.New(fault.PresenceRequired, "this needs the operator's passphrase of the vault", "run the command on a terminal of your own, or say where it is: --operator-passphrase-from @FILE")
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

// presentByKey has the key that proves presence answer a challenge that is made here. No passphrase stands in for it.
func (a *app) presentByKey(ctx context.Context, v *vault.Vault, p keyring.Presence) error {
	file, want, err := p.Challenge(a.plugins(ctx), v.ID(), keyring.ToOffline)
	if err != nil {
		return err
	}
	defer want.Wipe()
	got, err := a.answer(ctx, api.Challenge{By: p.By, Identity: p.Identity, VaultID: v.ID(), File: file}, keyring.ToOffline)
	if errors.Is(err, errNobody) {
		return fault.New(fault.PresenceRequired, "this needs the key that proves the operator's presence, by the "+p.By, "run the command on a terminal of your own")
	}
	if err != nil {
		return err
	}
	defer got.Wipe()
	if !keyring.Answers(got, want) {
		return v.DenyPresence(ctx, vault.OperatorActor())
	}
	return v.Note(ctx, audit.Event{Actor: vault.OperatorActor(), Action: audit.PresenceCheck, Outcome: audit.Allowed})
}

// written says of a failure that has no words of its own what it is: a vault that is being written met a disk that takes no more. left says what is there now.
func written(err error, left string) error {
	var f *fault.Error
	if err == nil || errors.As(err, &f) {
		return err
	}
	return fault.New(fault.Internal, "the vault cannot be written there: the disk is full, or fails", "free some space, or choose another place; "+left).Because(err)
}
