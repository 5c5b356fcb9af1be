package api

import "time"

// Approval is one thing that waits for a person's word. It holds no value, no address and no name of a file that a run wrote.
type Approval struct {
	ID string `json:"id"` // KIND:NAME; of a secret KIND:PROJECT:NAME; of a call apr_…
	// Kind is call (of an agent, whose every run with a resource a person approves), secret (a project lacks a value), environment (a changed definition that nobody looked at), host_key (a server's, before its first use), rotation (one that does not get on), changes (what a
	// run wrote beside folders), intake (a request that a person give a secret), file_change and file_loss (of a file of secrets), servers_gone (more than a sync believes at once).
	Kind      string    `json:"kind"`
	Project   string    `json:"project,omitempty"`
	Handle    string    `json:"handle,omitempty"`
	What      string    `json:"what"` // in words
	Since     time.Time `json:"since,omitzero"`
	Until     time.Time `json:"until,omitzero"`    // then it is denied by itself
	Command   string    `json:"command"`           // what a person types
	Request   string    `json:"request,omitempty"` // the route by which a program with the scope write gives what is waited for
	Decisions []string  `json:"decisions"`         // what POST …/approvals/{id} takes from this caller: approve, which asks for presence; deny

	Call *AskedCall `json:"call,omitempty"` // what an agent asks to do
}

// AskedCall is an agent's call that a person judges. Secrets of the vault are masked in it. What a machine takes to the letter (argv, cwd, folders, env, url, headers, the texts) has nothing but
// printable ASCII as it is: the rest is escaped as \u0430 or \x1b, a backslash as two; what is cut stands between ⟨ and ⟩.
type AskedCall struct {
	Agent      string            `json:"agent"`
	State      string            `json:"state"`          // waiting, approved, denied, spent, expired
	Sort       string            `json:"sort"`           // run, request
	Argv       []string          `json:"argv,omitempty"` // of a run
	Pin        string            `json:"pin,omitempty"`  // the pinned command that it is: it may hold values
	Cwd        string            `json:"cwd,omitempty"`
	Folders    []string          `json:"folders,omitempty"` // MODE PATH
	Env        map[string]string `json:"env,omitempty"`
	Stdin      *AskedText        `json:"stdin,omitempty"`
	Method     string            `json:"method,omitempty"` // of a request
	URL        string            `json:"url,omitempty"`
	Headers    map[string]string `json:"headers,omitempty"`
	Body       *AskedText        `json:"body,omitempty"`
	Capture    string            `json:"capture,omitempty"` // kind, handle and fields of the resource that it would make; behind them "purpose: " and the agent's words
	TimeoutS   int64             `json:"timeout_s"`
	Background bool              `json:"background,omitempty"`
	Purpose    string            `json:"purpose,omitempty"` // the agent's words, when it took the leases
	Context    string            `json:"context,omitempty"`
	Isolation  string            `json:"isolation"`
	Resources  []AskedResource   `json:"resources"`
	DecidedAt  time.Time         `json:"decided_at,omitzero"`
	DecidedBy  string            `json:"decided_by,omitempty"`
	Why        string            `json:"why,omitempty"` // the person's reason; of one that expired early, what ended it
	Run        string            `json:"run,omitempty"` // the run that it was spent by
}

// AskedResource is a resource of a call, as it was when the call was made: of another version or policy the approval is worth nothing.
type AskedResource struct {
	Handle   string `json:"handle"`
	Kind     string `json:"kind"`
	Project  string `json:"project"`
	Version  uint64 `json:"version"`
	Delivery string `json:"delivery"`        // how the command would get it
	Asks     string `json:"asks,omitempty"`  // first, always; none where it is another resource that asks
	Lease    string `json:"lease,omitempty"` // none where the handle came bare
}

// AskedText is what goes along with a call on stdin, or as a body.
type AskedText struct {
	Bytes  int    `json:"bytes"`
	SHA256 string `json:"sha256"` // hex; with secrets masked
	Text   string `json:"text"`   // its beginning and end
}

// Decide says what becomes of what waits.
type Decide struct {
	Decision string `json:"decision"` // approve, deny
	Why      string `json:"why,omitempty"`
}

// Decided tells what was decided.
type Decided struct {
	ID       string `json:"id"`
	Decision string `json:"decision"`
}
