package api

import "time"

// HeldChanges is what one run wrote beside folders, until a person keeps it or throws it away.
type HeldChanges struct {
	RunID   string       `json:"run_id"`
	Agent   string       `json:"agent"`
	Command []string     `json:"command"` // as it is on record: masked, then cut
	Until   time.Time    `json:"until"`   // then it is thrown away
	Before  []string     `json:"before"`  // earlier runs whose changes it went on from: they are among its own
	Lasting bool         `json:"lasting"` // it outlives the daemon
	Changes []HeldChange `json:"changes"`
}

// HeldChange is one path that differs.
type HeldChange struct {
	Path      string   `json:"path"`
	PathBytes []byte   `json:"path_bytes,omitempty"` // base64; where the path is no text
	Kind      string   `json:"kind"`                 // added, modified, removed
	Type      string   `json:"type"`                 // file, folder, link; of what it is to be, or where removed was
	Bytes     int64    `json:"bytes"`
	WasBytes  int64    `json:"was_bytes"`        // of the file that the run saw; 0: none
	Mode      string   `json:"mode"`             // as ls writes it; "" where removed
	WasMode   string   `json:"was_mode"`         // "" where there was nothing
	Target    string   `json:"target,omitempty"` // of a link
	Outside   bool     `json:"outside"`          // the link leads, or may lead, out of the folder
	SHA256    string   `json:"sha256,omitempty"` // of a file's bytes: what keeping it makes
	Marks     []string `json:"marks"`            // what a person should not overlook, in words
}

// KeepChanges says what to keep, and how.
type KeepChanges struct {
	Force bool     `json:"force"` // also over what happened in the folder meanwhile
	Paths []string `json:"paths"` // these alone, with all below them; none: all
}

// ChangesDiff is what keeping changes would do to the text of files.
type ChangesDiff struct {
	RunID string     `json:"run_id"`
	Files []FileDiff `json:"files"`
}

// FileDiff is one path's.
type FileDiff struct {
	HeldChange
	Diff      string `json:"diff"`      // unified; values of secrets are masked, what moves a cursor or hides text is written out
	Why       string `json:"why"`       // there is no diff: "binary", "too large", "no file", "beyond the limit", "masked values alone differ", "rights alone differ"
	Happening string `json:"happening"` // what happened to the path in the real folder since the run saw it; "" for nothing
}
