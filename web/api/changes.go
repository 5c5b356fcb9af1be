package api

import "time"

// HeldChanges is what one run wrote beside folders, until a person keeps it or throws it away.
type HeldChanges struct {
	RunID   string       `json:"run_id"`
	Agent   string       `json:"agent"`
	Command []string     `json:"command"` // as it is on record: masked, then cut
	Until   time.Time    `json:"until"`   // then it is thrown away
	Changes []HeldChange `json:"changes"`
}

// HeldChange is one path that differs.
type HeldChange struct {
	Path  string `json:"path"`
	Kind  string `json:"kind"` // added, modified, removed
	Bytes int64  `json:"bytes"`
}
