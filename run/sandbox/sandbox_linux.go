package sandbox

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zavhoz/zavhoz/run/sandbox/cgroup"
	"github.com/zavhoz/zavhoz/run/sandbox/landlock"
	"github.com/zavhoz/zavhoz/run/sandbox/private"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// Sandbox makes boxes. It is safe for concurrent use.
type Sandbox struct {
	o         Options
	ids       *identities
	abi       int           // of Landlock
	patience  time.Duration // with what was told to end and does not
	folders   *private.Folders
	launchers launchers
	systems   systems

	grouped  atomic.Bool // control groups can be made
	bounded  atomic.Bool // … and bound memory or processes
	probing  sync.Mutex
	probed   *Report
	probedAt time.Time

	sweeping sync.WaitGroup

	mu    sync.Mutex
	boxes map[*Box]bool
}

func newSandbox(o Options) (*Sandbox, error) {
	if o.TempDir == "" {
		o.TempDir = os.TempDir()
	}
	s := &Sandbox{o: o, ids: newIdentities(), abi: landlock.ABI(), patience: killWithin, boxes: map[*Box]bool{}}
	s.folders = private.New(o.TempDir, s.ids.choose) // the run's own user passes through to its home
	s.sweeping.Go(s.sweep)
	return s, nil
}

// sweep removes what daemons that were killed left behind: control groups first, for what is in them could still write to the folders.
func (s *Sandbox) sweep() {
	if err := errors.Join(cgroup.Sweep(), private.Sweep(s.o.TempDir)); err != nil && s.o.Log != nil {
		s.o.Log.Warn("what a killed daemon left behind could not be removed", "error", err)
	}
}

// open makes a box at exactly that level.
func (s *Sandbox) open(o BoxOptions, level policy.Level) (*Box, error) {
	b, err := s.newBox(o, level)
	if err != nil {
		return nil, err
	}
	s.enter(b)
	return b, nil
}

// Close ends every box, and then the launcher.
func (s *Sandbox) Close() error {
	first := s.closeBoxes()
	s.launchers.close()
	s.sweeping.Wait()
	if err := s.folders.Close(); err != nil && first == nil {
		first = internal("remove a folder", err)
	}
	return first
}

// tempRoot is the system's folder for temporary files: what lies beside ours there is not ours.
func (s *Sandbox) tempRoot() string { return filepath.Clean(os.TempDir()) }

// machineMB is the machine's memory.
func machineMB() int {
	var si unix.Sysinfo_t
	if unix.Sysinfo(&si) != nil {
		return 1024
	}
	return int(uint64(si.Totalram) * uint64(si.Unit) >> 20)
}

// scratchBytes bounds what a box may write into memory: home, /tmp, /run and /dev/shm together.
func (s *Sandbox) scratchBytes() int { return max(64, min(2048, machineMB()/4)) << 20 }

// defaults are generous: they stop what runs away, not what works. Programs with collectors reserve far more address space than they use, so
// what counts is private writable memory.
func (s *Sandbox) defaults() Limits {
	return Limits{MemoryMB: max(512, min(8192, machineMB()*3/4)), Processes: 1024, OpenFiles: 1024, FileMB: 4096, LayerMB: 4096, LayerFiles: maxChanges}
}
