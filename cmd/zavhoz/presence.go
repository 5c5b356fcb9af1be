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
	var from string
	set := &cobra.Command{
		Use: "set", Short: "Set or change the operator's passphrase", Args: cobra.NoArgs,
		Long: `Set or change the passphrase that acts which reveal, approve or widen ask for. A terminal that has proven it is remembered for five minutes.`,
		Example: `  zavhoz presence set
  zavhoz presence set --from - < passphrase-file`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var s secret.Secret
			switch {
			case from != "":
				b, err := a.readFrom(from)
				if err != nil {
					return err
				}
				for len(b) > 0 && (b[len(b)-1] == '\n' || b[len(b)-1] == '\r') {
					b = b[:len(b)-1]
				}
				s = secret.New(b)
			case a.person():
				var err error
				if s, err = a.askNewPassphrase(cmd.Context(), "New operator passphrase: "); err != nil {
					return err
				}
			default:
				return fault.New(fault.SecretMissing, "there is no terminal to ask for a passphrase", "give it with --from - on standard input")
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
	set.Flags().StringVar(&from, "from", "", "read it from - (standard input) or @FILE")
	c.AddCommand(set)
	return c
}
