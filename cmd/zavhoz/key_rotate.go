package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/web/api"
)

// followEvery is how often a rotation is looked at.
const followEvery = 250 * time.Millisecond

func newKeyRotate(a *app) *cobra.Command {
	var background bool
	var passphrases []string
	c := &cobra.Command{
		Use: "rotate", Short: "Make a new data key, and seal everything anew under it", Args: cobra.NoArgs,
		Long: `Make a new data key. From then on everything is sealed under it; what is there is sealed anew in the background while the vault is used, and then the former key
leaves the vault. It survives a stop of the daemon at any moment: the next one goes on. The command follows it to its end; with --background, or where it is
interrupted, the daemon works on, and ` + "`zavhoz key list`" + ` tells how far it is.

Slots of passphrases need them: they are asked for, or read by --passphrase-from, for each one. It asks for the operator's passphrase where one is set.
Backups made before still hold the former key, and open by the slots of then.`,
		Example: "  zavhoz key rotate\n  zavhoz key rotate --background\n  zavhoz key rotate --passphrase-from @vault-passphrase.txt",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := a.client()
			if err != nil {
				return err
			}
			words, err := a.slotPassphrases(cmd.Context(), cl, passphrases)
			if err != nil {
				return err
			}
			defer func() {
				for _, w := range words {
					clear(w)
				}
			}()
			var r api.Rotation
			err = cl.call(cmd.Context(), "POST", path("keys", "rotate"), map[string]any{"passphrases": words}, &r)
			if fault.CodeOf(err) == fault.ResourceBusy && !background {
				a.hint("A rotation is under way already.")
				err = nil
			}
			if err != nil {
				return err
			}
			if background {
				return a.show(r, func(w io.Writer) { fmt.Fprintln(w, "The rotation has begun: new writes are under the new key.") })
			}
			return a.follow(cmd.Context(), cl)
		},
	}
	c.Flags().BoolVar(&background, "background", false, "do not wait for its end")
	c.Flags().StringArrayVar(&passphrases, passphraseFlag, nil, passphraseUsage("the passphrase of a slot that has one; once for each"))
	return c
}

// slotPassphrases gets the passphrases that the slots need, quoted for the request.
func (a *app) slotPassphrases(ctx context.Context, cl *client, from []string) ([]json.RawMessage, error) {
	words := []json.RawMessage{}
	take := func(s secret.Secret) {
		words = append(words, api.Quote(s))
		s.Wipe()
	}
	for _, f := range from {
		s, err := a.passphrase(f, a.askPassphrase(ctx, "Passphrase of a slot: "))
		if err != nil {
			return nil, err
		}
		take(s)
	}
	if len(from) > 0 || !a.person() {
		return words, nil
	}
	var k api.Keys
	if err := cl.call(ctx, "GET", path("keys"), nil, &k); err != nil || k.Rotation != nil {
		return words, err
	}
	for _, s := range k.Slots {
		if s.Type != "scrypt" {
			continue
		}
		word, err := a.askSecret(ctx, a.stdin, "Passphrase of the slot "+plain(slotName(s))+": ")
		if err != nil {
			return nil, err
		}
		take(word)
	}
	return words, nil
}

// follow shows how far a rotation is, until its end. Where it does not get on, that is the answer; the daemon tries on.
func (a *app) follow(ctx context.Context, cl *client) error {
	shown := !a.json && isTerminal(a.stderr)
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		var k api.Keys
		if err := cl.call(ctx, "GET", path("keys"), nil, &k); err != nil {
			return err
		}
		if shown {
			fmt.Fprint(a.stderr, "\r\x1b[K")
		}
		switch r := k.Rotation; {
		case r == nil:
			return a.show(k, func(w io.Writer) {
				fmt.Fprintf(w, "Everything is sealed under the data key %s; the former one opens nothing any more.\n", k.Key)
			})
		case r.Code != "":
			return problem(api.Problem{Code: r.Code, Detail: "the rotation does not get on: " + r.Message, Next: r.Next})
		case shown:
			fmt.Fprintf(a.stderr, "Sealing anew… %s", rotationLine(*r))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			a.hint("The daemon works on; `zavhoz key list` tells how far it is.")
			return canceled(ctx)
		}
	}
}
