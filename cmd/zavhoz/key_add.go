package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/web/api"
)

func newKeyAdd(a *app) *cobra.Command {
	var label, prove, passphrase string
	c := &cobra.Command{
		Use: "add [RECIPIENT]", Short: "Let one more recipient, or a passphrase, open the vault", Args: cobra.MaximumNArgs(1),
		Long: `Wrap the data key for one more recipient: age1… (X25519, post-quantum, or a plugin's, whose program age-plugin-NAME the daemon runs), ssh-ed25519 or ssh-rsa, as text
or in a file (@FILE). With --passphrase-from and no recipient, a passphrase opens the vault: it is asked for twice (ask), or read. It asks for the operator's
passphrase where one is set: who is added can open everything.

With --prove IDENTITY, a file, nothing is added unless that identity opens what is wrapped for the recipient; it is read here and never sent.`,
		Example: `  zavhoz key add age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p --label recovery --prove recovery.txt
  zavhoz key add @id_ed25519.pub --label laptop
  zavhoz key add --passphrase-from ask --label passphrase`,
		RunE: func(cmd *cobra.Command, args []string) error {
			body := map[string]any{"label": label}
			defer wipeQuoted(body)
			err := keyring.CheckLabel(label)
			switch {
			case err != nil:
			case len(args) == 1 && passphrase == "":
				body["recipient"], err = a.recipient(cmd.Context(), args[0], prove)
			case len(args) == 0 && passphrase != "" && prove == "":
				err = a.newPassphrase(cmd.Context(), passphrase, body)
			default:
				err = fault.New(fault.InvalidArgument, "a slot is for a recipient or for a passphrase", "give a RECIPIENT, or --passphrase-from ask; --prove goes with a recipient")
			}
			if err != nil {
				return err
			}
			return a.addSlot(cmd.Context(), body, prove)
		},
	}
	c.Flags().StringVar(&label, "label", "", "a name for the slot")
	c.Flags().StringVar(&prove, "prove", "", "an identity file that must open the new slot")
	registerPassphrase(c, &passphrase, "instead of a recipient: a passphrase of the vault")
	_ = c.MarkFlagFilename("prove")
	return c
}

// recipient reads the recipient and, where an identity is given, sees that the two belong together.
func (a *app) recipient(ctx context.Context, text, prove string) (string, error) {
	if strings.HasPrefix(text, "@") || text == "-" {
		b, err := a.readFrom(text)
		if err != nil {
			return "", err
		}
		if text, err = onlyLine(b); err != nil {
			return "", err
		}
	}
	to, err := keyring.ParseRecipient(text, a.plugins(ctx)) // refused here, an identity given by mistake goes nowhere
	if err != nil || prove == "" {
		return strings.TrimSpace(text), err
	}
	ids, err := a.identities(ctx, prove)
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(text), keyring.Prove(to, ids)
}

// onlyLine gives the one line of a file that is no comment.
func onlyLine(b []byte) (line string, err error) {
	for l := range bytes.Lines(b) {
		switch l = bytes.TrimSpace(l); {
		case len(l) == 0 || l[0] == '#':
		case line != "":
			return "", fault.New(fault.InvalidArgument, "the file holds more than one recipient", "give one at a time")
		default:
			line = string(l)
		}
	}
	if line == "" {
		return "", fault.New(fault.InvalidArgument, "the file holds no recipient", "")
	}
	return line, nil
}

// identities reads an identity file, for use in this process alone.
func (a *app) identities(ctx context.Context, file string) ([]age.Identity, error) {
	at, err := filepath.Abs(file)
	if err != nil {
		return nil, fault.New(fault.InvalidArgument, "the file has no place", "").Because(err)
	}
	if real, err := filepath.EvalSymlinks(at); err == nil {
		at = real // a person who names a link means what it leads to; its own rights are checked
	}
	if _, err := os.Stat(at); err != nil {
		return nil, fault.New(fault.InvalidArgument, "the identity file cannot be found", "check its name").Because(err)
	}
	return home.LoadIdentitiesWith(at, keyring.IdentityOptions{Ask: a.asks(ctx), Plugins: a.plugins(ctx)})
}

// asks gives what asks a person for a passphrase; nil where nobody is there.
func (a *app) asks(ctx context.Context) func(string) (secret.Secret, error) {
	if _, done, ok := a.terminal(); ok {
		done()
	} else {
		return nil
	}
	return func(what string) (secret.Secret, error) {
		tty, done, ok := a.terminal()
		if !ok {
			return secret.Secret{}, errNoPerson
		}
		defer done()
		return a.askSecret(ctx, tty, "Passphrase of "+plain(what)+": ")
	}
}

// newPassphrase puts a passphrase into the request.
func (a *app) newPassphrase(ctx context.Context, from string, body map[string]any) error {
	s, err := a.passphrase(from, a.askNew(ctx, "New passphrase of the vault: "))
	if err != nil {
		return err
	}
	defer s.Wipe()
	if s.Len() < minPassphrase {
		return fault.Newf(fault.SecretInvalid, "a passphrase has at least %d characters", minPassphrase)
	}
	body["passphrase"] = api.Quote(s)
	return nil
}

// wipeQuoted erases the values of a request.
func wipeQuoted(body map[string]any) {
	for _, v := range body {
		if q, ok := v.(json.RawMessage); ok {
			clear(q)
		}
	}
}

// addSlot adds it, and tries the identity on what the vault really holds then.
func (a *app) addSlot(ctx context.Context, body map[string]any, prove string) error {
	cl, err := a.client()
	if err != nil {
		return err
	}
	var s api.Slot
	if err := cl.call(ctx, "POST", path("keys"), body, &s); err != nil {
		return err
	}
	if prove != "" {
		opens, err := a.opens(ctx, cl, prove)
		if err != nil || !slices.Contains(opens, s.ID) {
			return fault.New(fault.VaultCorrupt, "the slot "+s.ID+" was added, and the identity does not open it", "remove it: `zavhoz key remove "+s.ID+"`").Because(err)
		}
	}
	proven := ""
	if prove != "" {
		proven = " The identity opens it."
	}
	return a.show(s, func(w io.Writer) {
		fmt.Fprintf(w, "Added the slot %s (%s).%s\n", plain(slotName(s)), plain(s.Type), proven)
	})
}
