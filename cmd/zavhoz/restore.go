package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/bolt"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/backup"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/migrate"
	"github.com/zavhoz/zavhoz/vault/open"
)

// restored is what restore tells.
type restored struct {
	VaultID   string    `json:"vault_id"`
	CreatedAt time.Time `json:"created_at"` // of the backup
	Program   string    `json:"program"`    // version of zavhoz that wrote it
	Rows      uint64    `json:"rows"`
	migrate.Counts
	Home     string   `json:"home,omitempty"`     // "": it was only verified
	Identity string   `json:"identity,omitempty"` // the file that was copied into the home
	sources  []string // of unlock: in the configuration that was restored, where none of them is a file
}

const nothingMade = "nothing was made"

// restoreOptions are restore's flags.
type restoreOptions struct {
	opener
	to     string
	verify bool
	leave  bool
}

func newRestore(a *app) *cobra.Command {
	var o restoreOptions
	c := &cobra.Command{
		Use: "restore FILE --identity FILE", Short: "Make a vault from a backup, or only verify the backup", Args: cobra.ExactArgs(1),
		Long: `Make a home with the vault of a backup. One that is there is never overwritten, and a restore that is broken off leaves none. Before anything is made, and once more in
what was made, every record is counted and authenticated, the audit chain followed and every seal opened; --verify does that in the backup alone and writes nothing.

--identity opens the backup and the vault in it: the vault's own identity file, or the recovery identity. It becomes the new home's identity.txt, unless
--leave-identity, or the vault's configuration names no file as what unlocks it. Where a passphrase opens the vault and the identity the backup alone, that passphrase
is asked for. Where the vault has an operator passphrase, a restore asks for it.`,
		Example: `  zavhoz restore zavhoz.age --identity recovery.txt
  zavhoz restore zavhoz.age --verify
  zavhoz restore zavhoz.age --to /srv/zavhoz --identity /media/usb/identity.txt`,
		RunE: func(cmd *cobra.Command, args []string) error {
			out, err := a.restore(cmd.Context(), args[0], o)
			if err != nil {
				return err
			}
			return a.show(out, func(w io.Writer) { printRestored(w, out) })
		},
	}
	fl := c.Flags()
	fl.StringVar(&o.to, "to", "", "the home folder to make (default: --home)")
	fl.BoolVar(&o.verify, "verify", false, "only check the backup")
	fl.BoolVar(&o.leave, "leave-identity", false, "do not copy the identity file into the new home")
	o.register(c, "an identity file; may be given again (default with --verify: the home's own)")
	return c
}

func printRestored(w io.Writer, r restored) {
	fmt.Fprintf(w, "The backup holds: vault %s of %s, %s; %s and %s, each opened or followed.\n", r.VaultID, r.CreatedAt.Local().Format("2006-01-02 15:04:05"),
		count(int(r.Rows), "record"), count(int(r.Seals), "seal"), count(int(r.Audit), "audit record"))
	if r.Home == "" {
		fmt.Fprintln(w, "Nothing was written.")
		return
	}
	fmt.Fprintf(w, "Made %s\n", plain(r.Home))
	fmt.Fprintln(w, "Not in a backup, and so not there: what runs printed, the daemon's log. Leases and tokens of agents are as they were then.")
	if r.sources != nil {
		fmt.Fprintf(w, "No identity was copied: what unlocks this vault is no file, says its configuration (%s).\n", strings.Join(r.sources, ", "))
		fmt.Fprintf(w, "\nNext: zavhoz unlock; where that source is lost: zavhoz unlock --identity FILE\n")
		return
	}
	if r.Identity == "" {
		fmt.Fprintf(w, "\nNext: put an identity file of the vault at %s, mode 600; then: zavhoz status\n", plain(filepath.Join(r.Home, "identity.txt")))
		return
	}
	fmt.Fprintf(w, "Its key is a copy of %s. If that is a recovery identity, give this machine one of its own and take the copy away.\n", plain(r.Identity))
	fmt.Fprintln(w, "If the old machine may still run, stop it there: two copies of one vault go different ways.\n\nNext: zavhoz doctor")
}

