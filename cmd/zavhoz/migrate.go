package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/store/bolt"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/migrate"
	"github.com/zavhoz/zavhoz/vault/open"
)

// migrateOptions are migrate's flags.
type migrateOptions struct {
	opener
	from, to string
	serves   roleFor // of the target
	moved    bool
}

func newMigrate(a *app) *cobra.Command {
	var o migrateOptions
	c := &cobra.Command{
		Use: "migrate --to STORE", Short: "Copy the vault into another store, verified on both sides", Args: cobra.NoArgs,
		Long: `Copy the whole vault from one store into another, empty one. A store is bolt:PATH, postgres://USER@HOST/DATABASE, or file:FILE or env:NAME that holds such an address
with its password; --grant-to names the role that will serve it, where the address is its owner's. No daemon may hold either: stop it first. Everything is counted, authenticated and
opened on both sides; only then the target becomes a vault. A copy that was broken off opens nowhere, and the same command starts it over. The source is only read; with
--mark-moved it refuses to open afterwards, so that nobody goes on writing there.`,
		Example: `  zavhoz migrate --to bolt:/srv/vault.db
  zavhoz migrate --to "postgres://zavhoz@db.example/zavhoz?sslmode=verify-full" --mark-moved
  zavhoz migrate --to env:OWNER_URL --grant-to zavhoz
  zavhoz migrate --from file:/etc/zavhoz/database --to bolt:/srv/vault.db
  zavhoz migrate --from bolt:/old/vault.db --to bolt:/new/vault.db --identity /old/identity.txt --mark-moved`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			to, err := placeOf(o.to)
			if err == nil {
				err = o.serves.check(cmd, to)
			}
			if err != nil {
				return err
			}
			rep, err := a.migrate(cmd.Context(), to, o)
			if err != nil {
				return err
			}
			return a.show(rep, func(w io.Writer) {
				fmt.Fprintf(w, "Copied vault %s: %s in %s. On both sides %s opened and %s hold.\n", rep.VaultID, count(int(rep.Rows), "record"),
					count(len(rep.Collections), "collection"), count(int(rep.Seals), "seal"), count(int(rep.Audit), "audit record"))
				if o.moved {
					fmt.Fprintln(w, "The source is marked as moved: it opens no more.")
				} else {
					fmt.Fprintln(w, "The source is as it was, and still a vault: use only one of the two.")
				}
			})
		},
	}
	fl := c.Flags()
	fl.StringVar(&o.from, "from", "", "the store to copy (default: the home's)")
	fl.StringVar(&o.to, "to", "", "the store to copy into: a file that is not there, or an empty schema")
	o.serves.register(c)
	o.register(c, "an identity file of the vault; may be given again (default: as unlock: in the home's config.yaml says)")
	fl.BoolVar(&o.moved, "mark-moved", false, "when all is done, make the source refuse to open")
	_ = c.MarkFlagRequired("to")
	return c
}

func (a *app) migrate(ctx context.Context, to vaultPlace, o migrateOptions) (rep migrate.Report, err error) {
	dir, err := a.dir()
	if err != nil {
		return rep, err
	}
	own := o.from == ""
	if own {
		o.from = a.spec(dir)
	}
	if err := o.check(); err != nil {
		return rep, err
	}
	from, err := placeOf(o.from)
	if err != nil {
		return rep, err
	}
	known, err := remembered(dir, from, own)
	if err != nil {
		return rep, err
	}
	src, err := from.take(ctx, !o.moved, known.moment())
	if err != nil {
		return rep, err
	}
	defer src.Close()
	ring, err := a.unlockSource(ctx, src, known, dir, o.opener)
	if err != nil {
		return rep, err
	}
	defer ring.Close()
	return a.copyVault(ctx, src, from.kind(), to, ring, o)
}

// openSource opens the vault's file by itself: with a daemon on it, vault_busy.
func openSource(ctx context.Context, path string, readOnly bool) (*bolt.Store, error) {
	st, err := bolt.Open(ctx, bolt.Options{Path: path, ReadOnly: readOnly, LockTimeout: busyTimeout})
	if errors.Is(err, os.ErrNotExist) {
		return nil, fault.New(fault.NotInitialized, "there is no vault at the source", "check the path").Because(err)
	}
	if errors.Is(err, store.ErrBusy) {
		return nil, fault.New(fault.VaultBusy, "a daemon, or another process, holds the vault", "stop it with `zavhoz stop`, then try again").Because(err)
	}
	return st, vault.StoreFault(err)
}

// openTarget opens an unfinished or empty target, or makes one; made tells which.
func openTarget(ctx context.Context, path string) (target store.Store, made bool, err error) {
	st, err := bolt.Create(ctx, bolt.Options{Path: path, Alone: true})
	if err == nil {
		return st, true, nil
	}
	if !errors.Is(err, os.ErrExist) {
		return nil, false, fault.New(fault.NotPermitted, "the target cannot be made", "check the folder's rights and the disk's space").Because(err)
	}
	if st, err = bolt.Open(ctx, bolt.Options{Path: path, Alone: true, LockTimeout: busyTimeout}); err != nil {
		return nil, false, vault.StoreFault(err)
	}
	return st, false, nil
}

// unlockSource opens the keys of the vault that is to be copied, which must be the one that the home knows there.
func (a *app) unlockSource(ctx context.Context, src store.Store, known memory, dir home.Dir, o opener) (*keyring.Keyring, error) {
	header, err := vault.Header(ctx, src)
	if err == nil {
		err = known.fits(header) // before anybody is asked for a passphrase
	}
	if err != nil {
		return nil, err
	}
	ring, err := a.unlockOffline(ctx, dir, header, o)
	if err != nil {
		return nil, err
	}
	v, err := vault.Open(ctx, vault.Options{Store: src, Keyring: ring})
	if err == nil {
		err = errors.Join(known.recognise(ctx, v), v.Close(ctx))
	}
	if err != nil {
		ring.Close()
		return nil, err
	}
	return ring, nil
}

func (a *app) copyVault(ctx context.Context, src store.Store, kind string, to vaultPlace, ring *keyring.Keyring, o migrateOptions) (rep migrate.Report, err error) {
	dst, made, err := to.target(ctx)
	if err != nil {
		return rep, err
	}
	if _, herr := vault.Header(ctx, dst); herr != nil { // of a vault that is there, which Run refuses, nobody gets anything
		if err := to.grant(ctx, o.serves.role); err != nil { // before the copy, and before anybody is asked for a passphrase
			return rep, errors.Join(err, dst.Close())
		}
	}
	done := a.working("Copying the vault")
	defer done()
	event := audit.Event{Actor: vault.OperatorActor(), Action: audit.VaultMigrate, Outcome: audit.Allowed, Detail: map[string]string{"from": kind, "to": to.kind()}}
	rep, err = migrate.Run(ctx, migrate.Options{
		From: src, To: dst, Keyring: ring, Opener: open.New(ring), Event: event,
		Confirm: func(ctx context.Context, v *vault.Vault) error {
			done()
			return a.present(ctx, v, o.word)
		},
	})
	if err = errors.Join(err, dst.Close()); err != nil {
		if made {
			_ = os.Remove(to.file) // half a copy is of no use to anybody
		}
		return rep, written(err, "the source is as it was")
	}
	if o.moved {
		err = migrate.Leave(ctx, src, ring, event, time.Now())
	}
	return rep, err
}
