package vault

import "time"

// ApprovalState is where a request for a person's word is. Names are frozen.
type ApprovalState string

// The states of a request.
const (
	ApprovalWaiting  ApprovalState = "waiting"
	ApprovalApproved ApprovalState = "approved" // the same call, made again, runs: once
	ApprovalDenied   ApprovalState = "denied"   // the same call is refused until ExpiresAt
	ApprovalSpent    ApprovalState = "spent"    // by the run that it names
	ApprovalExpired  ApprovalState = "expired"  // by time, or because what it asked for is not the same any more
)

// Bounds of requests.
const (
	// ApprovalLife is how long a request waits; as long a word for it is good.
	ApprovalLife = time.Hour
	// MaxApprovals is how many requests of one agent wait, are approved or were just denied: a person reads each.
	MaxApprovals = 20
)

// Approval is an agent's request that a person approves one call of its. It holds no value: what is shown of the call is masked.
type Approval struct {
	Format    int           `json:"format"` // 1
	ID        string        `json:"id"`     // apr_…
	Digest    string        `json:"digest"` // of all that it is good for, under a key of the vault: the call as it was made, not as it is shown
	Actor     Actor         `json:"actor"`  // the agent
	Uses      []ApprovalUse `json:"uses"`
	Call      ApprovalCall  `json:"call"`
	Isolation string        `json:"isolation"` // a policy.Level, or "in_process"
	State     ApprovalState `json:"state"`
	CreatedAt time.Time     `json:"created_at"`
	ExpiresAt time.Time     `json:"expires_at"`
	DecidedAt time.Time     `json:"decided_at,omitzero"`
	DecidedBy string        `json:"decided_by,omitempty"`
	Why       string        `json:"why,omitempty"` // a person's, for a denial; why it expired early
	EndedAt   time.Time     `json:"ended_at,omitzero"`
	Run       string        `json:"run,omitempty"` // run_…, that spent it
}

// ApprovalUse is one resource of the call, as it was when it was asked.
type ApprovalUse struct {
	Resource string `json:"resource"` // res_…
	Handle   string `json:"handle"`
	Kind     string `json:"kind"`
	Project  string `json:"project"`
	Version  uint64 `json:"version"`
	Policy   string `json:"policy"`          // digest
	Lease    string `json:"lease,omitempty"` // lse_…; "" where the handle came bare
	Delivery string `json:"delivery"`        // a policy.Delivery
	Asks     string `json:"asks,omitempty"`  // first, always; "" where only another resource of the call asks
}

// ApprovalCall is what a person is shown of a call. Secrets of the vault are masked; of the command, its folder, variables, address and headers everything but printable ASCII
// stands there escaped (\u0430, \x1b, \\), and what is too long is cut between ⟨ ⟩ with its length and SHA-256, so that nothing looks like what it is not.
type ApprovalCall struct {
	Sort       string            `json:"sort"` // run, request
	Argv       []string          `json:"argv,omitempty"`
	Pin        string            `json:"pin,omitempty"` // the pinned command that it is
	Cwd        string            `json:"cwd,omitempty"`
	Folders    []string          `json:"folders,omitempty"` // MODE PATH: those that it sees
	Env        map[string]string `json:"env,omitempty"`     // plain variables
	Stdin      *ApprovalText     `json:"stdin,omitempty"`
	Method     string            `json:"method,omitempty"`
	URL        string            `json:"url,omitempty"`
	Headers    map[string]string `json:"headers,omitempty"`
	Body       *ApprovalText     `json:"body,omitempty"`
	Capture    string            `json:"capture,omitempty"` // what becomes a new resource, and what for in the agent's words
	TimeoutS   int64             `json:"timeout_s"`
	Background bool              `json:"background,omitempty"`
	Purpose    string            `json:"purpose,omitempty"` // of the leases: the agent's words
	Context    string            `json:"context,omitempty"`
}

// ApprovalText is a text that goes along with a call.
type ApprovalText struct {
	Bytes  int    `json:"bytes"`
	SHA256 string `json:"sha256"` // hex; of the text with secrets masked, which is the text itself where it holds none
	Text   string `json:"text"`   // its beginning, as the command is shown
}

// Proposal is what a call comes to that a person may have to approve. It is made by who runs calls, and kept only where it is asked about.
type Proposal struct {
	Call  []byte // the whole call in one form: equal for equal calls alone. It is bound, and not kept
	Shown ApprovalCall
}

// word is a person's approval of an agent's first run with a resource whose policy asks for that: good while both stay as they were.
type word struct {
	Format   int       `json:"format"`   // 1
	Approval string    `json:"approval"` // apr_…
	Version  uint64    `json:"version"`
	Policy   string    `json:"policy"`
	At       time.Time `json:"at"`
}
