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

// BoxOptions name a box.
type BoxOptions struct {
	RunID string
	Level policy.Level // exactly this; "": the strongest that holds here
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
func New(o Options) (*Sandbox, error) { return newSandbox(o) }

// Level is the strongest level that holds here; LevelOpen where none does.
func (s *Sandbox) Level() policy.Level { return s.Probe(context.Background()).Level }

// Open makes a box at exactly o.Level, or at the strongest that holds where o.Level is empty. Fault: isolation_unavailable; nothing weaker is
// ever taken instead.
func (s *Sandbox) Open(ctx context.Context, o BoxOptions) (*Box, error) {
	have := s.Level()
	level := o.Level
	if level == "" {
		level = have
	}
	if level == policy.LevelOpen || !have.Meets(level) {
		return nil, fault.Newf(fault.IsolationMissing, "this machine offers the isolation level %s, and the run needs %s", have, level).
			WithNext("zavhoz doctor tells what is missing and how to get it")
	}
	return s.open(o, level)
}
