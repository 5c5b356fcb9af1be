package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

func newPresence(a *app) *cobra.Command {
	c := group(&cobra.Command{Use: "presence", Short: "The operator's passphrase: proof that a person is there"})
	var from, by, file, recipient string
	set := &cobra.Command{
		Use: "set", Short: "Set or change what proves that a person is there", Args: cobra.NoArgs,
		Long: `Set or change what acts that reveal, approve or widen ask for. A terminal that has proven it is remembered for five minutes.

passphrase: proves that somebody knows it. No file holds it.
plugin: proves that somebody has used a key that an age plugin reaches, such as a token in a USB port. How much that is worth is the key's own setting: one that wants
to be touched each time proves a person; one that does not proves that it is plugged in.
keyring: proves that your session's keyring is unlocked. On Linux any program of yours reads an unlocked keyring without a prompt, an agent's shell too: it holds off
programs outside your session only. On macOS and Windows it depends on what you have allowed. Use it where nothing better is there.`,
		Example: `  zavhoz presence set
  zavhoz presence set --by plugin --identity yubikey.txt --recipient age1yubikey1qwerty
  zavhoz presence set --by keyring
  zavhoz presence set --operator-passphrase-from @passphrase-file`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if by != "passphrase" {
				if err := a.setPresenceKey(cmd.Context(), by, file, recipient); err != nil {
					return err
				}
				return a.show(map[string]any{"presence": true, "by": by}, func(w io.Writer) { fmt.Fprintf(w, "The operator's presence is proven by the %s.\n", by) })
			}
			var s secret.Secret
			switch {
			case from != "":
				var err error
				if s, err = a.passphrase(from, a.askNew(cmd.Context(), "New operator passphrase: ")); err != nil {
					return err
				}
			case a.person():
				var err error
				if s, err = a.askNewPassphrase(cmd.Context(), "New operator passphrase: "); err != nil {
					return err
				}
			default:
				return errNoPerson.WithNext("run this on a terminal of your own, or say where it is: --operator-passphrase-from @FILE")
			}
			if s.Len() < minPassphrase {
				s.Wipe()
				return fault.Newf(fault.SecretInvalid, "a passphrase has at least %d characters", minPassphrase)
			}
			cl, err := a.client()
			if err != nil {
				return err
			}
			if err := cl.sendPassphrase(cmd.Context(), "PUT", s); err != nil {
				return err
			}
			return a.show(map[string]bool{"presence": true}, func(w io.Writer) { fmt.Fprintln(w, "The operator's passphrase is set.") })
		},
	}
	registerOperator(set, &from, "the new passphrase")
	set.Flags().StringVar(&by, "by", "passphrase", "what proves it: passphrase, plugin or keyring")
	set.Flags().StringVar(&file, "identity", "", "with --by plugin: the identity `FILE` that the plugin made")
	set.Flags().StringVar(&recipient, "recipient", "", "with --by plugin: its recipient, age1…")
	c.AddCommand(set)
	return c
}
