package bridge

import (
	"context"
	"maps"

	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/importer"
)

// look finds what the table lacks: a daemon that is late may have died, and only it knew.
func (b *Bridge) look(ctx context.Context) error {
	ids, err := b.behind(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range ids {
		b.late[id] = true
	}
	return err
}

// behind gives the projects that the table does not have as they are, in one look at all of it. Without a bridge there are none.
func (b *Bridge) behind(ctx context.Context) (ids []string, err error) {
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
		there := make(map[string]map[string]string, len(rows))
		for _, r := range rows {
			there[r.id] = r.secrets
		}
		for _, p := range all {
			tokens, has := there[p.Former]
			if p.Former == "" || !has { // a row that is gone is nobody's any more
				continue
			}
			_, sealed, err := b.o.Vault.SealedProjectSecrets(ctx, vault.SystemActor("bridge"), p.ID, nil)
			if err != nil {
				return err
			}
			lacks, err := b.lacks(tokens, sealed, keys)
			if err != nil {
				return err
			}
			if lacks {
				ids = append(ids, p.ID)
			}
		}
		return nil
	})
	return ids, err
}

// lacks tells whether a row has not every value.
func (b *Bridge) lacks(there map[string]string, sealed map[string]vault.SealedSecret, keys importer.FernetKeys) (bool, error) {
	mine := maps.Clone(there)
	if mine == nil {
		mine = map[string]string{}
	}
	err := b.overlay(mine, sealed, keys)
	return !maps.Equal(mine, there), err
}
