package sandbox

import (
	"context"
	"os"
	"path/filepath"
	"sync"

	"github.com/zavhoz/zavhoz/run/sandbox/private"
	"github.com/zavhoz/zavhoz/vault/policy"
)

// Box is the place that one run happens in. Processes may be started in it one after another or together; each has a home and memory of its own
// at sealed, and they share the home at basic.
type Box struct {
	s     *Sandbox
	id    string
	level policy.Level
	outer owner // who its processes are, outside
	home  string

	keepIn string  // where layers are made; "": in the private folder
	had    []Layer // those that are there

	mu     sync.Mutex
	dir    string // private folder of ours; "": none yet
	layers []*layer
	bound  Limits // what they may hold: the last process's
	made   int    // layers, ever
	live   map[*Process]bool
	closed bool
}

func (s *Sandbox) newBox(o BoxOptions, level policy.Level) (*Box, error) {
	outer, ok := s.ids.take()
	if !ok {
		return nil, unavailable("the daemon is root and cannot become anybody else: a run is never root")
	}
	b := &Box{s: s, id: o.RunID, level: level, outer: outer, home: agentHome, keepIn: o.Layers, had: o.Had, made: len(o.Had), live: map[*Process]bool{}}
	if !isSealed(level) {
		if err := b.makeHome(); err != nil {
			_ = b.Close()
			return nil, err
		}
	}
	return b, nil
}

// makeHome makes the private folder that basic has instead of memory of its own.
func (b *Box) makeHome() error {
	dir, err := b.folder()
	if err != nil {
		return err
	}
	b.home = filepath.Join(dir, "home")
	for _, p := range []string{b.home, b.Temp()} {
		if err := os.Mkdir(p, 0o700); err != nil {
			return internal("make the home", err)
		}
		if b.s.ids.choose {
			if err := os.Chown(p, int(b.outer.uid), int(b.outer.gid)); err != nil {
				return internal("make the home", err)
			}
		}
	}
	return nil
}

// folder gives the box's folder on the disk, made at the first use.
func (b *Box) folder() (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dir != "" {
		return b.dir, nil
	}
	dir, err := b.s.folders.Make("box-")
	if err != nil {
		return "", internal("make a folder", err)
	}
	b.dir = dir
	if b.s.ids.choose { // the run's own user passes through to its home
		if err := os.Chmod(b.dir, 0o711); err != nil {
			return "", internal("make a folder", err)
		}
	}
	return b.dir, nil
}

// Level is the level that the box has.
func (b *Box) Level() policy.Level { return b.level }

// Home is the private, writable folder, as the command sees it: empty at the start, gone at the end.
func (b *Box) Home() string { return b.home }

// Temp is where temporary files go (TMPDIR), as the command sees it. At basic the system's own is out of reach.
func (b *Box) Temp() string {
	if b.Named() {
		return "/tmp"
	}
	return filepath.Join(b.home, "tmp")
}

// giveAway gives what is made in the home to the run's user.
func (b *Box) giveAway() func(*os.Root, string) error {
	return func(root *os.Root, p string) error {
		if !b.s.ids.choose {
			return nil
		}
		return root.Lchown(p, int(b.outer.uid), int(b.outer.gid))
	}
}

// Environment is what a command must be told of the box: HOME and TMPDIR, and at basic that settings of the machine which it sees and cannot open
// are none of its business (git gives up else).
func (b *Box) Environment() []string {
	env := []string{"HOME=" + b.home, "TMPDIR=" + b.Temp()}
	if !b.Named() {
		env = append(env, "GIT_CONFIG_NOSYSTEM=1")
	}
	return env
}

// Named tells whether system files such as /etc/hosts can be replaced by Files, and ports below 1024 listened on: at sealed and above.
func (b *Box) Named() bool { return isSealed(b.level) }

// Start makes the process ready; it waits for Run. Faults: invalid_argument, workdir_refused, binary_missing, isolation_unavailable.
func (b *Box) Start(ctx context.Context, spec Spec) (*Process, error) {
	b.mu.Lock()
	closed := b.closed
	b.mu.Unlock()
	if closed {
		return nil, ErrClosed
	}
	p, err := b.start(ctx, spec)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	b.live[p] = true // before its end can be told
	closed = b.closed
	b.mu.Unlock()
	go p.live()
	if closed { // meanwhile
		p.Kill()
		p.Wait()
		return nil, ErrClosed
	}
	return p, nil
}

// Close ends what still runs and removes everything but layers that were to be made elsewhere (BoxOptions.Layers). It may be called more than once.
func (b *Box) Close() error {
	b.mu.Lock()
	first := !b.closed
	b.closed = true
	var live []*Process
	for p := range b.live {
		live = append(live, p)
	}
	b.mu.Unlock()
	for _, p := range live {
		p.Kill()
	}
	for _, p := range live {
		p.Wait()
	}
	if !first {
		return nil
	}
	b.s.ids.give(b.outer)
	b.s.forget(b)
	if b.dir == "" {
		return nil
	}
	return removeAll(b.dir)
}

func removeAll(dir string) error {
	if err := private.Remove(dir); err != nil {
		return internal("remove a folder", err)
	}
	return nil
}
