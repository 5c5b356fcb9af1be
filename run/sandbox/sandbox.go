// Package sandbox confines a command that a model chose.
package sandbox

import (
	"context"
	"errors"
	"log/slog"

	"github.com/zavhoz/zavhoz/vault/fault"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// Options configure a Sandbox. The zero Options are usable.
type Options struct {
	TempDir   string       // where private folders are made; "": the system's
	System    bool         // the daemon has a user of its own (a systemd unit): vaulted is possible
	Protected []string     // folders that no working directory may be, hold or lie in: the daemon's home
	Log       *slog.Logger // nil: nowhere
}

// Sandbox makes boxes. It is safe for concurrent use.
type Sandbox struct{ o Options }

// BoxOptions name a box.
type BoxOptions struct {
	RunID string
	Level policy.Level // at least this; "": the strongest that holds here
}

// Feature is one thing that confinement rests on here.
type Feature struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	Lost string `json:"lost,omitempty"` // what does not hold without it
	Fix  string `json:"fix,omitempty"`  // how to get it
}

// Report is what was found by trying.
type Report struct {
	Level    policy.Level `json:"level"`
	Features []Feature    `json:"features"`
}

// The sentinels of this package.
var (
	ErrClosed  = errors.New("sandbox: closed")
	ErrStarted = errors.New("sandbox: the process was let go already")
)

// New gives a Sandbox. Its launcher starts with the first box.
func New(o Options) (*Sandbox, error) { return &Sandbox{o: o}, nil }

// Probe tries every feature, the first time; later calls give the same report.
func (s *Sandbox) Probe(context.Context) Report { return Report{Level: policy.LevelOpen} }

// Level is the strongest level that holds here; LevelOpen where none does.
func (s *Sandbox) Level() policy.Level { return s.Probe(context.Background()).Level }

// Open makes a box. Fault: isolation_unavailable.
func (s *Sandbox) Open(context.Context, BoxOptions) (*Box, error) {
	return nil, fault.New(fault.IsolationMissing, "this machine cannot confine a command", "zavhoz doctor tells what is missing")
}

// Close ends the launcher and with it every box.
func (s *Sandbox) Close() error { return nil }

// Main makes this process the launcher if that is what it was started as; then it never returns. It is the first line of main and of TestMain.
func Main() {}
