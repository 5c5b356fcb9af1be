package api

import "time"

// AdoptProjects asks to look at the earlier system's projects, or to take them.
type AdoptProjects struct {
	Database Value  `json:"database"` // address of its PostgreSQL, with user and password
	Key      Value  `json:"key"`      // its Fernet key, or several: the first is the one that is written with
	Table    string `json:"table,omitempty"`
	DryRun   bool   `json:"dry_run,omitempty"` // look only
}

// Wipe erases it.
func (a AdoptProjects) Wipe() {
	a.Database.Wipe()
	a.Key.Wipe()
}

// Adoption tells what there is, or what became of it: names and counts, no value.
type Adoption struct {
	DryRun   bool             `json:"dry_run"`
	Column   string           `json:"column"` // json, jsonb
	Projects []AdoptedProject `json:"projects"`
}

// AdoptedProject is one project of the earlier system.
type AdoptedProject struct {
	FormerID   string   `json:"former_id"`
	Slug       string   `json:"slug"`
	Secrets    []string `json:"secrets"` // names that the key opens, sorted
	Hints      int      `json:"hints"`
	New        bool     `json:"new"`                  // it was not here before
	Joined     bool     `json:"joined,omitempty"`     // a project of its slug was here, of nobody there: the two are one
	Kept       []string `json:"kept,omitempty"`       // names that were here, and stay as they are here
	Unreadable []string `json:"unreadable,omitempty"` // names that the key does not open
	Refused    []string `json:"refused,omitempty"`    // names and keys of the config that no project here may have
	Problem    string   `json:"problem,omitempty"`    // why it was not taken
}

// AdoptionState tells whether changes are written to the earlier system's table as well.
type AdoptionState struct {
	Running bool      `json:"running"`
	Since   time.Time `json:"since,omitzero"`
	Table   string    `json:"table,omitempty"`
	Late    int       `json:"late"`   // projects that the table does not have as they are
	Theirs  int       `json:"theirs"` // secrets that its programs changed later than anybody did here: each stays as it is in its place
}
