package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/store/bolt"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/home"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// made is what init tells.
type made struct {
	Home      string `json:"home"`
	Recipient string `json:"recipient"` // the age recipient of the new identity
	VaultID   string `json:"vault_id"`
	Presence  bool   `json:"presence"`
}

func newInit(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "init", Short: "Make the home folder, the identity and the vault", Args: cobra.NoArgs,
		Long: `Make the home folder ($ZAVHOZ_HOME, or the platform's data folder), an age identity, the vault, a commented configuration and the agent "local".
A second init refuses and changes nothing. On a terminal it asks for an operator passphrase; without one it asks nothing.`,
		Example: "  zavhoz init\n  ZAVHOZ_HOME=/srv/zavhoz zavhoz init --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := a.dir()
			if err != nil {
				return err
			}
			if err := dir.CheckFresh(); err != nil {
				return err // before anybody is asked for a passphrase
			}
			var pass secret.Secret
			if a.person() {
				a.hint("The operator's passphrase guards the acts that reveal, approve or widen.")
				if pass, err = a.askNewPassphrase(cmd.Context(), "Operator passphrase (empty for none): "); err != nil {
					return err
				}
			}
			defer pass.Wipe()
			m, err := makeHome(cmd.Context(), dir, pass)
			if err != nil {
				return err
			}
			return a.show(m, func(w io.Writer) {
				fmt.Fprintf(w, "Made %s\n", m.Home)
				fmt.Fprintf(w, "Its key is identity.txt there: whoever reads that file and vault.db reads every secret. Keep a copy of identity.txt in a safe place.\n")
				fmt.Fprintln(w, presenceLine(m.Presence))
				fmt.Fprintln(w, "\nNext: zavhoz resource add api_key openai_main --set service=openai")
			})
		},
	}
}

// makeHome makes everything, or leaves nothing behind.
func makeHome(ctx context.Context, dir home.Dir, pass secret.Secret) (made, error) {
	m := made{Home: dir.Path(), Presence: !pass.IsZero()}
	out, err := home.Init(ctx, home.InitOptions{Dir: dir, MakeVault: func(ctx context.Context, file string, k *keyring.Keyring, header []byte) error {
		m.VaultID = k.VaultID()
		return makeVault(ctx, file, k, header, pass)
	}})
	m.Recipient = out.Recipient
	return m, err
}

// makeVault writes a new vault file with its header, the default project, the agent local and the passphrase.
func makeVault(ctx context.Context, file string, k *keyring.Keyring, header []byte, pass secret.Secret) error {
	st, err := bolt.Create(ctx, bolt.Options{Path: file})
	if err != nil {
		return vault.StoreFault(err)
	}
	defer st.Close()
	if err := vault.PutHeader(ctx, st, header); err != nil {
		return err
	}
	v, err := vault.Open(ctx, vault.Options{Store: st, Keyring: k})
	if err != nil {
		return err
	}
	if err := v.Setup(ctx); err != nil {
		return err
	}
	if !pass.IsZero() {
		if err := v.SetPresence(ctx, vault.OperatorActor(), pass); err != nil {
			return err
		}
	}
	return v.Close(ctx)
}
