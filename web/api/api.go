// Package api holds the shapes of the operator's API, /api/v1: what the command line sends and gets, and what other programs may.
//
// Promise: no reply type has room for a secret value (the plan of a person's own open run excepted, which is not a type of this package:
// run writes it by itself). Requests carry values as Value, which cannot be printed.
//
// Attack stopped: a value that comes back from the API because a struct happened to hold it.
package api

import (
	"time"

	"github.com/zavhoz/zavhoz/vault/policy"
)

// Problem is an RFC 9457 problem. Code and Next are ours.
type Problem struct {
	Type    string         `json:"type"` // "about:blank"
	Title   string         `json:"title"`
	Status  int            `json:"status"`
	Code    string         `json:"code"`
	Detail  string         `json:"detail"`
	Next    string         `json:"next,omitempty"`
	Details map[string]any `json:"details,omitempty"`
	Request string         `json:"request_id,omitempty"` // over HTTP: the reply's X-Request-Id
}

// SealedField tells of a secret field all that may be told.
type SealedField struct {
	Length  string `json:"length"`  // empty, short, medium, long, huge
	Version uint64 `json:"version"` // in which it was given
}

// Resource is a resource as the operator sees it.
type Resource struct {
	ID        string                 `json:"id"`
	Handle    string                 `json:"handle"`
	Kind      string                 `json:"kind"`
	Attrs     map[string]string      `json:"attrs,omitempty"`
	Secrets   map[string]SealedField `json:"secrets,omitempty"`
	Labels    map[string]string      `json:"labels,omitempty"`
	Project   string                 `json:"project"`
	Policy    policy.Policy          `json:"policy"`
	Status    string                 `json:"status"`
	Version   uint64                 `json:"version"`
	Uses      uint64                 `json:"uses"`
	CreatedAt time.Time              `json:"created_at"`
	UpdatedAt time.Time              `json:"updated_at"`
	UpdatedBy string                 `json:"updated_by"`
	Why       string                 `json:"why,omitempty"`
	Source    string                 `json:"source,omitempty"`  // the file that is its home: sops:NAME
	Remarks   []string               `json:"remarks,omitempty"` // of a change just made: likely mistakes, fingerprints to compare
}

// Page is a page of a list; Next is the cursor of the one after, "" at the end.
type Page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next_cursor,omitempty"`
}

// NewResource asks for a resource.
type NewResource struct {
	Kind    string            `json:"kind"`
	Handle  string            `json:"handle,omitempty"`
	Attrs   map[string]string `json:"attrs,omitempty"`
	Secrets map[string]Value  `json:"secrets,omitempty"`
	Labels  map[string]string `json:"labels,omitempty"`
	Project string            `json:"project,omitempty"`
	Policy  *policy.Policy    `json:"policy,omitempty"`
	Why     string            `json:"why,omitempty"`
	ToFile  string            `json:"to_file,omitempty"` // name of a file of secrets, "vault" for none; "": as configured
}

