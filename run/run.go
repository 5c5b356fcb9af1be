// Package run turns (resources, command) into one execution, and an execution into what may be told of it.
//
// Promise: a command that a model chose never holds a true value, and starts only within walls (run/sandbox): it gets placeholders, which the run's own egress
// proxy swaps on the way to the hosts that the resource allows, an ssh that is authenticated already, a front for its database. A command that a person
// pinned for every resource in the call may hold the values, within the same walls. ["ssh", HANDLE, ARG…] this process itself speaks; a person's own `run --open`
// gets a plan and starts in their terminal. The run is authorised, counted and recorded durably before anything is opened; what it holds is gone when it ends;
// every byte that comes back passes the redactor before anything is cut.
//
// The steps, each a small type: authorise (Authority) → plan (plan) → propose, where a person approves (vault.Proposal) → fit out (outfit: run/egress, run/ssh, run/postgres; run/deliver) → confine (Walls) → start →
// stream (sink) → redact (masks) → report (Result).
//
// Attacks stopped: threat-model.md 1, 2 (redaction), 5 and 60 (a budget), 23, 24, 26, 27, 51, 61 (a clean start), 47 to 49 and 68 (ssh), 50, 58, 59 (masking
// before cutting, no timer), 63 and 64 (every call is authorised, every run has an owner).
//
// Limits: a pinned command that disguises a value by XOR, a cipher or compression leaks it: pins are a person's trust in a command. A secret that
// is added to the vault while a run writes is masked from then on; of what the run wrote before, nothing is taken back.
package run

import (
	"context"
	"log/slog"
	"time"

	"github.com/zavhoz/zavhoz/run/capture"
	"github.com/zavhoz/zavhoz/run/sandbox"
	"github.com/zavhoz/zavhoz/run/ssh"
	"github.com/zavhoz/zavhoz/vault"
	"github.com/zavhoz/zavhoz/vault/audit"
	"github.com/zavhoz/zavhoz/vault/keyring"
	"github.com/zavhoz/zavhoz/vault/kind"
	"github.com/zavhoz/zavhoz/vault/policy"
	"github.com/zavhoz/zavhoz/vault/secret"
)

// Request asks for a run.
type Request struct {
	Actor      vault.Actor
	Refs       []string // handles or lease ids
	Command    []string // argv; no shell
	Stdin      []byte   // empty: the null device
	Cwd        string   // "" or what the pin says
	Env        map[string]string
	Timeout    time.Duration // 0: 60 s; at most 1 h, in the background 24 h
	Background bool          // answer at once; the run outlives the caller
	Progress   func(Progress)
	Capture    *capture.Spec // what becomes a new resource of the standard output, which is then not shown; nil: nothing

	capture *capture.Plan // of Capture, checked
}

// Progress is what may be told of a run under way: no content.
type Progress struct {
	RunID   string
	Elapsed time.Duration
	Bytes   int64 // of redacted output so far, both streams
}

// Result is what may be told of a run. Output is redacted and made harmless to read.
type Result struct {
	RunID       string
	State       vault.RunState
	ExitCode    int    // the command's own, or 128+signal
	Stdout      string // the tail; for Get the part from the offset on
	Stderr      string
	StdoutBytes int64 // redacted bytes in all
	StderrBytes int64
	Truncated   bool // earlier output is missing here
	Redactions  int
	Foreign     int               // what looked like a secret of somebody else's, and was masked
	Denials     []Denial          // what the run's proxy refused
	Hints       []Hint            // what is to be known of requests that it let through
	Changes     []sandbox.Change  // what it wrote beside overlaid folders, held for a person's word (Engine.Settle)
	From        string            // the earlier run whose changes beside folders it went on from; "": none
	Apart       string            // a run of the same agent that was under way beside one of the folders: this one saw none of its changes; "": none
	In          string            // the later run that went on from its changes, and holds them now; "": none
	Isolation   string            // a policy.Level, or "in_process"
	Delivered   map[string]string // handle → policy.Delivery
	NextOffset  int64             // for Get: where the next output begins; counts redacted bytes of both streams in the order in which they came
	Duration    time.Duration
	Failure     *Failure      // why it did not end by itself; nil where it did, or where it was stopped on demand
	Captured    *capture.Kept // what the standard output became; it is not shown
	Withheld    bool          // output_withheld: it seems to hold a disguised secret, or held too many
}

