package record

import (
	"slices"

	"github.com/zavhoz/zavhoz/store"
)

// auditRecords is the one collection of a vault that has no account: its rows are a chain (vault/audit).
const auditRecords store.Collection = "audit"

// Collections lists, in order of names, the collections that make a vault besides the keyring: those that have accounts, the accounts themselves and the audit
// log. Errors: fault record_tampered, vault_corrupt, vault_locked.
func (b *Book) Collections(tx store.Tx) ([]store.Collection, error) {
	a, err := b.current(tx)
	if err != nil {
		return nil, err
	}
	out := []store.Collection{Digests, auditRecords}
	for _, x := range a.list {
		out = append(out, x.c)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}
