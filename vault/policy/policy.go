// Package policy says what may be done with a resource, by whom and how.
//
// Promise: deny by default; a policy can be read as a whole, and everything that it does not allow is refused with the sentence that says how a
// person could allow it. The policy is part of the resource's record and so under its MAC: a changed row is refused, not obeyed
// (threat-model.md 72).
package policy

import "time"

// Delivery is how a resource reaches a command. Names are frozen.
type Delivery string

// The deliveries of docs/design.md §7.
const (
	Broker Delivery = "broker" // a placeholder; the egress proxy swaps it
	SSH    Delivery = "ssh"    // an authenticated connection
	Env    Delivery = "env"    // the true value in the environment: pinned commands only
	File   Delivery = "file"   // the true value in a file that goes with the run: pinned commands only
	None   Delivery = "none"   // zavhoz itself makes the request
)

// Level is an isolation level. Names and order are frozen: open < proxied < basic < sealed < vaulted.
type Level string

// The levels of docs/design.md §7.
const (
	LevelOpen    Level = "open"
	LevelProxied Level = "proxied"
	LevelBasic   Level = "basic"
	LevelSealed  Level = "sealed"
	LevelVaulted Level = "vaulted"
)

// Policy is a resource's policy. The zero Policy is the default: any agent whose grants cover it, stand-in deliveries of the kind only, no pins.
type Policy struct {
	Agents     []string   `json:"agents,omitempty"`     // agent names; empty: unrestricted (any agent whose grants cover it)
	Deliveries []Delivery `json:"deliveries,omitempty"` // empty: the kind's stand-in deliveries (broker, ssh, none)
	Hosts      []HostRule `json:"hosts,omitempty"`      // empty: the kind's own hosts
	Pins       []Pin      `json:"pins,omitempty"`
	Approval   string     `json:"approval,omitempty"` // "" | "first": a person looks at it before agents use it | "always": a person approves each run
	MinLevel   Level      `json:"min_level,omitempty"`
	MaxUses    uint64     `json:"max_uses,omitempty"`  // over all leases; 0: no limit
	MaxTTL     int        `json:"max_ttl_s,omitempty"` // of one lease, seconds
	Expires    time.Time  `json:"expires_at,omitzero"`
	Resolve    []string   `json:"resolve,omitempty"`       // host=ip, for internal services
	Private    bool       `json:"allow_private,omitempty"` // may reach private addresses
	UpstreamCA string     `json:"upstream_ca,omitempty"`   // PEM certificates to trust for its hosts
	Exec       []string   `json:"exec,omitempty"`          // ssh: patterns of remote commands allowed; empty: any
	SFTP       bool       `json:"sftp,omitempty"`          // ssh: sftp, scp and rsync too where Exec names patterns; they write whatever the user may
	SSHAgent   bool       `json:"ssh_agent,omitempty"`     // ssh: a run may ask a restricted agent to sign, so that its own ssh can jump through this server
	// PassThrough is hosts, as host[:port], that a run with this resource reaches through a plain tunnel: no credential goes there, nothing is read, who was
	// spoken to and how much is recorded. A model may send there whatever it knows.
	PassThrough []string `json:"pass_through,omitempty"`
}

// HostRule allows requests to a host.
type HostRule struct {
	Host    string   `json:"host"`              // exact, or "*.example.org" for one or more labels below
	Port    int      `json:"port,omitempty"`    // 0: 443
	Methods []string `json:"methods,omitempty"` // empty: GET HEAD POST PUT PATCH DELETE OPTIONS
	Paths   []string `json:"paths,omitempty"`   // prefixes ending in "/" or "/*", or exact; "*" alone stands for one segment; empty: all
	// Deny refuses before anything allows: "/path" for every method, or "POST,PUT:/path"; compared without regard to case. The catalogue names
	// here what makes or shows keys (threat-model.md 40).
	Deny []string `json:"deny,omitempty"`
	// KeyEndpoints lifts what the kind denies on this host; only a person writes it. It says nothing about Deny.
	KeyEndpoints bool `json:"allow_key_endpoints,omitempty"`
}

// Pin is a command that may hold the true value.
type Pin struct {
	Name   string   `json:"name"`             // shape of a handle
	Argv   []string `json:"argv"`             // argv[0] absolute; other elements literal or with typed holes: {n:int}
	SHA256 string   `json:"sha256,omitempty"` // hex, of the binary; empty: not checked
	Cwd    string   `json:"cwd,omitempty"`    // absolute; "" for a private temporary folder
	Env    []string `json:"env,omitempty"`    // names of plain variables that the caller may set
	Stdin  bool     `json:"stdin,omitempty"`  // the caller may give stdin
	// Files are the hashes (hex SHA-256) of the files that argv names by an absolute path: a script that a shell is given is as much the command as the shell is.
	Files map[string]string `json:"files,omitempty"`
	// Open starts it without walls, for what needs the machine itself (docker, a network of its own): it can then take the value anywhere.
	Open bool `json:"open,omitempty"`
}
