package record

import (
	"slices"
	"strings"

	"github.com/zavhoz/zavhoz/store"
)

// auditRecords is the one collection of a vault that has no accounts: its rows are a chain (vault/audit).
const auditRecords store.Collection = "audit"

// Collections lists, in order of names, the collections of a vault that hold records: those that have accounts, the accounts themselves and the audit log. It
// authenticates nothing.
func Collections(tx store.Tx) ([]store.Collection, error) {
	found := map[store.Collection]bool{Digests: true, auditRecords: true}
	err := tx.Scan(Digests, "", "", func(key string, _ []byte) (bool, error) {
		c, _, _ := strings.Cut(key, "/")
		if !strings.HasPrefix(key, rootPrefix) {
			found[store.Collection(c)] = true
		}
		return true, nil
	})
	out := make([]store.Collection, 0, len(found))
	for c := range found {
		out = append(out, c)
	}
	slices.Sort(out)
	return out, err
}
