package vault

import "time"

// Role is which door a token opens.
type Role string

// The roles, frozen.
const (
	RoleAgent    Role = "agent"    // MCP
	RoleOperator Role = "operator" // the operator's API over HTTP
)

// Scope is what an operator's token may do over HTTP.
type Scope string

// The scopes, frozen. None holds another.
const (
	ScopeRead  Scope = "read"  // what shows no value
	ScopeWrite Scope = "write" // projects, their secrets, resources, sync
	ScopeAdmin Scope = "admin" // audit, agents, and what ends the work of others
)

// LocalAgent is the agent that exists from init: who comes by the agent socket without a token.
const LocalAgent = "local"

// Agent is a named client. Its token is kept as a hash only.
type Agent struct {
	Format    int       `json:"format"` // 1
	ID        string    `json:"id"`     // agt_…
	Name      string    `json:"name"`   // unique, shape of a handle
	Role      Role      `json:"role"`
	TokenHash string    `json:"token_hash,omitempty"` // id.HashToken; "" for local
	Grants    Grants    `json:"grants"`
	Rate      Rate      `json:"rate"`
	Scopes    []Scope   `json:"scopes,omitempty"` // of an operator's token
	Attended  bool      `json:"attended"`         // a person sits at it: its client may tell them of calls that wait for their word
	CreatedAt time.Time `json:"created_at"`
}

// Grants says which resources an agent may see and allocate. An empty list grants nothing of that sort, "*" everything. A resource is
// granted when project AND kind AND (no Labels, or one of them) match.
type Grants struct {
	Projects []string `json:"projects"`
	Kinds    []string `json:"kinds"`
	Labels   []string `json:"labels,omitempty"` // key=value
}

// Rate limits an agent's calls. Zero means the default.
type Rate struct {
	PerMinute  int `json:"per_minute,omitempty"` // default 600
	Concurrent int `json:"concurrent,omitempty"` // runs at once; default 8
}

// NewAgent is what AddAgent takes.
type NewAgent struct {
	Name     string
	Role     Role
	Grants   Grants // zero: the default project, of an operator's token all of them; all kinds
	Rate     Rate
	Scopes   []Scope // of an operator's token; none: read and write
	Attended bool
}
