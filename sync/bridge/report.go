package bridge

import (
	"time"

	"github.com/zavhoz/zavhoz/vault/secret"
)

// Request asks to look at the earlier system's projects, or to take them. Its maker wipes it.
type Request struct {
	Database secret.Secret // address of its PostgreSQL, with user and password
	Key      secret.Secret // its Fernet key, or several: the first is the one that is written with
	Table    string        // "": DefaultTable
	DryRun   bool          // look only
}

// Adoption tells what there is, or what became of it: names and counts, no value.
type Adoption struct {
	DryRun   bool
	Column   string // json, jsonb
	Projects []Adopted
}

// Adopted is one project of the earlier system.
type Adopted struct {
	FormerID   string
	Slug       string
	Secrets    []string // names that the key opens, sorted
	Hints      int
	New        bool     // it was not here before
	Joined     bool     // a project of its slug was here, of nobody there: the two are one, and what either has the other gets
	Kept       []string // names that were here, and stay as they are here
	Unreadable []string // names that the key does not open
	Refused    []string // names and keys of the config that no project here may have
	Problem    string   // why it was not taken
}

// State tells whether changes are written to the earlier system's table as well.
type State struct {
	Running bool
	Since   time.Time
	Table   string
	Late    int // projects that the table does not have as they are, whichever daemon changed them; all, where it cannot be looked at
	Theirs  int // secrets that its programs changed later than anybody did here: each stays as it is in its place
}
