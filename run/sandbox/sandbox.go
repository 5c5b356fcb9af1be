// Package sandbox confines a command that a model chose, to what its run was given.
//
// Promise: the command sees a machine of its own: the system's programs read-only, a private home and private temporary folders, the working
// directories that the operator named, the files and listeners of its Spec, and nothing else; its environment, descriptors and arguments are
// exactly the Spec's; when it ends, so does all that it started. What a level demands and this machine does not have refuses the run: nothing
// weaker is taken in its place. A true value that a pinned command holds goes through no process of ours but the one that becomes the command.
//
// How, on Linux: a launcher, which is this program executed anew with an empty environment and no secret, forks for the daemon (Main): whoever makes a
// user namespace must be dumpable for a moment to map itself, and a copy of the daemon's memory must never be. The child that it forks has no Go runtime:
// it performs a recipe, a list of system calls that the daemon wrote (recipe_linux.go, perform_linux.go), and is then the first process of the box: one
// thread, no capability, not dumpable, waiting for orphans. The command is its child. The next child is forked ahead, with its namespaces. At sealed and vaulted it has user, mount, process, network, IPC, UTS and cgroup namespaces, a
// root in memory, Landlock and a seccomp filter; a run of a root daemon is never root, nor anybody that exists: it has a user of its own, for
// whom the operator's folders are translated (idmapped mounts). At basic Landlock, the filter and the connect broker do without namespaces. On
// macOS (proxied) there is sandbox-exec.
//
// Attacks stopped (threat-model.md), by tests of those numbers: what is left for the next run (6), hooks dropped for others (7), connections and
// datagrams to anybody else (8, 9, 12), unix sockets (15, 16), siblings' and the daemon's environment and memory (17, 18, 19), loader
// variables (23), core files (24), inherited descriptors (26), keys pushed into a terminal (27), signals to others (28), shared memory (30),
// nested namespaces (31), set-user-id (32), descendants that stay (33), a binary or a folder swapped after the check (51).
//
// Limits: where a run shares its user with the agent's own shell, that shell reads the run's environment (20): runs get stand-ins, and vaulted closes
// it. At basic System V shared memory is shared, other processes' numbers and command lines and the addresses of the machine's connections
// (/proc/net) are seen, and a root daemon's run can be given only folders that everybody may read. What overlays hold is measured, not bounded by the kernel: a run is
// over its bound for as long as that takes. A socket in a working directory can be spoken to at sealed. A kernel exploit ends all promises (52).
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

	// Layers is a folder of the caller's, for it alone, in which the layers of overlay working directories are made and stay; "": they go with the box.
	Layers string
	Had    []Layer // what an earlier box left in it: overlays of the same working directories go on from there
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