func (a *app) restore(ctx context.Context, file string, o restoreOptions) (out restored, err error) {
	dir, err := a.restoreHome(&o)
	if err != nil {
		return out, err
	}
	keys, err := a.loadKeys(ctx, o.identities)
	if err != nil {
		return out, err
	}
	f, size, err := openBackup(file)
	if err != nil {
		return out, err
	}
	defer f.Close()
	done := a.working("Checking the backup")
	defer done()
	b, err := backup.Open(ctx, f, size, keys.all())
	if err != nil {
		return out, err
	}
	out = restored{VaultID: b.Head.VaultID, CreatedAt: b.Head.CreatedAt, Program: b.Head.Program, Rows: b.Manifest.Rows()}
	ring, header, err := unlockBackup(ctx, b, func(header []byte) (*keyring.Keyring, error) {
		k, err := a.unlockWith(ctx, &keys, header, o.vaultWord)
		if fault.CodeOf(err) == fault.WrongIdentity && !opensByWord(header) {
			err = fault.Of(err).WithNext("the identity opens the backup's wrapping and not the vault in it, so nobody can tell whether it is genuine: give the vault's own identity as well")
		}
		return k, err
	})
	if err != nil {
		return out, err
	}
	defer ring.Close()
	if err := b.Authenticate(ring, header); err != nil {
		return out, err
	}
	if o.verify {
		out.Counts, err = migrate.Check(ctx, b, ring, open.New(ring))
		return out, err
	}
	done()
	return a.makeRestored(ctx, out, dir, b, ring, keys, o)
}

// restoreHome is where the vault goes. Without --verify nothing may be there.
func (a *app) restoreHome(o *restoreOptions) (home.Dir, error) {
	dir, err := a.dir()
	if o.to != "" {
		dir, err = home.At(o.to)
	}
	if err == nil {
		err = o.check()
	}
	switch {
	case err != nil:
		return dir, err
	case o.verify:
		return dir, o.ownIdentity(dir)
	case len(o.identities) == 0:
		return dir, fault.New(fault.InvalidArgument, "a restore needs an identity that opens the backup", "give --identity FILE: the vault's own, or the recovery identity")
	}
	err = dir.CheckFresh()
	if fault.CodeOf(err) == fault.AlreadyInitialized {
		err = fault.Of(err).WithNext("give --to FOLDER to make another home of the backup, or --verify only to check it")
	}
	return dir, err
}

// ownIdentity takes the home's own identity where none was given and there is one.
func (o *restoreOptions) ownIdentity(dir home.Dir) error {
	if len(o.identities) > 0 {
		return nil
	}
	if _, err := os.Lstat(dir.Identity()); errors.Is(err, os.ErrNotExist) {
		return fault.New(fault.InvalidArgument, "there is no identity at hand that could open the backup", "give --identity FILE: the vault's own, or the recovery identity")
	}
	o.identities = []string{dir.Identity()}
	return nil
}

// openBackup opens a backup file for reading at any place.
func openBackup(name string) (*os.File, int64, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, fault.New(fault.InvalidArgument, "the backup cannot be read", "check its name and rights").Because(err)
	}
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() {
		f.Close()
		return nil, 0, fault.New(fault.InvalidArgument, "the backup is not a file", "a backup is read more than once: save it to a file first").Because(err)
	}
	return f, st.Size(), nil
}

// makeRestored makes the home. The vault in it is whole, and the person there, before it gets its name.
func (a *app) makeRestored(ctx context.Context, out restored, dir home.Dir, b *backup.File, ring *keyring.Keyring, keys identities, o restoreOptions) (restored, error) {
	if b.Config != nil {
		cfg, err := home.ParseConfig(b.Config)
		if err != nil {
			return out, err
		}
		if !slices.Contains(cfg.Unlock.Sources, home.FromFile) { // a copy in clear would undo what the owner chose
			out.sources = cfg.Unlock.Sources
		}
	}
	if !o.leave && out.sources == nil {
		out.Identity = keys.opened
	}
	err := home.Restore(ctx, home.RestoreOptions{Dir: dir, Config: b.Config, Identity: out.Identity, MakeVault: func(ctx context.Context, path string) error {
		st, err := bolt.Create(ctx, bolt.Options{Path: path, Alone: true})
		if err != nil {
			return written(vault.StoreFault(err), nothingMade)
		}
		defer st.Close()
		done := a.working("Restoring")
		defer done()
		rep, err := migrate.Run(ctx, migrate.Options{
			From: b, To: st, Keyring: ring, Opener: open.New(ring),
			Event:   audit.Event{Actor: vault.OperatorActor(), Action: audit.VaultRestore, Outcome: audit.Allowed, Detail: map[string]string{"backup_of": b.Head.CreatedAt.Format(time.RFC3339)}},
			Confirm: func(ctx context.Context, v *vault.Vault) error { done(); return a.present(ctx, v, o.word) },
		})
		out.Counts = rep.Counts
		if err == nil {
			err = withdrawn(ctx, st, ring)
		}
		return written(err, nothingMade)
	}})
	if err == nil {
		out.Home = dir.Path()
	}
	return out, err
}

// withdrawn takes back approvals that no run had used when the backup was taken: one may have used them since.
func withdrawn(ctx context.Context, st store.Store, ring *keyring.Keyring) error {
	v, err := vault.Open(ctx, vault.Options{Store: st, Keyring: ring, Opener: open.New(ring)})
	if err != nil {
		return err
	}
	return errors.Join(v.WithdrawApprovals(ctx, vault.WithdrawnRestored), v.Close(ctx))
}