// InProcess is the isolation of a run for which no process starts here.
const InProcess = "in_process"

// Authority decides and records (vault.Vault). Its refusals are faults, shown as they are, but for the words of a denial.
type Authority interface {
	// Authorise consumes nothing.
	Authorise(ctx context.Context, actor vault.Actor, refs []string) ([]vault.Use, error)
	// StartRun authorises again, spends the approval that a use asks for, and records, in one transaction, durable when it returns. It sets the run's id. Where nobody has approved it keeps
	// the run's Proposal, and refuses.
	StartRun(ctx context.Context, actor vault.Actor, run vault.Run, uses []vault.Use) (vault.Run, []vault.Use, error)
	EndRun(ctx context.Context, run vault.Run) error
	// GetRun refuses who is neither the run's agent nor an operator.
	GetRun(ctx context.Context, actor vault.Actor, id string) (vault.Run, error)
	// SpendRedactions counts matches against leases, and ends those over their budget.
	SpendRedactions(ctx context.Context, leases []string, n int) (ended bool, err error)
}

// Opener opens sealed fields (vault/open.Opener).
type Opener interface {
	Open(ref keyring.Ref, sealed string) (secret.Secret, error)
}

// Rules are what kinds and policies say about commands and deliveries; see DefaultRules.
type Rules interface {
	// MatchPin finds the pin that argv fits, and the argv that it stands for; or command_not_pinned, command_mismatch.
	MatchPin(r vault.Resource, argv []string) (policy.Pin, []string, error)
	// MatchExec refuses a remote command that the resource's policy does not allow.
	MatchExec(r vault.Resource, line string) error
	// Allows tells whether kind and policy let the resource be delivered so.
	Allows(r vault.Resource, d policy.Delivery) bool
	// EnvVars gives the variables that the resource fills.
	EnvVars(r vault.Resource) []kind.EnvVar
	// StandIn tells how a command uses the resource without holding it.
	StandIn(r vault.Resource) StandIn
	// EnvNameAllowed tells whether a caller may set a plain variable of that name.
	EnvNameAllowed(name string) bool
}

// Walls confine what starts here (run/sandbox.Sandbox).
type Walls interface {
	// Level is the strongest that it gives here, found by doing.
	Level() policy.Level
	// Open makes the place that one run happens in.
	Open(ctx context.Context, o sandbox.BoxOptions) (*sandbox.Box, error)
	// Layers finds again what runs wrote beside folders; Same tells whether such a folder is still the one at its path.
	Layers(dir string, list []sandbox.Layer) *sandbox.Layers
	Same(l sandbox.Layer) bool
}

var _ Walls = (*sandbox.Sandbox)(nil)

