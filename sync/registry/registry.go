// Package registry keeps sync's rows in the vault: it translates between what a cycle decides and the vault's records.
//
// Promise: what sync reads and writes are fingerprints; addresses go in sealed and do not come out here. A cycle is one transaction, with its audit record.
//
// Attack stopped: a provider's address that ends in a log or a reply because the reconciler held it.
package registry

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/zavhoz/zavhoz/sync"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// Vault is what the registry needs of the vault (vault.Vault).
type Vault interface {
	ReadServers(ctx context.Context, provider string) ([]vault.Server, json.RawMessage, error)
	ApplyServers(ctx context.Context, provider string, decide func([]vault.Server, json.RawMessage) (vault.ServerOutcome, error)) error
	ServerPrint(field string, value secret.Secret) string
}

// Registry is a sync.Registry over a vault.
type Registry struct{ v Vault }

var _ sync.Registry = (*Registry)(nil)

// New makes a Registry.
func New(v Vault) *Registry { return &Registry{v} }

// Snapshot gives the provider's rows and state.
func (r *Registry) Snapshot(ctx context.Context, provider string) (sync.Snapshot, error) {
	rows, state, err := r.v.ReadServers(ctx, provider)
	if err != nil {
		return sync.Snapshot{}, err
	}
	return snapshot(rows, state)
}

// Apply stores what decide gives, in one transaction.
func (r *Registry) Apply(ctx context.Context, provider string, decide func(sync.Snapshot) sync.Outcome) error {
	return r.v.ApplyServers(ctx, provider, func(rows []vault.Server, state json.RawMessage) (vault.ServerOutcome, error) {
		snap, err := snapshot(rows, state)
		if err != nil {
			return vault.ServerOutcome{}, err
		}
		return outcome(decide(snap))
	})
}

// Print fingerprints an address.
func (r *Registry) Print(field string, s secret.Secret) string {
	return r.v.ServerPrint(field, s)
}

func snapshot(rows []vault.Server, state json.RawMessage) (s sync.Snapshot, err error) {
	s.Rows = make([]sync.Row, len(rows))
	for i, r := range rows {
		s.Rows[i] = fromVault(r)
	}
	if len(state) > 0 {
		if err = json.Unmarshal(state, &s.State); err != nil {
			err = fmt.Errorf("registry: the sync state: %w", err)
		}
	}
	return s, err
}

func outcome(o sync.Outcome) (out vault.ServerOutcome, err error) {
	if out.State, err = json.Marshal(o.State); err != nil {
		return out, fmt.Errorf("registry: the sync state: %w", err)
	}
	for _, c := range o.Changes {
		out.Changes = append(out.Changes, vault.ServerChange{Server: toVault(c.Row), Seal: c.Seal})
	}
	n := o.Counts
	out.Detail = map[string]string{}
	for name, count := range map[string]int{"seen": n.Seen, "new": n.New, "back": n.Back, "missing": n.Missing, "suspended": n.Suspended, "moved": n.Moved, "promoted": n.Promoted, "demoted": n.Demoted} {
		if count > 0 {
			out.Detail[name] = fmt.Sprint(count)
		}
	}
	return out, nil
}

func fromVault(s vault.Server) sync.Row {
	return sync.Row{
		ID: s.ID, ProviderID: s.ProviderID, Handle: s.ResourceID, Prints: s.Prints, Status: sync.Status(s.Status), StatusWas: sync.Status(s.StatusWas),
		IsManaged: s.IsManaged, Intent: sync.Intent(s.Intent), Ghost: s.Ghost, CPU: s.CPU, RAMMB: s.RAMMB, DiskMB: s.DiskMB, UsedRAMMB: s.UsedRAMMB,
		UsedDiskMB: s.UsedDiskMB, OS: s.OS, Absent: s.Missing, ObservedAt: s.ObservedAt, LastSeen: s.LastSeen, HealthAt: s.HealthAt, CreatedAt: s.CreatedAt,
		Labels: s.Labels, Version: s.Version,
	}
}

func toVault(r sync.Row) vault.Server {
	return vault.Server{
		ID: r.ID, ProviderID: r.ProviderID, Prints: r.Prints, Status: string(r.Status), StatusWas: string(r.StatusWas), IsManaged: r.IsManaged,
		Intent: string(r.Intent), Ghost: r.Ghost, CPU: r.CPU, RAMMB: r.RAMMB, DiskMB: r.DiskMB, UsedRAMMB: r.UsedRAMMB, UsedDiskMB: r.UsedDiskMB, OS: r.OS,
		Missing: r.Absent, ObservedAt: r.ObservedAt, LastSeen: r.LastSeen, HealthAt: r.HealthAt, CreatedAt: r.CreatedAt, Labels: r.Labels, Version: r.Version,
	}
}
