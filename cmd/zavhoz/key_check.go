package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/web/api"
)

// checked is what key check tells.
type checked struct {
	Opens []string `json:"opens"` // ids of the slots
	Names []string `json:"names"`
}

func newKeyCheck(a *app) *cobra.Command {
	var passphrase string
	c := &cobra.Command{
		Use: "check [IDENTITY]", Short: "Try an identity, or a passphrase, on the vault without unlocking anything", Args: cobra.MaximumNArgs(1),
		Long: `Try an identity file, or with --passphrase-from a passphrase, on the vault's key header, and say which slots it opens. The identity stays in this process. It works
too where no daemon can start, for its identity is lost, and on a locked vault while no daemon runs: then the header is read from the vault's file. It asks for the operator's passphrase where one is set.`,
		Example: "  zavhoz key check recovery.txt\n  zavhoz key check --passphrase-from ask",
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 1) == (passphrase != "") {
				return fault.New(fault.InvalidArgument, "one identity, or one passphrase, is tried", "give an IDENTITY file, or --passphrase-from ask")
			}
			cl, err := a.client()
			if err != nil {
				return err
			}
			header, vouched, err := a.header(cmd.Context(), cl)
			if err != nil {
				return err
			}
			ids, err := a.triedIdentities(cmd.Context(), args, passphrase)
			if err != nil {
				return err
			}
			found, err := a.opened(cmd.Context(), header, vouched, ids)
			if err != nil {
				return err
			}
			return a.showOpened(header, found)
		},
	}
	registerPassphrase(c, &passphrase, "instead of an identity: a passphrase of the vault")
	return c
}

func (a *app) triedIdentities(ctx context.Context, args []string, passphrase string) ([]age.Identity, error) {
	if len(args) == 1 {
		return a.identities(ctx, args[0])
	}
	s, err := a.passphrase(passphrase, a.askPassphrase(ctx, "Passphrase of the vault: "))
	if err != nil {
		return nil, err
	}
	defer s.Wipe()
	i, err := keyring.PassphraseIdentity(s)
	return []age.Identity{i}, err
}

func (a *app) showOpened(header []byte, found []string) error {
	slots, err := keyring.Slots(header)
	if err != nil {
		return err
	}
	c := checked{Opens: found, Names: []string{}}
	for _, s := range slots {
		if slices.Contains(found, s.ID) {
			c.Names = append(c.Names, s.Name())
		}
	}
	return a.show(c, func(w io.Writer) {
		fmt.Fprintf(w, "It opens the vault, by the slot %s.\n", plain(strings.Join(c.Names, ", ")))
	})
}

// header asks the daemon for the key header, and reads it from the file where no daemon can unlock the vault. A daemon that starts locked holds the file from then on, and
// cannot tell whether a person is present, so the file is read before one is started; what it gave is used only where the daemon's answer is no refusal of a person. vouched: it came from a daemon,
// which has held the vault to what the home knows of it.
func (a *app) header(ctx context.Context, cl *client) (header []byte, vouched bool, err error) {
	early, _ := a.headerOfFile(ctx) // a running daemon holds it
	var in api.KeyHeader
	err = cl.call(ctx, "GET", path("keys", "header"), nil, &in)
	code := fault.CodeOf(err)
	switch code {
	case "":
		return []byte(in.Header), true, nil
	case fault.WrongIdentity, fault.NotInitialized, fault.KeyFileExposed, fault.VaultLocked, fault.NotSupported, fault.SecretMissing:
		if early != nil {
			return early, false, nil
		}
		if b, ferr := a.headerOfFile(ctx); ferr == nil {
			return b, false, nil
		}
	}
	if code == fault.VaultLocked {
		return nil, false, fault.Of(err).WithNext("end the daemon, which holds the vault's file, and run this again: `zavhoz stop`; the vault stays locked. Or unlock it with what you want to try: `zavhoz unlock`")
	}
	return nil, false, err
}

func (a *app) headerOfFile(ctx context.Context) (header []byte, err error) {
	err = a.aside(ctx, func(st store.Store, known memory) error {
		if header, err = vault.Header(ctx, st); err == nil {
			err = known.fits(header)
		}
		return err
	})
	return header, err
}

// aside lends the home's vault for reading, without a daemon, with what the home remembers of it.
func (a *app) aside(ctx context.Context, fn func(store.Store, memory) error) error {
	dir, err := a.dir()
	if err != nil {
		return err
	}
	p, err := a.place(dir)
	if err != nil {
		return err
	}
	known, err := remembered(dir, p, true)
	if err != nil {
		return err
	}
	st, err := p.look(ctx, known.moment())
	if err != nil {
		return err
	}
	return errors.Join(fn(st, known), st.Close())
}

// opened tells which slots of a header identities open. A header that no daemon vouches for is held to what the home remembers of its vault, by the keys in it: it is wrapped for public keys, so
// who writes the database can make one for the same recipients, and with keys of theirs.
func (a *app) opened(ctx context.Context, header []byte, vouched bool, ids []age.Identity) ([]string, error) {
	found, err := keyring.Opens(header, ids)
	if err != nil || vouched {
		return found, err
	}
	if dir, err := a.dir(); err != nil || !dir.IsAway() {
		return found, err
	}
	return found, a.aside(ctx, func(st store.Store, known memory) error {
		if !known.there {
			return nil
		}
		ring, err := keyring.Unlock(header, ids)
		if err != nil {
			return err
		}
		defer ring.Close()
		v, err := vault.Open(ctx, vault.Options{Store: st, Keyring: ring})
		if err != nil {
			return err
		}
		return errors.Join(known.recognise(ctx, v), v.Close(ctx))
	})
}

// opens tells which slots of the vault's header an identity file opens.
func (a *app) opens(ctx context.Context, cl *client, file string) ([]string, error) {
	header, vouched, err := a.header(ctx, cl)
	if err != nil {
		return nil, err
	}
	ids, err := a.identities(ctx, file)
	if err != nil {
		return nil, err
	}
	return a.opened(ctx, header, vouched, ids)
}
