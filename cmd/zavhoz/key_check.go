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
			header, err := a.header(cmd.Context(), cl)
			if err != nil {
				return err
			}
			ids, err := a.triedIdentities(cmd.Context(), args, passphrase)
			if err != nil {
				return err
			}
			return a.showOpened(header, ids)
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

func (a *app) showOpened(header []byte, ids []age.Identity) error {
	found, err := keyring.Opens(header, ids)
	if err != nil {
		return err
	}
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
// cannot tell whether a person is present, so the file is read before one is started; what it gave is used only where the daemon's answer is no refusal of a person.
func (a *app) header(ctx context.Context, cl *client) ([]byte, error) {
	early, _ := a.headerOfFile(ctx) // a running daemon holds it
	var in api.KeyHeader
	err := cl.call(ctx, "GET", path("keys", "header"), nil, &in)
	code := fault.CodeOf(err)
	switch code {
	case "":
		return []byte(in.Header), nil
	case fault.WrongIdentity, fault.NotInitialized, fault.KeyFileExposed, fault.VaultLocked, fault.NotSupported, fault.SecretMissing:
		if early != nil {
			return early, nil
		}
		if b, ferr := a.headerOfFile(ctx); ferr == nil {
			return b, nil
		}
	}
	if code == fault.VaultLocked {
		return nil, fault.Of(err).WithNext("end the daemon, which holds the vault's file, and run this again: `zavhoz stop`; the vault stays locked. Or unlock it with what you want to try: `zavhoz unlock`")
	}
	return nil, err
}

func (a *app) headerOfFile(ctx context.Context) (header []byte, err error) {
	dir, err := a.dir()
	if err != nil {
		return nil, err
	}
	p, err := a.place(dir)
	if err != nil {
		return nil, err
	}
	st, err := p.look(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	return vault.Header(ctx, st)
}

// opens tells which slots of the vault's header an identity file opens.
func (a *app) opens(ctx context.Context, cl *client, file string) ([]string, error) {
	header, err := a.header(ctx, cl)
	if err != nil {
		return nil, err
	}
	ids, err := a.identities(ctx, file)
	if err != nil {
		return nil, err
	}
	return keyring.Opens(header, ids)
}
