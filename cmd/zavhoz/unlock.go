package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/secret"
	"github.com/zavhoz/zavhoz/web/api"
)

func newLock(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "lock", Short: "Lock the vault: runs end, keys are wiped", Args: cobra.NoArgs,
		Long: `Lock the vault of the running daemon, of all that share it in a database, and of every later one: runs end, what was opened is dropped, the keys are overwritten. Clients stay connected and
are told that the vault is locked. Leases live on to their time; a lease that is released meanwhile ends when the vault is unlocked.

Where the key is in a file, the system's keyring or a credential, locking stops every use of the vault by zavhoz. It does not stop another program of the same user
from reading that key: only a passphrase does (docs/unlocking.md).`,
		Example: "  zavhoz lock",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := a.clientOf(true)
			if err != nil {
				return err
			}
			var out api.Lock
			if err := cl.call(cmd.Context(), "POST", path("lock"), nil, &out); err != nil {
				return err
			}
			err = a.show(out, func(w io.Writer) {
				fmt.Fprintln(w, "The vault is locked.")
				if out.Runs > 0 {
					fmt.Fprintf(w, "Ended: %s\n", count(out.Runs, "run"))
				}
			})
			if err == nil && out.Untold {
				err = fault.New(fault.DaemonUnavailable, "it is locked here alone: the other daemons of the vault were not told", "lock it at one that is open: `zavhoz lock` there")
			}
			return err
		},
	}
}

func newUnlock(a *app) *cobra.Command {
	var file, from string
	c := &cobra.Command{
		Use: "unlock", Short: "Unlock the vault", Args: cobra.NoArgs,
		Long: `Unlock the vault of the running daemon, or of one that is started for it. The daemon looks where unlock: in config.yaml says; where that takes a person,
that is asked for on the terminal, without echo: the vault's passphrase, that of an encrypted identity.txt, or what a plugin wants (a PIN, a touch). --identity gives
another identity file: of age, an SSH key, or a plugin's. A plugin runs here, at your terminal; what it unwraps is handed to the daemon. --passphrase-from brings the
vault's passphrase without a terminal.

Where an operator's passphrase is set, it is asked for, too, unless the vault's own passphrase was given: a key that lies in a file proves nobody's presence. Every
attempt is on record, and so many wrong ones a minute are the most.`,
		Example: "  zavhoz unlock\n  zavhoz unlock --identity /media/usb/identity.txt\n  zavhoz unlock --passphrase-from @passphrase-file",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := a.clientOf(true)
			if err != nil {
				return err
			}
			u := unlocker{a: a, ctx: cmd.Context(), cl: cl}
			defer u.wipe()
			if err := u.gather(file, from); err != nil {
				return err
			}
			out, err := u.unlock()
			if err != nil {
				return err
			}
			return a.show(out, func(w io.Writer) {
				if out.By == "" {
					fmt.Fprintln(w, "The vault was unlocked already.")
					return
				}
				fmt.Fprintf(w, "The vault is unlocked, by the %s.\n", out.By)
			})
		},
	}
	c.Flags().StringVar(&file, "identity", "", "an identity `FILE`")
	registerPassphrase(c, &from, "the vault's passphrase")
	return c
}

// unlocker brings what the daemon asks for, a step at a time: what it finds by itself, the vault's passphrase, the operator's.
type unlocker struct {
	a   *app
	ctx context.Context
	cl  *client

	passphrase, identity, word, presence, answer secret.Secret

	wrappings []api.Wrapping // what plugins are asked
	slot      string         // that one opened here
	fileKeys  []secret.Secret
}

func (u *unlocker) wipe() {
	for _, s := range append(u.fileKeys, u.passphrase, u.identity, u.word, u.presence, u.answer) {
		s.Wipe()
	}
}

// gather reads what the command line names.
func (u *unlocker) gather(file, from string) (err error) {
	if file != "" && from != "" {
		return fault.New(fault.InvalidArgument, "give --identity or --passphrase-from", "")
	}
	if from != "" {
		u.passphrase, err = u.a.passphrase(from, u.a.askPassphrase(u.ctx, "Passphrase of the vault: "))
		return err
	}
	if file != "" {
		b, err := home.ReadIdentity(file)
		if err != nil {
			return err
		}
		if u.identity, err = asText(b); err != nil {
			return err
		}
		if keyring.Encrypted(b) {
			if u.word, err = u.ask("Passphrase of the identity file: "); errors.Is(err, errNobody) {
				return fault.New(fault.SecretMissing, "the identity file has a passphrase, and there is no terminal to ask for it", "run `zavhoz unlock` on a terminal of your own")
			} else if err != nil {
				return err
			}
		}
	}
	var in api.Unlocking
	if err := u.cl.plain(u.ctx, "GET", path("unlock"), nil, &in); err != nil || !in.Locked {
		return err
	}
	u.wrappings = in.Wrappings
	return u.look(file)
}

