package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/zavhoz/zavhoz/store/bolt"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/home"
	"github.com/zavhoz/zavhoz/vault/migrate"
	"github.com/zavhoz/zavhoz/vault/open"
)

// compacted is what compact tells.
type compacted struct {
	Before int64 `json:"before_bytes"`
	After  int64 `json:"after_bytes"`
	migrate.Report
}

func newCompact(a *app) *cobra.Command {
	var o opener
	c := &cobra.Command{
		Use: "compact", Short: "Write the vault's file anew, without what was removed", Args: cobra.NoArgs,
		Long: `Write the vault's file anew, verified, and put it in the old one's place. A file keeps the pages of what was removed or replaced until something else is written
there: purged versions lie in it, sealed, until then. The new file holds none of it. The old file's blocks are given back to the file system, which may keep what they
held for as long as it likes, as may backups and snapshots: what must be unreadable needs another value, not another file.

No daemon may hold the vault: stop it first.`,
		Example: "  zavhoz compact\n  zavhoz compact --identity recovery.txt",
		RunE: func(cmd *cobra.Command, _ []string) error {
			out, err := a.compact(cmd.Context(), o)
			if err != nil {
				return err
			}
			return a.show(out, func(w io.Writer) {
				fmt.Fprintf(w, "The vault's file has %d bytes, it had %d. %s and %s were verified.\n", out.After, out.Before, count(int(out.Rows), "record"), count(int(out.Seals), "seal"))
			})
		},
	}
	o.register(c, "an identity file of the vault; may be given again (default: as unlock: in config.yaml says)")
	return c
}

func (a *app) compact(ctx context.Context, o opener) (out compacted, err error) {
	dir, err := a.dir()
	if err == nil && dir.IsAway() {
		err = fault.New(fault.NotSupported, "the vault is in PostgreSQL, which gives space back by itself", "see docs/postgresql.md")
	}
	if err == nil {
		err = dir.Check()
	}
	if err == nil {
		err = o.check()
	}
	if err != nil {
		return out, err
	}
	src, err := openSource(ctx, dir.Vault(), false) // for writing: nobody reads it either
	if err != nil {
		return out, err
	}
	defer src.Close() // after the rename: who waits for the old file finds that it is not the vault any more
	fresh := dir.Vault() + ".compact"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, os.ErrNotExist) { // of one that was killed
		return out, cannotCompact(err)
	}
	defer os.Remove(fresh) // where it got its name there is nothing to remove
	if out.Report, err = a.compactInto(ctx, src, fresh, dir, o); err != nil {
		return out, err
	}
	return out.swap(dir, fresh)
}

func (a *app) compactInto(ctx context.Context, src *bolt.Store, fresh string, dir home.Dir, o opener) (rep migrate.Report, err error) {
	header, err := vault.Header(ctx, src)
	if err != nil {
		return rep, err
	}
	ring, err := a.unlockOffline(ctx, dir, header, o)
	if err != nil {
		return rep, err
	}
	defer ring.Close()
	dst, err := bolt.Create(ctx, bolt.Options{Path: fresh, Alone: true})
	if err != nil {
		return rep, cannotCompact(err)
	}
	done := a.working("Writing the vault anew")
	defer done()
	rep, err = migrate.Run(ctx, migrate.Options{
		From: src, To: dst, Keyring: ring, Opener: open.New(ring),
		Event:   audit.Event{Actor: vault.OperatorActor(), Action: audit.VaultCompact, Outcome: audit.Allowed},
		Confirm: func(ctx context.Context, v *vault.Vault) error { done(); return a.present(ctx, v, o.word) },
	})
	return rep, written(errors.Join(err, dst.Close()), "the old file is as it was")
}

// swap puts the new file into the place of the old one.
func (c compacted) swap(dir home.Dir, fresh string) (compacted, error) {
	old, err := os.Stat(dir.Vault())
	if err != nil {
		return c, cannotCompact(err)
	}
	now, err := os.Stat(fresh)
	if err != nil {
		return c, cannotCompact(err)
	}
	if err := os.Rename(fresh, dir.Vault()); err != nil {
		return c, cannotCompact(err)
	}
	syncFolder(filepath.Dir(dir.Vault()))
	c.Before, c.After = old.Size(), now.Size()
	return c, nil
}

func cannotCompact(err error) error {
	return fault.New(fault.NotPermitted, "the vault's file cannot be written anew", "check the home folder's rights and the disk's space; the old file is as it was").Because(err)
}
