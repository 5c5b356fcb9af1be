package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/bolt"
	"github.com/zavhoz/zavhoz/store/postgres"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
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
	var serves roleFor
	c := &cobra.Command{
		Use: "init", Short: "Make the home folder, the identity and the vault", Args: cobra.NoArgs,
		Long: `Make the home folder ($ZAVHOZ_HOME, or the platform's data folder), an age identity, the vault, a commented configuration and the agent "local".
A second init refuses and changes nothing; one with the same --store, after an init that was broken off when the vault was in its database already, gives that its home. On a terminal it asks for an operator passphrase, and whether to make a recovery identity; without one it asks nothing.

--recovery makes a second slot, for the day on which identity.txt is lost: for a recipient of yours, for a fresh identity that is written to file:PATH, or for
one that is printed, once. The vault keeps the recipient only.

--unlock says where the key lies that opens the vault: in identity.txt (file, the default), in the system's keyring, or in a passphrase of yours alone, which is
asked for here and by zavhoz unlock: with it the vault starts locked, and no program of yours opens it without you (docs/unlocking.md).

--store makes the vault in PostgreSQL instead of a file. Where the role of that address owns the tables and daemons shall serve as another, name that one by
--grant-to, and its address in the home's file store afterwards (docs/postgresql.md).`,
		Example: "  zavhoz init\n  zavhoz init --recovery file:recovery.txt\n  zavhoz init --unlock passphrase\n  ZAVHOZ_HOME=/srv/zavhoz zavhoz init --json\n  zavhoz init --store env:OWNER_URL --grant-to zavhoz",
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := a.dir()
			if err != nil {
				return err
			}
			bare := a.storeFlag == ""
			if bare && dir.IsAway() { // a variable that other programs set too does not decide where a new vault is made
				a.storeFlag = "bolt:" + dir.Vault()
				if dir, err = a.dir(); err != nil {
					return err
				}
			}
			if err := dir.CheckFresh(); err != nil {
				return err // before anybody is asked for a passphrase
			}
			if left := dir.Unfinished(); bare && len(left) > 0 {
				return refuseBare(left[0])
			}
			at, err := a.place(dir)
			if err == nil {
				err = serves.check(cmd, at)
			}
			if err != nil {
				return err
			}
			if f, err := at.finish(cmd.Context(), dir); err != nil || f.Finished {
				return a.showFinished(f, err)
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
			m, err := a.makeHome(cmd.Context(), dir, at, serves.role, source, pass, second)
			if err != nil {
				if !errors.Is(err, home.ErrStands) {
					second.undo()
				}
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
	serves.register(c)
	c.Flags().StringVar(&from, "unlock", home.FromFile, "where the key lies: file, passphrase or keyring")
	registerPassphrase(c, &phrase, "with --unlock passphrase: the vault's passphrase")
	c.Flags().StringVar(&how, "recovery", "", "a second slot: RECIPIENT (age1…, ssh-…, @FILE), file:PATH, or print")
	return c
}

// makeHome makes everything, or leaves nothing behind.
func (a *app) makeHome(ctx context.Context, dir home.Dir, at vaultPlace, role string, source keySource, pass secret.Secret, second recovery) (made, error) {
	var away *postgres.Store
	if at.pg != nil {
		var err error
		if away, err = at.vacant(ctx, role); err != nil {
			return made{}, err
		}
		defer away.Close() // when the home has its name: nobody else makes or finishes anything there before
	}
	m := made{Home: dir.Path(), Presence: !pass.IsZero(), RecoveryFile: second.file, RecoveryIdentity: second.text, Recovery: second.recipient()}
	out, err := home.Init(ctx, home.InitOptions{Dir: dir, Extra: second.extra(), Source: source.name, Passphrase: source.passphrase, Keep: source.keep, MakeVault: func(ctx context.Context, file string, k *keyring.Keyring, header []byte) error {
		m.VaultID = k.VaultID()
		if away != nil {
			return at.makeAway(ctx, away, filepath.Dir(file), k, header, pass)
		}
		return makeFile(ctx, file, k, header, pass)
	}})
	m.Recipient = out.Recipient
	if err == nil && away != nil { // the database has this vault now, so it never gets one that another init was to make
		_ = forgetLeft(dir, at.unfinished(dir), func(home.Dir) bool { return true })
	}
	return m, err
}

// makeFile writes a new vault into a new file.
func makeFile(ctx context.Context, file string, k *keyring.Keyring, header []byte, pass secret.Secret) error {
	st, err := bolt.Create(ctx, bolt.Options{Path: file, Alone: true})
	if err != nil {
		return vault.StoreFault(err)
	}
	defer st.Close()
	v, err := vault.Open(ctx, vault.Options{Store: st, Keyring: k})
	if err != nil {
		return err
	}
	if err := v.Make(ctx, header, pass); err != nil {
		return err
	}
	return v.Close(ctx)
}

// makeAway writes a new vault into its database, with one commit, after all that leads there is on this disk: where the commit was the last that happened, the folder lacks nothing but its name.
func (p vaultPlace) makeAway(ctx context.Context, st *postgres.Store, folder string, k *keyring.Keyring, header []byte, pass secret.Secret) error {
	v, err := vault.Open(ctx, vault.Options{Store: st, Keyring: k})
	if err != nil {
		return err
	}
	defer v.Close(context.WithoutCancel(ctx)) // nothing waits in it
	if err := keepKnown(ctx, folder, p, v, st, ""); err != nil {
		return written(err, nothingMade)
	}
	if err := p.remember(filepath.Join(folder, "store")); err != nil { // last: where this is, finish can tell which vault it leads to
		return written(err, nothingMade)
	}
	syncFolder(folder)
	err = v.Make(ctx, header, pass)
	if errors.Is(err, store.ErrUnknown) {
		err = fault.Of(err).WithNext("run `zavhoz init` again with the same --store when the database answers: it finds out, and finishes or starts over").Because(errors.Join(home.ErrStands, err))
	}
	return err
}
