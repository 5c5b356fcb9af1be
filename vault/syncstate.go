package vault

import "time"

// SyncState is what is kept of a provider's sync between cycles.
type SyncState struct {
	LastSuccess time.Time `json:"last_success,omitzero"`
}
