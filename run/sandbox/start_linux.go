package sandbox

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zavhoz/zavhoz/run/process"
	"github.com/zavhoz/zavhoz/vault/fault"
)

const (
	startTimeout     = 30 * time.Second // until the command is ready: about two milliseconds on a quiet machine
	defaultGrace     = 2 * time.Second
	defaultWaitDelay = time.Second
	maxInherit       = 64
	maxListen        = 64
)

func itoa(n int) string { return strconv.Itoa(n) }

// control reserves the recipe's own slot, which the image takes at the fork.
func (r *recipe) control() { r.slots = append(r.slots, nil) }

// fork has the launcher make a child that performs the recipe.
func (s *Sandbox) fork(r *recipe, q request, control int) (child, error) {
	defer r.close()
	image, err := r.image(control)
	if err != nil {
		return child{}, err
	}
	defer image.Close()
	r.slots[0] = image
	if len(r.slots) > maxSlots {
		return child{}, fault.Newf(fault.TooLarge, "more than %d descriptors for one command", maxSlots)
	}
	return s.launchers.launch(q, r.slots)
}

// check refuses a Spec that means nothing.
func (b *Box) check(spec *Spec) error {
	switch {
	case len(spec.Argv) == 0:
		return fault.New(fault.InvalidArgument, "a command needs at least one word", "")
	case len(spec.Inherit) > maxInherit || len(spec.Listen) > maxListen || len(spec.Files) > 256 || len(spec.Workdirs) > 64:
		return fault.New(fault.TooLarge, "too many files, listeners, working directories or descriptors for one command", "")
	case spec.Dir != "" && !filepath.IsAbs(spec.Dir):
		return fault.New(fault.InvalidArgument, "the directory to start in must be absolute", "")
	}
	if err := b.checkPlaces(spec); err != nil {
		return err
	}
	if spec.Grace <= 0 {
		spec.Grace = defaultGrace
	}
	if spec.WaitDelay <= 0 {
		spec.WaitDelay = defaultWaitDelay
	}
	spec.Limits = spec.Limits.or(b.s.defaults())
	if err := b.checkListen(spec.Listen, spec.Workdirs); err != nil {
		return err
	}
	return checkFiles(spec.Files, spec.Workdirs)
}

// checkPlaces refuses a directory to start in that is nobody's, where there is no root of the box's own, and listeners that cannot be told apart.
func (b *Box) checkPlaces(spec *Spec) error {
	inside := b.Named() || spec.Dir == "" || within(filepath.Clean(spec.Dir), b.home)
	for _, w := range spec.Workdirs {
		inside = inside || within(filepath.Clean(spec.Dir), w.Path)
	}
	if !inside {
		return fault.New(fault.InvalidArgument, "the directory to start in is neither a working directory nor the home", "name one of them, or a folder in one")
	}
	seen := map[string]bool{}
	for _, l := range spec.Listen {
		if seen[l.Name] {
			return fault.Newf(fault.InvalidArgument, "two listeners are named %s", quoted(l.Name))
		}
		seen[l.Name] = true
	}
	return nil
}