// EditResource changes a resource: what is absent stays, an empty attribute or label goes.
type EditResource struct {
	Attrs     map[string]string `json:"attrs,omitempty"`
	Secrets   map[string]Value  `json:"secrets,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
	Project   *string           `json:"project,omitempty"`
	Status    *string           `json:"status,omitempty"`
	IfVersion uint64            `json:"if_version,omitempty"`
	Why       string            `json:"why,omitempty"`
}

// SetPolicy replaces a resource's policy. The whole policy stands in it: a body without one would take away what a person wrote.
type SetPolicy struct {
	Policy    *policy.Policy `json:"policy"`
	IfVersion uint64         `json:"if_version,omitempty"`
	Why       string         `json:"why,omitempty"`
}

// Rename gives a resource another handle.
type Rename struct {
	Handle string `json:"handle"`
}

// Rollback makes an earlier version present again.
type Rollback struct {
	Version uint64 `json:"version"`
	Why     string `json:"why,omitempty"`
}

// HostKey is a server's key as found on the wire.
type HostKey struct {
	Key         string `json:"key"`         // authorized-key form
	Fingerprint string `json:"fingerprint"` // SHA256:…
	Pinned      bool   `json:"pinned"`      // it is the one pinned now
}

// NewAgent asks for an agent.
type NewAgent struct {
	Name      string   `json:"name"`
	Role      string   `json:"role,omitempty"`
	Projects  []string `json:"projects,omitempty"`
	Kinds     []string `json:"kinds,omitempty"`
	Labels    []string `json:"labels,omitempty"`
	Scopes    []string `json:"scopes,omitempty"` // of an operator's token: read, write, admin; none: read and write
	PerMinute int      `json:"per_minute,omitempty"`
	Attended  bool     `json:"attended,omitempty"`
}

// Agent is an agent as the operator sees it. Token is there once, in the reply that made it.
type Agent struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Role      string    `json:"role"`
	Projects  []string  `json:"projects"`
	Kinds     []string  `json:"kinds"`
	Labels    []string  `json:"labels,omitempty"`
	Scopes    []string  `json:"scopes,omitempty"` // of an operator's token
	Attended  bool      `json:"attended"`
	CreatedAt time.Time `json:"created_at"`
	Token     string    `json:"token,omitempty"`
}

// NewProject asks for a project.
type NewProject struct {
	Slug  string `json:"slug"`
	Title string `json:"title,omitempty"`
}

// NewWorkdir opens a folder to runs.
type NewWorkdir struct {
	Path    string   `json:"path"` // absolute, without symbolic links
	Mode    string   `json:"mode"` // ro, rw, overlay
	Agents  []string `json:"agents,omitempty"`
	Project string   `json:"project,omitempty"`
	Force   bool     `json:"force,omitempty"` // it is a person's home or a program's folder, and meant
}

// Feature is one part of the isolation that runs get, as it was found by trying it.
type Feature struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	Lost string `json:"lost,omitempty"` // what does not hold without it
	Fix  string `json:"fix,omitempty"`  // how to get it
}

// Isolation is what runs of this daemon are isolated by.
type Isolation struct {
	Level    string    `json:"level"`
	Features []Feature `json:"features,omitempty"`
}

// Server is a provider's machine as the operator sees it. Its address is hidden even here: it is a sealed field.
type Server struct {
	ID         string `json:"id"`
	Handle     string `json:"handle,omitempty"`
	Provider   string `json:"provider"`
	ProviderID string `json:"provider_id"`
	Status     string `json:"status"`
	IsManaged  bool   `json:"is_managed"`
	Ghost      bool   `json:"ghost,omitempty"`
	Intent     string `json:"intent"`
	CPU        int    `json:"capacity_cpu"`
	RAMMB      int    `json:"capacity_ram_mb"`
	DiskMB     int    `json:"capacity_disk_mb"`

	UsedRAMMB      int `json:"used_ram_mb"` // observed
	UsedDiskMB     int `json:"used_disk_mb"`
	ReservedCPU    int `json:"reserved_cpu"` // held by live leases
	ReservedRAMMB  int `json:"reserved_ram_mb"`
	ReservedDiskMB int `json:"reserved_disk_mb"`
	KeptCPU        int `json:"kept_cpu"` // stays free
	KeptRAMMB      int `json:"kept_ram_mb"`
	KeptDiskMB     int `json:"kept_disk_mb"`
	FreeCPU        int `json:"free_cpu"` // can be allocated: capacity less max(reserved, used) and what is kept
	FreeRAMMB      int `json:"free_ram_mb"`
	FreeDiskMB     int `json:"free_disk_mb"`

	OS       string    `json:"os_template,omitempty"`
	AgeS     *int64    `json:"data_age_s"` // null: never observed
	LastSeen time.Time `json:"last_seen,omitzero"`
}

// Servers is the list with the age of the sync behind it.
type Servers struct {
	Items []Server `json:"items"`
	Sync  SyncInfo `json:"sync"`
}

// SyncInfo says how fresh the provider's data is.
type SyncInfo struct {
	Configured  bool      `json:"configured"`
	LastSuccess time.Time `json:"last_success,omitzero"`
	AgeS        *int64    `json:"age_s"` // null: never
	Failing     bool      `json:"failing"`
	Code        string    `json:"code,omitempty"` // of the failure
	Failures    int       `json:"failures,omitempty"`
}

// Adopt makes a discovered server a resource.
type Adopt struct {
	Handle  string            `json:"handle"`
	Attrs   map[string]string `json:"attrs,omitempty"`
	Secrets map[string]Value  `json:"secrets,omitempty"`
	Labels  map[string]string `json:"labels,omitempty"`
	Project string            `json:"project,omitempty"`
}

// Manage says what the operator wants of a server: yes, no, auto.
type Manage struct {
	Intent string `json:"intent"`
}

// Reserve says what to keep of a server, or of all: what is absent or empty stays as it is. Ports are text, as in 8000-8999,9100.
type Reserve struct {
	RAMMB  *int    `json:"ram_mb,omitempty"`
	DiskMB *int    `json:"disk_mb,omitempty"`
	CPU    *int    `json:"cpu,omitempty"`
	Ports  *string `json:"ports,omitempty"` // every port that is given lies in these; "": as built in
	Keep   string  `json:"keep,omitempty"`  // never to be given from now on
	Free   string  `json:"free,omitempty"`  // no longer kept
	Reset  bool    `json:"reset,omitempty"` // first forget all that was said
}

// OpenRun asks for the plan of a person's own open run.
type OpenRun struct {
	Refs    []string `json:"refs"`
	Command []string `json:"command"`
}

// EndRun tells how an open run ended.
type EndRun struct {
	State      string `json:"state"`
	ExitCode   int    `json:"exit_code"`
	Redactions int    `json:"redactions"`
	OutBytes   int64  `json:"output_bytes"`
}

// StoppedRun tells how a run ended that was stopped.
type StoppedRun struct {
	RunID string `json:"run_id"`
	State string `json:"state"`
}

// Presence proves a person, by a passphrase or by the answer to a challenge; or it sets what will.
type Presence struct {
	Passphrase Value  `json:"passphrase,omitempty"`
	Answer     Value  `json:"answer,omitempty"`    // base64
	By         string `json:"by,omitempty"`        // to set a key: plugin, keyring
	Recipient  string `json:"recipient,omitempty"` // of that key
	Identity   string `json:"identity,omitempty"`  // of a plugin's key: what the plugin is given; no secret
}

// Wipe erases it.
func (p Presence) Wipe() {
	p.Passphrase.Wipe()
	p.Answer.Wipe()
}

// Status is the daemon's state.
type Status struct {
	Files []SecretFile `json:"secret_files,omitempty"`

	Store     string    `json:"store,omitempty"` // where the vault is: its file, or the database without user and password
	Version   string    `json:"version"`
	VaultID   string    `json:"vault_id"`
	PID       int       `json:"pid"`
	StartedAt time.Time `json:"started_at"`
	Listen    string    `json:"listen,omitempty"`
	Locked    bool      `json:"locked"`
	Isolation string    `json:"isolation"`          // the level that runs get
	Features  []Feature `json:"features,omitempty"` // what makes it, and what is lost
	Presence  bool      `json:"presence"`           // something proves it

	PresenceBy string `json:"presence_by,omitempty"` // passphrase, plugin, keyring

	Runs   int      `json:"runs"`
	Leases int      `json:"leases"`
	Held   int      `json:"held_changes"` // runs whose changes beside folders wait for a person's word
	Sync   SyncInfo `json:"sync"`

	Replicas []Replica `json:"replicas,omitempty"` // the daemons that have the vault open, where it is in a database
}

// Replica is one daemon of those that share a vault.
type Replica struct {
	ID        string    `json:"id"` // rpl_…
	Host      string    `json:"host"`
	PID       int       `json:"pid"`
	Version   string    `json:"version"`
	StartedAt time.Time `json:"started_at"`
	Self      bool      `json:"self"`  // it is the one that answers
	Leads     bool      `json:"leads"` // it does what the clock asks for
}
