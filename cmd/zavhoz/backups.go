package main

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/backup"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/keyring"
)

// backups lets the API take backups of the daemon's vault.
type backups struct{ d *daemon }

// Recipients gives those of the vault's slots, and who is left out.
func (b backups) Recipients(ctx context.Context) (to, left []string, err error) {
	header, err := vault.Header(ctx, b.d.store)
	if err != nil {
		return nil, nil, err
	}
	slots, err := keyring.Slots(header)
	if err != nil {
		return nil, nil, err
	}
	to, left = backup.Recipients(slots)
	return to, left, nil
}

// Write writes one, with the configuration as it stands in its file.
func (b backups) Write(ctx context.Context, w io.Writer, to []string) (backup.Report, error) {
	rs, err := backup.Parse(to)
	if err != nil {
		return backup.Report{}, err
	}
	config, err := os.ReadFile(b.d.dir.Config())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return backup.Report{}, fault.New(fault.InvalidArgument, "the configuration cannot be read", "check config.yaml in the home folder").Because(err)
	}
	return backup.Write(ctx, w, backup.Source{Store: b.d.store, Keyring: b.d.ring, Config: config, Program: version()}, rs)
}
