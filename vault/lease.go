package vault

import "time"

// Lease is an agent's permission to use one resource for a purpose, for a while. Possession of its id is never permission: every use is
// authorised against it, the agent's grants and the resource's policy.
type Lease struct {
	Format      int       `json:"format"` // 1
	ID          string    `json:"id"`     // lse_…
	Agent       string    `json:"agent"`  // agt_… id
	Context     string    `json:"context,omitempty"`
	Resource    string    `json:"resource"` // res_… id
	Handle      string    `json:"handle"`   // at the time; for reading only
	Project     string    `json:"project"`  // slug of the one that it is for: the resource's, unless another was named
	Purpose     string    `json:"purpose"`
	Demand      Demand    `json:"demand"`
	Ports       []int     `json:"ports,omitempty"`
	Implicit    bool      `json:"implicit,omitempty"` // made by a call with a bare handle: one use
	MaxUses     int       `json:"max_uses,omitempty"` // 0: no limit of the lease's own
	Used        int       `json:"used"`
	Redactions  int       `json:"redactions"` // spent of the budget (threat-model.md 60)
	IdemKey     string    `json:"idem_key,omitempty"`
	IdemDigest  string    `json:"idem_digest,omitempty"`
	CreatedAt   time.Time `json:"created_at"`
	ExpiresAt   time.Time `json:"expires_at"`
	ReleasedAt  time.Time `json:"released_at,omitzero"`
	ReleasedWhy string    `json:"released_why,omitempty"` // released, revoked, expired, redactions, resource_removed, agent_removed

	Services map[string]int `json:"services,omitempty"` // ports given by name, besides Ports
}

// Demand is what a lease of a server asks of it. Zero fields ask nothing.
type Demand struct {
	RAMMB  int   `json:"ram_mb,omitempty"`
	DiskMB int   `json:"disk_mb,omitempty"`
	CPU    int   `json:"cpu,omitempty"`
	Ports  []int `json:"ports,omitempty"` // wanted ports; 0 means any free one

	Services map[string]int `json:"services,omitempty"` // ports by the name of what listens there; 0 means any free one
}

// AllocateRequest asks for a lease by handle or by kind.
type AllocateRequest struct {
	Handle  string // exactly one of Handle and Kind
	Kind    string
	Purpose string // required, ≤ 200 characters
	Project string // resources of this one only
	For     string `json:",omitempty"` // the project that it is for, "": the resource's
	Context string
	Demand  Demand
	TTL     time.Duration // 0: default 1 h; at most 24 h, or the policy's
	MaxUses int
	IdemKey string
	DryRun  bool `json:"-"` // decide, and write nothing
}

// Allocation is what AllocateRequest gives.
type Allocation struct {
	Lease    Lease
	Resource Resource
	Repeated bool // the same idempotency key was answered before
}

// Use is one authorised use of a resource in a run: what run gets to work with.
type Use struct {
	Lease    Lease // no ID yet where the handle came bare: StartRun makes the implicit lease
	Resource Resource
	// StandInOnly says that the agent may use the resource only by deliveries that never hand over the value.
	StandInOnly bool
	// Asks says that a person approves the agent's run with it: always, or first. StartRun looks for their word.
	Asks string
}

// Bounds of a lease's life.
const (
	DefaultTTL = time.Hour
	MaxTTL     = 24 * time.Hour
)