// unlock tries, and asks for what is missing where a person sits. A wrong word may be given three times.
func (u *unlocker) unlock() (out api.Lock, err error) {
	for try := 1; ; try++ {
		out, err = u.send()
		code := fault.CodeOf(err)
		switch {
		case err == nil || try > 4:
			return out, err
		case code == fault.VaultLocked && u.identity.IsZero() && u.passphrase.IsZero():
			u.passphrase, err = u.orElse(fault.Of(err).WithNext(withoutATerminal), "Passphrase of the vault: ")
		case code == fault.WrongIdentity && !u.passphrase.IsZero() && u.a.person():
			u.passphrase.Wipe()
			fmt.Fprintln(u.a.stderr, "That is not it.")
			u.passphrase, err = u.orElse(err, "Passphrase of the vault: ")
		case code == fault.PresenceRequired && u.challenged(err):
			err = u.answered(err)
		case code == fault.PresenceRequired:
			if !u.presence.IsZero() {
				u.presence.Wipe()
				fmt.Fprintln(u.a.stderr, "That is not it.")
			}
			u.presence, err = u.orElse(err, "Operator passphrase: ")
		default:
			return out, err
		}
		if err != nil {
			return out, err
		}
	}
}

// challenged tells whether the daemon wants a key's answer.
func (u *unlocker) challenged(err error) bool { _, ok := challengeOf(err); return ok }

func (u *unlocker) answered(refusal error) (err error) {
	ch, _ := challengeOf(refusal)
	u.answer.Wipe()
	if u.answer, err = u.a.answer(u.ctx, ch, keyring.ToUnlock); errors.Is(err, errNobody) {
		return refusal
	}
	return err
}

// withoutATerminal is what is left to who cannot be asked; the daemon's own words would name this very command.
const withoutATerminal = "run `zavhoz unlock` on a terminal of your own, where it can ask; without one: --passphrase-from @FILE (a passphrase of the vault) or --identity FILE"

// orElse asks, and where nobody can be asked the daemon's refusal stands.
func (u *unlocker) orElse(refusal error, prompt string) (secret.Secret, error) {
	s, err := u.ask(prompt)
	if errors.Is(err, errNobody) {
		return s, refusal
	}
	return s, err
}

func (u *unlocker) ask(prompt string) (secret.Secret, error) {
	tty, done, ok := u.a.terminal()
	if !ok {
		return secret.Secret{}, errNobody
	}
	defer done()
	return u.a.askSecret(u.ctx, tty, prompt)
}

func (u *unlocker) send() (out api.Lock, err error) {
	in := map[string]any{}
	for name, s := range map[string]secret.Secret{"passphrase": u.passphrase, "identity": u.identity, "word": u.word, "presence": u.presence, "answer": u.answer} {
		if !s.IsZero() {
			quoted := api.Quote(s)
			defer clear(quoted)
			in[name] = quoted
		}
	}
	if len(u.fileKeys) > 0 { // they are of the identity, which stays here
		keys, wipe := u.quotedKeys()
		defer wipe()
		delete(in, "identity")
		delete(in, "word")
		in["slot"], in["file_keys"] = u.slot, keys
	}
	return out, u.cl.plain(u.ctx, "POST", path("unlock"), in, &out)
}

// asker is how a daemon in the foreground asks who started it: by what --passphrase-from names, or at the terminal. nil: nobody is there.
func (a *app) asker(ctx context.Context, from string, autostarted bool) func(string) (secret.Secret, error) {
	ask := func(what string) (secret.Secret, error) {
		return a.askPassphrase(ctx, "Passphrase of "+what+": ")()
	}
	switch {
	case from != "":
		return func(what string) (secret.Secret, error) {
			return a.passphrase(from, func() (secret.Secret, error) { return ask(what) })
		}
	case !autostarted && a.person():
		return ask
	}
	return nil
}
