package vault

import "time"

// RunState is where a run is. Names are frozen.
type RunState string

// The states of a run.
const (
	RunRunning  RunState = "running"
	RunExited   RunState = "exited"    // by itself: see ExitCode
	RunStopped  RunState = "stopped"   // by stop_run or a person
	RunTimedOut RunState = "timed_out" // by its timeout
	RunFailed   RunState = "failed"    // it never started, or zavhoz failed it: see Code
	RunLost     RunState = "lost"      // the daemon died while it ran
)

// Run is the record of one execution, kept without its output.
type Run struct {
	Format     int               `json:"format"` // 1
	ID         string            `json:"id"`     // run_…
	Actor      Actor             `json:"actor"`
	Owner      string            `json:"owner,omitempty"`    // the daemon that runs it (rpl_…), where several share the vault
	Host       string            `json:"host,omitempty"`     // that daemon's machine, for people: what the run wrote beside folders lies there, also when the daemon is gone
	Approval   string            `json:"approval,omitempty"` // apr_…, a person's word for it, where one was needed
	Leases     []string          `json:"leases"`
	Handles    []string          `json:"handles"`
	Command    []string          `json:"command"`   // argv after redaction, each element cut at 200 bytes, 64 elements at most
	Isolation  string            `json:"isolation"` // a policy.Level, or "in_process" where no process starts
	Delivered  map[string]string `json:"delivered"` // handle → policy.Delivery
	Background bool              `json:"background,omitempty"`
	State      RunState          `json:"state"`
	ExitCode   int               `json:"exit_code"`
	Code       string            `json:"code,omitempty"`    // fault code, where it failed
	Message    string            `json:"message,omitempty"` // the fault's sentence, after redaction
	Next       string            `json:"next,omitempty"`    // the fault's next step, after redaction
	Redactions int               `json:"redactions"`
	OutBytes   int64             `json:"output_bytes"`
	StartedAt  time.Time         `json:"started_at"`
	EndedAt    time.Time         `json:"ended_at,omitzero"`
	Proposal   *Proposal         `json:"-"` // of a run that is to start, where a person may have to approve it
}