func (b *Box) start(ctx context.Context, spec Spec) (*Process, error) {
	if err := b.check(&spec); err != nil {
		return nil, err
	}
	dirs, err := b.s.openWorkdirs(spec.Workdirs)
	if err != nil {
		return nil, err
	}
	defer closeAll(dirs)
	if !b.Named() {
		if err := plant(b.home, spec.Files, b.giveAway()); err != nil {
			return nil, err
		}
	}
	b.mu.Lock()
	b.bound = spec.Limits
	b.mu.Unlock()
	p := b.newProcess(spec)
	if err := p.prepare(dirs); err != nil {
		p.release()
		return nil, err
	}
	if err := p.ready(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// prepare composes the recipe and has the child forked.
func (p *Process) prepare(dirs []*opened) error {
	b := p.box
	ours, theirs, err := pair()
	if err != nil {
		return internal("make a socket", err)
	}
	p.ctl, err = unixConn(ours)
	if err != nil {
		_ = theirs.Close()
		return internal("make a socket", err)
	}
	c := &composer{builder: &builder{recipe: newRecipe(), made: map[string]bool{}}, box: b, spec: p.spec, sealed: b.Named(), abi: b.s.abi}
	defer c.close()
	c.recipe.control()
	c.control = c.give(theirs)
	if err := p.join(c); err != nil {
		return err
	}
	if err := p.descriptors(c); err != nil {
		return err
	}
	detached, err := p.mounts(c, dirs)
	if err == nil {
		err = c.compose(dirs, detached)
	}
	if err != nil {
		return p.refusal(err)
	}
	p.what = c.what
	p.shim, err = b.s.fork(c.recipe, p.request(), c.control)
	p.streams.Started()
	if err != nil {
		return p.refusal(err)
	}
	return nil
}

func (p *Process) request() request {
	if !p.box.Named() {
		return newRequest(0, owner{}, owner{})
	}
	return newRequest(allNamespaces, p.box.outer, p.box.s.ids.next())
}

// descriptors gives the child its streams, its program, and what it inherits.
func (p *Process) descriptors(c *composer) (err error) {
	if p.streams, err = process.NewStreams(p.spec.Input, p.spec.Stdin, p.spec.Stdout, p.spec.Stderr); err != nil {
		return internal("make pipes", err)
	}
	choose := p.box.s.ids.choose
	if choose {
		if err := yieldPipes(p.streams.Owned, p.box.outer); err != nil {
			return internal("make pipes", err)
		}
	}
	r, w, err := os.Pipe()
	if err != nil {
		return internal("make pipes", err)
	}
	p.execs = r
	c.execs = c.give(w)
	if err := r.SetReadDeadline(time.Time{}); err != nil { // one that cannot be given up on
		return internal("make pipes", err)
	}
	for i, f := range p.streams.Child {
		c.std[i] = c.pass(f)
	}
	for _, f := range p.spec.Inherit {
		if choose {
			yieldMemory(f, p.box.outer)
		}
		c.inherit = append(c.inherit, c.pass(f))
	}
	if err := p.binary(c); err != nil {
		return err
	}
	if t := p.spec.Terminal; t != nil && !c.sealed {
		master, peer, err := hostTerminal(t)
		if err != nil {
			return internal("open a terminal", err)
		}
		p.tty, c.peer = master, c.give(peer)
	}
	return c.arguments()
}

// binary passes a pinned program, and the script that it interprets as the last inherited descriptor.
func (p *Process) binary(c *composer) error {
	if p.spec.Binary == nil {
		return nil
	}
	c.program = p.spec.Binary.Parts()
	program, err := p.reachable(c, c.program.Program)
	if err != nil {
		return err
	}
	c.progFD = program
	if c.program.Script != nil {
		if c.script, err = p.reachable(c, c.program.Script); err != nil {
			return err
		}
		c.inherit = append(c.inherit, c.script)
	}
	return nil
}

// reachable passes a file that the run's user must be able to execute or open anew. What the daemon may read and that user may not goes as a copy.
func (p *Process) reachable(c *composer, f *os.File) (int, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, internal("look at the program", err)
	}
	if !p.box.s.ids.choose || st.Mode().Perm()&0o005 == 0o005 {
		return c.pass(f), nil
	}
	copied, err := sealedCopy(f)
	if err != nil {
		return 0, internal("copy the program", err)
	}
	return c.give(copied), nil
}

// yieldPipes gives our pipes to the user that the command runs as, so that it may open /dev/stdout anew.
func yieldPipes(files []*os.File, o owner) error {
	for _, f := range files {
		if st, err := f.Stat(); err != nil || st.Mode()&os.ModeNamedPipe == 0 {
			continue
		}
		if err := f.Chown(int(o.uid), int(o.gid)); err != nil {
			return err
		}
	}
	return nil
}

// yieldMemory gives a memory file to the run's user, so that it may open its descriptor anew. A file that has a name stays whose it is.
func yieldMemory(f *os.File, o owner) {
	var st unix.Stat_t
	var fsys unix.Statfs_t
	fd := int(f.Fd())
	if unix.Fstat(fd, &st) == nil && st.Nlink == 0 && st.Mode&unix.S_IFMT == unix.S_IFREG && unix.Fstatfs(fd, &fsys) == nil && fsys.Type == unix.TMPFS_MAGIC {
		_ = unix.Fchown(fd, int(o.uid), int(o.gid))
	}
}

// mounts makes, where the daemon may, what the child of another user could not reach: translated mounts, and layers for overlays.
func (p *Process) mounts(c *composer, dirs []*opened) (map[*opened]*os.File, error) {
	b, detached := p.box, map[*opened]*os.File{}
	c.layerMounts = map[*opened]*os.File{}
	for _, o := range dirs {
		if !c.sealed {
			if err := b.allowedBare(o); err != nil {
				return nil, err
			}
			continue
		}
		if o.Mode == Overlay {
			if err := b.newLayer(o); err != nil {
				return nil, internal("make a layer", err)
			}
		}
		if !b.s.ids.choose {
			continue
		}
		tree, err := b.s.mapped(o, b.outer)
		if err != nil {
			return nil, refused(o.Path, "cannot be shown to a user of the run's own: its file system takes no translated mounts").Because(err)
		}
		detached[o] = tree
		c.closes = append(c.closes, tree)
		if o.Mode == Overlay {
			if err := c.detachLayer(o, b.layer(o.Path)); err != nil {
				return nil, internal("make a layer", err)
			}
		}
	}
	return detached, nil
}

func (c *composer) detachLayer(o *opened, l *layer) error {
	f, err := os.OpenFile(l.dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	tree, err := detach(f)
	if err == nil {
		c.layerMounts[o] = tree
		c.closes = append(c.closes, tree)
	}
	return err
}

// allowedBare refuses what Landlock alone cannot do.
func (b *Box) allowedBare(o *opened) error {
	if o.Mode == Overlay {
		return refused(o.Path, "asks for an overlay, which needs the level sealed")
	}
	if b.s.ids.choose && o.st.Mode&0o005 != 0o005 {
		return refused(o.Path, "cannot be read by the run's own user, and without the level sealed it cannot be translated")
	}
	if b.s.ids.choose && o.Mode == ReadWrite && o.st.Mode&0o002 == 0 {
		return refused(o.Path, "cannot be written by the run's own user, and without the level sealed it cannot be translated")
	}
	return nil
}
