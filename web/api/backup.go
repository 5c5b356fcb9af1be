package api

// Backup asks for a backup. The reply's body is the backup; how it ended comes after it, in one of the two trailers.
type Backup struct {
	To []string `json:"to,omitempty"` // public keys, in the place of the vault's own recipients
}

// The trailers of a backup: a report of what was written, or a Problem. One of them is there, as JSON; without either the connection broke.
const (
	BackupReport  = "Zavhoz-Backup"
	BackupProblem = "Zavhoz-Problem"
)

// Purge says which earlier versions of a resource go for good: one of its fields.
type Purge struct {
	All        bool   `json:"all,omitempty"`
	Before     uint64 `json:"before,omitempty"`       // those with a smaller number
	OlderThanS int64  `json:"older_than_s,omitempty"` // those that were replaced longer ago, in seconds
}

// Purged tells what went.
type Purged struct {
	Resource Resource `json:"resource"`
	Versions []uint64 `json:"versions"` // oldest first
}
