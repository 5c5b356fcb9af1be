package main

import (
	"context"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// keySource is where a new vault's key will lie.
type keySource struct {
	name       string        // of home.Sources
	passphrase secret.Secret // the vault's, with home.FromPassphrase
}

// keySource asks for what the source needs before anything is made.
func (a *app) keySource(ctx context.Context, name, from string) (k keySource, err error) {
	k.name = name
	switch name {
	case home.FromFile, home.FromKeyring:
		if from != "" {
			return k, fault.New(fault.InvalidArgument, "--passphrase-from goes with --unlock passphrase", "")
		}
		return k, nil
	case home.FromPassphrase:
	default:
		return k, fault.New(fault.InvalidArgument, "a new vault's key lies in a file, in the keyring or in a passphrase", "choose --unlock file, keyring or passphrase")
	}
	switch {
	case from != "":
		k.passphrase, err = a.passphrase(from, a.askNew(ctx, "Passphrase of the vault: "))
	case a.person():
		a.hint("The vault's passphrase opens the vault: without it, and without a recovery identity, nobody does.")
		if k.passphrase, err = a.askNewPassphrase(ctx, "Passphrase of the vault: "); err == nil && k.passphrase.IsZero() {
			err = fault.New(fault.SecretMissing, "the vault's passphrase is empty", "")
		}
	default:
		err = errNoPerson.WithNext("run this on a terminal of your own, or say where it is: --passphrase-from @FILE")
	}
	return k, err
}

// keep puts the identity into the system's keyring.
func (k keySource) keep(ctx context.Context, vaultID string, identity secret.Secret) (undo func(), err error) {
	ring := systemKeyring{person: true}
	if err := ring.Set(ctx, vaultID, identity); err != nil {
		if f := fault.Of(err); f.Code == fault.NotSupported { // there is no config.yaml yet to choose another source in
			err = f.WithNext("log in to the desktop session, or choose another place for the key: zavhoz init --unlock file, or --unlock passphrase")
		}
		return nil, err
	}
	return func() { _ = ring.Delete(context.WithoutCancel(ctx), vaultID) }, nil
}

// tells says what the choice means for who reads the disk.
func (k keySource) tells() string {
	switch k.name {
	case home.FromKeyring:
		return "Its key is in your system's keyring: whoever uses your session reads every secret. Make a recovery identity, for the day on which the keyring is lost: zavhoz key add."
	case home.FromPassphrase:
		return "Its key is your passphrase: it is written nowhere, and whoever forgets it needs a recovery identity (zavhoz key add). The vault starts locked: zavhoz unlock."
	}
	return "Its key is identity.txt there: whoever reads that file and the vault reads every secret. Keep a copy of identity.txt in a safe place."
}
