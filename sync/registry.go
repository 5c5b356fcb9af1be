package sync

import (
	"context"
	"time"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// Registry keeps the rows. A locked vault answers everything with fault vault_locked.
type Registry interface {
	// Snapshot gives the provider's rows (Provider equal to the name given; never rows of another or of none) and state, without opening an address.
	Snapshot(ctx context.Context, provider string) (Snapshot, error)
	// Apply reads the same within ONE transaction, calls decide, and stores what it gives: every change, the state and the audit record, or
	// nothing. decide is pure and may be called again when the transaction is retried; only its last answer counts. Rows that the outcome does not name
	// stay untouched, bytes included. A change is stored whole, but for Handle, HealthAt, Intent and Labels of an existing row, which are not sync's to
	// write (they come back as they were read).
	Apply(ctx context.Context, provider string, decide func(Snapshot) Outcome) error
	// Print is a keyed fingerprint of an address field, equal for equal values. It must not fail on an unlocked vault.
	Print(field string, v secret.Secret) string
}

// Snapshot is a provider's rows and state at one instant, in any order.
type Snapshot struct {
	Rows  []Row
	State State
}

// State is what is kept of a provider between cycles: public, JSON-safe. Its zero value is a provider never read.
type State struct {
	LastSuccess time.Time `json:"last_success,omitzero"` // of a list that was read and stored: the data's age on every answer
	Incident    *Incident `json:"incident,omitempty"`    // the outage that is open now
	Shrunk      *Shrunk   `json:"shrunk,omitempty"`      // what the shrink guard is holding back
}

// Incident is one outage, however many cycles it lasts.
type Incident struct {
	Code  fault.Code `json:"code"`
	Since time.Time  `json:"since"`
	Count int        `json:"count"` // failed cycles; kept in memory between the first and the last
}

// Shrunk is a list that lost too much at once to be believed.
type Shrunk struct {
	Lost     string    `json:"lost"` // digest of the ids that are gone: the same again means the same list
	Absent   int       `json:"absent"`
	Known    int       `json:"known"`
	Cycles   int       `json:"cycles"` // in a row, with the same loss
	Since    time.Time `json:"since"`
	Accepted bool      `json:"accepted,omitempty"` // by the operator, or by having stayed the same long enough
}

// Outcome is what a cycle decided.
type Outcome struct {
	Changes []Change
	State   State
	Counts  Counts // for the audit record; no record is needed where Changes is empty
}

// Change is one row to store.
type Change struct {
	Row  Row                      // whole, as it shall be; Version is that of the row as read (0: a new row, with its ID)
	Seal map[string]secret.Secret // address fields to seal anew (their prints are in Row.Prints); others keep what is sealed. Not the registry's to wipe
	Why  []Reason
}

// Reason says in one word why a row changes.
type Reason string

// The reasons.
const (
	WhyNew       Reason = "new"
	WhyBack      Reason = "back"
	WhyAbsent    Reason = "absent"
	WhyMissing   Reason = "missing"
	WhySuspended Reason = "suspended"
	WhyAddress   Reason = "address"
	WhyGhost     Reason = "ghost" // became one, or is one no more
	WhyPromoted  Reason = "promoted"
	WhyDemoted   Reason = "demoted"
	WhyNumbers   Reason = "numbers"
	WhyIdentity  Reason = "identity" // a row without a provider id was matched by its address
)
