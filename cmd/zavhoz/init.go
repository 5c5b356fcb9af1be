package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

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

	Recovery         string `json:"recovery_recipient,omitempty"` // of the second slot, where one was made
	RecoveryFile     string `json:"recovery_file,omitempty"`
	RecoveryIdentity string `json:"recovery_identity,omitempty"` // with --recovery print: told this once
}

func newInit(a *app) *cobra.Command {
	var how, from, phrase string
	c := &cobra.Command{
		Use: "init", Short: "Make the home folder, the identity and the vault", Args: cobra.NoArgs,
		Long: `Make the home folder ($ZAVHOZ_HOME, or the platform's data folder), an age identity, the vault, a commented configuration and the agent "local".
A second init refuses and changes nothing. On a terminal it asks for an operator passphrase, and whether to make a recovery identity; without one it asks nothing.

--recovery makes a second slot, for the day on which identity.txt is lost: for a recipient of yours, for a fresh identity that is written to file:PATH, or for
one that is printed, once. The vault keeps the recipient only.

--unlock says where the key lies that opens the vault: in identity.txt (file, the default), in the system's keyring, or in a passphrase of yours alone, which is
asked for here and by zavhoz unlock: with it the vault starts locked, and no program of yours opens it without you (docs/unlocking.md).`,
		Example: "  zavhoz init\n  zavhoz init --recovery file:recovery.txt\n  zavhoz init --unlock passphrase\n  ZAVHOZ_HOME=/srv/zavhoz zavhoz init --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := a.dir()
			if err != nil {
				return err
			}
			if a.storeFlag == "" && dir.IsAway() { // a variable that other programs set too does not decide where a new vault is made
				a.storeFlag = "bolt:" + dir.Vault()
				if dir, err = a.dir(); err != nil {
					return err
				}
			}
			if err := dir.CheckFresh(); err != nil {
				return err // before anybody is asked for a passphrase
			}
			source, err := a.keySource(cmd.Context(), from, phrase)
			if err != nil {
				return err
			}
			defer source.passphrase.Wipe()
			var pass secret.Secret
			if a.person() {
				a.hint("The operator's passphrase guards the acts that reveal, approve or widen.")
				if pass, err = a.askNewPassphrase(cmd.Context(), "Operator passphrase (empty for none): "); err != nil {
					return err
				}
			}
			defer pass.Wipe()
			var second recovery
			switch {
			case how != "":
				second, err = a.recoveryFor(cmd.Context(), how)
			case a.person():
				second, err = a.offerRecovery(cmd.Context())
			}
			if err != nil {
				return err
			}
			m, err := a.makeHome(cmd.Context(), dir, source, pass, second)
			if err != nil {
				second.undo()
				return err
			}
			return a.show(m, func(w io.Writer) {
				fmt.Fprintf(w, "Made %s\n", m.Home)
				fmt.Fprintln(w, source.tells())
				m.tellRecovery(w)
				fmt.Fprintln(w, presenceLine(m.Presence))
				fmt.Fprintln(w, "\nNext: zavhoz resource add api_key openai_main --set service=openai")
			})
		},
	}
	a.registerStore(c)
	c.Flags().StringVar(&from, "unlock", home.FromFile, "where the key lies: file, passphrase or keyring")
	registerPassphrase(c, &phrase, "with --unlock passphrase: the vault's passphrase")
	c.Flags().StringVar(&how, "recovery", "", "a second slot: RECIPIENT (age1…, ssh-…, @FILE), file:PATH, or print")
	return c
}

// makeHome makes everything, or leaves nothing behind.
func (a *app) makeHome(ctx context.Context, dir home.Dir, source keySource, pass secret.Secret, second recovery) (made, error) {
	at, err := a.place(dir)
	if err != nil {
		return made{}, err
	}
	m := made{Home: dir.Path(), Presence: !pass.IsZero(), RecoveryFile: second.file, RecoveryIdentity: second.text, Recovery: second.recipient()}
	out, err := home.Init(ctx, home.InitOptions{Dir: dir, Extra: second.extra(), Source: source.name, Passphrase: source.passphrase, Keep: source.keep, MakeVault: func(ctx context.Context, file string, k *keyring.Keyring, header []byte) error {
		m.VaultID = k.VaultID()
		return at.makeVault(ctx, file, k, header, pass)
	}})
	m.Recipient = out.Recipient
	return m, err
}

// makeVault writes a new vault with its header, the default project, the agent local and the passphrase.
func (p vaultPlace) makeVault(ctx context.Context, file string, k *keyring.Keyring, header []byte, pass secret.Secret) error {
	st, err := p.make(ctx, file)
	if err != nil {
		return err
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
	if pg, ok := st.(marked); ok {
		if err := keepKnown(ctx, filepath.Dir(file), p, v, pg, ""); err != nil {
			return err
		}
	}
	return v.Close(ctx)
}
