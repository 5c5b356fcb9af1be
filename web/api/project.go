package api

import (
	"encoding/json"
	"time"
)

// ProjectView is a project with its config: names of secrets, and no value of any.
type ProjectView struct {
	ID        string                     `json:"id"` // prj_…
	Slug      string                     `json:"slug"`
	Title     string                     `json:"title,omitempty"`
	FormerID  string                     `json:"former_id,omitempty"` // what the earlier system calls it
	CreatedAt time.Time                  `json:"created_at"`
	Version   uint64                     `json:"version"`   // of the config; the ETag is "v" and this number
	Keys      []string                   `json:"keys"`      // names of secrets, sorted
	EnvHints  map[string]string          `json:"env_hints"` // by name, what a secret is
	Config    map[string]json.RawMessage `json:"config"`    // every other key of the config
}

// EditProject changes a project's title and config. Keys that it does not name stay; one with null goes.
type EditProject struct {
	Title     *string                    `json:"title,omitempty"`
	Config    map[string]json.RawMessage `json:"config,omitempty"`
	IfVersion *uint64                    `json:"if_version,omitempty"`
}

// MergeSecrets puts values into a project: all of them, or none.
type MergeSecrets struct {
	Secrets  map[string]Value   `json:"secrets"`
	EnvHints map[string]string  `json:"env_hints,omitempty"` // by name, in words; "" takes one away
	Types    map[string]string  `json:"types,omitempty"`     // by name: user, infra, computed; else as it is, and of a new one user
	Versions map[string]*uint64 `json:"versions,omitempty"`  // by name: only where it is at this version; 0: only where there is none
	IfAbsent bool               `json:"if_absent,omitempty"` // names that are there stay as they are, and are told in the reply
	Purge    bool               `json:"purge,omitempty"`     // the values that it replaces are forgotten, with those before them
	Why      string             `json:"why,omitempty"`
}

// Merged tells the names that a project has now.
type Merged struct {
	Keys       []string `json:"keys"`                 // all of them, sorted
	Version    uint64   `json:"version"`              // of the config
	Existed    []string `json:"existed,omitempty"`    // of those given: they were there, and stay
	Unverified []string `json:"unverified,omitempty"` // of those given: their service could not be asked whether they are good
	Late       bool     `json:"late,omitempty"`       // of an adopted project: the earlier system's table has it later
}

// SecretKeys is the names of a project's secrets.
type SecretKeys struct {
	Keys []string `json:"keys"` // sorted
}

// ProjectSecret is what is known of one of a project's names.
type ProjectSecret struct {
	Name   string `json:"name"`
	Filled bool   `json:"filled"` // there is a value
	Hint   string `json:"hint,omitempty"`
	SecretVersion
}

// SecretVersion is one value that a name has, or had. Everything is empty where there is none.
type SecretVersion struct {
	Version   uint64    `json:"version,omitempty"`
	Type      string    `json:"type,omitempty"`   // user, infra, computed
	Length    string    `json:"length,omitempty"` // short, medium, long, huge
	Check     string    `json:"check,omitempty"`  // verified, unverified
	CreatedAt time.Time `json:"created_at,omitzero"`
	UpdatedAt time.Time `json:"updated_at,omitzero"`
	UpdatedBy string    `json:"updated_by,omitempty"`
	Why       string    `json:"why,omitempty"`
}

// RollbackSecret makes an earlier value present again.
type RollbackSecret struct {
	Version uint64 `json:"version"`
	Why     string `json:"why,omitempty"`
}

// PurgedSecret tells which earlier versions of a secret went.
type PurgedSecret struct {
	Name     string   `json:"name"`
	Versions []uint64 `json:"versions"`
}

// Health says that the API answers, and whether the vault is open.
type Health struct {
	Status  string `json:"status"` // ok
	Locked  bool   `json:"locked"`
	Version string `json:"version"`
}
