package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
	"github.com/zavhoz/zavhoz/vault/keyring"
)

// recoveryLabel is the label of the slot that init makes besides its own.
const recoveryLabel = "recovery"

// recovery is a second recipient of a new vault, for the day on which identity.txt is lost. Only the recipient is kept by the vault; an identity that was made for it
// leaves this process once: onto the terminal, or into a file of the person's choice.
type recovery struct {
	to   age.Recipient
	text string // the identity to print, once
	file string // where it was written
}

// recoveryFor reads what --recovery says: print, file:PATH, or a recipient (as text or @FILE).
func (a *app) recoveryFor(ctx context.Context, how string) (r recovery, err error) {
	name, toFile := strings.CutPrefix(how, "file:")
	if how == "print" || toFile {
		i, err := age.GenerateX25519Identity()
		if err != nil {
			return r, fmt.Errorf("make a recovery identity: %w", err)
		}
		if r.to = i.Recipient(); !toFile {
			r.text = i.String()
			return r, nil
		}
		return r, r.write(name, i)
	}
	if strings.HasPrefix(how, "@") {
		b, err := a.readFrom(how)
		if err != nil {
			return r, err
		}
		if how, err = onlyLine(b); err != nil {
			return r, err
		}
	}
	r.to, err = keyring.ParseRecipient(how, a.plugins(ctx))
	return r, err
}

// write makes the identity's file: 0600, and never over another.
func (r *recovery) write(name string, i *age.X25519Identity) error {
	at, err := filepath.Abs(name)
	if err != nil || name == "" {
		return fault.New(fault.InvalidArgument, "--recovery file: needs a path", "for example --recovery file:recovery.txt").Because(err)
	}
	f, err := os.OpenFile(at, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		return fault.New(fault.InvalidArgument, "there is no such folder for the recovery identity's file", "make the folder, or choose another place").Because(err)
	}
	if err != nil {
		return fault.New(fault.InvalidArgument, "the recovery identity's file cannot be made, or is there already", "choose another place").Because(err)
	}
	text := fmt.Appendf(nil, "# created: %s, to recover a vault\n# public key: %s\n%s\n", time.Now().UTC().Format(time.RFC3339), i.Recipient(), i)
	defer clear(text)
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fault.New(fault.InvalidArgument, "the recovery identity cannot be written", "choose another place").Because(errors.Join(err, os.Remove(at)))
	}
	r.file = at
	return nil
}

// undo takes the file away again where the vault was not made: its identity opens nothing.
func (r recovery) undo() {
	if r.file != "" {
		_ = os.Remove(r.file)
	}
}

// extra is the slot to be made besides the vault's own.
func (r recovery) extra() []home.Extra {
	if r.to == nil {
		return nil
	}
	return []home.Extra{{Recipient: r.to, Label: recoveryLabel}}
}

// offerRecovery asks a person whether there shall be a recovery identity.
func (a *app) offerRecovery(ctx context.Context) (recovery, error) {
	a.hint("A recovery identity opens the vault if identity.txt is ever lost. It is shown once: write it down, or put it into another safe place.")
	if !a.askYes(ctx, "Make one, and show it?") {
		return recovery{}, ctx.Err()
	}
	return a.recoveryFor(ctx, "print")
}

// recipient is the text of the second slot's recipient.
func (r recovery) recipient() string {
	if t, ok := r.to.(fmt.Stringer); ok {
		return t.String()
	}
	return ""
}

// tellRecovery shows the recovery identity, or where it is.
func (m made) tellRecovery(w io.Writer) {
	switch {
	case m.RecoveryIdentity != "":
		fmt.Fprintf(w, "\nThe recovery identity, shown this once and kept nowhere:\n  %s\nWith it and vault.db the vault opens as well. Try it: zavhoz key check FILE\n\n", m.RecoveryIdentity)
	case m.RecoveryFile != "":
		fmt.Fprintf(w, "A recovery identity is in %s: take it away from this machine. Try it: zavhoz key check %s\n", plain(m.RecoveryFile), home.Quote(m.RecoveryFile))
	case m.Recovery != "":
		fmt.Fprintln(w, "The identity of the recovery recipient opens the vault as well.")
	}
}
