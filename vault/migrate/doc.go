// Package migrate copies a vault from one store into another, empty one, and checks vaults wherever they lie.
//
// Promise: the target becomes a vault in one last transaction, after everything in it was counted, hashed, authenticated and opened, and the same was done with the
// source; until then nothing opens it, and a copy that was broken off starts over. What is copied is one moment of the source, which is only read. Memory holds a
// batch of records at a time.
//
// It lies below vault because a store knows neither which collections make a vault, nor the keys by which a copy is proven; of stores it takes what store.Store
// promises, so it copies between any two, and out of a backup.
//
// Attacks stopped: a half vault that looks whole (threat-model.md 57, 72); a source that was tampered with and would look genuine in its new place.
package migrate

import (
	"context"
	"time"

	"github.com/zavhoz/zavhoz/store"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/backup"
	"github.com/zavhoz/zavhoz/vault/keyring"
)

// Options say what is copied where.
type Options struct {
	From, To store.Store
	Keyring  *keyring.Keyring // of the vault, unlocked
	Opener   vault.Opener
	Event    audit.Event      // recorded in the target with the transaction that makes it a vault
	Clock    func() time.Time // default time.Now
	Progress func(rows uint64)
	// Confirm is asked when everything was verified and nothing opens the target yet; its error ends the copy. nil: nothing is asked.
	Confirm func(ctx context.Context, copied *vault.Vault) error
}

// Counts is what a check of a vault found to be in order.
type Counts struct {
	Audit uint64 `json:"audit_records"` // that the chain holds
	Seals uint64 `json:"seals"`         // sealed values that opened
}

// Report tells of a copy.
type Report struct {
	VaultID     string              `json:"vault_id"`
	Collections []backup.Collection `json:"collections"` // equal on both sides
	Rows        uint64              `json:"rows"`
	Counts
}