// Options wire an Engine.
type Options struct {
	Authority Authority
	Opener    Opener
	Keeper    capture.Keeper // takes what runs and requests capture (vault.Vault); nil: nothing can be captured
	Rules     Rules          // nil: DefaultRules
	Sandbox   Walls          // nil: none, and then no command that a caller chose starts
	// Workdirs gives the folders that a person opened for a cwd, the one that holds it first (vault.Vault.WorkdirsFor); workdir_refused otherwise. nil: none.
	Workdirs func(ctx context.Context, actor vault.Actor, project, path string) ([]sandbox.Workdir, error)
	// AgentsWrite tells whether a run of some agent may write at path, or in a folder below it. nil: none may.
	AgentsWrite func(ctx context.Context, path string) (bool, error)
	// Note records what happens during a run, in order (vault.Vault.Note). When it fails, what it tells of must not happen. nil: nothing is recorded.
	Note func(ctx context.Context, e audit.Event) error
	// Noted waits until what was noted is durable: before a run's result is told. nil: nothing is waited for.
	Noted func(ctx context.Context) error
	// MayGoOn tells whether a run under way is still allowed (vault.Vault.MayGoOn). nil: once begun it is.
	MayGoOn func(ctx context.Context, r vault.Run) error
	// Mint makes a short-lived credential from a resource (kind.Swap.Minted). nil: none can be made.
	Mint func(ctx context.Context, r vault.Resource, minted string) (secret.Secret, error)
	// Present gives a resource as it is now, by its id (vault.Vault.Resource): a run that is under way uses a credential that was exchanged meanwhile. nil: it does not.
	Present func(ctx context.Context, id string) (vault.Resource, error)
	// Environment gives what a resource of kind environment is made of now (vault.Vault.EnvironmentOf). nil: no environment can be used.
	Environment func(ctx context.Context, actor vault.Actor, r vault.Resource) (vault.EnvironmentValues, error)
	// Secrets gives every secret of the vault with its public label (handle.field), one at a time; what it gives is wiped after add. An output may
	// hold a secret that the run was not given (a server's own .env). nil: only the run's own are masked.
	Secrets func(ctx context.Context, add func(label string, s secret.Secret)) error
	SSH     ssh.Options
	TempDir string // where private folders are made; "" for the system's
	// Shelf is the folder, made at need, for what runs wrote beside folders and nobody has decided on: it outlives the engine. "": a private one that goes with it.
	Shelf string
	MAC   func(label string, parts ...[]byte) [32]byte // marks what is written there as ours (keyring.Keyring.MAC); nil: Shelf is not used

	Self      string    // the daemon that runs are of (vault.Run.Owner), where several share the vault
	Elsewhere Elsewhere // the runs of the others; nil: there are none

	PerAgent   func(vault.Actor) int // runs at once; nil or ≤ 0: 8
	Total      int                   // runs at once; default 64
	MaxTimeout time.Duration         // the longest run that is waited for; default 1 h
	KeepOutput int                   // bytes of each stream that a reply shows; default 64 KiB
	RingOutput int                   // bytes of each stream that a background run keeps for Get; default 512 KiB
	KeepFor    time.Duration         // how long the output of an ended run stays; default 15 min
	KeepRuns   int                   // of how many ended runs; default 64
	// RedactionBudget is how many matches one run may print before the rest of its output is withheld (threat-model.md 60). The lease's own budget over
	// all its runs is the Authority's. Default 200: an honest `set -x` script prints a token some dozen times; an oracle needs thousands of guesses.
	RedactionBudget int
	MatcherIdle     time.Duration // how long the unused matcher of all secrets stays in memory; default 5 min
	ProgressEvery   time.Duration // default 5 s
	Asleep          bool          // the vault is locked: nothing runs, and nothing is read from Shelf, until Wake
	Clock           func() time.Time
	Log             *slog.Logger
}

func orDefault[T int | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

func (o *Options) setDefaults() {
	orDefault(&o.Total, 64)
	orDefault(&o.MaxTimeout, maxTimeout)
	orDefault(&o.KeepOutput, 64<<10)
	orDefault(&o.RingOutput, 512<<10)
	orDefault(&o.KeepFor, 15*time.Minute)
	orDefault(&o.KeepRuns, 64)
	orDefault(&o.RedactionBudget, 200)
	orDefault(&o.MatcherIdle, 5*time.Minute)
	orDefault(&o.ProgressEvery, 5*time.Second)
	if o.MAC == nil {
		o.Shelf = ""
	}
	if o.Rules == nil {
		o.Rules = DefaultRules{}
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}
