// Package sync keeps what the vault knows of a provider's machines in step with the provider's own list.
//
// Promise: identity is the provider's id, never an address. A cycle reads the list, asks after servers that left it, refreshes numbers, and then
// changes the vault in one transaction whose decisions are a pure function of the rows as they are at that instant; a cycle that cannot read the list
// changes nothing and says so. New servers are `discovered` and not managed, unless the operator asked for that; ghosts (GHOST_SERVERS) are never
// managed, whoever says otherwise. Rows of another provider or of none are not ours and are never touched. Addresses travel as secret.Secret and are
// compared by the registry's keyed fingerprints: nothing here reveals one.
//
// Attacks and accidents stopped: a provider's outage, an empty or shortened answer taken for deletion (the shrink guard, the grace count, the service
// check); every machine of an account becoming fair game by default; a malformed ghost list read as an empty one (it stops the cycle); one bad record
// that stops the rest; provider texts, passwords or addresses in logs (logs carry codes and counts only: threat-model.md 65).
package sync

import (
	"context"

	"github.com/zavhoz/zavhoz/vault/secret"
)

// Provider is one account at one provider of machines. Its errors are faults with codes provider_…, vault_locked or sync_not_configured; they hold
// no text of the provider. Methods may be called by many goroutines.
type Provider interface {
	// Name is a short stable name, part of a row's identity ("time4vps").
	Name() string
	// List gives every server that the account has now, whole or not at all.
	List(ctx context.Context) ([]Observed, error)
	// Details gives a server's numbers.
	Details(ctx context.Context, providerID string) (Details, error)
	// Lifecycle tells what became of a server that the list does not show. An answer that says nothing is LifecycleUnknown without an error.
	Lifecycle(ctx context.Context, providerID string) (Lifecycle, error)
}

// Observed is one record of a provider's list.
type Observed struct {
	ProviderID string        // "": the record had none, and is skipped
	IP         secret.Secret // canonical text; empty while the server is being built
	Domain     secret.Secret
	Bad        bool // parts of the record could not be read: what is given here is right, the rest is not known
}

// Details are a server's numbers; nil or "" is what the provider did not say, and keeps the old value.
type Details struct {
	CPU        *int // cores
	RAMMB      *int
	DiskMB     *int
	UsedRAMMB  *int
	UsedDiskMB *int
	OS         string
}

// Lifecycle is what a provider says of a server beyond its list.
type Lifecycle string

// The answers of a service check.
const (
	LifecycleActive    Lifecycle = "active"    // paid for and running, though the list does not show it
	LifecycleSuspended Lifecycle = "suspended" // comes back when it is paid
	LifecycleDeleted   Lifecycle = "deleted"
	LifecycleUnknown   Lifecycle = "unknown"
)
