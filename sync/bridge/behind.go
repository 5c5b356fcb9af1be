package bridge

import (
	"context"
	"errors"
	"maps"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/importer"
)

// look finds what the table lacks: a daemon that is late may have died, and only it knew.
func (b *Bridge) look(ctx context.Context) error {
	ids, _, err := b.behind(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range ids {
		b.late[id] = true
	}
	return err
}

// behind gives the projects that the table does not have as they are, in one look at all of it, and how many secrets were changed there later than here. Without a bridge there are none.
func (b *Bridge) behind(ctx context.Context) (ids []string, theirs int, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	err = b.across(ctx, func(t *table, keys importer.FernetKeys) error {
		all, err := b.o.Vault.ListProjects(ctx)
		if err != nil {
			return err
		}
		rows, err := t.rows(ctx) // after the vault: what changes in between is in step, or found the next time
		if err != nil {
			return err
		}
		there := make(map[string]row, len(rows))
		for _, r := range rows {
			there[r.id] = r
		}
		for _, p := range all {
			r, has := there[p.Former]
			if p.Former == "" || !has { // a row that is gone is nobody's any more
				continue
			}
			lacks, n, err := b.lacks(ctx, p, r, keys)
			theirs += n
			if fault.CodeOf(err) == fault.VaultLocked || ctx.Err() != nil {
				return errors.Join(err, ctx.Err())
			}
			if lacks || err != nil { // what cannot be looked at is late by itself, and holds up no other
				ids = append(ids, p.ID)
			}
		}
		return nil
	})
	return ids, theirs, err
}

// lacks tells whether a project's row has not every value that it is to have, and how many are theirs.
func (b *Bridge) lacks(ctx context.Context, p vault.Project, r row, keys importer.FernetKeys) (lacks bool, theirs int, err error) {
	_, sealed, err := b.o.Vault.SealedProjectSecrets(ctx, vault.SystemActor("bridge"), p.ID, nil)
	if err != nil || r.odd {
		return len(sealed) > 0, 0, err
	}
	mine := maps.Clone(r.secrets)
	theirs, err = b.overlay(mine, sealed, keys)
	return !maps.Equal(mine, r.secrets), theirs, err
}
